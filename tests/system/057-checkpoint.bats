#!/usr/bin/env bats
# claim-worker --checkpoint-signal: what an unfinished attempt leaves is offered to the next one, on another node too.

load ../lib

export LC_ALL=C

# Where what an attempt has left is kept.
on_kept_queue() {	# as on_queue
	on_queue "$@"
	kept=$work/disk/q/.claimfs/tmp/resume
}

# A job of steps: on USR1 it writes how far it came and ends; begun says that it runs.
steps='
	n=0; [ -z "${CLAIM_RESUME:-}" ] || n=$(cat "$CLAIM_RESUME")
	trap "echo \$n >\"\$CLAIM_OUT\"; exit 9" USR1
	n=$((n + 1)); echo "$n" >>"$0"
	[ "$n" -lt 3 ] || { echo finished >"$CLAIM_OUT"; exit 0; }
	while :; do sleep 0.05; done'

preempted() {	# QUEUE-DIRECTORY COMMAND...: a worker that gets SIGTERM once `steps` has grown
	local before=0 status=0
	[ ! -e steps ] || before=$(wc -l <steps)
	in_background "$work/worker.out" claim-worker -j 1 --checkpoint-signal USR1 "$@"
	wait_for 20 '[ -e steps ] && [ "$(wc -l <steps)" -gt '"$before"' ]'
	kill -TERM "$started_pid"
	wait_until 20 gone "$started_pid"
	wait "$started_pid" || status=$?
	cat worker.out
	[ "$status" -eq 143 ]
}

@test "checkpoint: goes on where it was left, on another node, and is removed once done" {
	on_kept_queue 1 --attempts 1
	preempted "$q" -- sh -c "$steps" "$work/steps"
	has_entries "$kept" 1
	wait_until 10 has_entries "$q/todo" 1
	mount_claimfs "$work/disk" "$work/other" -o host_name=other
	preempted "$work/other/q" -- sh -c "$steps" "$work/steps"
	[ "$(cat "$kept"/*.0)" = 2 ]
	claimctl fsck "$work/disk/q"
	has_entries "$kept" 1
	timeout 30 claim-worker -j 1 --checkpoint-signal USR1 "$q" -- sh -c "$steps" "$work/steps"
	[ "$(tr '\n' ' ' <steps)" = "1 2 3 " ]
	[ "$(cat "$q/outputs/0001")" = finished ]
	has_entries "$kept" 0
	# A redo begins anew.
	rm "$q/done/0001"
	wait_until 10 has_entries "$q/todo" 1
	timeout 30 claim-worker --checkpoint-signal USR1 "$q" -- sh -c '[ -z "${CLAIM_RESUME+x}" ]'
}

@test "checkpoint: a directory, kept also when the job had to be ended at the end of the grace" {
	on_kept_queue 1 --attempts 1
	preempted --grace 500ms "$q" -- sh -c '
		mkdir "$CLAIM_OUT"; trap "echo half >\"\$CLAIM_OUT/state\"" USR1; echo x >>"$0"; while :; do sleep 0.05; done' "$work/steps"
	timeout 30 claim-worker --checkpoint-signal USR1 "$q" -- sh -c '[ "$(cat "$CLAIM_RESUME/state")" = half ] && echo whole >"$CLAIM_OUT"'
	[ "$(cat "$q/outputs/0001")" = whole ]
	has_entries "$kept" 0
}

@test "checkpoint: without the signal nothing is kept, and fsck removes what nobody needs" {
	on_kept_queue 2
	in_background "$work/worker.out" claim-worker -j 1 --grace 100ms "$q" -- sh -c 'echo junk >"$CLAIM_OUT"; echo x >>"$0"; sleep 600' "$work/steps"
	wait_for 20 '[ -s steps ]'
	kill -TERM "$started_pid"
	wait_until 20 gone "$started_pid"
	[ ! -e "$kept" ]
	preempted "$q" -- sh -c "trap 'exit 1' USR1; echo x >>\"\$0\"; echo some >\"\$CLAIM_OUT\"; while :; do sleep 0.05; done" "$work/steps"
	# Done by a worker that does not look at it.
	timeout 30 claim-worker "$q" -- sh -c '[ -z "${CLAIM_RESUME+x}" ]'
	has_entries "$q/done" 2
	has_entries "$kept" 1
	run claimctl fsck "$work/disk/q"
	[[ $output == *tmp/resume/* ]]
	has_entries "$kept" 0
}
