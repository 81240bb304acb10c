#!/usr/bin/env bats
# What programs may rely on beyond the daily commands of 020-posix: several nodes, large things, limits of the protocol.

load ../lib

one_mount() {
	mkdir -p disk
	mount_claimfs "$work/disk" "$work/mnt" "$@"
}

two_mounts() {
	one_mount
	mount_claimfs "$work/disk" "$work/two"
}

# py CODE: with os, errno, subprocess, threading and the directories mnt, two, disk at hand; code() is the errno's name a call fails with.
py() {
	timeout 110 python3 -c "
import errno, os, subprocess, sys, threading, time
mnt, two, disk = '$work/mnt', '$work/two', '$work/disk'
def code(call, *args):
    try:
        call(*args)
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
$1"
}

bytes_of_stats() {	# MOUNT: bytes that its connections have carried
	getfattr --only-values -n user.claimfs.stats "$1" |
		python3 -c 'import json, sys; print(sum(c["bytes_sent"] + c["bytes_received"] for c in json.load(sys.stdin)["connections"]))'
}

@test "O_APPEND from two nodes and several descriptors: no record is lost, torn or doubled" {
	two_mounts
	py "
def append(mount, who):
    fd = os.open(mount + '/log', os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for i in range(400):
        record = b'%s %05d ' % (who, i)
        record += b'.' * (i * 37 % 700 if i % 50 else 9000) + b'\n'
        assert os.write(fd, record) == len(record)
    os.close(fd)
open(disk + '/log', 'w').close()
threads = [threading.Thread(target=append, args=(mount, who)) for mount, who in ((mnt, b'a'), (mnt, b'b'), (two, b'c'), (two, b'd'))]
for thread in threads: thread.start()
for thread in threads: thread.join()
lines = open(disk + '/log', 'rb').read().split(b'\n')
assert lines.pop() == b''
seen = {}
for line in lines:
    who, i, dots = line.split(b' ')
    i = int(i)
    assert dots == b'.' * (i * 37 % 700 if i % 50 else 9000), line[:40]
    assert i == seen.get(who, -1) + 1, (who, i, seen.get(who))
    seen[who] = i
assert seen == {b'a': 399, b'b': 399, b'c': 399, b'd': 399}, seen
assert open(mnt + '/log', 'rb').read() == open(two + '/log', 'rb').read() == open(disk + '/log', 'rb').read()"
}

@test "close to open between two nodes: bytes, length, a name that was replaced, removed, made again" {
	two_mounts
	py "
for i in range(30):
    data = os.urandom(1 + i * 7919 % 60000)
    here, there = (mnt, two) if i % 2 else (two, mnt)
    if i % 3 == 0:
        with open(here + '/new', 'wb') as f: f.write(data)
        os.rename(here + '/new', here + '/file')
    else:
        with open(here + '/file', 'wb') as f: f.write(data)
    with open(there + '/file', 'rb') as f:
        assert os.fstat(f.fileno()).st_size == len(data), (i, os.fstat(f.fileno()).st_size, len(data))
        assert f.read() == data, i
    with open(there + '/file', 'ab') as f: f.write(b'more')
    with open(here + '/file', 'rb') as f: assert f.read() == data + b'more', i
    os.truncate(there + '/file', len(data) // 2)
    with open(here + '/file', 'rb') as f: assert f.read() == data[:len(data) // 2], i
    os.unlink(here + '/file')
    with open(there + '/file', 'x') as f: f.write('again')
    with open(here + '/file') as f: assert f.read() == 'again'
    os.unlink(there + '/file')
    assert code(os.open, here + '/file', os.O_RDONLY) == 'ENOENT'
    fd = os.open(here + '/file', os.O_WRONLY | os.O_CREAT)
    os.close(fd)"
}

@test "a file that was removed while it is open can be opened again by its descriptor" {
	one_mount
	py "
import errno
def again(fd, flags): return os.open('/proc/self/fd/%d' % fd, flags)
def text(fd):
    with open('/proc/self/fd/%d' % fd, 'rb') as file: return file.read()
open(mnt + '/file', 'w').write('0123')
fd = os.open(mnt + '/file', os.O_RDWR)
only_read = os.open(mnt + '/file', os.O_RDONLY)
os.unlink(mnt + '/file')
other = again(fd, os.O_RDWR)
assert text(only_read) == b'0123'
os.pwrite(other, b'ab', 1)
os.close(fd)
os.pwrite(other, b'c', 3)
os.fsync(other)
assert text(other) == text(only_read) == b'0abc'
assert os.fstat(other).st_size == 4 and not os.path.exists(mnt + '/file')
os.close(other)
try:
    again(only_read, os.O_WRONLY)
    raise AssertionError('opened for writing by nobody')
except OSError as error:
    assert error.errno == errno.ESTALE, error"
	echo hi >"$work/mnt/file"
	[ "$(cd "$work/mnt" && exec 3<file && rm file && cat /dev/fd/3)" = hi ]
}

@test "an open file that is unlinked, replaced or renamed goes on, also for what is written through a mapping" {
	one_mount
	py "
import mmap
data = os.urandom(3 << 20)
files = {}
for name in 'unlinked', 'replaced', 'renamed':
    files[name] = os.open(mnt + '/' + name, os.O_RDWR | os.O_CREAT)
    os.write(files[name], data)
os.unlink(mnt + '/unlinked')
open(mnt + '/x', 'w').write('new')
os.rename(mnt + '/x', mnt + '/replaced')
os.rename(mnt + '/renamed', mnt + '/elsewhere')
for name in 'unlinked', 'renamed': open(mnt + '/' + name, 'w').write('new')
for fd in files.values():
    os.pwrite(fd, b'late', 100)
    with mmap.mmap(fd, 0) as m:
        m[2 << 20:(2 << 20) + 6] = b'mapped'
        m.flush()
    os.fsync(fd)
    expected = data[:100] + b'late' + data[104:2 << 20] + b'mapped' + data[(2 << 20) + 6:]
    assert os.pread(fd, 4 << 20, 0) == expected
    assert os.fstat(fd).st_size == len(data)
    os.ftruncate(fd, 10)
    assert os.pread(fd, 100, 0) == data[:10]
    os.close(fd)
for name in 'unlinked', 'replaced', 'renamed': assert open(disk + '/' + name).read() == 'new', name
assert open(disk + '/elsewhere', 'rb').read() == data[:10]"
}

@test "a mapping of a file that is open with O_APPEND: pages go to their place, records to the end" {
	one_mount
	py "
import mmap
fd = os.open(mnt + '/file', os.O_RDWR | os.O_APPEND | os.O_CREAT)
os.write(fd, b'a' * 10000)
with mmap.mmap(fd, 0) as m:
    m[5000:5005] = b'pages'
    os.write(fd, b'record')
    m[0:5] = b'first'
    m.flush()
os.fsync(fd)
assert open(disk + '/file', 'rb').read() == b'first' + b'a' * 4995 + b'pages' + b'a' * 4995 + b'record'"
}

@test "a name that is looked up while appends are on their way: the kernel keeps its end of the file, and its pages their places" {
	mkdir -p disk
	start_sshd
	start_pipe --delay 60ms
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config" -o entry_timeout=0
	py "
fd = os.open(mnt + '/file', os.O_RDWR | os.O_APPEND | os.O_CREAT)
reader = os.open(mnt + '/file', os.O_RDONLY)
data = b''
def append(length):
    global data
    record = os.urandom(length)
    assert os.write(fd, record) == length
    data += record
for i in range(8):
    append(1000 + i * 331)
    append(1000 + i * 773)
    os.close(os.open(mnt + '/file', os.O_PATH))
    append(20000)
    # Not to the end: there the kernel asks anew how long the file is, and forgets its pages.
    assert os.pread(reader, len(data) - 8000, 0) == data[:-8000], i
assert os.pread(reader, len(data) + 1, 0) == data
os.close(fd)
assert open(disk + '/file', 'rb').read() == data"
}

@test "truncate up and down, holes, and a file over 4 GiB that stays sparse" {
	one_mount
	py "
fd = os.open(mnt + '/file', os.O_RDWR | os.O_CREAT)
os.write(fd, b'x' * 100000)
os.ftruncate(fd, 50000)
os.ftruncate(fd, 150000)
assert os.pread(fd, 200000, 0) == b'x' * 50000 + bytes(100000)
os.pwrite(fd, b'end', 300000)
assert os.pread(fd, 400000, 0) == b'x' * 50000 + bytes(250000) + b'end'
# Where holes are nobody knows: all is data up to the end, and behind that is nothing. That is what programs expect where it is so.
assert os.lseek(fd, 70000, os.SEEK_DATA) == 70000
assert os.lseek(fd, 70000, os.SEEK_HOLE) == 300003
for whence in (os.SEEK_DATA, os.SEEK_HOLE):
    try:
        os.lseek(fd, 300004, whence)
        assert False
    except OSError as error:
        assert error.errno == errno.ENXIO
big = os.open(mnt + '/big', os.O_RDWR | os.O_CREAT)
at = (4 << 30) + 12345
os.ftruncate(big, 6 << 30)
os.pwrite(big, b'beyond four', at)
os.pwrite(big, b'at the border', (4 << 30) - 5)
os.fsync(big)
assert os.pread(big, 20, at) == b'beyond four' + bytes(9)
assert os.pread(big, 20, (4 << 30) - 5) == b'at the border' + bytes(7)
os.lseek(big, 0, os.SEEK_END)
os.write(big, b'tail')
os.close(big)
assert os.stat(mnt + '/big').st_size == os.stat(disk + '/big').st_size == (6 << 30) + 4
assert os.stat(disk + '/big').st_blocks * 512 < 1 << 20
with open(disk + '/big', 'rb') as f:
    f.seek(at)
    assert f.read(11) == b'beyond four'
    f.seek(6 << 30)
    assert f.read() == b'tail'"
}

@test "times: whole seconds from 1970 to 2106, and the nearest of these for others" {
	one_mount
	py "
open(mnt + '/file', 'w').close()
for asked, kept in (0, 0), (1, 1), (2**31, 2**31), (2**32 - 1, 2**32 - 1), (-1, 0), (2**32, 2**32 - 1), (1e9 + 0.75, 10**9):
    os.utime(mnt + '/file', (asked, asked))
    assert os.stat(mnt + '/file').st_mtime == os.stat(disk + '/file').st_mtime == kept, (asked, os.stat(disk + '/file').st_mtime)
    assert os.stat(mnt + '/file').st_atime == kept, asked
os.utime(disk + '/file', (1000, 2000))
time.sleep(1.1)
fd = os.open(mnt + '/file', os.O_RDWR)
os.write(fd, b'x')
os.utime(fd, (3000, 4000))
os.close(fd)
assert os.stat(disk + '/file').st_mtime == 4000"
}

@test "20,000 entries: each once, with attributes; and while half of them come and go" {
	one_mount
	py "
os.mkdir(disk + '/dir')
for i in range(20000): os.close(os.open(disk + '/dir/%05d' % i, os.O_CREAT | os.O_WRONLY))
names = sorted(os.listdir(mnt + '/dir'))
assert names == ['%05d' % i for i in range(20000)]
with os.scandir(mnt + '/dir') as entries: assert sum(entry.stat().st_size == 0 for entry in entries) == 20000
def churn():
    for i in range(0, 20000, 2): os.unlink(disk + '/dir/%05d' % i)
    for i in range(3000): os.close(os.open(disk + '/dir/new%05d' % i, os.O_CREAT | os.O_WRONLY))
thread = threading.Thread(target=churn)
thread.start()
rounds = 0
while thread.is_alive() or not rounds:
    names = os.listdir(mnt + '/dir')
    assert len(names) == len(set(names))
    assert set(names) >= {'%05d' % i for i in range(1, 20000, 2)}
    rounds += 1
thread.join()
names = sorted(os.listdir(mnt + '/dir'))
assert names == sorted(os.listdir(disk + '/dir'))"
}

@test "symbolic links: 4,095 bytes work, more are refused cleanly" {
	one_mount -o no_contain_symlinks
	py "
for length in 1, 1000, 4095:
    target = ('x' * 99 + '/') * (length // 100) + 'y' * (length % 100)
    os.symlink(target, mnt + '/%d' % length)
    assert os.readlink(mnt + '/%d' % length) == os.readlink(disk + '/%d' % length) == target
for length in 4096, 32767: assert code(os.symlink, 'x' * length, mnt + '/long') == 'ENAMETOOLONG'
assert sorted(os.listdir(disk)) == ['1', '1000', '4095']"
}

@test "symbolic links that go round in circles" {
	one_mount
	ln -s b disk/a
	ln -s a disk/b
	mkdir disk/dir
	ln -s ../dir disk/dir/again
	echo content >disk/dir/file
	py "
for name in 'a', 'b', 'a/x': assert code(os.stat, mnt + '/' + name) == 'ELOOP', name
assert code(open, mnt + '/a', 'w') == 'ELOOP'
assert open(mnt + '/dir' + '/again' * 30 + '/file').read() == 'content\\n'
assert code(os.stat, mnt + '/dir' + '/again' * 50) == 'ELOOP'
assert sum(len(files) for _, _, files in os.walk(mnt)) == 3"
	unmount "$work/mnt"
	one_mount -o follow_symlinks
	py "
assert code(os.stat, mnt + '/a') in ('ELOOP', 'ENOENT')
assert sorted(os.listdir(mnt)) == ['a', 'b', 'dir']
assert os.stat(mnt + '/dir/again').st_mode == os.stat(mnt + '/dir').st_mode"
}

@test "cp within the mount moves no data over the network" {
	one_mount
	head -c 48M /dev/urandom >disk/source
	before=$(bytes_of_stats mnt)
	cp --reflink=auto mnt/source mnt/target
	cp -r mnt/source mnt/again
	after=$(bytes_of_stats mnt)
	echo "$((after - before)) bytes"
	[ $((after - before)) -lt 1000000 ]
	cmp disk/source disk/target
	cmp disk/source disk/again
	# What was just written is copied too.
	py "
a, b = os.open(mnt + '/a', os.O_RDWR | os.O_CREAT), os.open(mnt + '/b', os.O_RDWR | os.O_CREAT)
os.write(a, b'0123456789' * 100000)
os.lseek(a, 0, os.SEEK_SET)
left = 1000000
while left:
    n = os.copy_file_range(a, b, left)
    assert n > 0
    left -= n
assert os.copy_file_range(a, b, 1000) == 0
assert os.pread(b, 2000000, 0) == b'0123456789' * 100000"
}

@test "rename: RENAME_NOREPLACE, and RENAME_EXCHANGE refused with EINVAL" {
	one_mount
	py "
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def renameat2(a, b, flags):
    if libc.renameat2(-100, os.fsencode(mnt + a), -100, os.fsencode(mnt + b), flags):
        raise OSError(ctypes.get_errno(), '')
for name in 'a', 'b': open(mnt + '/' + name, 'w').write(name)
os.mkdir(mnt + '/dir')
assert code(renameat2, '/a', '/b', 1) == 'EEXIST'
assert code(renameat2, '/a', '/dir', 1) == 'EEXIST'
assert code(renameat2, '/a', '/b', 2) == 'EINVAL'
assert code(renameat2, '/a', '/b', 4) == 'EINVAL'
assert open(disk + '/a').read() + open(disk + '/b').read() == 'ab'
assert code(renameat2, '/a', '/c', 1) == 'ok'
assert code(renameat2, '/dir', '/dir2', 1) == 'ok'
assert sorted(os.listdir(disk)) == ['b', 'c', 'dir2']
# What another node makes in the same moment counts: only one of many wins.
won = []
def race(i):
    open(disk + '/from%d' % i, 'w').write(str(i))
    if code(renameat2, '/from%d' % i, '/to', 1) == 'ok': won.append(i)
threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(won) == 1 and open(disk + '/to').read() == str(won[0]), won"
}

@test "df shows the server's disk" {
	one_mount
	py "
for path in '', '/.':
    here, there = os.statvfs(mnt + path), os.statvfs(disk + path)
    assert here.f_blocks * here.f_frsize == there.f_blocks * there.f_frsize
    assert abs(here.f_bavail * here.f_frsize - there.f_bavail * there.f_frsize) < 10 << 30
    assert here.f_namemax == there.f_namemax"
	df mnt
}

@test "two descriptors and a mapping of one file see one another's writes at once" {
	one_mount
	py "
import mmap
a = os.open(mnt + '/file', os.O_RDWR | os.O_CREAT)
b = os.open(mnt + '/file', os.O_RDWR)
os.ftruncate(a, 20000)
with mmap.mmap(b, 20000) as m:
    for i in range(200):
        at = i * 97
        os.pwrite(a, b'%04d' % i, at)
        assert os.pread(b, 4, at) == b'%04d' % i
        assert m[at:at + 4] == b'%04d' % i
        m[at:at + 4] = b'M%03d' % i
        assert os.pread(a, 4, at) == b'M%03d' % i
    m.flush()
os.close(a)
os.close(b)
assert open(disk + '/file', 'rb').read(4) == b'M000'"
}
