#!/usr/bin/env bats
# The fault pipe does what it says: a test that relies on it would otherwise prove nothing.

load ../lib

# An echo server: what comes is sent back. One process, any number of connections.
start_echo() {
	in_background "$work/echo.out" python3 -u -c '
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while True:
            data = self.request.recv(65536)
            if not data:
                return
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
server = Server(("127.0.0.1", 0), Echo)
print(server.server_address[1])
server.serve_forever()'
	wait_until 10 test -s "$work/echo.out"
	ssh_port=$(cat "$work/echo.out")
	mkdir -p "$work/sshd"
}

# client CODE: python with a socket s through the pipe, and time and socket at hand.
client() {
	timeout 60 python3 -c "
import socket, time
s = socket.create_connection(('127.0.0.1', $pipe_port), 20)
s.settimeout(20)
def get(n):
    data = b''
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            break
        data += part
    return data
$1"
}

@test "pipe: bytes come through as they are, end of file too" {
	start_echo
	start_pipe
	client "
import os, threading
data = os.urandom(5000000)
threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()
assert get(5000000) == data
assert s.recv(1) == b''"
	run pipe_ask stats
	[[ $output == "ok up=5000000 down=5000000 open="*" accepted=1 cut=0 flipped=0" ]]
}

@test "pipe: a delay is a delay at any throughput" {
	start_echo
	start_pipe
	pipe_ask delay 50ms
	client "
import threading
begin = time.monotonic()
s.sendall(b'x')
get(1)
took = time.monotonic() - begin
assert 0.1 <= took < 0.6, took
data = bytes(4000000)
begin = time.monotonic()
threading.Thread(target=lambda: s.sendall(data)).start()
get(len(data))
took = time.monotonic() - begin
assert 0.1 <= took < 3, took"
}

@test "pipe: each way has its own delay" {
	start_echo
	start_pipe
	pipe_ask delay up 80ms
	client "
begin = time.monotonic()
s.sendall(b'x')
get(1)
took = time.monotonic() - begin
assert 0.08 <= took < 0.5, took"
	run pipe_ask delay sideways
	[ "$status" -eq 1 ]
	[ "$output" = "error no time" ]
}

@test "pipe: a rate is kept" {
	start_echo
	start_pipe
	pipe_ask rate down 1M
	client "
import threading
data = bytes(2 << 20)
begin = time.monotonic()
threading.Thread(target=lambda: s.sendall(data)).start()
get(len(data))
took = time.monotonic() - begin
assert 1.8 <= took < 6, took"
}

@test "pipe: stall holds everything, resume loses nothing" {
	start_echo
	start_pipe
	pipe_ask stall
	client "
import subprocess
s.sendall(b'held')
s.settimeout(0.5)
try:
    s.recv(1)
    raise SystemExit('came through')
except TimeoutError:
    pass
subprocess.run(['$fault_pipe', '--ask', '$work/pipe.ctl', 'resume'], check=True)
s.settimeout(20)
assert get(4) == b'held'"
}

@test "pipe: cut ends a connection after exactly so many bytes" {
	start_echo
	start_pipe
	pipe_ask cut down 1000 fin
	client "
s.sendall(bytes(3000))
assert len(get(3000)) == 1000"
	pipe_ask cut up 1 rst
	client "
try:
    s.sendall(b'xyz')
    assert s.recv(1) == b''
    raise SystemExit('no reset')
except ConnectionResetError:
    pass"
	client "
s.sendall(b'once only')
assert get(9) == b'once only'"
	[[ $(pipe_ask stats) == *" cut=2 "* ]]
}

@test "pipe: cut now ends all connections" {
	start_echo
	start_pipe
	client "
import subprocess
s.sendall(b'x')
get(1)
subprocess.run(['$fault_pipe', '--ask', '$work/pipe.ctl', 'cut', 'now'], check=True)
try:
    s.recv(1)
    raise SystemExit('no reset')
except ConnectionResetError:
    pass"
}

@test "pipe: flip inverts one byte" {
	start_echo
	start_pipe
	pipe_ask flip up 2
	client "
s.sendall(b'abcdef')
got = get(6)
assert got == b'ab' + bytes([ord('c') ^ 0x7f]) + b'def', got
s.sendall(b'abcdef')
assert get(6) == b'abcdef'"
	[[ $(pipe_ask stats) == *" flipped=1" ]]
}

@test "pipe: refuse, then listen again on the same port" {
	start_echo
	start_pipe
	port_open "$pipe_port"
	pipe_ask refuse 60
	not port_open "$pipe_port"
	pipe_ask refuse 0
	wait_until 10 port_open "$pipe_port"
	client "
s.sendall(b'back')
assert get(4) == b'back'"
}

@test "pipe: a server that is not there resets the client" {
	ssh_port=1
	mkdir -p "$work/sshd"
	start_pipe
	timeout 60 python3 -c "
import socket
try:
    s = socket.create_connection(('127.0.0.1', $pipe_port), 20)
    s.settimeout(20)
    assert s.recv(1) == b''
except ConnectionResetError:
    pass"
}

@test "pipe: sshd through it" {
	start_sshd
	start_pipe --delay 5ms
	echo content >"$work/file"
	echo "get $work/file $work/copy" | sftp -q -F "$work/sshd/pipe_config" -b - disk
	cmp "$work/file" "$work/copy"
	stop_sshd
	not port_open "$ssh_port"
}
