"""cut_each: every kind of request with its connection cut, stalled, slowed down or its server killed under it.

  cut_each.py CONTROL MOUNT DISK SSHD cut|stall|slow|kill

CONTROL is the fault pipe's socket, SSHD the process id of the server behind it. Whatever happened, an operation ends once: with success, and on the
disk is what it says. A cut comes before the server has the request whole, and when its answer is on the way.
"""
import ctypes
import errno
import json
import os
import signal
import socket
import stat
import sys
import threading
import time

AT_FDCWD, RENAME_EXCHANGE = -100, 2
libc = ctypes.CDLL(None, use_errno=True)
control, mount, disk = sys.argv[1:4]
server = int(sys.argv[4])
os.chdir(mount)


def ask(command):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(control)
        s.sendall(command.encode() + b"\n")
        answer = s.recv(1000)
        assert answer.startswith(b"ok"), (command, answer)


def there(name):
    return os.path.join(disk, name)


def put(name, data=b"content"):
    with open(there(name), "wb") as f:
        f.write(data)


def whole(name):
    with open(there(name), "rb") as f:
        return f.read()


class Operation:
    """Subclasses: prepare() without cuts, run() with one, check()."""

    def __init__(self, name):
        self.name = name

    def prepare(self):
        put(self.name)

    def done(self):
        pass


class Create(Operation):
    def prepare(self):
        pass

    def run(self):
        os.close(os.open(self.name, os.O_CREAT | os.O_WRONLY, 0o640))

    def check(self):
        assert whole(self.name) == b""


class CreateExclusive(Create):
    def run(self):
        try:
            os.close(os.open(self.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
        except FileExistsError:
            pass    # whose it is can't be known when the answer is lost, so nobody may think to hold it


class Mkdir(Operation):
    def prepare(self):
        pass

    def run(self):
        os.mkdir(self.name)

    def check(self):
        assert os.path.isdir(there(self.name))


class Rmdir(Operation):
    def prepare(self):
        os.mkdir(there(self.name))

    def run(self):
        os.rmdir(self.name)

    def check(self):
        assert not os.path.exists(there(self.name))


class Unlink(Operation):
    def run(self):
        os.unlink(self.name)

    def check(self):
        assert not os.path.exists(there(self.name))


class Rename(Operation):
    def prepare(self):
        put(self.name)
        put(self.name + ".to", b"old")

    def run(self):
        os.rename(self.name, self.name + ".to")

    def check(self):
        assert whole(self.name + ".to") == b"content"
        assert not os.path.exists(there(self.name))


class Link(Operation):
    def run(self):
        os.link(self.name, self.name + ".to")

    def check(self):
        assert os.path.samefile(there(self.name), there(self.name + ".to"))


class Symlink(Operation):
    def prepare(self):
        pass

    def run(self):
        os.symlink("target", self.name)

    def check(self):
        assert os.readlink(there(self.name)) == "target"


class Readlink(Operation):
    def prepare(self):
        os.symlink("target", there(self.name))

    def run(self):
        assert os.readlink(self.name) == "target"


class Stat(Operation):
    def run(self):
        assert os.stat(self.name).st_size == 7


class List(Operation):
    def prepare(self):
        os.mkdir(there(self.name))
        for i in range(300):
            put("%s/%03d" % (self.name, i))

    def run(self):
        assert sorted(os.listdir(self.name)) == ["%03d" % i for i in range(300)]


class Statvfs(Operation):
    def run(self):
        assert os.statvfs(self.name).f_blocks == os.statvfs(there(self.name)).f_blocks


class Chmod(Operation):
    def run(self):
        os.chmod(self.name, 0o600)

    def check(self):
        assert stat.S_IMODE(os.stat(there(self.name)).st_mode) == 0o600


class Times(Operation):
    def run(self):
        os.utime(self.name, (1000000000, 1100000000))

    def check(self):
        assert os.stat(there(self.name)).st_mtime == 1100000000


class Truncate(Operation):
    def run(self):
        os.truncate(self.name, 3)

    def check(self):
        assert whole(self.name) == b"con"


class Read(Operation):
    data = os.urandom(300000)

    def prepare(self):
        put(self.name, self.data)

    def run(self):
        with open(self.name, "rb") as f:
            assert f.read() == self.data


class Opened(Operation):
    """With a descriptor from before."""

    flags = os.O_RDWR

    def prepare(self):
        put(self.name)
        self.fd = os.open(self.name, self.flags)

    def done(self):
        os.close(self.fd)


class ReadOpened(Opened):
    def run(self):
        assert os.pread(self.fd, 100, 0) == b"content"


class Write(Opened):
    data = os.urandom(300000)

    def run(self):
        assert os.pwrite(self.fd, self.data, 5) == len(self.data)
        os.fsync(self.fd)

    def check(self):
        assert whole(self.name) == b"conte" + self.data


class Append(Opened):
    flags = os.O_WRONLY | os.O_APPEND

    def run(self):
        for i in range(3):
            os.write(self.fd, b"line %d\n" % i)
        os.fsync(self.fd)

    def check(self):
        assert whole(self.name) == b"contentline 0\nline 1\nline 2\n", whole(self.name)


class Ftruncate(Opened):
    def run(self):
        os.ftruncate(self.fd, 4)

    def check(self):
        assert whole(self.name) == b"cont"


class Fstat(Opened):
    def run(self):
        os.fchmod(self.fd, 0o604)
        assert stat.S_IMODE(os.fstat(self.fd).st_mode) == 0o604


class RenameOpened(Opened):
    def run(self):
        os.write(self.fd, b"CONTENT")
        os.rename(self.name, self.name + ".to")
        os.write(self.fd, b" and more")
        os.fsync(self.fd)

    def check(self):
        assert whole(self.name + ".to") == b"CONTENT and more"


class Copy(Operation):
    data = os.urandom(200000)

    def prepare(self):
        put(self.name, self.data)

    def run(self):
        with open(self.name, "rb") as source, open(self.name + ".to", "wb") as target:
            left = len(self.data)
            while left:
                n = os.copy_file_range(source.fileno(), target.fileno(), left)
                assert n > 0
                left -= n

    def check(self):
        assert whole(self.name + ".to") == self.data


class CopyOpened(Opened):
    """From and to the middle of files that are open."""

    data = os.urandom(200000)

    def prepare(self):
        put(self.name, self.data)
        put(self.name + ".to", b"head" * 1000)
        self.fd = os.open(self.name, os.O_RDONLY)
        self.target = os.open(self.name + ".to", os.O_RDWR)

    def run(self):
        done = 0
        while done < 150000:
            n = os.copy_file_range(self.fd, self.target, 150000 - done, 100 + done, 3000 + done)
            assert n > 0
            done += n

    def done(self):
        os.close(self.target)
        super().done()

    def check(self):
        assert whole(self.name + ".to") == b"head" * 750 + self.data[100:150100]


class Exchange(Operation):
    """Refused, so nothing happens."""

    def prepare(self):
        put(self.name)
        put(self.name + ".to", b"other")

    def run(self):
        paths = [os.fsencode(name) for name in (self.name, self.name + ".to")]
        assert libc.renameat2(AT_FDCWD, paths[0], AT_FDCWD, paths[1], RENAME_EXCHANGE) == -1, "exchanged"
        assert ctypes.get_errno() == errno.EINVAL, errno.errorcode[ctypes.get_errno()]

    def check(self):
        assert whole(self.name) == b"content"
        assert whole(self.name + ".to") == b"other"


operations = [Create, CreateExclusive, Mkdir, Rmdir, Unlink, Rename, Link, Symlink, Readlink, Stat, List, Statvfs, Chmod, Times, Truncate, Read,
              ReadOpened, Write, Append, Ftruncate, Fstat, RenameOpened, Copy, CopyOpened, Exchange]


def statistics():
    return json.loads(os.getxattr(mount, "user.claimfs.stats"))


def wait_until(condition, thread):
    """Or until the operation, which may need no server, is over."""
    until = time.monotonic() + 30
    while thread.is_alive() and not condition():
        assert time.monotonic() < until, "nothing happens"
        time.sleep(0.01)


def kill_servers(pid):
    for tasks in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, tasks)) as f:
            for child in map(int, f.read().split()):
                try:
                    kill_servers(child)
                    os.kill(child, signal.SIGKILL)
                except (ProcessLookupError, FileNotFoundError):
                    pass


class Way:
    """What is done to the connections: before the operation begins, while it runs, and when it is over."""

    def begin(self):
        pass

    def meanwhile(self, thread):
        pass

    def end(self):
        pass


class Cut(Way):
    def __init__(self, cut):
        self.cut = cut

    def begin(self):
        ask(self.cut)


class Stall(Way):
    """The network is gone until the connections are given up, which hold what was sent."""

    def begin(self):
        self.before = self.reconnects()
        ask("stall")

    def meanwhile(self, thread):
        wait_until(lambda: self.reconnects() > self.before, thread)
        ask("cut now")
        ask("resume")

    def reconnects(self):
        return sum(connection["reconnects"] for connection in statistics()["connections"])


class Slow(Way):
    def begin(self):
        ask("delay 30ms")
        ask("rate 300000")

    def end(self):
        ask("delay 0")
        ask("rate 0")


class Kill(Way):
    """The server's processes are killed while requests wait to get to them."""

    def begin(self):
        ask("stall up")

    def meanwhile(self, thread):
        wait_until(lambda: any(connection["waiting"] for connection in statistics()["connections"]), thread)
        kill_servers(server)
        ask("resume")


ways = {"cut": [Cut("cut up 1 rst"), Cut("cut down 1 fin")], "stall": [Stall()], "slow": [Slow()], "kill": [Kill()]}[sys.argv[5]]


def run(operation, failed):
    try:
        operation.run()
    except OSError as error:
        failed.append(errno.errorcode[error.errno])
    except AssertionError as error:
        failed.append("wrong: %s" % error)


for kind in operations:
    for number, way in enumerate(ways):
        operation = kind("%s.%d" % (kind.__name__, number))
        operation.prepare()
        os.stat(".")
        failed = []
        way.begin()
        thread = threading.Thread(target=run, args=(operation, failed))
        thread.start()
        way.meanwhile(thread)
        thread.join()
        way.end()
        if failed:
            sys.exit("%s, %s: %s" % (kind.__name__, sys.argv[5], failed[0]))
        operation.done()
        if hasattr(operation, "check"):
            try:
                operation.check()
            except (AssertionError, OSError) as error:
                sys.exit("%s, %s: on the disk: %r" % (kind.__name__, sys.argv[5], error))
print("%d operations, each in %d ways" % (len(operations), len(ways)))
