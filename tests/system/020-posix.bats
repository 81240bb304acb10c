#!/usr/bin/env bats
# A program that runs on a local disk runs on the mount. Most tests do the same on both and compare.

load ../lib

# Every test has $work/disk mounted at $work/mnt.
on_mount() {
	mkdir disk
	mount_claimfs "$work/disk" "$work/mnt" "$@"
	cd mnt
}

# same TREE TREE: names, types, modes, sizes, links, contents.
same() {
	diff <(cd "$1" && find . -mindepth 1 -printf '%y %m %s %l %p\n' | sed 's/^d \([0-7]*\) [0-9]*/d \1/' | sort) \
		<(cd "$2" && find . -mindepth 1 -printf '%y %m %s %l %p\n' | sed 's/^d \([0-7]*\) [0-9]*/d \1/' | sort) &&
		diff -r --no-dereference "$1" "$2"
}

@test "git: init, add, commit, fsck, clone, gc" {
	on_mount
	export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
	git init -q repo
	cd repo
	for i in $(seq 30); do echo "line $i" >"file $i"; done
	git add .
	git commit -q -m first
	for i in $(seq 30); do echo more >>"file $i"; done
	git commit -q -a -m second
	git fsck --strict
	git gc -q
	git fsck --strict
	[ -z "$(git status --porcelain)" ]
	git clone -q . ../clone
	[ "$(git -C ../clone log --oneline | wc -l)" -eq 2 ]
	[ "$(tail -1 '../clone/file 30')" = more ]
}

@test "tar x, then the tree is the same" {
	mkdir -p tree/a/b/c
	for i in $(seq 50); do head -c $((i * 997)) /dev/urandom >"tree/a/f$i"; done
	ln -s ../f1 tree/a/b/link
	ln -s /nowhere/at/all tree/a/dangling
	chmod 640 tree/a/f1
	chmod 755 tree/a/f2
	chmod 700 tree/a/b
	touch -d '2001-02-03 04:05:06' tree/a/f3
	touch -d '1999-12-31 23:59:59' tree/a/b/c
	tar cf tree.tar -C tree .
	on_mount -o no_contain_symlinks
	tar xf ../tree.tar
	same "$work/tree" "$work/mnt"
	same "$work/tree" "$work/disk"
	[ "$(stat -c %Y a/f3)" = "$(stat -c %Y "$work/tree/a/f3")" ]
	[ "$(stat -c %Y a/b/c)" = "$(stat -c %Y "$work/tree/a/b/c")" ]
}

@test "rsync -a there and back, twice" {
	mkdir -p tree/sub
	for i in $(seq 40); do head -c $((i * 1013)) /dev/urandom >"tree/sub/f$i"; done
	ln -s sub/f1 tree/link
	on_mount
	rsync -a "$work/tree/" copy/
	same "$work/tree" copy
	# Nothing has changed: nothing is sent.
	[ -z "$(rsync -ai "$work/tree/" copy/ | grep '^[<>]')" ]
	echo changed >"$work/tree/sub/f7"
	rm "$work/tree/sub/f8"
	rsync -a --delete "$work/tree/" copy/
	same "$work/tree" copy
	rsync -a copy/ "$work/back/"
	same "$work/tree" "$work/back"
}

@test "sqlite3: transactions, two processes, integrity" {
	on_mount
	sqlite3 db 'create table t(a integer primary key, b text);'
	for i in 1 2 3 4 5; do
		sqlite3 db "begin; insert into t(b) values('row $i'); insert into t(b) select hex(randomblob(2000)) from t; commit;"
	done
	[ "$(sqlite3 db 'pragma integrity_check;')" = ok ]
	[ "$(sqlite3 db 'select count(*) from t;')" -eq 62 ]
	sqlite3 db 'begin; delete from t; rollback;'
	[ "$(sqlite3 db 'select count(*) from t;')" -eq 62 ]
	for i in 1 2 3; do in_background "$work/sqlite$i" sqlite3 -cmd '.timeout 20000' "$work/mnt/db" "insert into t(b) values('together');"; done
	while read -r pid; do [ "$pid" = "$mount_pid" ] || wait_until 30 gone "$pid"; done <"$work/.pids"
	[ "$(sqlite3 db "select count(*) from t where b = 'together';")" -eq 3 ]
	sqlite3 db 'vacuum;'
	[ "$(sqlite3 "$work/disk/db" 'pragma integrity_check;')" = ok ]
}

@test "make builds a small C project" {
	on_mount
	mkdir -p src
	printf '#include "say.h"\nint main(void) { return say("built"); }\n' >src/main.c
	printf '#include <stdio.h>\n#include "say.h"\nint say(const char *t) { return puts(t) < 0; }\n' >src/say.c
	printf 'int say(const char *text);\n' >src/say.h
	printf 'prog: src/main.o src/say.o\n\t$(CC) -o $@ $^\n%%.o: %%.c src/say.h\n\t$(CC) -c -o $@ $<\n' >Makefile
	make -s -j2
	[ "$(./prog)" = built ]
	make -q
	wait_for 5 'touch src/say.h; ! make -q'
	make -s
	make -q
}

@test "cp, mv, ln, chmod, touch, truncate, df" {
	on_mount
	head -c 1000003 /dev/urandom >"$work/random"
	cp "$work/random" a
	cmp "$work/random" a
	cp a b
	cmp a b
	mv b c
	[ ! -e b ]
	mkdir d
	mv c d/
	mv d e
	cmp a e/c
	ln e/c hard
	[ "$(stat -c %i hard)" = "$(stat -c %i e/c)" ] || [ "$(stat -c %s hard)" = "$(stat -c %s e/c)" ]
	cmp hard e/c
	rm e/c
	cmp a hard
	ln -s hard soft
	[ "$(readlink soft)" = hard ]
	cmp a soft
	chmod 600 a
	[ "$(stat -c %a a)" = 600 ]
	chmod u+x a
	[ "$(stat -c %a "$work/disk/a")" = 700 ]
	touch -d '2010-01-01 00:00:00 UTC' a
	[ "$(stat -c %Y a)" = 1262304000 ]
	truncate -s 100 a
	[ "$(stat -c %s a)" = 100 ]
	cmp -n 100 a "$work/random"
	truncate -s 5000 a
	[ "$(stat -c %s a)" = 5000 ]
	[ "$(tail -c 4900 a | tr -d '\0' | wc -c)" = 0 ]
	[ "$(df --output=target . | tail -1)" = "$work/mnt" ]
	[ "$(df --output=size . | tail -1)" = "$(df --output=size "$work/disk" | tail -1)" ]
	rm -r a e hard soft
	[ -z "$(ls -A)" ]
}

@test "append, seek, sparse files, many writers of one descriptor" {
	on_mount
	for i in 1 2 3; do echo "$i" >>log; done
	[ "$(cat log)" = $'1\n2\n3' ]
	dd if=/dev/zero of=sparse bs=1 count=1 seek=10000000 status=none
	[ "$(stat -c %s sparse)" = 10000001 ]
	printf XY | dd of=sparse bs=1 seek=5 conv=notrunc status=none
	[ "$(head -c 7 sparse | tr '\0' 0)" = 00000XY ]
	exec 7>shared
	for i in 1 2 3 4; do (echo "line $i" >&7); done
	exec 7>&-
	[ "$(sort shared)" = $'line 1\nline 2\nline 3\nline 4' ]
	# Who has it open finds each line as soon as it was appended (before Linux 6.6 the kernel keeps the page it has of the end).
	: >followed
	exec 8<followed
	for i in 1 2 3 4 5 6 7 8; do
		echo "line $i" >>followed
		read -r -u 8 line
		[ "$line" = "line $i" ]
	done
	exec 8<&-
	# O_APPEND from two processes by turns loses nothing.
	for i in 1 2 3 4 5 6; do echo "$i" >>turns; echo "$i" >>turns; done
	[ "$(wc -l <turns)" = 12 ]
}

@test "an open file survives unlink and rename" {
	on_mount
	echo first >f
	exec 7<>f
	mv f g
	echo second >&7
	exec 8<g
	[ "$(cat <&8)" = second ] || [ "$(cat g)" = $'second' ]
	rm g
	echo third >&7
	[ ! -e g ]
	exec 7>&- 8>&-
	[ -z "$(ls -A)" ] || wait_for 5 '[ -z "$(ls -A)" ]'
	python3 - <<'PYTHON'
import os
fd = os.open("unlinked", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.write(fd, b"still here")
os.unlink("unlinked")
assert not os.path.exists("unlinked")
assert os.pread(fd, 100, 0) == b"still here"
os.ftruncate(fd, 5)
assert os.fstat(fd).st_size == 5
os.close(fd)
PYTHON
}

@test "mmap, shared and private" {
	on_mount
	head -c 300000 /dev/zero >m
	python3 - <<'PYTHON'
import mmap
with open("m", "r+b") as f:
    with mmap.mmap(f.fileno(), 0) as m:
        m[4096:4101] = b"hello"
        m.flush()
with open("m", "rb") as f:
    f.seek(4096)
    assert f.read(5) == b"hello"
PYTHON
	cmp m "$work/disk/m"
}

@test "rename: replaces, refuses to with noreplace, keeps directories apart" {
	on_mount
	echo one >a
	echo two >b
	mv a b
	[ "$(cat b)" = one ]
	echo new >c
	mv -n c b
	[ "$(cat b)" = one ]
	[ "$(cat c)" = new ]
	mkdir d e
	touch e/full
	[ "$(errno_of 'os.rename("d", "e")')" = ENOTEMPTY ]
	[ "$(errno_of 'os.rename("b", "d")')" = EISDIR ]
	[ "$(errno_of 'os.rename("d", "b")')" = ENOTDIR ]
	[ "$(errno_of 'os.rename("none", "x")')" = ENOENT ]
	[ "$(errno_of 'os.rename("e", "e/inside")')" = EINVAL ]
	[ "$(errno_of 'os.rename("d", "f")')" = ok ]
	[ -d f ]
	# renameat2(RENAME_NOREPLACE) by the system call itself.
	python3 - <<'PYTHON'
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def noreplace(a, b):
    if libc.renameat2(-100, a, -100, b, 1):
        return errno.errorcode[ctypes.get_errno()]
    return "ok"
assert noreplace(b"c", b"b") == "EEXIST"
assert noreplace(b"c", b"g") == "ok"
assert noreplace(b"f", b"h") == "ok" and os.path.isdir("h")
assert noreplace(b"h", b"e") == "EEXIST"
PYTHON
}

@test "errors are those of a local disk" {
	on_mount
	mkdir d full
	touch f full/x
	[ "$(errno_of 'os.open("none", os.O_RDONLY)')" = ENOENT ]
	[ "$(errno_of 'os.open("f/x", os.O_RDONLY)')" = ENOTDIR ]
	[ "$(errno_of 'os.open("f", os.O_CREAT | os.O_EXCL)')" = EEXIST ]
	[ "$(errno_of 'os.open("d", os.O_WRONLY)')" = EISDIR ]
	[ "$(errno_of 'os.mkdir("d")')" = EEXIST ]
	[ "$(errno_of 'os.mkdir("none/d")')" = ENOENT ]
	[ "$(errno_of 'os.rmdir("full")')" = ENOTEMPTY ]
	[ "$(errno_of 'os.rmdir("f")')" = ENOTDIR ]
	[ "$(errno_of 'os.unlink("d")')" = EISDIR ] || [ "$(errno_of 'os.unlink("d")')" = EPERM ]
	[ "$(errno_of 'os.unlink("none")')" = ENOENT ]
	[ "$(errno_of 'os.link("f", "d")')" = EEXIST ]
	[ "$(errno_of 'os.symlink("x", "f")')" = EEXIST ]
	[ "$(errno_of 'os.readlink("f")')" = EINVAL ]
	[ "$(errno_of 'open("x" * 256, "w")')" = ENAMETOOLONG ]
}

@test "names: spaces, newlines, quotes, leading dashes, 255 bytes, any bytes" {
	on_mount
	python3 - <<'PYTHON'
import os
names = [b"with space", b" lead", b"trail ", b"new\nline", b"tab\t", b"quote'\"`$x", b"-rf", b"--help", b"back\\slash", b"*?[a]",
         b"\xff\xfe not utf-8", "é ü 漢字".encode(), b"x" * 255, b"...", b"..x", b"%2F", b"a:b", b"#x#", b"\x01\x7f", b"{}", b"~"]
for i, name in enumerate(names):
    with open(name, "wb") as f:
        f.write(name * 3)
assert sorted(os.listdir(b".")) == sorted(names)
os.mkdir(b"d\n \xfe")
for name in names:
    os.rename(name, b"d\n \xfe/" + name)
    assert os.lstat(b"d\n \xfe/" + name).st_size == 3 * len(name)
    with open(b"d\n \xfe/" + name, "rb") as f:
        assert f.read() == name * 3
os.symlink(b"to\n\xff", b"link")
assert os.readlink(b"link") == b"to\n\xff"
assert sorted(os.listdir(b"d\n \xfe")) == sorted(names)
for name in names:
    os.unlink(b"d\n \xfe/" + name)
os.rmdir(b"d\n \xfe")
PYTHON
	[ "$(ls -A)" = link ]
}

@test "a directory of 3,000 entries: all listed once, removed while it is read" {
	on_mount
	python3 - <<'PYTHON'
import os
os.mkdir("big")
for i in range(3000):
    os.close(os.open("big/%04d" % i, os.O_CREAT | os.O_WRONLY))
assert sorted(os.listdir("big")) == ["%04d" % i for i in range(3000)]
with os.scandir("big") as entries:
    for entry in entries:
        assert entry.is_file(follow_symlinks=False)
        os.unlink(entry.path)
os.rmdir("big")
PYTHON
}

@test "close-to-open between two mounts" {
	on_mount
	mount_claimfs "$work/disk" "$work/mnt2"
	for i in $(seq 20); do
		echo "$i" >shared
		[ "$(cat "$work/mnt2/shared")" = "$i" ]
		echo "back $i" >"$work/mnt2/shared"
		[ "$(cat shared)" = "back $i" ]
		[ ! -e "$work/mnt2/new$i" ]
		touch "new$i"
		[ -e "$work/mnt2/new$i" ]
	done
}

@test "a full disk says so, and what was there stays" {
	[ "$(id -u)" -eq 0 ] || skip "needs root for a small tmpfs"
	mkdir small
	mount -t tmpfs -o size=1m tmpfs small || skip "no tmpfs here"
	echo "$work/small" >>.mounts
	mount_claimfs "$work/small" "$work/mnt"
	echo kept >mnt/kept
	run dd if=/dev/zero of=mnt/big bs=64k count=64
	echo "$output"
	umount_small() { fusermount3 -u "$work/mnt"; wait_until 10 gone "$mount_pid"; umount "$work/small"; }
	if [ "$status" -eq 0 ] || [[ $output != *"No space left on device"* ]]; then
		umount_small
		return 1
	fi
	[ "$(cat mnt/kept)" = kept ]
	rm mnt/big
	echo again >mnt/again
	[ "$(cat small/again)" = again ]
	umount_small
}

@test "a symbolic link that leads out of the mount is refused, unless it is wanted" {
	mkdir disk
	echo secret >outside
	ln -s ../outside disk/up
	ln -s /etc/hostname disk/absolute
	echo inside >disk/target
	ln -s target disk/fine
	mount_claimfs "$work/disk" "$work/mnt"
	[ "$(cat mnt/fine)" = inside ]
	not cat mnt/up
	not cat mnt/absolute
	unmount "$work/mnt"
	mount_claimfs "$work/disk" "$work/mnt" -o no_contain_symlinks
	[ "$(readlink mnt/up)" = ../outside ]
}

@test "statistics are JSON" {
	on_mount
	ls >/dev/null
	getfattr --only-values -n user.claimfs.stats "$work/mnt" | python3 -m json.tool >/dev/null
}

@test "statistics: connections, operations, caches, heartbeats" {
	make_queue disk
	make_inputs disk/inputs 2
	echo text >disk/file
	mount_claimfs "$work/disk" "$work/mnt"
	cd mnt
	cat file file >/dev/null
	run python3 -c '
import json, os
def stats():
    return json.loads(os.getxattr(".", "user.claimfs.stats"))
now = stats()
asked = now["kernel_requests"]
os.stat("file")
os.path.exists("none")
assert asked < stats()["kernel_requests"] < asked + 20, (asked, stats())
assert now["queues"] == 0 and now["heartbeat_age_s"] is None, now
assert os.listdir("todo")
assert stats()["queues"] == 1 and stats()["heartbeat_age_s"] is None, stats()
os.rename("todo/0001", "claims/0001")
now = stats()
assert 0 <= now["heartbeat_age_s"] < 60, now
connection = now["connections"][0]
assert connection["rtt_s"] > 0 and connection["bytes_sent"] > 0 and connection["bytes_received"] > 0, connection
assert connection["requests"] > 0 and connection["reconnects"] == 0, connection
for name in "lstat", "open", "close":
    op = now["operations"][name]
    assert op["count"] > 0 and 0 < op["p50_s"] <= op["p99_s"], (name, op)
for name, asked, hits in ("lookups", 1, 0), ("opens", 2, 0), ("reads", 1, 0):
    cache = now["caches"][name]
    assert cache["asked"] >= asked and hits <= cache["hits"] <= cache["asked"], (name, cache)
with open("file") as f:	# what was read is in memory, once its time is old enough to tell a change by
    f.read()
before = stats()["caches"]
os.utime("file", (1, 1))
for i in range(3):
    with open("file") as f:
        f.read()
after = stats()["caches"]
assert after["opens"]["hits"] - before["opens"]["hits"] >= 2, (before, after)
assert after["reads"]["asked"] - before["reads"]["asked"] <= 1, (before, after)'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(getfattr -d -m - "$work/mnt/inputs" 2>/dev/null)" = "" ]
}
