#!/usr/bin/env bats
# claimctl memo: a command is run once for the same words and contents, by all nodes together.

load ../lib

export LC_ALL=C

ran() {	# COUNT: so often was it run
	[ "$(cat ran 2>/dev/null | wc -l)" -eq "$1" ]
}

@test "memo: the same words and contents run once, output and status as they were" {
	echo one >file
	run claimctl memo --store store --key file -- sh -c 'echo x >>ran; printf "a\0b\nc" | od -c; echo to-stderr >&2; exit 3' word
	[ "$status" -eq 3 ]
	first=$(claimctl memo --store store --key file -- sh -c 'echo x >>ran; printf "a\0b\nc" | od -c; echo to-stderr >&2; exit 3' word 2>err) || [ $? -eq 3 ]
	ran 1
	[ "$first" = "$(printf 'a\0b\nc' | od -c)" ]
	[ ! -s err ]
}

@test "memo: other words, other contents, another order are other results" {
	echo one >a
	echo two >b
	claimctl memo --store store --key a -- sh -c 'echo x >>ran' 1
	claimctl memo --store store --key a -- sh -c 'echo x >>ran' 2
	ran 2
	claimctl memo --store store --key b -- sh -c 'echo x >>ran' 1
	ran 3
	claimctl memo --store store --key a --key b -- sh -c 'echo x >>ran' 1
	claimctl memo --store store --key b --key a -- sh -c 'echo x >>ran' 1
	ran 5
	cp a elsewhere
	claimctl memo --store store --key elsewhere -- sh -c 'echo x >>ran' 1
	ran 5
	echo changed >a
	claimctl memo --store store --key a -- sh -c 'echo x >>ran' 1
	ran 6
	# Words are not just strung together.
	claimctl memo --store store -- sh -c 'echo x >>ran' ab c
	claimctl memo --store store -- sh -c 'echo x >>ran' a bc
	ran 8
}

@test "memo: many at once, on two mounts: run once, all get the result" {
	make_queue disk/q
	mount_claimfs "$work/disk" "$work/one"
	mount_claimfs "$work/disk" "$work/two"
	for i in 1 2 3 4; do
		for node in one two; do
			in_background "$work/out.$node.$i" claimctl memo --queue "$work/$node/q" -- sh -c 'echo x >>"$0"; sleep 1; echo result' "$work/ran"
			pids+=("$started_pid")
		done
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	ran 1
	for out in out.*; do [ "$(cat "$out")" = result ]; done
}

@test "memo: a store that was left behind by a killed one does not block for ever" {
	in_background "$work/out" claimctl memo --store store -- sh -c 'echo x >>ran; while [ ! -e go ]; do sleep 0.1; done; echo result'
	wait_until 10 test -s ran
	kill -KILL "$started_pid"
	touch go
	[ -n "$(find store -name '*.run')" ]
	# Its mark does not move any more.
	[ "$(timeout 90 claimctl memo --store store -- sh -c 'echo x >>ran; while [ ! -e go ]; do sleep 0.1; done; echo result')" = result ]
	ran 2
	[ -z "$(find store -name '*.run')" ]
}

@test "memo: nothing of the command outlives one that is killed" {
	in_background "$work/out" claimctl memo --store store -- sh -c 'echo $$ >one; setsid sh -c "echo \$\$ >two; exec sleep 600" & (sleep 600 & echo $! >three); wait'
	wait_until 10 test -s one -a -s two -a -s three
	kill -KILL "$started_pid"
	for pid in $(cat one two three); do wait_until 10 gone "$pid"; done
	# A signal that it may answer is the command's, and nothing is kept.
	in_background "$work/out" claimctl memo --store store -- sh -c 'trap "echo told >told; exit 5" TERM; echo x >begun; while :; do sleep 0.1; done'
	wait_until 10 test -s begun
	kill "$started_pid"
	status=0
	wait "$started_pid" || status=$?
	[ "$status" -eq 5 ]
	[ "$(cat told)" = told ]
}

@test "memo: a broken result is computed again; only successes on demand; what is missing" {
	claimctl memo --store store -- sh -c 'echo x >>ran; echo result'
	result=$(find store -type f)
	echo "memo 1 0 99" >"$result"
	[ "$(claimctl memo --store store -- sh -c 'echo x >>ran; echo result')" = result ]
	ran 2
	run claimctl memo --only-success --store store -- sh -c 'echo x >>ran; exit 1'
	run claimctl memo --only-success --store store -- sh -c 'echo x >>ran; exit 1'
	[ "$status" -eq 1 ]
	ran 4
	status=0
	claimctl memo --store store -- nonexistent-command 2>said || status=$?
	[ "$status" -eq 127 ]
	grep -q nonexistent-command said
	fails_with 1 '*missing*' claimctl memo --store store --key missing -- true
	fails_with 2 '*--store*' env -u CLAIM_QUEUE claimctl memo -- true
}

@test "memo: as a job of a worker it finds the queue by itself" {
	make_queue disk/q
	for i in 1 2 3 4 5 6; do echo "content $((i % 2))" >"disk/q/inputs/$i"; done
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries mnt/q/todo 6
	timeout 60 claim-worker -j 1 "$work/mnt/q" -- sh -c 'claimctl memo --key "$CLAIM_IN" -- sh -c "echo x >>\"\$0\"; echo made" "$0" >"$CLAIM_OUT"' "$work/ran"
	ran 2
	[ "$(cat mnt/q/outputs/3)" = made ]
}
