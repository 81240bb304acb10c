#!/usr/bin/env bats
# Mounting and unmounting, and what a user is told when it cannot be.

load ../lib

SSHD_KEX=	# sshd's own choice

# refuses PATTERN COMMAND...: exit status 1 and exactly one line, which matches.
refuses() {
	local pattern=$1
	shift
	fails_with 1 "$pattern" timeout 60 "$@" </dev/null
	if [ "$(printf '%s\n' "$output" | wc -l)" -ne 1 ]; then
		echo "more than one line:"
		echo "$output"
		return 1
	fi
	not mounted "$work/mnt"
}

@test "mount: a local directory, in the background, and unmount" {
	mkdir disk mnt
	echo hello >disk/file
	echo "$work/mnt" >>.mounts
	claimfs "$work/disk" "$work/mnt" 3>&-
	# The root is there when the command returns.
	[ "$(cat mnt/file)" = hello ]
	echo back >mnt/new
	[ "$(cat disk/new)" = back ]
	pid=$(daemon_of "$work/mnt")
	[ -n "$pid" ]
	fusermount3 -u mnt
	wait_until 10 gone "$pid"
	[ -z "$(ls mnt)" ]
}

# What the daemon still does once it is mounted must not be in the way: a stat of its own would make it busy.
@test "mount: it can be unmounted the moment it is there" {
	mkdir disk "mn t"
	echo "$work/mn t" >>.mounts
	for i in {1..15}; do
		claimfs "$work/disk" "$work/mn t" 3>&-
		fusermount3 -u "$work/mn t"
	done
	[ -z "$(ls "mn t")" ]
	claimfs "$work/disk" "$work/mn t" 3>&-
	ls "mn t"
	device=$(stat -c %Hd:%Ld "mn t")
	[ "$(id -u)" -ne 0 ] || [ ! -w "/sys/class/bdi/$device/read_ahead_kb" ] || wait_for 10 '[ "$(cat "/sys/class/bdi/$device/read_ahead_kb")" = 1024 ]'
	unmount "$work/mn t"
}

@test "mount: the daemon holds no descriptor of the terminal and stands in /" {
	mkdir disk mnt
	echo "$work/mnt" >>.mounts
	# A daemon that kept the pipe open would let this wait for ever.
	timeout 20 bash -c 'claimfs "$1" "$2" | cat' - "$work/disk" "$work/mnt" 3>&-
	mounted "$work/mnt"
	pid=$(daemon_of "$work/mnt")
	[ "$(readlink "/proc/$pid/cwd")" = / ]
	unmount "$work/mnt"
}

@test "mount: through sshd, by an alias of ssh_config" {
	start_sshd
	mkdir disk
	echo over-ssh >disk/file
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config"
	[ "$(cat mnt/file)" = over-ssh ]
	head -c 3000000 /dev/urandom >random
	cp random mnt/random
	cmp random disk/random
	cmp random mnt/random
	grep -q "^disk:$work/disk $work/mnt fuse.claimfs" /proc/self/mounts
	unmount "$work/mnt"
}

@test "mount: user, host and port on the command line, without a configuration" {
	start_sshd
	mkdir disk
	mount_claimfs "$(id -un)@127.0.0.1:$work/disk" "$work/mnt" -F /dev/null -p "$ssh_port" \
		-o "IdentityFile=$work/sshd/user_key,UserKnownHostsFile=$work/sshd/known_hosts,StrictHostKeyChecking=yes"
	touch mnt/x
	[ -e disk/x ]
}

@test "mount: through an ssh child when asked for" {
	start_sshd
	mkdir disk
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" -o "ssh_command=ssh -F $work/sshd/ssh_config"
	echo child >mnt/file
	[ "$(cat disk/file)" = child ]
	unmount "$work/mnt"
}

@test "mount: RSA keys work" {
	start_sshd
	mkdir disk
	rm "$work/sshd/user_key" "$work/sshd/user_key.pub"
	ssh-keygen -q -t rsa -b 3072 -N '' -f "$work/sshd/user_key"
	cp "$work/sshd/user_key.pub" "$work/sshd/authorized_keys"
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config"
	touch mnt/x
}

@test "mount: an agent's key works" {
	start_sshd
	mkdir disk
	eval "$(ssh-agent -s)" >/dev/null
	started "$SSH_AGENT_PID"
	ssh-add -q "$work/sshd/user_key"
	mv "$work/sshd/user_key" "$work/sshd/moved"
	SSH_AUTH_SOCK=$SSH_AUTH_SOCK mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config"
	touch mnt/x
}

@test "mount: read-only" {
	mkdir disk
	echo x >disk/x
	mount_claimfs "$work/disk" "$work/mnt" -o ro
	[ "$(cat mnt/x)" = x ]
	fails_with 1 '*Read-only file system*' touch mnt/y
}

@test "mount: SIGTERM ends the daemon and unmounts" {
	mkdir disk
	mount_claimfs "$work/disk" "$work/mnt"
	kill -TERM "$mount_pid"
	wait_until 10 gone "$mount_pid"
	not mounted "$work/mnt"
}

@test "refused: a local directory that is missing" {
	mkdir mnt
	refuses "*$work/none*" claimfs "$work/none" "$work/mnt"
	touch file
	refuses "*$work/file*" claimfs "$work/file" "$work/mnt"
}

@test "refused: a remote directory that is missing" {
	start_sshd
	mkdir mnt
	refuses "*$work/none*" claimfs "disk:$work/none" "$work/mnt" -F "$work/sshd/ssh_config"
}

@test "refused: a mount point that is missing, a file, not empty, or in use" {
	mkdir disk mnt other
	refuses "*$work/none*" claimfs "$work/disk" "$work/none"
	touch file
	refuses "*$work/file*" claimfs "$work/disk" "$work/file"
	touch mnt/here
	refuses "*$work/mnt*not empty*" claimfs "$work/disk" "$work/mnt"
	rm mnt/here
	mount_claimfs "$work/disk" "$work/mnt"
	fails_with 1 "*$work/mnt*" timeout 60 claimfs "$work/other" "$work/mnt"
	[ "$(printf '%s\n' "$output" | wc -l)" -eq 1 ]
}

@test "refused: a host that does not exist, nobody listening" {
	mkdir mnt
	refuses "*no-such-host.invalid*" claimfs no-such-host.invalid:/x "$work/mnt" -F /dev/null
	refuses "*127.0.0.1*" claimfs 127.0.0.1:/x "$work/mnt" -F /dev/null -p 1
}

@test "refused: a server that says nothing" {
	# ConnectTimeout bounds the wait; the answer is one line.
	start_sshd
	mkdir mnt
	start_pipe
	pipe_ask stall
	refuses "*" claimfs disk:/x "$work/mnt" -F "$work/sshd/pipe_config" -o ConnectTimeout=2,timeout=6
}

@test "refused: a server that ends the connection at once" {
	mkdir mnt sshd
	ssh_port=1
	start_pipe
	refuses "*127.0.0.1*" claimfs 127.0.0.1:/x "$work/mnt" -F /dev/null -p "$pipe_port" -o ConnectTimeout=3,timeout=3
}

@test "refused: a wrong key" {
	start_sshd
	mkdir mnt
	ssh-keygen -q -t ed25519 -N '' -f "$work/sshd/wrong_key"
	sed -i "s/user_key/wrong_key/" "$work/sshd/ssh_config"
	refuses "*disk*" claimfs "disk:$work" "$work/mnt" -F "$work/sshd/ssh_config"
	echo "$output"
	[[ $output == *key* ]]
}

@test "refused: an unknown host key, with its fingerprint and the command that accepts it" {
	start_sshd
	mkdir mnt
	: >"$work/sshd/known_hosts"
	sed -i 's/StrictHostKeyChecking yes/StrictHostKeyChecking ask/' "$work/sshd/ssh_config"
	refuses "*$(ssh-keygen -lf "$work/sshd/host_key.pub" | cut -d' ' -f2)*" \
		claimfs "disk:$work" "$work/mnt" -F "$work/sshd/ssh_config"
	[[ $output == *ssh* ]]
}

@test "refused: a changed host key" {
	start_sshd
	mkdir mnt
	ssh-keygen -q -t ed25519 -N '' -f other_key
	printf '[127.0.0.1]:%s %s\n' "$ssh_port" "$(cut -d' ' -f1,2 other_key.pub)" >"$work/sshd/known_hosts"
	refuses "*HAS CHANGED*" claimfs "disk:$work" "$work/mnt" -F "$work/sshd/ssh_config"
	[[ $output == *ssh-keygen*-R* ]]
}

@test "a mount that a signal ends says so in its log" {
	mkdir disk
	mount_claimfs "$work/disk" "$work/mnt"
	kill -HUP "$mount_pid"
	wait_until 20 gone "$mount_pid"
	grep -q "mnt: ended by signal 1$" mnt.log
	[ -z "${SANITIZER_LOGS:-}" ] || skip "sanitizers handle the others themselves"
	mount_claimfs "$work/disk" "$work/mnt2"
	kill -SEGV "$mount_pid"
	wait_until 20 gone "$mount_pid"
	[[ $(grep -c . mnt2.log) = 1 && $(cat mnt2.log) == "claimfs: ended by SIGSEGV from process "*", thread $mount_pid; calls: "*" claimfs+0x"* ]]
	status=0; wait "$mount_pid" || status=$?
	[ "$status" -eq $((128 + 11)) ]
}

@test "a mount survives a limit on the size of its user's files" {
	mkdir -p disk
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 3
	mount_claimfs "$work/disk" "$work/mnt"
	prlimit --pid "$mount_pid" --fsize=0:0
	wait_until 10 has_entries "$work/mnt/q/todo" 3
	unmount "$work/mnt"
	not grep SIGXFSZ "$work/mnt.log"
}

@test "refused: an unknown option, naming the nearest" {
	mkdir disk mnt
	refuses "*reconect*reconnect*" claimfs "$work/disk" "$work/mnt" -o reconect
	refuses "*conections*connections*" claimfs "$work/disk" "$work/mnt" -o conections=2
	refuses "*--versoin*--version*" claimfs "$work/disk" "$work/mnt" --versoin
	refuses "*connections*" claimfs "$work/disk" "$work/mnt" -o connections=many
}

@test "refused: no operands, too many, a host that looks like an option" {
	refuses "*usage*" claimfs
	refuses "*usage*" claimfs "$work/disk"
	refuses "*usage*" claimfs a b c
	mkdir mnt
	refuses "*-oProxyCommand=x*" claimfs -- -oProxyCommand=x:/y "$work/mnt"
}

@test "help and version go to standard output" {
	claimfs -h | grep -q 'MOUNTPOINT'
	claimfs --help | grep -q 'connections'
	claimfs -V | grep -q '^claimfs'
	claimctl --version | grep -q claimctl
	claim-worker --version | grep -q claim-worker
}
