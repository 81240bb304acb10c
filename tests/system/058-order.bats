#!/usr/bin/env bats
# claim-worker --order and --shuffle, and ctl's claim, on a real queue.

load ../lib

export LC_ALL=C

on_sizes() {	# inputs of different sizes, made in no order, one of them in a sub-directory
	make_queue "$work/disk/q"
	mkdir "$work/disk/q/inputs/d"
	head -c 300 /dev/zero >"$work/disk/q/inputs/b"
	head -c 20 /dev/zero >"$work/disk/q/inputs/e"
	head -c 4000 /dev/zero >"$work/disk/q/inputs/d/c"
	head -c 1 /dev/zero >"$work/disk/q/inputs/a x"
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_units 4
}

has_units() {
	[ "$(find "$q/todo" -type f | wc -l)" -eq "$1" ]
}

again() {	# all of it is to be done again
	find "$q/done" -type f -delete
	wait_until 10 has_units 4
	rm -f ran
}

worked() {	# ORDER OPTION...: one slot runs them in this order
	local want=$1
	shift
	timeout 30 claim-worker -j 1 --dry-run "$@" "$q" -- echo '{name}' >dry
	timeout 30 claim-worker -j 1 "$@" "$q" -- sh -c 'echo "$CLAIM_NAME $CLAIM_ATTEMPT" >>"$0"' "$work/ran"
	cat dry ran
	[ "$(tr '\n' , <ran)" = "$want" ]
	[ "$(sed "s/^echo //; s/'//g" dry)" = "$(sed 's/ 1$//' ran)" ]
}

@test "order: by name, by size, the largest first" {
	on_sizes
	worked 'a x 1,b 1,d/c 1,e 1,' --order name
	again
	worked 'a x 1,e 1,b 1,d/c 1,' --order size --ahead 3
	again
	worked 'd/c 1,b 1,e 1,a x 1,' --order=-size
	has_units 0
}

@test "order: shuffled is all of it; what others hold is passed over and taken when it comes back" {
	on_sizes
	mv "$q/todo/b" "$q/claims/b"
	in_background "$work/worker.out" claim-worker -j 1 --shuffle "$q" -- sh -c 'echo "$CLAIM_NAME" >>"$0"' "$work/ran"
	worker=$started_pid
	wait_for 20 '[ -e ran ] && [ "$(wc -l <ran)" -eq 3 ]'
	not gone "$worker"
	mv "$q/claims/b" "$q/todo/b"
	wait_until 20 gone "$worker"
	wait "$worker"
	[ "$(tail -1 ran)" = b ]
	[ "$(sort ran | tr '\n' ,)" = 'a x,b,d/c,e,' ]
}

@test "ctl: claim names a unit; it is the session's" {
	on_sizes
	exec 4<>"$q/ctl"
	printf 'claim e\nclaim a x\nclaim none\nclaim e\nrelease a x\n' >&4
	for i in 1 2 3 4 5; do read -r answer <&4; echo "$answer" >>answers; done
	cat answers
	[ "$(cut -d' ' -f1,2 answers | tr '\n' ,)" = 'ok 1,ok 1,error ENOENT,error EBUSY,ok,' ]
	exec 4>&-
	# The session is over: e counts as a lost attempt.
	wait_until 10 has_units 4
	mv "$q/todo/e" "$q/claims/e"
	grep -q '^attempt: 2$' "$q/claims/e"
}

@test "order: a listing that takes long says how far it is" {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 60
	start_sshd >/dev/null
	start_pipe >/dev/null
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config"
	wait_until 20 has_entries "$work/mnt/q/todo" 60
	pipe_ask delay 300ms
	in_background worker.out claim-worker --order size "$work/mnt/q" -- true
	wait_until 60 grep -Eq 'still listing what there is to do: [0-9]+ units so far, after [0-9]+ s' worker.out
	pipe_ask delay 0
	wait_until 60 gone "$started_pid"
	has_entries "$work/mnt/q/done" 60
}
