#!/usr/bin/env bats
# The sentence on what limits the work is right for loads of which everybody knows what limits them (the rule itself, with made-up figures:
# unit/test_limits.c): here, where every answer takes long. Others: 064-loads.bats.

load ../lib
load ../loads

@test "loads far away: jobs that read many small files" {
	queue_behind 2 --delay 100ms
	mkdir disk/many
	make_inputs disk/many 12
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- sh -c 'for i in "$0"/*; do cat "$i"; done >/dev/null' "$work/mnt/many"
	limited latency -- '.split.reading > 1'
}

# A claim is a round trip, and so is the look at an input: for jobs that do nothing it is one as much as the other.
@test "loads far away: claims" {
	queue_behind 3 --delay 200ms
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- true
	limited claiming latency -- '.split.claiming > 1 and .split.reading > 0.5'
	jq -r .advice "$said" | grep -q -e --ahead
}

# Beside its claim, of which the mount's look at the queue is a part, a job's input takes round trips before it and in it.
@test "loads far away: jobs that read a small input each" {
	queue_behind 3 --delay 200ms
	timeout 120 claim-worker -j 1 --ahead 0 "$q" -- cat {in} >/dev/null
	limited claiming latency -- '.split.reading > 1 and .split.other < .split.reading / 2'
	jq -r .advice "$said" | grep -q -e 'nearer disk'
}

@test "loads far away: what a slot waited for before a batch is counted once, and not for each of its units" {
	local begun elapsed
	queue_behind 20 --delay 100ms
	begun=${EPOCHREALTIME/[.,]/}
	timeout 120 claim-worker -j 1 --batch 20 "$q" -- true '{in...}'
	elapsed=$((${EPOCHREALTIME/[.,]/} - begun))
	limited claiming latency starting idle crowded other -- "[.split[]] | add * 1000000 < $elapsed"
}
