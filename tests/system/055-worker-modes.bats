#!/usr/bin/env bats
# claim-worker's batches, resident commands and limits on a real queue; the examples of the manual are run as they stand there.

load ../lib

export LC_ALL=C

# The example that follows the line "In LANGUAGE:" of the manual.
manual_example() {	# LANGUAGE
	awk -v language="$1" '
		$0 == "In " language ":" { found = 1 }
		/^\.Ed/ { if (found) exit }
		found && shown { print }
		found && /^\.Bd/ { shown = 1 }' "$BATS_TEST_DIRNAME/../../man/claim-worker.1" | sed 's/\\e/\\/g'
}

@test "batch: an output for each, by the manual's names" {
	on_queue 50 --output 'o/{.}.up'
	mkdir local
	TMPDIR=$work/local timeout 60 claim-worker -j 2 --batch auto "$q" -- sh -c '
		out=$1; shift
		echo $# >>"$0"
		for i; do tr a-z A-Z <"$i" >"$out/$(basename "$i").up" || exit 1; done' "$work/sizes" '{out}' '{in...}'
	has_entries "$q/done" 50
	[ "$(cat "$q/o/0050.up")" = "INPUT 0050" ]
	[ "$(awk '{ n += $1 } END { print n }' sizes)" -eq 50 ]
	[ "$(wc -l <sizes)" -lt 50 ]
	[ -z "$(ls -A local)" ]
}

@test "batch: nested names, a bad input condemns itself alone" {
	make_queue "$work/disk/q"
	mkdir -p disk/q/inputs/a disk/q/inputs/b
	for name in a/x b/x a/bad b/y; do echo "$name" >"disk/q/inputs/$name"; done
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_entries "$q/todo" 4
	run timeout 60 claim-worker -j 1 --batch 10 "$q" -- sh -c '
		out=$1; shift
		for i; do case $i in */bad) echo "bad indeed" >&2; exit 5;; esac; cp "$i" "$out"; done' sh '{out}' '{in...}'
	[ "$status" -eq 1 ]
	has_entries "$q/done" 3
	grep -q '^exit-status: 5$' "$q/failed/a/bad"
	grep -q 'bad indeed' "$q/failed/a/bad"
	[ "$(cat "$q/outputs/a/x" "$q/outputs/b/x" "$q/outputs/b/y")" = "$(printf 'a/x\nb/x\nb/y')" ]
}

@test "batch: what was complete when the worker was stopped is done, the rest is given back" {
	on_queue 5
	in_background worker.out claim-worker -v -j 1 --batch 5 --grace 0 "$q" -- bash -c '
		out=$1; shift
		for i in "${@:1:3}"; do	# each later than the one before, by the clock of the disk
			name=${i##*/}
			until [ -n "$last" ] && [ "$out/$name" -nt "$last" ] || { echo "of $name" >"$out/$name" && [ -z "$last" ]; }; do :; done
			last=$out/$name
		done
		: >"$0"; exec sleep 1000' "$work/ready" '{out}' '{in...}'
	wait_until 20 test -e ready
	kill -TERM "$started_pid"
	wait_until 20 gone "$started_pid"
	cat worker.out
	wait_until 10 has_entries "$q/done" 2
	has_entries "$q/todo" 3
	has_entries "$q/outputs" 2
	for name in $(ls "$q/done"); do [ "$(cat "$q/outputs/$name")" = "of $name" ]; done
	[ "$(claimctl log "$q" | grep -vc ' done ')" -eq 0 ]
}

@test "options that contradict one another: the word of a batch, and none for a single unit; two orders" {
	on_queue 1
	fails_with 2 '*{in...}*' claim-worker --batch 4 "$q" -- true
	fails_with 2 '*{in}*' claim-worker --batch 4 "$q" -- true '{in}' '{in...}'
	fails_with 2 '*--batch*' claim-worker "$q" -- true '{in...}'
	fails_with 2 '*resident*' claim-worker --resident --batch 4 "$q" -- true '{in...}'
	fails_with 2 '*--order*--shuffle*' claim-worker --shuffle --order name "$q" -- true
	fails_with 2 '*--order*--shuffle*' claim-worker --order size --shuffle "$q" -- true
	fails_with 2 '*--drain-file*--drain-cmd*' claim-worker --drain-cmd false --drain-file x "$q" -- true
	fails_with 2 '*at least 1M*' claim-worker --memory 800 "$q" -- true
	fails_with 2 '*{out}*' claim-worker --resident "$q" -- true '{out}'
	has_entries "$q/todo" 1
}

# Names that lines of a resident command hold as %XX, or with what shells make of them.
odd_names=($'tab\there' '100%.txt' 'back\slash \t \\' ' two  spaces ' $'new\nline' $'caf\xe9' "a'b\"c")

odd_queue() {
	local name
	make_queue "$work/disk/q"
	for name in plain "${odd_names[@]}"; do echo "in $name" >"disk/q/inputs/$name"; done
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_for 10 '[ "$(ls -b "$q/todo" | wc -l)" -eq $((${#odd_names[@]} + 1)) ]'
}

odd_outputs() {
	local name
	for name in plain "${odd_names[@]}"; do
		[ "$(cat "$q/outputs/$name")" = "$(tr a-z A-Z <"$q/inputs/$name")" ] || { printf 'of %q: ' "$name"; cat "$q/outputs/$name"; return 1; }
	done
}

@test "resident: the manual's example in bash" {
	odd_queue
	manual_example bash >resident.sh
	grep -q 'read -r' resident.sh
	timeout 60 claim-worker -j 2 --resident "$q" -- bash resident.sh
	odd_outputs
}

@test "resident: the manual's example in Python, and its reason for a failure" {
	odd_queue
	echo "no sevens here" >disk/q/inputs/0007
	{
		cat <<-'MODEL'
			class Result:
			    def __init__(self, text):
			        self.text = text
			    def save(self, path):
			        open(path, "wb").write(self.text)
			def load_model():
			    def model(path):
			        text = open(path, "rb").read()
			        if b"sevens" in text:
			            raise ValueError("no sevens")
			        return Result(text.upper())
			    return model
		MODEL
		manual_example Python
	} >resident.py
	grep -q unquote resident.py
	wait_until 10 test -e "$q/todo/0007"
	run timeout 60 claim-worker -j 2 --resident "$q" -- python3 resident.py
	[ "$status" -eq 1 ]
	grep -q "ValueError('no sevens')" "$q/failed/0007"
	odd_outputs
}

@test "resident: the manual's example in C" {
	odd_queue
	{
		cat <<-'HEAD'
			#include <ctype.h>
			#include <stdio.h>
			#include <stdlib.h>
			#include <string.h>
			static int work(const char *in, const char *out)
			{
				FILE *from = fopen(in, "r"), *to = fopen(out, "w");
				int c;
				if (!from || !to)
					return -1;
				while ((c = getc(from)) != EOF)
					putc(toupper(c), to);
				fclose(from);
				return fclose(to);
			}
		HEAD
		manual_example C
	} >resident.c
	grep -q getline resident.c
	"${CC:-cc}" -D_GNU_SOURCE -Wall -Wextra -Werror -o resident resident.c
	timeout 60 claim-worker -j 2 --resident "$q" -- ./resident
	odd_outputs
}

@test "resident: one that dies costs one attempt each time, and goes on with the rest" {
	on_queue 10 --attempts 2
	run timeout 60 claim-worker -j 1 --order name --resident "$q" -- sh -c '
		echo begun >>"$0"
		while read -r in rest; do case $in in */0004*) kill -9 $$;; *) echo ok;; esac; done' "$work/begun"
	[ "$status" -eq 1 ]
	has_entries "$q/done" 9
	grep -q '^signal: 9' "$q/failed/0004"
	[ "$(wc -l <begun)" -eq 3 ]
}

@test "resident: rubbish, an endless answer, and answers that nobody asked for: the unit fails alone, and it is said why" {
	on_queue 5 --attempts 2
	cat >resident.py <<-'PYTHON'
		import os, sys
		for line in sys.stdin:
		    name = line.split("\t")[2].strip()
		    # After its first 65536 bytes and a bit, what is left of the long one looks like an answer.
		    answer = {"0002": "he\x1bllo", "0003": "x" * 17 * 4096 + "ok", "0004": "ok\nok"}.get(name, "ok")
		    os.write(1, (answer + "\n").encode())
	PYTHON
	run timeout 60 claim-worker -v -j 1 --order name --resident "$q" -- python3 resident.py
	echo "$output"
	[ "$status" -eq 1 ]
	has_entries "$q/done" 3
	has_entries "$q/failed" 2
	grep -qF "answered 'he%1Bllo' and not" "$q/failed/0002"
	grep -q 'more than 65536 bytes' "$q/failed/0003"
	grep -q "said 'ok' when it had no unit" <<<"$output"
}

@test "timeout: the job and all it started are ended, the unit has failed" {
	on_queue 2
	run timeout 60 claim-worker -j 2 --timeout 500ms "$q" -- sh -c '
		case $CLAIM_NAME in 0001) sleep 600 & echo $! >"$0"; wait;; esac' "$work/child"
	[ "$status" -eq 1 ]
	has_entries "$q/done" 1
	grep -q 'timed out' "$q/failed/0001"
	wait_until 5 gone "$(cat child)"
}

@test "retries: a job that fails once is tried again; the attempt is the same" {
	on_queue 3
	timeout 60 claim-worker --retries 2 "$q" -- sh -c '
		echo "$CLAIM_ATTEMPT" >>"$0.$CLAIM_NAME"
		[ "$(wc -l <"$0.$CLAIM_NAME")" -ge 2 ]' "$work/tries"
	has_entries "$q/done" 3
	[ "$(cat tries.0001)" = "$(printf '1\n1')" ]
}

@test "watch: stays for new inputs, ends on SIGTERM" {
	on_queue 2
	in_background "$work/worker.out" claim-worker --watch "$q" -- true
	worker=$started_pid
	wait_until 20 has_entries "$q/done" 2
	echo late >"$q/inputs/late"
	wait_until 20 has_entries "$q/done" 3
	not gone "$worker"
	kill -TERM "$worker"
	wait_until 10 gone "$worker"
}

@test "dry-run: prints the commands and takes nothing" {
	on_queue 2
	echo x >"$q/inputs/it's a name"
	wait_until 10 has_entries "$q/todo" 3
	claim-worker --dry-run "$q" -- echo '{name}' '{out}' >commands
	[ "$(wc -l <commands)" -eq 3 ]
	grep -qxF "echo 'it'\\''s a name' '$q/stage/it'\\''s a name'" commands
	grep -qxF "echo 0001 $q/stage/0001" commands
	has_entries "$q/todo" 3
}

@test "halt: ends when too many have failed, gives the rest back" {
	on_queue 60
	run timeout 60 claim-worker -j 1 --halt soon,fail=3 "$q" -- false
	[ "$status" -eq 1 ]
	[ "$(entries "$q/failed")" -eq 3 ]
	wait_until 10 has_entries "$q/claims" 0
}
