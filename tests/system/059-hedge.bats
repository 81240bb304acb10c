#!/usr/bin/env bats
# claim-worker --hedge: a unit that takes far longer than the others is tried a second time, and the first commit counts.

load ../lib

export LC_ALL=C

# A queue of 6 units and two nodes. On node a the unit 0006 hangs until "go" is there; "slow" says that it has begun, by process id.
on_two_nodes() {
	make_queue "$work/disk/q" "$@"
	make_inputs "$work/disk/q/inputs" 6
	mount_claimfs "$work/disk" "$work/a" -o host_name=a
	mount_claimfs "$work/disk" "$work/b" -o host_name=b
	claims=$work/disk/q/.claimfs/claims
	wait_until 10 has_entries "$work/a/q/todo" 6
	in_background "$work/a.out" claim-worker -v -j 2 "$work/a/q" -- sh -c '
		if [ "$CLAIM_NAME" = 0006 ]; then
			echo half >"$CLAIM_OUT"
			echo $$ >"$0/slow.new"; mv "$0/slow.new" "$0/slow"
			until [ -e "$0/go" ]; do sleep 0.05; done
		fi
		echo a >"$CLAIM_OUT"' "$work"
	worker_a=$started_pid
	wait_for 20 '[ -s slow ]'
	wait_until 20 has_entries "$work/b/q/done" 5
}

begin_b() {	# the job there says "ran", and goes on once go-b is there
	in_background "$work/$1.out" claim-worker -v -j 2 --hedge "$work/${2:-b}/q" -- sh -c '
		echo "$CLAIM_NAME $CLAIM_ATTEMPT $$" >>"$0/ran"
		until [ -e "$0/go-b" ]; do sleep 0.05; done
		echo b >"$CLAIM_OUT"' "$work"
	worker_b=$started_pid
}

ends_well() {	# PID
	wait_until 30 gone "$1"
	wait "$1"
}

seen_by_a() {	# the listing that node a makes for it shows the second attempt: who ends the unit sweeps what it has seen
	wait_for 10 'grep -q "^attempt: 2$" "$work/a/q/claims/0006"'
}

@test "hedge: the second attempt comes first, and the slow job is ended" {
	on_two_nodes
	: >go-b
	begin_b b
	ends_well "$worker_b"
	[ "$(cat "$work/b/q/outputs/0006")" = b ]
	grep -q '^0006 2 ' ran
	# Node a learns of it, ends its job and has nothing more to do: no failure.
	ends_well "$worker_a"
	gone "$(cat slow)"
	grep -q 'done before 0006 (b\.' a.out
	[ "$(cat "$work/b/q/outputs/0006")" = b ]
	wait_until 10 has_entries "$claims" 0
	claimctl log "$work/disk/q" 0006 >log
	cat log
	grep -q '  b\..* done .*attempt 2.*second attempt: won' log
	grep -q '  a\..*it was done by b\..*in vain' log
	wait_until 5 jq -e '.hedges.won == 1 and .hedges.lost == 0 and .hedges.wasted > 9 and .units.done == 6 and .units.failed == 0' "$work/a/q/progress.json"
	grep -q '^second attempts 1, 1 came first; ' "$work/a/q/progress"
}

@test "hedge: the first attempt comes first, and the second one's job is ended and its output dropped" {
	on_two_nodes
	begin_b b
	wait_for 30 '[ -s ran ]'
	: >go
	ends_well "$worker_a"
	ends_well "$worker_b"
	gone "$(cut -d' ' -f3 ran)"
	[ "$(cat "$work/b/q/outputs/0006")" = a ]
	grep -q 'done before 0006 (a\.' b.out
	wait_until 10 has_entries "$claims" 0
	wait_until 5 jq -e '.hedges.won == 0 and .hedges.lost == 1' "$work/b/q/progress.json"
}

@test "hedge: of two hedgers only one; a failure of it sets nothing aside" {
	on_two_nodes
	mount_claimfs "$work/disk" "$work/c" -o host_name=c
	begin_b b
	begin_c=$worker_b
	begin_b c c
	wait_for 30 '[ -s ran ]'
	exec 4<>"$work/c/q/ctl"
	echo 'hedge 0006' >&4
	read -r answer <&4
	exec 4>&-
	[[ $answer == 'error EBUSY '* ]]
	kill -KILL "$(cut -d' ' -f3 ran)"
	wait_for 10 "grep -q 'the second attempt failed: 0006' b.out c.out"
	has_entries "$work/a/q/claims" 1
	seen_by_a
	has_entries "$work/a/q/failed" 0
	: >go
	ends_well "$worker_a"
	ends_well "$worker_b"
	ends_well "$begin_c"
	[ "$(wc -l <ran)" -eq 1 ]
	[ "$(cat "$work/b/q/outputs/0006")" = a ]
	wait_until 10 has_entries "$claims" 0
}

@test "hedge: the hedger's node dies: the first attempt goes on, and nothing is left" {
	on_two_nodes --lease 3s
	begin_b b
	wait_for 30 '[ -s ran ]'
	kill -KILL "$worker_b"
	kill_mount "$work/b"
	seen_by_a
	: >go
	ends_well "$worker_a"
	[ "$(cat "$work/a/q/outputs/0006")" = a ]
	wait_until 10 has_entries "$claims" 0
	claimctl fsck "$work/disk/q"
}
