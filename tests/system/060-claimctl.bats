#!/usr/bin/env bats
# claimctl: init, status, retry, redo, release, adopt.

load ../lib

export LC_ALL=C

fail_units() {
	local x
	for x; do
		mv "$q/todo/$x" "$q/claims/$x"
		mv "$q/claims/$x" "$q/failed/$x"
	done
}

do_units() {
	local x
	for x; do
		mv "$q/todo/$x" "$q/claims/$x"
		mv "$q/claims/$x" "$q/done/$x"
	done
}

@test "init: writes what was asked for, and reads it back" {
	mkdir -p q/inputs
	claimctl init q --lease 30s --key stat --output 'f/{.}.npy' --attempts 5 --settle 1s --durable yes
	for line in 'lease = 30s' 'key = stat' 'output = f/{.}.npy' 'attempts = 5' 'settle = 1s' 'durable = yes' 'format = 1'; do
		grep -qx "$line" q/.claimfs/queue.conf
	done
	# Again with the same: fine. With others: not.
	claimctl init q --lease 30s
	fails_with 1 '*queue.conf*' claimctl init q --lease 31s
	grep -qx 'lease = 30s' q/.claimfs/queue.conf
}

@test "init: on a mounted directory it is a queue at once" {
	mkdir -p disk/q/inputs
	echo x >disk/q/inputs/a
	mount_claimfs "$work/disk" "$work/mnt"
	claimctl init mnt/q --settle 0
	wait_until 10 test -e mnt/q/todo/a
	mv mnt/q/todo/a mnt/q/claims/a
}

@test "init: of a directory that was made through the mount, which shows the queue when it returns" {
	mkdir disk
	mount_claimfs "$work/disk" mnt
	mkdir -p mnt/q/inputs
	echo x >mnt/q/inputs/a
	ls mnt/q
	claimctl init mnt/q --settle 0
	[ "$(ls mnt/q/todo)" = a ]
}

@test "init: a queue made anew in the place of another is another one, for mounts that knew that one too" {
	on_queue 3
	mount_claimfs "$work/disk" "$work/other"
	timeout 60 claim-worker "$q" -- true
	wait_until 10 has_entries other/q/done 3
	# Faster than a mount looks.
	rm -r disk/q/.claimfs && claimctl init disk/q --settle 0
	wait_until 10 has_entries other/q/todo 3
	wait_until 10 has_entries "$q/todo" 3
	# Where it is removed through a mount that still shows it, a moment later.
	timeout 60 claim-worker "$q" -- true
	rm -r "$q/.claimfs"
	claimctl init "$q" --settle 0
	timeout 60 claim-worker "$q" -- cp {in} {out}
	has_entries disk/q/outputs 3
}

@test "init: --mkdir makes what is missing, and without it that is an error" {
	fails_with 1 "*q*" claimctl init q
	[ ! -e q ]
	mkdir q
	fails_with 1 "*inputs*--mkdir*" claimctl init q
	[ ! -e q/.claimfs/queue.conf ]
	claimctl init --mkdir new
	[ -d new/inputs ] && [ -e new/.claimfs/queue.conf ]
}

@test "init: refuses names that are taken" {
	mkdir -p q/inputs
	for name in todo claims done failed stage ctl progress progress.json; do
		touch "q/$name"
		fails_with 1 "*$name*" claimctl init q
		rm "q/$name"
	done
	[ ! -e q/.claimfs/queue.conf ]
	claimctl init q
}

@test "init: refuses bad settings, and names what it knows" {
	mkdir -p q/inputs
	fails_with 2 '*lease*' claimctl init q --lease 1s || fails_with 1 '*lease*' claimctl init q --lease 1s
	run claimctl init q --output ../x/{}
	[ "$status" -ne 0 ]
	run claimctl init q --output inputs/{}.out
	[ "$status" -ne 0 ]
	run claimctl init q --key hash
	[ "$status" -ne 0 ]
	[[ $output == *content* ]]
	fails_with 2 '*--laese*--lease*' claimctl init q --laese 3s
	[ ! -e q/.claimfs/queue.conf ]
}

@test "init: refuses a disk without hard links" {
	mkdir -p disk/q/inputs
	mount_claimfs "$work/disk" "$work/mnt" -o disable_hardlink
	fails_with 1 '*hard link*' claimctl init mnt/q
	[ ! -e disk/q/.claimfs/queue.conf ]
}

@test "init: a queue inside a queue is refused" {
	mkdir -p q/inputs q/sub/inputs
	claimctl init q
	fails_with 1 '*' claimctl init q/sub
}

@test "status: what progress shows; JSON; several queues; not on the plain directory" {
	on_queue 4
	do_units 0001
	wait_for 10 'claimctl status --json "$q" | python3 -c "
import json, sys
assert json.load(sys.stdin)[\"units\"][\"done\"] == 1"'
	claimctl status "$q" | grep -q .
	fails_with 1 "*mount*" claimctl status "$work/disk/q"
	fails_with 1 "*$work/mnt*" claimctl status "$work/mnt"
}

@test "retry: by name and --all" {
	on_queue 3
	fail_units 0001 0002 0003
	wait_until 5 has_entries "$q/failed" 3
	claimctl retry "$q" 0002
	wait_until 5 test -e "$q/todo/0002"
	has_entries "$q/failed" 2
	fails_with 1 '*nonesuch*' claimctl retry "$q" nonesuch
	claimctl retry "$q" --all
	wait_until 5 has_entries "$q/todo" 3
}

@test "redo: by name and --all" {
	on_queue 3
	do_units 0001 0002
	fails_with 1 '*0003*' claimctl redo "$q" 0003
	claimctl redo "$q" 0001
	wait_until 5 test -e "$q/todo/0001"
	claimctl redo "$q" --all
	wait_until 5 has_entries "$q/todo" 3
}

@test "release: what this mount holds, not what others do" {
	on_queue 3
	mount_claimfs "$work/disk" "$work/other" -o host_name=other
	mv "$q/todo/0001" "$q/claims/0001"
	mv "$q/todo/0002" "$q/claims/0002"
	mv "$work/other/q/todo/0003" "$work/other/q/claims/0003"
	wait_until 5 test -e "$q/claims/0003"
	run claimctl release "$q" 0003
	[ "$status" -eq 1 ]
	claimctl release "$q" 0001
	[ -e "$q/todo/0001" ]
	claimctl release "$q" --all
	wait_until 5 has_entries "$q/todo" 2
	[ -e "$q/claims/0003" ]
}

@test "adopt: outputs that exist already make their units done" {
	make_queue "$work/disk/q" --output 'features/{.}.npy'
	mkdir -p "$work/disk/q/inputs/d" "$work/disk/q/features/d"
	for x in a b c d/e; do echo x >"$work/disk/q/inputs/$x.jpg"; done
	echo made >"$work/disk/q/features/a.npy"
	echo made >"$work/disk/q/features/d/e.npy"
	: >"$work/disk/q/features/b.npy"
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_entries "$q/todo" 4
	claimctl adopt --dry-run -v "$q"
	has_entries "$q/done" 0
	claimctl adopt --json -v "$q" >said
	jq -es '(map(select(.unit)) | sort_by(.unit)) == [{unit: "a.jpg", outcome: "adopted"}, {unit: "d/e.jpg", outcome: "adopted"}]
		and (.[-1] | del(.queue)) == {dry_run: false, adopted: 2, without_output: 1, empty: 1, older: 0, not_done: 0}' said
	wait_until 5 has_entries "$q/done" 2
	[ -e "$q/done/a.jpg" ] && [ -e "$q/done/d/e.jpg" ]
	[ -e "$q/todo/b.jpg" ] && [ -e "$q/todo/c.jpg" ]
	claimctl adopt --empty "$q"
	wait_until 5 test -e "$q/done/b.jpg"
	[ "$(cat "$q/features/a.npy")" = made ]
}

@test "usage: unknown subcommand and the nearest, help, no arguments" {
	fails_with 2 '*statsu*status*' claimctl statsu
	fails_with 2 '*' claimctl
	claimctl help | grep -q adopt
	claimctl init --help | grep -q -- --lease
}

@test "help: every command and every verb says what it does, with examples" {
	for command in $(claimctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
		[ "$command" != help ] || continue
		claimctl "$command" --help >out
		grep -q "^Usage: claimctl $command" out && grep -qx "Examples:" out && grep -q "^  .*claimctl $command" out && grep -q "^Exit status: " out
		grep -q "^\.Cm $command" "$BATS_TEST_DIRNAME/../../man/claimctl.1"
	done
	for verb in $(claimctl fleet --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
		claimctl fleet "$verb" --help >out
		grep -q "^Usage: claimctl fleet $verb" out && grep -qx "Examples:" out && grep -q "^  .*claimctl fleet $verb" out && grep -q "^Exit status: " out
		grep -qx "\.It Cm $verb" "$BATS_TEST_DIRNAME/../../man/claimctl-fleet.1"
	done
	for program in claimfs claim-worker claimctl; do
		"$program" --help >out
		grep -qx "Examples:" out && grep -q "^  $program " out && grep -q "^Exit status: " out
	done
	for page in claimfs claim-worker claimctl claimctl-fleet; do
		grep -qx '\.Sh EXIT STATUS' "$BATS_TEST_DIRNAME/../../man/$page.1"
	done
}
