#!/usr/bin/env bats
# The sentence on what limits the work is right for loads of which everybody knows what limits them (the rule itself, with made-up figures:
# unit/test_limits.c): here, what jobs and slots do on this machine or over a slow line. Where there is no processor to spare, that is what
# limits, and may be said instead. Where every answer takes long: 066-loads-far.bats.

load ../lib
load ../loads

burn='import sys, time
end = time.process_time() + float(sys.argv[1])
while time.process_time() < end: pass'

# slow_queue COUNT: a queue with that many inputs behind a line of 400 kB/s, so that what jobs do beside reading is little, on a busy machine too.
slow_queue() {
	queue_behind "$1" --rate 400000
	wait_until 10 has_entries "$q/todo" "$1"
}

@test "loads: jobs that compute" {
	on_queue 4
	timeout 120 claim-worker -j 1 "$q" -- python3 -c "$burn" 0.5
	limited computing crowded -- '.split.computing > 1.9'
}

@test "loads: jobs that compute, more of them than processors" {
	on_queue 8
	timeout 120 taskset -c "$(taskset -cp $$ | sed 's/.*: *\([0-9]*\).*/\1/')" claim-worker -j 8 "$q" -- python3 -c "$burn" 0.5
	limited crowded -- '.split.crowded > 3 * .split.computing and .split.other < .split.crowded / 2'
	jq -r .advice "$said" | grep -q 'fewer slots'
}

@test "loads: processes that do nothing" {
	on_queue 200
	timeout 120 claim-worker -j 1 "$q" -- true
	limited starting crowded
}

@test "loads: processes that do nothing, in more slots than processors" {
	on_queue 400
	timeout 120 claim-worker -j 8 "$q" -- true
	limited starting crowded -- '.split.starting > 2 * .split.claiming'
}

@test "loads: jobs that fail and are tried again later" {
	on_queue 2
	timeout 120 claim-worker -j 1 --retries 1 "$q" -- sh -c '[ -e "$0/$CLAIM_NAME" ] || { : >"$0/$CLAIM_NAME"; exit 1; }' "$work"
	limited idle
	jq -r .advice "$said" | grep -q -e --retries
}

@test "loads: a giant unit that comes last" {
	on_queue 6
	timeout 120 claim-worker -j 3 "$q" -- sh -c '[ "$CLAIM_NAME" != 0006 ] || exec sleep 2.5'
	limited tail -- '.split.tail > 4'
	jq -r .advice "$said" | grep -q -e '--order -size'
	claimctl doctor "$q" | grep -q 'stood empty'
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
	jq -r .advice "$said" | grep -q 'more slots'
}

# Three that take a while to read.
slow_inputs() {
	slow_queue 0
	for i in 1 2 3; do head -c 2000000 /dev/urandom >"disk/q/inputs/$i"; done
	wait_until 10 has_entries "$q/todo" 3
}

@test "loads: jobs that read much over a slow line" {
	slow_inputs
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- cat {in} >/dev/null
	limited reading -- '.split.reading > 3'
}

@test "loads: jobs that read a mapped file over a slow line" {
	slow_inputs
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- python3 -c '
import mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes: sum(bytes[::4096])' {in}
	limited reading -- '.split.reading > 3'
}

@test "loads: jobs that write much over a slow line" {
	slow_queue 3
	timeout 120 claim-worker -j 1 "$q" -- sh -c 'head -c 2000000 /dev/zero >"$CLAIM_OUT"'
	limited writing -- '.split.writing > 3'
}

@test "loads: jobs of two threads, of which one reads over a slow line and the other waits for it" {
	slow_inputs
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- python3 -c '
import sys, threading
reader = threading.Thread(target=lambda: open(sys.argv[1], "rb").read())
reader.start()
reader.join()' {in}
	limited reading -- '.split.reading > 3'
}
