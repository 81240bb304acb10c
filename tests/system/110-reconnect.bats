#!/usr/bin/env bats
# Connections that break, stall and do not come back, through a real sshd and the fault pipe: nothing is lost, nothing is done twice, nothing waits for ever.

load ../lib

fsx=$CLAIMFS_BUILD/tests/soak/fsx

# $work/disk at $work/mnt, through the pipe.
mount_through_pipe() {
	mkdir -p disk
	start_sshd
	start_pipe
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config" "$@"
}

# took SECONDS COMMAND...: the command ends within that time; its status in $status, its output in $output.
took() {
	local limit=$1 begin=${EPOCHREALTIME/[.,]/}
	shift
	run timeout -k 1 "$((limit + 5))" "$@"
	took_ms=$(((${EPOCHREALTIME/[.,]/} - begin) / 1000))
	echo "status $status after $took_ms ms: $output"
	[ "$took_ms" -le $((limit * 1000)) ]
}

gone_away() {	# the server is not there any more, and what was connected is cut
	pipe_ask refuse 600
	pipe_ask cut now
}

# A program has mnt/file open; once a file FLAG is there it writes BYTES, makes a file "written", and stays.
writer_waits_for() {	# FLAG BYTES
	in_background write.out python3 -c '
import os, sys, time
fd = os.open("mnt/file", os.O_WRONLY | os.O_CREAT)
open("opened", "w")
while not os.path.exists(sys.argv[1]): time.sleep(0.05)
os.write(fd, b"x" * int(sys.argv[2]))
open("written", "w")
time.sleep(600)' "$1" "$2"
	wait_until 20 test -e opened
}

each_request() {	# cut|stall|slow|kill [OPTION...]
	mount_through_pipe "${@:2}"
	timeout 280 python3 "$BATS_TEST_DIRNAME/../soak/cut_each.py" "$work/pipe.ctl" "$work/mnt" "$work/disk" "$sshd_pid" "$1"
}

@test "every kind of request, cut before the server has it and when its answer comes" {
	each_request cut
	[[ $(pipe_ask stats) =~ cut=([0-9]+) ]]
	[ "${BASH_REMATCH[1]}" -ge 40 ]
}

@test "every kind of request, with the network gone until the connections are given up" {
	each_request stall -o ServerAliveInterval=1,ServerAliveCountMax=1
	grep -q broke mnt.log
}

@test "every kind of request, with the server killed under it" {
	each_request kill
	grep -q broke mnt.log
}

@test "every kind of request, over a slow network" {
	each_request slow
	not grep -q broke mnt.log
}

@test "sixty cuts under a mix of reads, writes, renames and creates: every byte as it should be" {
	mount_through_pipe
	mkdir disk/a disk/b
	in_background b.out "$fsx" -s 2 -n 2500 -c 80 -p "$work/pipe.ctl" -d "$work/disk/b" "$work/mnt/b"
	b=$started_pid
	timeout 280 "$fsx" -s 1 -n 2500 -c 80 -p "$work/pipe.ctl" -d "$work/disk/a" "$work/mnt/a"
	wait_until 200 gone "$b"
	cat b.out
	grep -q "every byte as it should be" b.out
}

@test "a peer that is silent is dead within 15 s, and what waits goes on with the next connection" {
	mount_through_pipe -o ServerAliveInterval=1,ServerAliveCountMax=2
	mount_claimfs "disk:$work/disk" "$work/default" -F "$work/sshd/pipe_config"
	echo content >disk/file
	pipe_ask stall
	in_background read.out cat mnt/file
	reader=$started_pid
	in_background default.out cat default/file
	wait_for 8 'grep -q broke mnt.log'
	not gone "$reader"
	wait_for 17 'grep -q broke default.log'
	pipe_ask cut now
	pipe_ask resume
	wait_until 20 gone "$reader"
	[ "$(cat read.out)" = content ]
	wait_for 20 '[ "$(cat default.out)" = content ]'
}

@test "an operation without a connection ends with ETIMEDOUT after -o timeout; later ones work again" {
	mount_through_pipe -o timeout=2
	echo content >disk/file
	exec 9<mnt/file
	gone_away
	took 14 python3 -c '
import errno, os
for call in lambda: os.stat("mnt/nothing"), lambda: os.mkdir("mnt/dir"), lambda: os.open("mnt/file", os.O_RDWR):
    try:
        call()
        raise SystemExit("worked")
    except OSError as error:
        assert error.errno == errno.ETIMEDOUT, error'
	[ "$status" -eq 0 ]
	[ "$took_ms" -ge 1900 ]
	pipe_ask refuse 0
	wait_for 20 '[ "$(cat mnt/file)" = content ]'
	[ "$(cat <&9)" = content ]
	exec 9<&-
}

@test "SIGINT ends what waits for the server at once" {
	mount_through_pipe
	gone_away
	for call in 'os.stat("mnt/file")' 'os.listdir("mnt")' 'os.mkdir("mnt/dir")'; do
		in_background call.out python3 -c "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print('go', flush=True); $call"
		wait_until 10 grep -q go call.out
		wait_for 10 'grep -q "^[0-9]" /proc/$started_pid/syscall'
		kill -INT "$started_pid"
		wait_until 2 gone "$started_pid"
	done
	# Its own mount is unmounted while the server is away.
	took 5 fusermount3 -u mnt
	[ "$status" -eq 0 ]
	wait_until 15 gone "$mount_pid"
}

@test "fusermount3 -u works while the server is silent, with writes that never arrived" {
	mount_through_pipe
	echo before >mnt/file
	pipe_ask stall
	in_background write.out python3 -c '
import os
fd = os.open("mnt/file", os.O_WRONLY)'
	took 5 fusermount3 -uz mnt
	[ "$status" -eq 0 ]
	kill -KILL "$started_pid"
	wait_until 30 gone "$mount_pid"
	[ "$(cat disk/file)" = before ]
}

# The server falls silent, and the mount is unmounted: its program is gone within SECONDS. No connection is left to the next.
gone_though_silent() {	# SECONDS
	pipe_ask stall
	took 5 fusermount3 -u mnt
	[ "$status" -eq 0 ]
	wait_until "$1" gone "$mount_pid" || still_mounted "$work/mnt"
	pipe_ask cut now
	pipe_ask resume
}

@test "unmounted while the server is silent, the daemon is gone in seconds: idle, with data connections, with ssh children, while it connects" {
	local -a mount=(mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config")
	mkdir -p disk
	start_sshd
	start_pipe
	for how in '' -obuiltin_ssh "-ossh_command=ssh -F $work/sshd/pipe_config"; do
		"${mount[@]}" ${how:+"$how"}
		ls mnt
		gone_though_silent 8
		"${mount[@]}" ${how:+"$how"}
		head -c 24M /dev/zero >mnt/big
		cat mnt/big >/dev/null
		gone_though_silent 8
		# The next connection is accepted, and nothing is ever said on it.
		"${mount[@]}" ${how:+"$how"}
		ls mnt
		pipe_ask stall
		pipe_ask cut now
		wait_until 20 grep -q broke mnt.log
		gone_though_silent 8
	done
}

@test "unmounted while the server is silent, with claims or with writes that never arrived: gone within what is promised to them, and it is said" {
	local -a mount=(mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config")
	make_queue "$work/disk/queue"
	make_inputs "$work/disk/queue/inputs" 3
	start_sshd
	start_pipe
	"${mount[@]}"
	mv mnt/queue/todo/0001 mnt/queue/claims/0001
	gone_though_silent 18	# 10 s to give claims back
	grep -q "claims become free when its lease has run out" mnt.log
	"${mount[@]}" -o timeout=3
	writer_waits_for silent 100000
	pipe_ask stall
	touch silent
	wait_until 10 test -e written
	kill -KILL "$started_pid"
	wait_until 10 gone "$started_pid"
	gone_though_silent 11	# -o timeout
	grep -q "what was written to file is not all on the server" mnt.log
}

@test "unmounted behind a program that was killed with writes under way: they are all on the server when the daemon is gone" {
	mount_through_pipe
	writer_waits_for slow 2000000
	pipe_ask rate up 600000
	touch slow
	wait_until 10 test -e written
	kill -KILL "$started_pid"
	wait_until 20 gone "$started_pid"
	fusermount3 -u mnt
	wait_until 40 gone "$mount_pid"
	cmp disk/file <(head -c 2000000 /dev/zero | tr '\0' x)
}

# Of 2 MiB, through the pipe.
mount_of_small_disk() {
	[ "$(id -u)" -eq 0 ] || skip "needs root for a small tmpfs"
	mkdir -p disk
	mount -t tmpfs -o size=2m tmpfs disk || skip "no tmpfs here"
	echo "$work/disk" >>.mounts
	mount_through_pipe
}

@test "a full disk: ENOSPC at write, fsync or close, and never silence" {
	mount_of_small_disk
	run python3 -c '
import errno, os
def fill(name, flags, sync):
    told = []
    fd = os.open(name, flags | os.O_CREAT, 0o644)
    try:
        for i in range(64):
            os.write(fd, bytes(65536))
    except OSError as error:
        told.append(error.errno)
    if sync:
        try:
            os.fsync(fd)
        except OSError as error:
            told.append(error.errno)
    try:
        os.close(fd)
    except OSError as error:
        told.append(error.errno)
    assert errno.ENOSPC in told, (name, told)
    assert set(told) == {errno.ENOSPC}, (name, told)
    os.unlink(name)
fill("mnt/write", os.O_WRONLY, False)
fill("mnt/synced", os.O_WRONLY, True)
fill("mnt/appended", os.O_WRONLY | os.O_APPEND, True)
with open("mnt/small", "w") as f:
    f.write("there is room again")'
	echo "$output"
	[ "$status" -eq 0 ] && [ "$(cat disk/small)" = "there is room again" ] && passed=1
	unmount "$work/mnt"
	umount disk
	[ -n "$passed" ]
}

@test "what a removed or replaced file took is free when rm or mv ends, also on a full disk" {
	mount_of_small_disk
	run python3 -c '
import os
def write(name, size):
    with open(name, "wb", 0) as f:
        f.write(bytes(size))
for i in range(100):
    write("mnt/big", 1900000)
    if i % 2:
        os.close(os.open("mnt/big", os.O_RDONLY))
    if i % 4 < 2:
        os.unlink("mnt/big")
    else:
        write("mnt/small", 1)
        os.rename("mnt/small", "mnt/big")'
	echo "$output"
	[ "$status" -eq 0 ] && passed=1
	unmount "$work/mnt"
	umount disk
	[ -n "$passed" ]
}

@test "a disk that has room and takes no more (a limit, a quota): EIO at write, fsync or close, and never silence" {
	mkdir -p disk
	cat >server <<-'SERVER'
		#!/bin/sh
		trap '' XFSZ
		ulimit -f 1024
		exec /usr/lib/openssh/sftp-server
	SERVER
	chmod +x server
	mount_claimfs "$work/disk" "$work/mnt" -o "sftp_server=$work/server"
	run python3 -c '
import errno, os
for name in "written", "synced", "appended":
    told = []
    fd = os.open("mnt/" + name, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if name == "appended" else 0))
    steps = [lambda: os.write(fd, bytes(65536))] * 48 + [lambda: os.fsync(fd)] * (name == "synced") + [lambda: os.close(fd)]
    for step in steps:
        try:
            step()
        except OSError as error:
            told.append(errno.errorcode[error.errno])
    assert set(told) == {"EIO"}, (name, told)
with open("mnt/small", "w") as f:
    f.write("small")'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(cat disk/small)" = small ]
	grep -q "refuses .*/written: .*without a reason.*quota" mnt.log
}

@test "a file that is gone or another one after the break: ESTALE, and nothing is written to the other" {
	mount_through_pipe
	run python3 -c "
import errno, os, subprocess
def ask(*words):
    subprocess.run(['$fault_pipe', '--ask', '$work/pipe.ctl', *words], check=True, stdout=subprocess.DEVNULL)
def written(name):
    fd = os.open('mnt/' + name, os.O_RDWR | os.O_CREAT)
    os.write(fd, b'x' * 100)
    os.fsync(fd)
    return fd
fds = [written(name) for name in ('removed', 'shorter', 'directory', 'kept')]
ask('refuse', '600')
ask('cut', 'now')
os.unlink('disk/removed')
open('disk/new', 'w').write('another')
os.rename('disk/new', 'disk/shorter')
os.unlink('disk/directory')
os.mkdir('disk/directory')
ask('refuse', '0')
for fd in fds[:3]:
    try:
        os.pwrite(fd, b'late', 0)
        os.fsync(fd)
        raise SystemExit('written')
    except OSError as error:
        assert error.errno == errno.ESTALE, error
os.pwrite(fds[3], b'late', 0)
os.fsync(fds[3])
assert open('disk/shorter').read() == 'another'
assert open('disk/kept').read() == 'late' + 'x' * 96"
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "an open file that was renamed or removed here is never taken for the one that has its name now" {
	mount_through_pipe -o timeout=10
	run python3 -c "
import errno, os, subprocess
def ask(*words):
    subprocess.run(['$fault_pipe', '--ask', '$work/pipe.ctl', *words], check=True, stdout=subprocess.DEVNULL)
removed = os.open('mnt/removed', os.O_RDWR | os.O_CREAT)
renamed = os.open('mnt/renamed', os.O_RDWR | os.O_CREAT)
replaced = os.open('mnt/replaced', os.O_RDWR | os.O_CREAT)
os.unlink('mnt/removed')
os.rename('mnt/renamed', 'mnt/elsewhere')
open('mnt/new', 'w').write('new')
os.rename('mnt/new', 'mnt/replaced')
for name in 'removed', 'renamed':
    open('mnt/' + name, 'w').write('new')
# As much as is spread over all connections, each of which has to open the file.
data = os.urandom(1 << 20) * 24
for fd in removed, renamed, replaced:
    assert os.pwrite(fd, data, 0) == len(data)
    os.fsync(fd)
    assert os.pread(fd, len(data), 0) == data
ask('cut', 'now')
os.pwrite(renamed, b'late', 0)
os.fsync(renamed)
for fd in removed, replaced:
    try:
        os.pwrite(fd, b'late', 0)
        os.fsync(fd)
        raise SystemExit('written')
    except OSError as error:
        assert error.errno == errno.ESTALE, error
for name in 'removed', 'renamed', 'replaced':
    assert open('disk/' + name).read() == 'new', name
assert open('disk/elsewhere', 'rb').read() == b'late' + data[4:]"
	echo "$output"
	[ "$status" -eq 0 ]
}
