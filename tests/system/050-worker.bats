#!/usr/bin/env bats
# claim-worker on a real queue: what the manual says it does.

load ../lib

export LC_ALL=C

@test "worker: every unit once, outputs published, exit 0" {
	on_queue 40 --output 'outputs/{.}.up'
	timeout 60 claim-worker -j 4 "$q" -- sh -c 'echo "$CLAIM_NAME" >>"$1"; tr a-z A-Z <"$CLAIM_IN" >"$CLAIM_OUT"' - "$work/ran"
	[ "$(sort -u ran | wc -l)" -eq 40 ]
	[ "$(wc -l <ran)" -eq 40 ]
	has_entries "$q/done" 40
	[ "$(cat "$q/outputs/0033.up")" = "INPUT 0033" ]
	# Again: nothing is left, at once.
	timeout 20 claim-worker "$q" -- false
}

@test "worker: the words of the command, without a shell" {
	make_queue "$work/disk/q" --output 'o/{.}.x'
	mkdir -p "$work/disk/q/inputs/d"
	echo content >"$work/disk/q/inputs/d/a name.\$(touch oops).jpg"
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries mnt/q/todo 1
	timeout 60 claim-worker "$work/mnt/q" -- python3 -c '
import os, sys
name = "d/a name.$(touch oops).jpg"
words = sys.argv[1:]
assert words == [name, name[:-4], name[2:], "d", name[2:-4], name, "x-" + name + "-y", "{unknown}"], words
assert os.environ["CLAIM_NAME"] == name
assert os.environ["CLAIM_ATTEMPT"] == "1"
assert open(os.environ["CLAIM_IN"]).read() == "content\n"
assert os.environ["CLAIM_OUT"].endswith("/stage/" + name[:-4] + ".x")
open(os.environ["CLAIM_OUT"], "w").write("made")' '{}' '{.}' '{/}' '{//}' '{/.}' '{name}' 'x-{}-y' '{unknown}'
	[ "$(cat "mnt/q/o/d/a name.\$(touch oops).x")" = made ]
	[ ! -e oops ] && [ ! -e mnt/q/oops ]
}

@test "worker: {in} and {out}; a directory as output; no output at all" {
	on_queue 3
	timeout 60 claim-worker "$q" -- sh -c '
		case $1 in
		*1) cp "$1" "$2" ;;
		*2) mkdir "$2" && cp "$1" "$2/inside" ;;
		esac' - '{in}' '{out}'
	[ "$(cat "$q/outputs/0001")" = "input 0001" ]
	[ "$(cat "$q/outputs/0002/inside")" = "input 0002" ]
	[ ! -e "$q/outputs/0003" ]
	has_entries "$q/done" 3
}

@test "worker: a failure is set aside with status and the end of standard error, exit 1" {
	on_queue 4
	run timeout 60 claim-worker -j 2 "$q" -- sh -c '
		case $CLAIM_NAME in
		0002) echo first line >&2; echo "it is broken" >&2; echo junk >"$CLAIM_OUT"; exit 7 ;;
		0003) kill -SEGV $$ ;;
		esac; echo fine >"$CLAIM_OUT"'
	[ "$status" -eq 1 ]
	has_entries "$q/done" 2
	has_entries "$q/failed" 2
	grep -q '^exit-status: 7$' "$q/failed/0002"
	grep -q 'it is broken' "$q/failed/0002"
	grep -qi 'signal: .*\(11\|SEGV\)' "$q/failed/0003"
	[ ! -e "$q/outputs/0002" ]
	grep -q '^wall' "$q/done/0001"
}

@test "worker: the last 4 KiB of standard error" {
	on_queue 1
	run timeout 60 claim-worker "$q" -- sh -c 'head -c 100000 /dev/zero | tr "\0" x >&2; echo "the very end" >&2; exit 1'
	[ "$status" -eq 1 ]
	grep -q 'the very end' "$q/failed/0001"
	[ "$(wc -c <"$q/failed/0001")" -lt 6000 ]
	[ "$(wc -c <"$q/failed/0001")" -gt 4000 ]
}

@test "worker: -j slots run at once, and no more" {
	on_queue 6
	timeout 60 claim-worker -j 3 "$q" -- sh -c '
		echo + >>"$1"
		i=0; while [ "$(grep -c + "$1")" -lt 3 ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
		n=$(($(grep -c + "$1") - $(grep -c - "$1")))
		echo "$n" >>"$2"
		sleep 0.3
		echo - >>"$1"' - "$work/running" "$work/most"
	[ "$(sort -n most | tail -1)" -eq 3 ]
}

@test "worker: waits for units that others hold, and takes them when they come back" {
	on_queue 3
	mv "$q/todo/0002" "$q/claims/0002"
	in_background "$work/worker.out" claim-worker "$q" -- sh -c 'echo "$CLAIM_NAME" >>"$1"' - "$work/ran"
	worker=$started_pid
	wait_until 20 has_entries "$q/done" 2
	sleep 1				# it must not have ended: one is held
	not gone "$worker"
	mv "$q/claims/0002" "$q/todo/0002"
	wait_until 20 gone "$worker"
	wait "$worker"
	has_entries "$q/done" 3
}

@test "worker: SIGTERM lets jobs end within the grace, gives back the rest, exit 143" {
	on_queue 20
	in_background "$work/worker.out" claim-worker -j 2 --grace 20s "$q" -- sh -c '
		echo "$CLAIM_NAME" >>"$1/begun"; while [ ! -e "$1/go" ]; do sleep 0.05; done; echo x >"$CLAIM_OUT"' - "$work"
	worker=$started_pid
	wait_for 20 '[ "$(wc -l <begun)" -ge 2 ]'
	kill -TERM "$worker"
	sleep 1				# it takes no more
	[ "$(wc -l <begun)" -eq 2 ]
	not gone "$worker"
	touch go
	wait_until 15 gone "$worker"
	status=0
	wait "$worker" || status=$?
	[ "$status" -eq 143 ]
	has_entries "$q/done" 2
	wait_until 10 has_entries "$q/todo" 18
	has_entries "$q/claims" 0
	has_entries "$q/failed" 0
}

@test "worker: jobs that do not end within the grace are ended and given back, uncounted" {
	on_queue 2 --attempts 1
	in_background "$work/worker.out" claim-worker -j 2 --grace 1s "$q" -- sh -c 'echo $$ >>"$1"; trap "" TERM; sleep 600 & wait; sleep 600' - "$work/jobs"
	worker=$started_pid
	wait_for 20 '[ "$(wc -l <jobs)" -ge 2 ]'
	kill -TERM "$worker"
	wait_until 20 gone "$worker"
	status=0
	wait "$worker" || status=$?
	[ "$status" -eq 143 ]
	wait_until 10 has_entries "$q/todo" 2
	for job in $(cat jobs); do wait_until 5 gone "$job"; done
}

@test "worker: kill -9 ends its jobs, and its units come back as lost attempts" {
	on_queue 2
	in_background "$work/worker.out" claim-worker -j 2 "$q" -- sh -c 'echo $$ >>"$1"; sleep 600' - "$work/jobs"
	worker=$started_pid
	wait_for 20 '[ "$(wc -l <jobs)" -ge 2 ]'
	kill -KILL "$worker"
	wait_until 10 has_entries "$q/todo" 2
	for job in $(cat jobs); do wait_until 10 gone "$job"; done
	mv "$q/todo/0001" "$q/claims/0001"
	grep -q '^attempt: 2$' "$q/claims/0001"
}

@test "worker: a job that leaves a process behind" {
	on_queue 2
	timeout 60 claim-worker -j 1 "$q" -- sh -c 'sleep 600 & echo $! >>"$1"; echo x >"$CLAIM_OUT"' - "$work/left"
	has_entries "$q/done" 2
	for pid in $(cat left); do wait_until 10 gone "$pid"; done
}

@test "worker: two workers on two mounts share the work" {
	on_queue 60
	mount_claimfs "$work/disk" "$work/other" -o host_name=other
	in_background "$work/a.out" claim-worker -j 2 "$q" -- sh -c 'echo "$CLAIM_NAME" >>"$1"; sleep 0.05' - "$work/a"
	a=$started_pid
	in_background "$work/b.out" claim-worker -j 2 "$work/other/q" -- sh -c 'echo "$CLAIM_NAME" >>"$1"; sleep 0.05' - "$work/b"
	b=$started_pid
	wait_until 60 gone "$a"
	wait_until 60 gone "$b"
	wait "$a" && wait "$b"
	[ "$(cat a b | sort | uniq -d | wc -l)" -eq 0 ]
	[ "$(cat a b | wc -l)" -eq 60 ]
	[ -s a ] && [ -s b ]
	wait_until 10 has_entries "$q/done" 60
}

@test "worker: names of any bytes" {
	make_queue "$work/disk/q"
	python3 - "$work/disk/q/inputs" <<'PYTHON'
import os, sys
for name in [b"with space", b"new\nline", b"-rf", b"quote'\"", b"\xff\xfe", b"x" * 255, b"a=b", b"%41", b"{}"]:
    open(os.path.join(os.fsencode(sys.argv[1]), name), "wb").write(name)
PYTHON
	mount_claimfs "$work/disk" "$work/mnt"
	wait_for 10 '[ "$(find mnt/q/todo -type f -printf x | wc -c)" -eq 9 ]'
	timeout 60 claim-worker "$work/mnt/q" -- cp -- '{in}' '{out}'
	diff -r disk/q/inputs disk/q/outputs
}

@test "worker: quiet without -v, a line a unit with it" {
	on_queue 3
	[ -z "$(timeout 60 claim-worker "$q" -- true 2>&1)" ] || [ "$(timeout 60 claim-worker "$q" -- true 2>&1 | wc -l)" -le 1 ]
	rm "$q"/done/*
	wait_until 10 has_entries "$q/todo" 3
	timeout 60 claim-worker -v "$q" -- true >out 2>&1
	cat out
	[ "$(grep -c '000[123]' out)" -eq 3 ]
}

@test "worker: usage is 2: no queue, no command, a bad option, a command that is not there" {
	on_queue 1
	fails_with 2 '*--jbos*--jobs*' timeout 20 claim-worker --jbos 3 "$q" -- true
	fails_with 2 '*command*' timeout 20 claim-worker "$q"
	fails_with 2 '*' timeout 20 claim-worker
	fails_with 2 "*$work/disk*" timeout 20 claim-worker "$work/disk" -- true
	fails_with 2 "*$work/none*" timeout 20 claim-worker "$work/none" -- true
	fails_with 2 '*no-such-command*' timeout 20 claim-worker "$q" -- no-such-command
	wait_until 10 has_entries "$q/todo" 1
	has_entries "$q/failed" 0
}

@test "worker: 75 when the mount goes away, and when it is not there: worth another try" {
	local status=0
	on_queue 2
	in_background "$work/worker.out" claim-worker -j 1 "$q" -- sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sleep 600' "$work/begun"
	worker=$started_pid
	wait_for 20 '[ -s begun ]'
	kill -KILL "$mount_pid"
	wait_until 20 gone "$worker"
	wait "$worker" || status=$?
	cat worker.out
	[ "$status" -eq 75 ]
	grep -q 'lost the queue' worker.out
	gone "$(cat begun)"
	# The mount point of the dead one is left.
	run claim-worker "$q" -- true
	echo "$output"
	[ "$status" -eq 75 ]
	# Elsewhere there is no queue: trying again would not change it.
	unmount_now "$work/mnt"
	run claim-worker "$q" -- true
	[ "$status" -eq 2 ]
}
