#!/usr/bin/env bats
# A queue worked by hand: ls, mv, rm, noclobber, ctl. What claimfs-queue(7) says, line by line.

load ../lib

export LC_ALL=C

in_queue() {	# as on_queue; the test stands in it
	on_queue "$@"
	cd "$q"
}

# second_mount: another node, at $work/other.
second_mount() {
	mount_claimfs "$work/disk" "$work/other" -o host_name=other
	other=$work/other/q
}

is() {	# EXPECTED ACTUAL
	[ "$1" = "$2" ] || { echo "expected '$1', got '$2'"; return 1; }
}

counts() {	# TODO CLAIMS DONE FAILED, seen within a few seconds
	wait_for 10 "has_entries todo $1 && has_entries claims $2 && has_entries done $3 && has_entries failed $4" ||
		{ echo "todo $(entries todo) claims $(entries claims) done $(entries done) failed $(entries failed)"; return 1; }
}

@test "init: what ls shows, and that the real entries are there too" {
	in_queue 3
	is "claims ctl done failed inputs progress progress.json stage todo" "$(echo $(ls))"
	[ -e .claimfs/queue.conf ]
	is "0001 0002 0003" "$(echo $(ls todo))"
	[ -z "$(ls claims done failed stage | grep -v : | tr -d '\n')" ]
	[ -d todo ] && [ -d stage ] && [ -f ctl ] && [ -f progress ]
	is "input 0001" "$(cat inputs/0001)"
}

@test "a queue at the root of the mount" {
	make_queue "$work/disk"
	make_inputs "$work/disk/inputs" 2
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt
	wait_until 10 has_entries todo 2
	mv todo/0001 claims/0001
	echo out >stage/0001
	mv claims/0001 done/0001
	is out "$(cat "$work/disk/outputs/0001")"
}

@test "mv: claim, stage, commit" {
	in_queue 2
	mv todo/0001 claims/0001
	[ ! -e todo/0001 ]
	[ -e claims/0001 ]
	cp inputs/0001 stage/0001
	echo more >>stage/0001
	[ ! -e outputs/0001 ]
	is 0001 "$(ls stage)"
	mv claims/0001 done/0001
	is $'input 0001\nmore' "$(cat outputs/0001)"
	is $'input 0001\nmore' "$(cat "$work/disk/q/outputs/0001")"
	[ ! -e claims/0001 ] && [ -e done/0001 ]
	[ -z "$(ls stage)" ]
	counts 1 0 1 0
}

@test "tickets say who, what and when, and their size is exact" {
	in_queue 2
	for ticket in todo/0001 claims/0002; do
		[ "$ticket" = todo/0001 ] || mv todo/0002 claims/0002
		is "$(stat -c %s "$ticket")" "$(wc -c <"$ticket" | tr -d ' ')"
		is 444 "$(stat -c %a "$ticket")"
		grep -q "^unit: ${ticket#*/}\$" "$ticket"
		grep -q "^input: inputs/${ticket#*/}\$" "$ticket"
	done
	grep -q '^state: todo$' todo/0001
	grep -q '^state: claimed$' claims/0002
	grep -q "^node: $(hostname)" claims/0002
	grep -q '^attempt: 1$' claims/0002
	is claims/0002 "$(grep -l "$(hostname)" claims/*)"
	before=$(date +%s)
	mv claims/0002 done/0002
	is "$(stat -c %s done/0002)" "$(wc -c <done/0002 | tr -d ' ')"
	grep -q '^state: done$' done/0002
	mtime=$(stat -c %Y done/0002)
	[ "$mtime" -ge $((before - 2)) ] && [ "$mtime" -le $(($(date +%s) + 2)) ]
}

@test "mv refused: EBUSY held, ENOENT done or no such unit, EACCES not ours" {
	in_queue 4
	second_mount
	# A node that has not heard of the claim yet: what decides is asked of the server all the same.
	mount_claimfs "$work/disk" "$work/deaf" -o host_name=deaf,queue_ttl=100
	wait_until 10 has_entries "$work/deaf/q/todo" 4
	mv todo/0001 claims/0001
	cd "$work/deaf/q"
	[ -e todo/0001 ]
	is EBUSY "$(errno_of 'os.rename("todo/0001", "claims/0001")')"
	wait_for 5 '[ ! -e "$other/todo/0001" ]'
	cd "$other"
	is ENOENT "$(errno_of 'os.rename("todo/none", "claims/none")')"
	is EACCES "$(errno_of 'os.rename("claims/0001", "done/0001")')"
	is EACCES "$(errno_of 'os.rename("claims/0001", "failed/0001")')"
	is EACCES "$(errno_of 'os.rename("claims/0001", "todo/0001")')"
	is EACCES "$(errno_of 'os.unlink("claims/0001")')"
	mv "$work/mnt/q/todo/0002" "$work/mnt/q/claims/0002"
	mv "$work/mnt/q/claims/0002" "$work/mnt/q/done/0002"
	cd "$work/deaf/q"
	[ -e todo/0002 ]
	is ENOENT "$(errno_of 'os.rename("todo/0002", "claims/0002")')"
	fails_with 1 "*No such file or directory*" mv todo/0002 claims/0002
	cd "$other"
	wait_for 5 '[ -e done/0002 ]'
	is ENOENT "$(errno_of 'os.rename("todo/0002", "claims/0002")')"
	is ENOENT "$(errno_of 'os.rename("claims/0002", "done/0002")')"
}

@test "every other change of the four directories is EPERM, never EXDEV" {
	in_queue 3
	mv todo/0001 claims/0001
	is EPERM "$(errno_of 'os.mkdir("todo/new")')"
	is EPERM "$(errno_of 'open("todo/new", "w")')"
	is EPERM "$(errno_of 'os.unlink("todo/0002")')"
	is EPERM "$(errno_of 'os.rename("todo/0002", "done/0002")')"
	is EPERM "$(errno_of 'os.rename("todo/0002", "claims/0003")')"
	is EPERM "$(errno_of 'os.rename("todo/0002", "inputs/x")')"
	is EPERM "$(errno_of 'os.rename("inputs/0002", "todo/x")')"
	is EPERM "$(errno_of 'os.rename("claims/0001", "done/0009")')"
	is EPERM "$(errno_of 'os.rename("claims", "claims2")')"
	is EPERM "$(errno_of 'os.rename("ctl", "ctl2")')"
	is EPERM "$(errno_of 'os.unlink("progress")')"
	is EPERM "$(errno_of 'os.rmdir("todo")')"
	is EPERM "$(errno_of 'os.chmod("todo/0002", 0o777)')"
	is EPERM "$(errno_of 'os.link("inputs/0002", "claims/x")')"
	is EPERM "$(errno_of 'os.symlink("x", "failed/x")')"
	is EPERM "$(errno_of 'os.truncate("claims/0001", 0)')"
	is EPERM "$(errno_of 'open("claims/0001", "r+")')" || is EACCES "$(errno_of 'open("claims/0001", "r+")')"
	counts 2 1 0 0
}

@test "rm and mv give back; the attempt does not count" {
	in_queue 1 --attempts 1
	for i in 1 2 3; do
		mv todo/0001 claims/0001
		rm claims/0001
		counts 1 0 0 0
		mv todo/0001 claims/0001
		mv claims/0001 todo/0001
		counts 1 0 0 0
	done
}

@test "noclobber claims, and marks done" {
	in_queue 3
	(set -o noclobber && : >claims/0001)
	[ -e claims/0001 ]
	not bash -c 'set -o noclobber; : >claims/0001' 2>/dev/null
	is EEXIST "$(errno_of 'os.open("claims/0001", os.O_CREAT | os.O_EXCL | os.O_WRONLY)')"
	is ENOENT "$(errno_of 'os.open("claims/none", os.O_CREAT | os.O_EXCL | os.O_WRONLY)')"
	second_mount
	is EEXIST "$(cd "$other" && errno_of 'os.open("claims/0001", os.O_CREAT | os.O_EXCL | os.O_WRONLY)')"
	: >done/0002
	is EEXIST "$(errno_of 'os.open("done/0002", os.O_CREAT | os.O_EXCL | os.O_WRONLY)')"
	mv claims/0001 done/0001
	counts 1 0 2 0
}

@test "the loop of the manual, in plain sh" {
	in_queue 25
	mkdir -p outputs
	timeout 60 sh -eu -c '
exec 3<>ctl
while echo take >&3 && read -r x <&3; do
	tr a-z A-Z < "inputs/$x" > "stage/$x" && echo "done $x" >&3 || echo "fail $x" >&3
	read -r answer <&3
	[ "$answer" = ok ]
done'
	counts 0 0 25 0
	is 25 "$(ls outputs | wc -l | tr -d ' ')"
	is "INPUT 0017" "$(cat outputs/0017)"
}

@test "ctl: several at once, fail, release, errors, in order" {
	in_queue 6
	exec 9<>ctl
	echo 'take 4' >&9
	read -r -t 20 line <&9
	IFS=$'\t' read -r -a names <<<"$line"
	is 4 "${#names[@]}"
	is "4" "$(printf '%s\n' "${names[@]}" | sort -u | wc -l | tr -d ' ')"
	printf 'done %s status=0 wall=2\nfail %s status=7 stderr=it%%20broke%%0Abadly\nrelease %s\ndone nonsense\nbogus\n' \
		"${names[0]}" "${names[1]}" "${names[2]}" >&9
	read -r -t 20 a <&9; is ok "$a"
	read -r -t 20 a <&9; is ok "$a"
	read -r -t 20 a <&9; is ok "$a"
	read -r -t 20 a <&9; [[ $a == "error EACCES"* || $a == "error ENOENT"* ]]
	read -r -t 20 a <&9; [[ $a == "error EINVAL"* ]]
	counts 3 1 1 1
	grep -q '^exit-status: 7$' "failed/${names[1]}"
	grep -q 'it broke' "failed/${names[1]}"
	grep -q 'badly' "failed/${names[1]}"
	exec 9>&-
}

@test "ctl: an output that comes with its line is published, whatever its bytes are, and nothing stays below tmp/" {
	in_queue 3
	exec 9<>ctl
	echo 'take 3' >&9
	read -r -t 20 line <&9
	echo staged >stage/0001
	printf 'put 15 640 0001 wall=3\nrelease 0002\n\0\nput 0 600 0002\ndone 0003\n' >&9
	for _ in 1 2 3; do
		read -r -t 20 a <&9
		is ok "$a"
	done
	printf 'release 0002\n\0\n' | cmp - outputs/0001
	is 640 "$(stat -c %a outputs/0001)"
	is "0 600" "$(stat -c '%s %a' outputs/0002)"
	[ ! -e outputs/0003 ]
	counts 0 0 3 0
	grep -q '^wall: 3' done/0001
	wait_for 10 '[ -z "$(find .claimfs/tmp -type f)" ]'
	exec 9>&-
}

@test "ctl: end of file when nothing is left, and the session goes on after it" {
	in_queue 1
	exec 9<>ctl
	echo take >&9
	read -r -t 20 x <&9
	is 0001 "$x"
	echo take >&9
	not read -r -t 20 y <&9
	echo "release 0001" >&9
	read -r -t 20 answer <&9
	is ok "$answer"
	echo take >&9
	read -r -t 20 x <&9
	is 0001 "$x"
	exec 9>&-
}

@test "ctl: programs that start and end while it is open ask the mount nothing" {
	in_queue 1
	asked() { python3 -c 'import json, os; print(json.loads(os.getxattr("..", "user.claimfs.stats"))["kernel_requests"])'; }
	exec 9<>ctl
	before=$(asked)
	for i in $(seq 40); do
		/bin/true
	done
	after=$(asked)
	exec 9>&-
	[ "$((after - before))" -lt 20 ] || { echo "40 programs asked $((after - before)) things"; return 1; }
}

@test "ctl: wait blocks until a unit is free, and ends when all is done" {
	in_queue 1
	mv todo/0001 claims/0001
	(
		exec 9<>ctl
		echo take wait >&9
		read -r x <&9 && echo "$x" >"$work/taken" && echo "done $x" >&9 && read -r answer <&9
		echo "$answer" >"$work/answer"
		echo take wait >&9
		read -r x <&9 || echo end >"$work/end"
	) 3>&- &
	loop=$!
	started "$loop"
	sleep 1.5			# long enough to have answered, had it not waited
	[ ! -e "$work/taken" ]
	mv claims/0001 todo/0001
	wait_until 20 test -e "$work/end"
	is 0001 "$(cat "$work/taken")"
	is ok "$(cat "$work/answer")"
	wait "$loop"
}

@test "ctl: what a session held when it ended is a lost attempt; too many set the unit aside" {
	in_queue 1 --attempts 2
	for attempt in 1 2; do
		exec 9<>ctl
		echo take >&9
		read -r -t 20 x <&9
		is 0001 "$x"
		grep -q "^attempt: $attempt\$" claims/0001
		exec 9>&-
		wait_for 10 '[ ! -e claims/0001 ]'
	done
	exec 9<>ctl
	echo take wait >&9
	not read -r -t 20 x <&9
	exec 9>&-
	counts 0 0 0 1
	grep -q lost failed/0001
}

@test "a shell loop that is killed gives its unit back" {
	in_queue 1
	sh -c 'exec 3<>ctl; echo take >&3; read -r x <&3; echo "$x" >"$1"; sleep 600' - "$work/took" 3>&- &
	loop=$!
	started "$loop"
	wait_until 10 test -s "$work/took"
	counts 0 1 0 0
	kill -KILL $(descendants "$loop") "$loop"
	counts 1 0 0 0
}

@test "failed units: retry by mv and rm begins a new generation" {
	in_queue 2 --attempts 1
	for x in 0001 0002; do
		mv "todo/$x" "claims/$x"
		mv "claims/$x" "failed/$x"
	done
	counts 0 0 0 2
	grep -q '^state: failed$' failed/0001
	mv failed/0001 todo/0001
	rm failed/0002
	counts 2 0 0 0
	mv todo/0001 claims/0001
	grep -q '^attempt: 1$' claims/0001
	mv claims/0001 done/0001
	counts 1 0 1 0
}

@test "done units: redo keeps the output until it is replaced" {
	in_queue 1
	mv todo/0001 claims/0001
	echo old >stage/0001
	mv claims/0001 done/0001
	mv done/0001 todo/0001
	counts 1 0 0 0
	is old "$(cat outputs/0001)"
	mv todo/0001 claims/0001
	is EBUSY "$(errno_of 'os.unlink("done/0001")')" || is ENOENT "$(errno_of 'os.unlink("done/0001")')"
	echo new >stage/0001
	is old "$(cat outputs/0001)"
	mv claims/0001 done/0001
	is new "$(cat outputs/0001)"
	rm done/0001
	counts 1 0 0 0
}

@test "stage: only while claimed here; files and directories; gone with the claim" {
	in_queue 3 --output 'results/{.}.d'
	is EACCES "$(errno_of 'open("stage/0001.d", "w")')"
	is EACCES "$(errno_of 'os.mkdir("stage/0001.d")')"
	mv todo/0001 claims/0001
	is EACCES "$(errno_of 'open("stage/0002.d", "w")')"
	mkdir stage/0001.d
	mkdir stage/0001.d/sub
	echo one >stage/0001.d/sub/file
	mv claims/0001 done/0001
	is one "$(cat results/0001.d/sub/file)"
	mv todo/0002 claims/0002
	echo dropped >stage/0002.d
	rm claims/0002
	[ ! -e stage/0002.d ]
	[ ! -e results/0002.d ]
	mv todo/0002 claims/0002
	[ ! -e stage/0002.d ]
	mv claims/0002 failed/0002
	# A unit that stages nothing can be committed.
	mv todo/0003 claims/0003
	mv claims/0003 done/0003
	[ ! -e results/0003.d ]
	counts 0 0 2 1
}

@test "stage: a program that writes beside and renames, as most do" {
	in_queue 1
	mv todo/0001 claims/0001
	mkdir stage/0001
	echo x >stage/0001/.part
	mv stage/0001/.part stage/0001/whole
	mv claims/0001 done/0001
	is x "$(cat outputs/0001/whole)"
	# Again, over what is there.
	mv done/0001 todo/0001
	counts 1 0 0 0
	mv todo/0001 claims/0001
	mkdir stage/0001
	echo y >stage/0001/whole
	mv claims/0001 done/0001
	is y "$(cat outputs/0001/whole)"
}

@test "nested inputs are mirrored in all four, and need no mkdir" {
	make_queue "$work/disk/q" --output 'out/{.}.txt'
	mkdir -p "$work/disk/q/inputs/a/b" "$work/disk/q/inputs/empty"
	for x in top.jpg a/one.jpg a/b/two.jpg a/b/.hidden a/x.part a/y.tmp a/z~; do echo "$x" >"$work/disk/q/inputs/$x"; done
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt/q
	wait_until 10 has_entries todo 3
	is "./a/b/two.jpg ./a/one.jpg ./top.jpg" "$(cd todo && echo $(find . -type f | sort))"
	is "a top.jpg" "$(echo $(ls todo))"
	[ -z "$(ls claims)" ]
	mv todo/a/b/two.jpg claims/a/b/two.jpg
	is two.jpg "$(ls claims/a/b)"
	mkdir -p stage/a/b
	echo result >stage/a/b/two.txt
	mv claims/a/b/two.jpg done/a/b/two.jpg
	is result "$(cat out/a/b/two.txt)"
	exec 9<>ctl
	echo 'take 9' >&9
	read -r -t 20 line <&9
	is $'a/one.jpg\ntop.jpg' "$(tr '\t' '\n' <<<"$line" | sort)"
	exec 9>&-
}

@test "an input that lies outside the queue, and a pipeline of two queues" {
	mkdir -p "$work/disk/images" "$work/disk/first/out" "$work/disk/second"
	claimctl init "$work/disk/first" --settle 0 --input ../images --output 'out/{.}.mid'
	claimctl init "$work/disk/second" --settle 0 --input ../first/out --output 'out/{.}.end'
	echo pixel >"$work/disk/images/a.jpg"
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt
	wait_until 10 test -e first/todo/a.jpg
	mv first/todo/a.jpg first/claims/a.jpg
	echo middle >first/stage/a.mid
	mv first/claims/a.jpg first/done/a.jpg
	wait_until 10 test -e second/todo/a.mid
	mv second/todo/a.mid second/claims/a.mid
	cp first/out/a.mid second/stage/a.end
	mv second/claims/a.mid second/done/a.mid
	is middle "$(cat second/out/a.end)"
}

@test "key = stat: a changed input is work again" {
	in_queue 2 --key stat
	mv todo/0001 claims/0001
	echo out >stage/0001
	mv claims/0001 done/0001
	counts 1 0 1 0
	echo 'changed, and longer' >inputs/.new
	mv inputs/.new inputs/0001
	counts 2 0 0 0
	mv todo/0001 claims/0001
	mv claims/0001 done/0001
	counts 1 0 1 0
}

@test "key = stat: an input that is written to in place is work again, without a change of its directory" {
	in_queue 2 --key stat
	mv todo/0001 claims/0001
	mv claims/0001 done/0001
	counts 1 0 1 0
	echo 'changed in place, and longer' >>inputs/0001
	wait_until 30 test -e todo/0001
	counts 2 0 0 0
}

@test "key = stat: an input that changed under a claim is not committed" {
	in_queue 1 --key stat
	exec 9<>ctl
	echo take >&9
	read -r -t 20 x <&9
	echo out >stage/0001
	echo 'changed meanwhile' >inputs/0001
	echo 'done 0001' >&9
	read -r -t 20 answer <&9
	[[ $answer == "error EAGAIN"* ]]
	[ ! -e outputs/0001 ]
	exec 9>&-
	counts 1 0 0 0
}

@test "key = content: the same bytes under another name are done already" {
	make_queue "$work/disk/q" --key content
	printf same >"$work/disk/q/inputs/a"
	printf same >"$work/disk/q/inputs/b"
	printf other >"$work/disk/q/inputs/c"
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt/q
	wait_until 10 has_entries todo 3
	exec 9<>ctl
	for unit in a c; do
		mv "todo/$unit" "claims/$unit"
		echo "of $unit" >"stage/$unit"
		mv "claims/$unit" "done/$unit"
	done
	grep -q "$(printf same | xxhsum -H2 | cut -d' ' -f1)" done/a
	[ -e "$work/disk/q/.claimfs/done/$(printf same | xxhsum -H2 | cut -c1-2)/$(printf same | xxhsum -H2 | cut -d' ' -f1).0" ]
	# b is taken, found to be done, and gets a's output; or the view knows already.
	if mv todo/b claims/b 2>/dev/null; then
		is EEXIST "$(errno_of 'os.rename("claims/b", "done/b")')" || true
	fi
	counts 0 0 3 0
	is "of a" "$(cat outputs/b)"
	exec 9>&-
}

@test "settle: an input that is too young is no unit yet" {
	make_queue "$work/disk/q" --settle 4s
	make_inputs "$work/disk/q/inputs" 1
	touch -d '1 hour ago' "$work/disk/q/inputs/0001"
	echo young >"$work/disk/q/inputs/0002"
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt/q
	wait_until 10 test -e todo/0001
	[ ! -e todo/0002 ]
	not mv todo/0002 claims/0002
	wait_until 15 test -e todo/0002
	mv todo/0002 claims/0002
}

@test "inputs that come and go while it is mounted" {
	in_queue 1
	echo new >"$work/disk/q/inputs/later"
	wait_until 5 test -e todo/later
	rm "$work/disk/q/inputs/0001"
	wait_for 5 '[ ! -e todo/0001 ]'
	is later "$(ls todo)"
}

@test "the order of a listing is a permutation that differs between mounts" {
	in_queue 200
	second_mount
	wait_until 10 has_entries "$other/todo" 200
	is "$(ls todo)" "$(ls "$other/todo")"
	[ "$(ls -U todo | head -20)" != "$(ls -U "$other/todo" | head -20)" ]
	is "$(ls -U todo)" "$(ls -U todo)"
	[ "$(ls -U todo)" != "$(ls todo)" ]
}

@test "progress, as text and as JSON" {
	in_queue 4
	mv todo/0001 claims/0001
	mv claims/0001 done/0001
	mv todo/0002 claims/0002
	mv claims/0002 failed/0002
	mv todo/0003 claims/0003
	wait_for 5 'cat progress | grep -q .'
	cat progress
	wait_for 5 'python3 -c "
import json
p = json.load(open(\"progress.json\"))
u = p[\"units\"]
assert u[\"todo\"] == 1 and u[\"claimed\"] == 1 and u[\"done\"] == 1 and u[\"failed\"] == 1
"'
}

@test "names with spaces, newlines, quotes, dashes, 255 bytes, any bytes" {
	make_queue "$work/disk/q" --output 'out/{}'
	python3 - "$work/disk/q/inputs" <<'PYTHON'
import os, sys
for name in [b"with space", b"new\nline", b"quote'\"`$x", b"-rf", b"--", b"back\\slash", b"*?", b"\xff\xfe", b"x" * 255, b"a=b c=d", b"%41",
             b"tab\there", b" lead", b"trail "]:
    with open(os.path.join(os.fsencode(sys.argv[1]), name), "wb") as f:
        f.write(name)
PYTHON
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt/q
	wait_for 10 '[ "$(find todo -type f -printf x | wc -c)" -eq 14 ]'
	python3 - <<'PYTHON'
import os, re, urllib.parse
names = sorted(os.listdir(b"todo"))
assert len(names) == 14
half = names[::2]
for name in half:			# by mv
    os.rename(b"todo/" + name, b"claims/" + name)
    with open(b"stage/" + name, "wb") as f:
        f.write(b"done " + name)
    os.rename(b"claims/" + name, b"done/" + name)
fd = os.open("ctl", os.O_RDWR)		# by ctl
def line():
    got = b""
    while not got.endswith(b"\n"):
        part = os.read(fd, 65536)
        if not part:
            return None
        got += part
    return got[:-1]
rest = set(names[1::2])
while True:
    os.write(fd, b"take\n")
    said = line()
    if said is None:
        break
    name = urllib.parse.unquote_to_bytes(said)
    rest.remove(name)
    with open(b"stage/" + name, "wb") as f:
        f.write(b"done " + name)
    os.write(fd, b"done " + said + b"\n")
    assert line() == b"ok", name
assert not rest
for name in names:
    with open(b"out/" + name, "rb") as f:
        assert f.read() == b"done " + name
assert sorted(os.listdir(b"done")) == names
PYTHON
}

@test "a broken queue.conf: the directory is plain, the log says file and line, the rest of the mount works" {
	make_queue "$work/disk/q"
	printf 'input = inputs\n\nleese = 3s\n' >"$work/disk/q/.claimfs/queue.conf"
	echo x >"$work/disk/file"
	mount_claimfs "$work/disk" "$work/mnt"
	ls "$work/mnt/q" "$work/mnt/q/todo" || true
	cat "$work/mnt/q/ctl" || true
	is x "$(cat "$work/mnt/file")"
	wait_until 5 grep -q 'queue.conf:3' "$work/mnt.log"
	grep -q "leese.*lease" "$work/mnt.log"
	[ -e "$work/mnt/q/inputs" ]
	# claimctl says the same to whom it was that broke it.
	fails_with 1 '*queue.conf:3*leese*lease*' claimctl status "$work/mnt/q"
}

@test "a queue whose input directory is missing: said, and fine once it is there" {
	make_queue "$work/disk/q"
	rmdir "$work/disk/q/inputs"
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt/q
	ls todo || true
	wait_until 10 grep -q 'inputs' "$work/mnt.log"
	mkdir "$work/disk/q/inputs"
	echo x >"$work/disk/q/inputs/late"
	wait_until 10 test -e todo/late
}

@test "a newer format is refused, never guessed" {
	make_queue "$work/disk/q"
	sed -i 's/^format = 1/format = 2/' "$work/disk/q/.claimfs/queue.conf"
	mount_claimfs "$work/disk" "$work/mnt"
	ls "$work/mnt/q/todo" || true
	wait_until 5 grep -q 'newer' "$work/mnt.log"
	fails_with 1 '*newer*' claimctl status "$work/mnt/q"
}

@test "a claim ends with its mount: given back at unmount, at the lease's end after kill -9" {
	in_queue 2 --lease 3s
	second_mount
	mv todo/0001 claims/0001
	wait_until 5 test -e "$other/claims/0001"
	[ "$(grep -c '^attempt: 1$' "$other/claims/0001")" -eq 1 ]
	cd "$work"
	unmount "$work/mnt"
	wait_until 5 test -e "$other/todo/0001"
	mv "$other/todo/0001" "$other/claims/0001"
	grep -q '^attempt: 1$' "$other/claims/0001"
	mount_claimfs "$work/disk" "$work/mnt" -o host_name=third
	wait_until 5 test -e "$work/mnt/q/claims/0001"
	kill_mount "$work/other"
	wait_until 20 test -e "$work/mnt/q/todo/0001"
	mv "$work/mnt/q/todo/0001" "$work/mnt/q/claims/0001"
	grep -q '^attempt: 2$' "$work/mnt/q/claims/0001"
}

@test "a full disk: nothing is done that is not there, and all is done once there is room" {
	[ "$(id -u)" -eq 0 ] || skip "needs root for a small tmpfs"
	mkdir -p disk
	mount -t tmpfs -o size=4m tmpfs disk || skip "no tmpfs here"
	echo "$work/disk" >>.mounts
	local unit
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 8
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries mnt/q/todo 8
	mv mnt/q/todo/0001 mnt/q/claims/0001
	dd if=/dev/zero of=disk/ballast bs=64k 2>/dev/null || true
	run sh -c 'head -c 100000 /dev/zero >mnt/q/stage/0001 && mv mnt/q/claims/0001 mnt/q/done/0001'
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"No space left on device"* ]]
	[ -z "$(ls mnt/q/done)" ]
	[ -z "$(find disk/q/.claimfs/done -type f)" ]
	[ "$(ls mnt/q/claims mnt/q/todo | grep -c '^[0-9]')" -eq 8 ]
	# Another node's first claim needs a file of its own, for its heartbeat.
	second_mount
	run mv "$other/todo/0002" "$other/claims/0002"
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"No space left on device"* ]]
	rm disk/ballast
	for unit in $(ls disk/q/inputs); do
		[ "$unit" = 0001 ] || mv "mnt/q/todo/$unit" "mnt/q/claims/$unit"
		head -c 100000 /dev/zero >"mnt/q/stage/$unit"
		mv "mnt/q/claims/$unit" "mnt/q/done/$unit"
		[ "$(stat -c %s "disk/q/outputs/$unit")" -eq 100000 ]
	done
	wait_until 10 has_entries "$other/done" 8
}

@test "what a shell wrote to a full disk is not done, though the shell does not say so; what it writes anew is" {
	[ "$(id -u)" -eq 0 ] || skip "needs root for a small tmpfs"
	mkdir -p disk
	mount -t tmpfs -o size=4m tmpfs disk || skip "no tmpfs here"
	echo "$work/disk" >>.mounts
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 2
	mount_claimfs "$work/disk" "$work/mnt"
	wait_until 10 has_entries mnt/q/todo 2
	mv mnt/q/todo/0001 mnt/q/claims/0001
	dd if=/dev/zero of=disk/ballast bs=64k 2>/dev/null || true
	# bash's printf looks at write(), and nobody at close().
	bash -c 'printf "all of it\n" >mnt/q/stage/0001'
	rm disk/ballast
	run mv mnt/q/claims/0001 mnt/q/done/0001
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"No space left on device"* ]]
	[ -z "$(find disk/q/.claimfs/done -type f)" ]
	# Below a directory as well.
	mv mnt/q/todo/0002 mnt/q/claims/0002
	mkdir mnt/q/stage/0002
	dd if=/dev/zero of=disk/ballast bs=64k 2>/dev/null || true
	bash -c 'printf "all of it\n" >mnt/q/stage/0002/part' || true
	rm disk/ballast
	mv mnt/q/stage/0002/part mnt/q/stage/0002/moved
	not mv mnt/q/claims/0002 mnt/q/done/0002
	bash -c 'printf "all of it\n" >mnt/q/stage/0001; printf "all of it\n" >mnt/q/stage/0002/moved'
	mv mnt/q/claims/0001 mnt/q/done/0001
	mv mnt/q/claims/0002 mnt/q/done/0002
	[ "$(cat disk/q/outputs/0001)" = "all of it" ]
	[ "$(cat disk/q/outputs/0002/moved)" = "all of it" ]
}

@test "a claim that is kept longer than the lease stays" {
	in_queue 1 --lease 3s
	second_mount
	mv todo/0001 claims/0001
	sleep 8				# more than two leases: time itself is what is tested
	[ -e claims/0001 ]
	[ ! -e "$other/todo/0001" ]
	is EEXIST "$(cd "$other" && errno_of 'os.open("claims/0001", os.O_CREAT | os.O_EXCL | os.O_WRONLY)')"
	mv claims/0001 done/0001
}

@test "no_queues shows what is really there" {
	make_queue "$work/disk/q"
	mount_claimfs "$work/disk" "$work/mnt" -o no_queues
	is inputs "$(ls "$work/mnt/q")"
}

@test "what lies on the disk is what the manual says" {
	in_queue 2 --lease 10s
	mv todo/0001 claims/0001
	unit=$(printf 0001 | xxhsum -H2 | cut -d' ' -f1)
	store=$work/disk/q/.claimfs
	[ -e "$store/claims/$unit.0.1" ]
	[ "$(stat -c %h "$store/claims/$unit.0.1")" -ge 2 ]
	ls "$store/nodes" | grep -q "^$(hostname)"
	mv claims/0001 done/0001
	[ -e "$store/done/${unit:0:2}/$unit.0" ]
	rm done/0001
	[ -e "$store/redo/$unit.1" ]
	mv todo/0001 claims/0001
	[ -e "$store/claims/$unit.1.1" ]
	mv claims/0001 failed/0001
	[ -e "$store/failed/$unit.1" ]
	ls "$store/log" | grep -q "^$(hostname)"
}
