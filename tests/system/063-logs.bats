#!/usr/bin/env bats
# claim-worker --logs and claimctl log: what jobs wrote, and what happened to units.

load ../lib

export LC_ALL=C

@test "logs: standard output and error of each unit, in a few files" {
	on_queue 30
	run timeout 60 claim-worker -j 2 --logs "$q/logs" "$q" -- sh -c 'echo "out of {}"; echo "err of {}" >&2; [ {} != 0007 ]'
	[ "$status" -eq 1 ]
	[ "$(find "$q/logs" -type f | wc -l)" -eq 4 ]
	[ "$(claimctl log --output "$q" 0001 2>/dev/null)" = "out of 0001" ]
	[ "$(claimctl log --output "$q" 0007 2>&1 >/dev/null)" = "err of 0007" ]
	# The next job's output is the last.
	claimctl retry "$q" 0007
	timeout 60 claim-worker --logs "$q/logs" "$q" -- echo second
	[ "$(claimctl log --output "$q" 0007)" = second ]
	[ "$(claimctl log --output --all "$q" 0007 2>/dev/null)" = "$(printf 'out of 0007\nsecond')" ]
	fails_with 1 '*nothing is kept of nope*' claimctl log --output "$q" nope
	fails_with 2 '*one unit*' claimctl log --output "$q"
}

@test "logs: much output, of batches and of resident commands" {
	on_queue 4
	timeout 60 claim-worker -j 1 --batch 4 --logs "$work/logs" "$q" -- sh -c 'seq 100000; echo "$# units"' '{in...}'
	[ "$(claimctl log --output --logs "$work/logs" "$q" 0002 | tail -1)" = "3 units" ]
	[ "$(claimctl log --output --logs "$work/logs" "$q" 0002 | wc -l)" -eq 100001 ]
	claimctl redo --all "$q"
	timeout 60 claim-worker -j 1 --resident --logs "$work/more" "$q" -- sh -c 'while read -r in out name; do echo "about $name" >&2; echo ok; done'
	[ "$(claimctl log --output --logs "$work/more" "$q" 0003 2>&1)" = "about 0003" ]
}

@test "logs: of a job that runs, what it wrote so far; of one that was lost with its worker, how far it came" {
	on_queue 1
	mkfifo more
	in_background worker.out claim-worker -j 1 --logs "$q/logs" "$q" -- sh -c '
		echo "out so far"; echo "err so far" >&2; read -r line <"$0"; echo "$line"; exec sleep 1000' "$work/more"
	wait_for 20 'claimctl log --output "$q" 0001'
	[ "$(claimctl log --output "$q" 0001 2>/dev/null)" = "out so far" ]
	run claimctl log --output "$q" 0001
	grep -q "err so far" <<<"$output"
	grep -q "its job runs" <<<"$output"
	echo "and more" >more
	wait_for 20 'claimctl log --output "$q" 0001 | grep -q "and more"'
	kill -KILL "$started_pid"
	wait_until 10 gone "$started_pid"
	[ "$(claimctl log --output "$q" 0001 2>/dev/null)" = "$(printf 'out so far\nand more')" ]
	# The next attempt's is the last.
	timeout 60 claim-worker --logs "$q/logs" "$q" -- echo whole
	[ "$(claimctl log --output "$q" 0001)" = whole ]
}

@test "logs: of a job that another attempt overtook nothing, where there is another" {
	on_queue 2
	mkdir logs
	printf 'o 6\nfirst\no 5\nlate\n' >logs/x.out
	printf '1 %s\n' '0001 0 10 100 done' '0001 10 19 200 overtaken' '0002 10 19 200 overtaken' >logs/x.idx
	[ "$(claimctl log --output --logs logs "$q" 0001)" = first ]
	[ "$(claimctl log --output --all --logs logs "$q" 0001)" = "$(printf 'first\nlate')" ]
	[ "$(claimctl log --output --logs logs "$q" 0002)" = late ]
}

@test "logs: a directory that can't be written is said at the start" {
	on_queue 1
	echo file >"$work/notdir"
	fails_with 2 '*notdir*' timeout 20 claim-worker --logs "$work/notdir" "$q" -- true
	wait_until 10 has_entries "$q/todo" 1
}

@test "log: a unit nothing has happened to is told from one that does not exist" {
	on_queue 2
	run claimctl log "$q" 0001
	[ "$status" -eq 0 ]
	[[ $output == *"0001: nothing has happened to it yet"* ]]
	fails_with 1 '*nope: no such unit*' claimctl log "$q" 0001 nope
	mv "$q/todo/0001" "$q/claims/0001" && mv "$q/claims/0001" "$q/done/0001"
	wait_for 10 'claimctl log "$q" 0001 | grep -q " done "'
	run claimctl log "$q" 0001 0002
	[ "$status" -eq 0 ]
	grep -q ' done .*0001' <<<"$output"
	grep -q '0002: nothing has happened to it yet' <<<"$output"
	not grep -q '0001: nothing' <<<"$output"
}

@test "log: a unit's story over two nodes, in order" {
	on_queue 3
	run timeout 60 claim-worker "$q" -- sh -c '[ {} != 0002 ] || exit 9'
	mount_claimfs "$work/disk" "$work/other"
	claimctl retry "$q" 0002
	wait_until 10 has_entries "$work/other/q/todo" 1
	timeout 60 claim-worker "$work/other/q" -- true
	claimctl log "$work/disk/q" 0002 >story
	[ "$(awk '{ print $3 }' story | tr '\n' ' ')" = "failed again done " ]
	grep -q 'failed.*0002.*exit status 9' story
	grep -q 'done.*0002.*round 2' story
	[ "$(awk '{ print $2 }' story | sort -u | wc -l)" -eq 2 ]
	[ "$(claimctl log "$q" | wc -l)" -eq 5 ]
	claimctl log --json "$q" | python3 -c '
import json, sys
events = [json.loads(line) for line in sys.stdin]
assert len(events) == 5, events
failed = [e for e in events if e["what"] == "failed"][0]
assert failed["unit"] == "0002" and failed["status"] == 9 and failed["wall"] >= 0, failed'
}
