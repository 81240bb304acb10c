#!/usr/bin/env bats
# Where the time goes: measured in jobs, summed up in progress.

load ../lib

export LC_ALL=C

value() {	# NAME: of the one record there is, 0 if it has none
	local found
	found=$(cat "$work"/disk/q/.claimfs/log/* | grep -o " $1=[0-9.]*" | cut -d= -f2)
	echo "${found:-0}"
}

at_least() {	# A B
	awk "BEGIN { exit !($1 >= $2) }"
}

has_ctl() {	# PID: it has begun to ask for units
	find "/proc/$1/fd" -lname '*/ctl' 2>/dev/null | grep -q .
}

@test "limits: a job that waits for a far disk's bytes is seen to wait for reads" {
	make_queue "$work/disk/q" --settle 0
	make_inputs "$work/disk/q/inputs" 1
	start_sshd >/dev/null
	start_pipe --delay 50ms >/dev/null
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config"
	wait_until 20 has_entries "$work/mnt/q/todo" 1
	timeout 60 claim-worker -j 1 "$work/mnt/q" -- sh -c 'cat "$CLAIM_IN" >/dev/null'
	cat "$work"/disk/q/.claimfs/log/*	# seen when it fails
	at_least "$(value rwait)" 0.05
	at_least "$(value spawn)" 0.0001
	at_least "$(value claim) + $(value idle)" 0.05	# a claim is a round trip at least, and takes more than a second where all is slow
	wait_until 10 grep -q 'slots:' "$work/mnt/q/progress"
	grep -q 'limited by' "$work/mnt/q/progress"
	python3 - "$work/mnt/q/progress.json" <<'PYTHON'
import json, sys
facts = json.load(open(sys.argv[1]))
assert facts["split"]["reading"] >= 0.05 and facts["split"]["claiming"] + facts["split"]["idle"] >= 0.05, facts
assert facts["limit"] in ("latency", "claiming", "idle") and facts["advice"], facts
assert facts["nodes"][0]["split"] == facts["split"], facts
PYTHON
	unmount "$work/mnt"
}

@test "limits: a slot that waits for others' units is idle, not claiming" {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 1
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries "$work/mnt/q/todo" 1
	mv "$work/mnt/q/todo/0001" "$work/mnt/q/claims/0001"
	in_background "$work/worker.out" claim-worker -j 1 "$work/mnt/q" -- true
	pid=$started_pid
	wait_until 20 has_ctl "$pid"
	sleep 2		# more than a second without anything to claim is what is tested
	rm "$work/mnt/q/claims/0001"
	wait_until 20 gone "$pid"
	at_least "$(value idle)" 1
	[ "$(value claim)" = 0 ]
}

@test "limits: what a resident command computes is known of each unit" {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 1
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries "$work/mnt/q/todo" 1
	timeout 60 claim-worker -j 1 --resident "$work/mnt/q" -- python3 -c '
import sys, time
for line in sys.stdin:
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    print("ok", flush=True)'
	at_least "$(value user)" 0.15
}

ticket() {	# UNIT NAME: the number
	sed -n "s/^$2: \([0-9.]*\).*/\1/p" "$q/done/$1" "$q/failed/$1" 2>/dev/null
}

@test "limits: of each unit of a resident command its own memory is told, and what its children computed" {
	on_queue 4
	timeout 60 claim-worker -j 1 --order name --resident "$q" -- python3 -c '
import subprocess, sys, time
for line in sys.stdin:
    name = line.split("\t")[2].strip()
    time.sleep(0.03)
    if name == "0002": bytearray(100 << 20)
    if name == "0003": subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.4: pass"])
    print("fail it was to" if name == "0004" else "ok", flush=True)' || [ $? -eq 1 ]
	wait_until 10 has_entries "$q/done" 3
	[ "$(ticket 0002 peak-memory)" -gt $((100 << 20)) ]
	[ "$(ticket 0003 peak-memory)" -lt $((60 << 20)) ]
	at_least "$(ticket 0003 user)" 0.3
	not at_least "$(ticket 0002 user)" 0.3
	[ "$(ticket 0004 peak-memory)" -lt $((60 << 20)) ]
}

@test "limits: what a machine that stays short can't start is given back for others, and it is said why nothing starts" {
	on_queue 2
	mount_claimfs "$work/disk" "$work/other"
	in_background worker.out claim-worker -j 2 --mem-free 900T "$q"  -- true
	wait_until 20 has_entries "$q/claims" 2
	timeout 90 claim-worker -j 2 "$work/other/q" -- true
	has_entries "$work/other/q/done" 2
	grep -q 'no job is started for now: .* --mem-free' worker.out
	kill -TERM "$started_pid"
	wait_until 20 gone "$started_pid"
}
