#!/usr/bin/env bats
# claimctl fsck: each kind of damage is planted in the store of a queue, found and mended; a second run is clean.

load ../lib

export LC_ALL=C

# worked_queue COUNT DONE [INIT-OPTION...]: inputs 0001 ..., the first DONE of them done with outputs; nobody has it mounted any more. The store is $s.
worked_queue() {
	local count=$1 done=$2 i x
	shift 2
	make_queue "$work/disk/q" --lease 3s "$@"
	make_inputs "$work/disk/q/inputs" "$count"
	q=$work/disk/q s=$work/disk/q/.claimfs
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries "$work/mnt/q/todo" "$count"
	for ((i = 1; i <= done; i++)); do
		x=$(printf %04d "$i")
		mv "$work/mnt/q/todo/$x" "$work/mnt/q/claims/$x"
		tr a-z A-Z <"$work/mnt/q/inputs/$x" >"$work/mnt/q/stage/$x"
		mv "$work/mnt/q/claims/$x" "$work/mnt/q/done/$x"
	done
	unmount "$work/mnt"
}

remount() {	# with nothing remembered
	rm -rf "$XDG_CACHE_HOME"
	mount_claimfs "$work/disk" "$work/mnt"
}

hash_of() {	# NAME: UNIT
	printf %s "$1" | xxhsum -H2 | cut -d' ' -f1
}

marker_of() {	# NAME [G]
	local hash
	hash=$(hash_of "$1")
	echo "$s/done/${hash:0:2}/$hash.${2:-0}"
}

long_ago() {
	touch -h -d '1 hour ago' "$@"
}

# mended PATTERN [OPTION...]: a dry run says so and changes nothing; then it is mended, and the second run is clean.
mended() {
	local pattern=${1//(/[(]} before	# bash takes *( for more than a parenthesis
	shift
	before=$(store_now)
	fails_with 1 "*$pattern*would be*" claimctl fsck --dry-run "$@" "$q"
	[ "$(store_now)" = "$before" ]
	fails_with 1 "*$pattern*" claimctl fsck "$@" "$q"
	[[ $output != *"would be"* ]]
	clean "$@"
}

clean() {
	run claimctl fsck "$@" "$q"
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *clean* ]]
}

store_now() {	# all of it but the times of directories, which a file made for a moment changes
	find "$s" ! -type d -printf '%p %T@ %s %i\n' | sort
	find "$s" -type d | sort
}

@test "fsck: a queue as work left it is clean, and stays what it is" {
	worked_queue 5 3
	before=$(store_now)
	run claimctl fsck "$q"
	[ "$status" -eq 0 ]
	[ "$output" = "5 inputs, 3 done, 0 failed: clean" ]
	[ "$(store_now)" = "$before" ]
}

@test "fsck: usage, no queue, a broken queue.conf" {
	fails_with 2 '*Usage: claimctl fsck*' claimctl fsck
	fails_with 2 '*one queue at a time*' claimctl fsck a b
	fails_with 2 "*--dry-run*" claimctl fsck --dry-rum a
	mkdir empty
	fails_with 1 '*is no queue*' claimctl fsck empty
	worked_queue 1 0
	echo 'lease = never' >>"$s/queue.conf"
	fails_with 1 '*queue.conf*lease*' claimctl fsck "$q"
	claimctl fsck --help | grep -q -- --redo-missing
}

@test "fsck: markers that no log tells of are recorded, and count once" {
	worked_queue 6 4
	for log in "$s"/log/*; do
		grep -Ev ' (0002|0003)( |$)' "$log" >log.new || true
		cat log.new >"$log"
	done
	fails_with 1 '*0002*would be recorded*' claimctl fsck -n "$q"
	mended '(0003): a done marker that no log tells of'
	[ "$(ls "$s/log" | wc -l)" -eq 2 ]
	[ "$(ls "$s/nodes" | grep -c fsck)" -eq 0 ]
	remount
	wait_until 10 has_entries "$work/mnt/q/todo" 2
	has_entries "$work/mnt/q/done" 4
	[ "$(python3 -c 'import json,sys; p = json.load(sys.stdin); print(p["units"]["done"], sum(n["done"] for n in p["nodes"]))' <"$work/mnt/q/progress.json")" = "4 2" ]
	grep -q "unit: 0002" "$work/mnt/q/done/0002"
}

@test "fsck: all logs are gone" {
	worked_queue 5 5
	rm "$s"/log/*
	mended 'a done marker that no log tells of'
	remount
	wait_until 10 has_entries "$work/mnt/q/done" 5
}

@test "fsck: a record without its marker: the unit is not done" {
	worked_queue 4 2
	rm "$(marker_of 0001)"
	fails_with 1 '*[(]0001): recorded as done, but without a marker*1 problem left*' claimctl fsck "$q"
	fails_with 1 '*[(]0001)*' claimctl fsck "$q"
	mended '(0001): recorded as done, but without a marker' --redo-missing
	[ -e "$s/redo/$(hash_of 0001).1" ]
	remount
	wait_until 10 has_entries "$work/mnt/q/todo" 3
	mv "$work/mnt/q/todo/0001" "$work/mnt/q/claims/0001"
	mv "$work/mnt/q/claims/0001" "$work/mnt/q/done/0001"
	clean
}

@test "fsck: gaps in the claims of a unit are filled, and it can be claimed again" {
	worked_queue 3 1
	lost=$(ls "$s"/nodes/*.lost 2>/dev/null | head -1)
	[ -n "$lost" ] || { lost=$s/nodes/x.00000000.lost; printf 'claimfs 1\nnode x.00000000\nkind lost\n' >"$lost"; touch -d @0 "$lost"; }
	ln "$lost" "$s/claims/$(hash_of 0002).0.2"
	ln "$lost" "$s/claims/$(hash_of 0002).0.4"
	mended '(0002): missing before a later claim'
	[ "$(stat -c %Y "$s/claims/$(hash_of 0002).0.1" "$s/claims/$(hash_of 0002).0.3" | sort -u)" = 1 ]
	remount
	mv "$work/mnt/q/todo/0002" "$work/mnt/q/claims/0002"
	grep -q '^attempt: 3' "$work/mnt/q/claims/0002"
	unmount "$work/mnt"
	clean
}

@test "fsck: claims of generations that are over are swept, once their node is silent" {
	worked_queue 3 2
	node=$(ls "$s"/nodes | grep -v 'free\|lost' | head -1)
	ln "$s/nodes/$node" "$s/claims/$(hash_of 0001).0.1"
	clean	# its node may be about to do it
	touch -d '10 seconds ago' "$s/nodes/$node"
	mended '(0001): left of a generation that is over'
	[ "$(ls "$s/claims" | wc -l)" -eq 0 ]
}

@test "fsck: generations without a beginning get one" {
	worked_queue 3 1
	printf x >"$s/redo/$(hash_of 0001).3"
	mended "redo/$(hash_of 0001).2 (0001): missing"
	[ -e "$s/redo/$(hash_of 0001).1" ]
	# One that only a marker tells of.
	ln "$(marker_of 0001)" "$(marker_of 0001 5)"
	mended "redo/$(hash_of 0001).5 (0001): missing"
	# Nobody began a million of them by accident.
	printf x >"$s/redo/$(hash_of 0002).1000000"
	fails_with 1 '*too many*1 problem left*' claimctl fsck "$q"
	[ ! -e "$s/redo/$(hash_of 0002).1" ]
}

@test "fsck: what nodes long gone have left is removed, what lives stays" {
	worked_queue 3 1
	clean
	mkdir -p "$s/tmp/far.0000000a/deep/er" "$s/tmp/near.0000000b"
	echo x >"$s/tmp/far.0000000a/deep/er/y"
	ln -s "$work/disk/q/inputs" "$s/tmp/far.0000000a/link"
	echo x >"$s/tmp/clock-1234"
	printf 'claimfs 1\nnode far.0000000a\n' >"$s/nodes/far.0000000a"
	printf 'claimfs 1\nnode near.0000000b\n' >"$s/nodes/near.0000000b"
	echo x >"$s/nodes/near.0000000b.free"
	long_ago "$s/tmp/far.0000000a" "$s/tmp/near.0000000b" "$s/tmp/clock-1234" "$s/nodes/far.0000000a" "$s/nodes/near.0000000b.free"
	mended 'nodes/far.0000000a: of a node long gone'
	[ ! -e "$s/tmp/far.0000000a" ]
	[ ! -e "$s/tmp/clock-1234" ]
	[ -d "$s/tmp/near.0000000b" ]
	[ -e "$s/nodes/near.0000000b.free" ]
	[ "$(ls "$q/inputs" | wc -l)" -eq 3 ]
	[ "$(ls "$s/tmp" | grep -c gone)" -eq 0 ]
}

@test "fsck: done units whose output is missing" {
	worked_queue 4 3
	rm "$q/outputs/0002"
	fails_with 1 '*outputs/0002 [(]0002): missing, though its unit is done*--no-outputs is for*1 problem left*' claimctl fsck "$q"
	clean --no-outputs
	mended 'outputs/0002 (0002): missing' --redo-missing
	remount
	wait_until 10 has_entries "$work/mnt/q/todo" 2
	[ -e "$work/mnt/q/todo/0002" ]
	[ -e "$q/outputs/0001" ]
}

@test "fsck: torn and foreign lines of logs are said and harm nothing" {
	worked_queue 4 2
	log=$(ls "$s"/log/* | head -1)
	printf 'not a record\n\0\377\n' >>"$log"
	printf '1 done %s 0 1 1 - 00' "$(hash_of 0003)" >>"$log"
	head -c 100000 /dev/zero | tr '\0' x >"$s/log/long.00000000"
	long_ago "$s"/nodes/*
	run claimctl fsck "$q"
	[[ $output == *"lines that are no records are left out (2, the first at byte"* ]]
	[[ $output == *"log/long.00000000: lines that are no records"* ]]
	[[ $output == *"its last line has no end"* ]]
	clean
}

@test "fsck: a torn line whose marker stands: recorded" {
	worked_queue 3 3
	log=$(ls "$s"/log/* | head -1)
	truncate -s -5 "$log"
	mended 'a done marker that no log tells of: '
}

@test "fsck: strange names are said and left alone" {
	worked_queue 2 1
	names=("$s/claims/hello" "$s/done/00/x" "$s/done/zz" "$s/failed/f" "$s/redo/$(hash_of 0001).0" "$s/log/l" "$s/nodes/n" "$s/tmp/t" "$s/what"
		"$s/claims/$(hash_of 0001).0.01" "$s/claims/new"$'\n'"line")
	for name in "${names[@]}"; do
		echo x >"$name"
	done
	run claimctl fsck "$q"
	echo "$output"
	[ "$status" -eq 1 ]
	[ "$(grep -c 'not a name that belongs there' <<<"$output")" -eq ${#names[@]} ]
	grep -qF '.claimfs/claims/new%0Aline: ' <<<"$output"
	for name in "${names[@]}"; do
		[ -e "$name" ]
		rm "$name"
	done
	clean
}

@test "fsck: directories of the store that are missing are made" {
	worked_queue 2 0
	rm -rf "$s/redo" "$s/done/a0"
	mended 'done/a0: missing'
	[ -d "$s/redo" ]
}

@test "fsck: set aside and done as well: done counts" {
	worked_queue 2 1
	echo x >"$s/failed/$(hash_of 0001).0"
	run claimctl fsck "$q"
	[ "$status" -eq 0 ]
	[[ $output == *"(0001): set aside, but done as well"* ]]
	[[ $output == *"1 done, 0 failed: clean, 1 note" ]]
}

@test "fsck: key = content: a unit is recorded only where its own output is" {
	worked_queue 3 3 --key content
	clean
	rm "$s"/log/* "$q/outputs/0002"
	run claimctl fsck "$q"
	echo "$output"
	[ "$status" -eq 1 ]
	[[ $output == *"(0001): a done marker that no log tells of: recorded"* ]]
	[[ $output == *"(0003)"* ]]
	[[ $output == *"whose input is not there"* ]]
	[[ $output != *"(0002)"* ]]
	clean
	remount
	wait_until 10 has_entries "$work/mnt/q/done" 2
	[ -e "$work/mnt/q/todo/0002" ]
}

@test "fsck: key = stat" {
	worked_queue 3 2 --key stat
	rm "$s"/log/*
	mended '(0001): a done marker that no log tells of'
	# A changed input is another unit: the old one's marker is no damage.
	echo more >>"$q/inputs/0001"
	clean
}

@test "fsck: --json is an object a line" {
	worked_queue 3 2
	rm "$s"/log/*
	printf 'odd "name\\ \377' >"$s/claims/odd \"name\\ "$'\377'
	claimctl fsck --dry-run --json "$q" >found || true
	python3 - <<-'PYTHON'
		import json
		lines = [json.loads(line) for line in open("found", encoding="utf-8")]
		kinds = sorted(line["kind"] for line in lines[:-1])
		assert kinds == ["name", "unrecorded", "unrecorded"], kinds
		assert {line.get("unit") for line in lines if line.get("kind") == "unrecorded"} == {"0001", "0002"}
		assert [line["path"] for line in lines if line.get("kind") == "name"] == ['.claimfs/claims/odd "name\\ %FF']
		end = lines[-1]
		assert (end["inputs"], end["done"], end["mended"], end["problems"], end["dry_run"]) == (3, 2, 2, 1, True), end
	PYTHON
}

@test "fsck: through a mount, while workers are at it: nothing is lost, done twice or made up" {
	make_queue "$work/disk/q" --lease 3s
	make_inputs "$work/disk/q/inputs" 300
	q=$work/mnt/q s=$work/disk/q/.claimfs
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 test -e "$q/ctl"
	in_background worker.log claim-worker -j 4 "$q" -- cp '{in}' '{out}'
	while ! gone "$started_pid"; do
		run claimctl fsck "$q"
		echo "$output"
		# Records on their way may be written by it too; nothing else may be found.
		not grep -v 'a done marker that no log tells of: recorded$\|^300 inputs' <<<"$output"
	done
	wait_until 10 has_entries "$q/done" 300
	[ "$(entries "$q/outputs")" -eq 300 ]
	[ "$(find "$s/done" -type f | wc -l)" -eq 300 ]
	unmount "$work/mnt"
	q=$work/disk/q
	clean
}

@test "fsck: through a mount it mends as on the disk" {
	worked_queue 5 4
	disk=$q
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_entries "$q/done" 4
	rm "$s"/log/* "$disk/outputs/0004"
	printf x >"$s/redo/$(hash_of 0001).2"
	ln "$s/nodes/$(ls "$s/nodes" | head -1)" "$s/claims/$(hash_of 0005).0.2"
	touch -d '1 hour ago' "$s/claims/$(hash_of 0005).0.2"
	sleep 1.1
	fails_with 1 '*' claimctl fsck --redo-missing "$q"
	echo "$output"
	grep -q '(0005): missing before a later claim' <<<"$output"
	grep -q '(0001): missing, though this' <<<"$output"
	grep -q '(0002): a done marker' <<<"$output"
	grep -q '(0004): missing, though its unit is done' <<<"$output"
	q=$disk
	clean
	wait_until 10 test -e "$work/mnt/q/todo/0004"
	wait_until 10 test -e "$work/mnt/q/todo/0001"
	wait_until 10 mv "$work/mnt/q/todo/0005" "$work/mnt/q/claims/0005"
}

@test "fsck: logs of nodes long gone are merged by a mount, and nothing is wrong with the merged one" {
	worked_queue 101 1
	for i in {1..100}; do
		x=$(printf %04d $((i + 1)))
		node=$(printf 'gone.%08x' "$i")
		hash=$(hash_of "$x")
		echo "1 done $hash 0 1700000000 1 - $x wall=2" >"$s/log/$node"
		printf 'claimfs 1\nnode %s\n' "$node" >"$s/done/${hash:0:2}/$hash.0"
		printf 'output\n' >"$q/outputs/$x"
	done
	before=$(ls "$s/log" | wc -l)
	[ "$before" -eq 101 ]
	echo more >"$q/inputs/more"
	remount
	mv "$work/mnt/q/todo/more" "$work/mnt/q/claims/more"
	mv "$work/mnt/q/claims/more" "$work/mnt/q/done/more"
	wait_for 20 '[ "$(ls "$s/log" | wc -l)" -le 3 ]'
	has_entries "$work/mnt/q/done" 102
	grep -q '^node: gone.00000009' "$work/mnt/q/done/0010"
	unmount "$work/mnt"
	clean --no-outputs
	remount
	has_entries "$work/mnt/q/done" 102
	grep -q '^node: gone.00000064' "$work/mnt/q/done/0101"
	[ "$(python3 -c 'import json,sys; p = json.load(sys.stdin); print(p["units"]["done"], sum(n["done"] for n in p["nodes"]))' <"$work/mnt/q/progress.json")" = "102 102" ]
}
