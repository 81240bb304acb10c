#!/usr/bin/env bats
# The sentence on what limits the work is right for loads of which everybody knows what limits them (the rule itself, with made-up figures:
# unit/test_limits.c). Where the machine that tests run on has no processor to spare, that is what limits, and may be said instead.

load ../lib

export LC_ALL=C

# far_queue COUNT PIPE-OPTION...: a queue with that many inputs of 16 bytes behind a slow line: $q.
far_queue() {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" "$1"
	start_sshd >/dev/null
	start_pipe "${@:2}" >/dev/null
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config" -o queue_ttl=0.2
	q=$work/mnt/q
	wait_until 20 has_entries "$q/todo" "$1"
}

# limited WORD... [-- FILTER]: by one of these, for the mount's progress and, of the plain directory, for the report; FILTER (jq) holds of progress.json.
limited() {
	local word words=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do words+=("$1") && shift; done
	# A node's own records are seen at once, and the listing when it is a second old.
	wait_until 10 jq -e '.units.todo + .units.claimed == 0 and .time_spent.units > 0' "$q/progress.json"
	cat "$q/progress"
	word=$(jq -r .limit "$q/progress.json")
	[[ " ${words[*]} " == *" $word "* ]]
	[ $# -lt 2 ] || jq -e "$2" "$q/progress.json"
	grep -qF "$(jq -r .advice "$q/progress.json" | cut -c1-40)" <<<"$(claimctl report "$work/disk/q")"
}

burn='import sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end: pass'

@test "loads: jobs that compute" {
	on_queue 4
	timeout 120 claim-worker -j 1 "$q" -- python3 -c "$burn" 0.5
	limited computing crowded -- '.split.computing > 1.9'
}

@test "loads: jobs that compute, more of them than processors" {
	on_queue 8
	timeout 120 taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" claim-worker -j 8 "$q" -- python3 -c "$burn" 0.5
	limited crowded -- '.split.crowded > 3 * .split.computing and .split.other < .split.crowded / 4'
	jq -r .advice "$q/progress.json" | grep -q 'fewer slots'
}

@test "loads: jobs that read much" {
	far_queue 0 --rate 1000000
	for i in 1 2 3; do head -c 2000000 /dev/urandom >"disk/q/inputs/$i"; done
	wait_until 10 has_entries "$q/todo" 3
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- cat {in} >/dev/null
	limited reading -- '.split.reading > 3'
}

@test "loads: jobs that read a mapped file" {
	far_queue 0 --rate 1000000
	for i in 1 2 3; do head -c 2000000 /dev/urandom >"disk/q/inputs/$i"; done
	wait_until 10 has_entries "$q/todo" 3
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- python3 -c '
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes: sum(bytes[::4096])' {in}
	limited reading -- '.split.reading > 3'
}

@test "loads: jobs that write much" {
	far_queue 3 --rate 1000000
	timeout 120 claim-worker -j 1 "$q" -- sh -c 'head -c 2000000 /dev/zero >"$CLAIM_OUT"'
	limited writing -- '.split.writing > 3'
}

@test "loads: jobs that read many small files far away" {
	far_queue 3 --delay 100ms
	mkdir disk/many
	make_inputs disk/many 10
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- sh -c 'for i in "$0"/*; do cat "$i"; done >/dev/null' "$work/mnt/many"
	limited latency -- '.split.reading > 1'
}

@test "loads: processes that do nothing" {
	on_queue 200
	timeout 120 claim-worker -j 1 "$q" -- true
	limited starting crowded
}

@test "loads: claims that are far away" {
	far_queue 6 --delay 200ms
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- true
	limited claiming -- '.split.claiming > 1'
}

@test "loads: slots without work" {
	on_queue 1
	mv "$q/todo/0001" "$q/claims/0001"
	in_background worker.out claim-worker -j 1 "$q" -- true
	wait_until 20 sh -c "find /proc/$started_pid/fd -lname '*/ctl' | grep -q ."
	sleep 3		# that it has nothing to do is what is tested
	rm "$q/claims/0001"
	wait_until 20 gone "$started_pid"
	limited idle -- '.split.idle > 2'
}

@test "loads: jobs that wait for something else" {
	on_queue 4
	timeout 120 claim-worker -j 1 "$q" -- sleep 1
	limited other -- '.split.other > 3'
	jq -r .advice "$q/progress.json" | grep -q 'more slots'
}
