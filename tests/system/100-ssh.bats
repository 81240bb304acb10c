#!/usr/bin/env bats
# What a user meets between `claimfs host:dir mountpoint` and a mounted disk: aliases, keys, host keys, passwords, what the ssh
# program must do, and the one line that says why when it fails.

load ../lib

SSHD_KEX=	# sshd's own choice

host_line() {	# of the server's key, for known_hosts
	printf '[127.0.0.1]:%s %s\n' "$ssh_port" "$(cut -d' ' -f1,2 "$work/sshd/host_key.pub")"
}

# The mount works: a file goes there and back.
works() {
	echo "$RANDOM" >"$work/in"
	cp "$work/in" "$1/file" && cmp "$work/in" "$1/file" && cmp "$work/in" "$work/disk/file"
}

mount_disk() {	# [OPTION...]
	mkdir -p "$work/disk"
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" "$@"
}

# In the background as a user types it; what it says in $output.
mount_fails() {	# PATTERN [OPTION...]
	local pattern=$1
	shift
	mkdir -p "$work/disk" "$work/mnt"
	fails_with 1 "$pattern" timeout 60 claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" -o timeout=20 "$@" </dev/null
	not mounted "$work/mnt"
}

config_line() {	# before all others: it wins
	sed -i "1a \\    $1" "$work/sshd/ssh_config"
}

@test "an alias of ssh_config mounts, through libssh2" {
	start_sshd
	mount_disk
	works "$work/mnt"
	not grep -q "ssh program" "$work/mnt.log"
	unmount "$work/mnt"
}

@test "it goes to the background only when the remote directory is there" {
	start_sshd
	mkdir -p "$work/disk" "$work/mnt"
	echo "$work/mnt" >>"$work/.mounts"
	claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" 3>&-
	mounted "$work/mnt"
	works "$work/mnt"
	unmount "$work/mnt"
	fails_with 1 "*no such directory*" claimfs "disk:$work/nosuch" "$work/mnt" -F "$work/sshd/ssh_config"
}

@test "-o with options of ssh, -p, -C" {
	start_sshd
	mkdir -p "$work/disk"
	sed -i '/Port/d' "$work/sshd/ssh_config"
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" -p "$ssh_port" -C -o ServerAliveInterval=5 -o Ciphers=aes256-ctr
	works "$work/mnt"
	unmount "$work/mnt"
	mount_fails "*nosuchssh*" -o IPQoS=nosuchssh
}

@test "an unknown host key is refused with its fingerprint and the command that accepts it; the command does" {
	start_sshd
	: >"$work/sshd/known_hosts"
	mount_fails "*$(ssh-keygen -lf "$work/sshd/host_key.pub" | cut -d' ' -f2)*StrictHostKeyChecking is yes*"
	sed -i '/StrictHostKeyChecking/d' "$work/sshd/ssh_config"
	run timeout 60 setsid claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config" </dev/null
	[ "$status" -eq 1 ]
	[[ $output == *"accept it once with: ssh -F $work/sshd/ssh_config"* ]]
	[ "$(wc -l <<<"$output")" -eq 1 ]
	command=${output#*accept it once with: }
	printf '#!/bin/sh\necho yes\n' >askpass
	chmod +x askpass
	SSH_ASKPASS=$PWD/askpass SSH_ASKPASS_REQUIRE=force DISPLAY=x bash -c "$command"
	mount_disk
	works "$work/mnt"
}

@test "a changed host key is refused" {
	start_sshd
	ssh-keygen -q -t ed25519 -N '' -f other
	printf '[127.0.0.1]:%s %s\n' "$ssh_port" "$(cut -d' ' -f1,2 other.pub)" >"$work/sshd/known_hosts"
	mount_fails "*HAS CHANGED*ssh-keygen -f '$work/sshd/known_hosts' -R *"
}

@test "a revoked host key is refused" {
	start_sshd
	{ host_line; printf '@revoked * %s\n' "$(cut -d' ' -f1,2 "$work/sshd/host_key.pub")"; } >"$work/sshd/known_hosts"
	mount_fails "*revoked*"
}

@test "accept-new adds the key, hashed if so wished" {
	start_sshd
	: >"$work/sshd/known_hosts"
	sed -i 's/StrictHostKeyChecking yes/StrictHostKeyChecking accept-new/; s/HostKeyAlias.*/HashKnownHosts yes/' "$work/sshd/ssh_config"
	mount_disk
	works "$work/mnt"
	grep -q '^|1|' "$work/sshd/known_hosts"
	ssh-keygen -F "[127.0.0.1]:$ssh_port" -f "$work/sshd/known_hosts" >/dev/null
}

@test "an RSA key in a file, and one in the agent" {
	ssh-keygen -q -t rsa -b 2048 -N '' -f key
	mkdir -p sshd && mv key sshd/user_key && mv key.pub sshd/user_key.pub
	start_sshd
	mount_disk
	works "$work/mnt"
	unmount "$work/mnt"
	eval "$(ssh-agent -a "$work/agent")"
	started "$SSH_AGENT_PID"
	ssh-add -q sshd/user_key
	rm sshd/user_key
	mount_disk
	works "$work/mnt"
	not grep -q "ssh program" "$work/mnt.log"
}

@test "a key with a passphrase: SSH_ASKPASS, or a clear line" {
	mkdir -p sshd
	ssh-keygen -q -t ed25519 -N secret -f sshd/user_key
	start_sshd
	mkdir mnt
	run timeout 60 setsid claimfs "disk:$work" "$work/mnt" -F "$work/sshd/ssh_config" </dev/null
	[ "$status" -eq 1 ]
	echo "$output"
	[[ $output == *"passphrase"*"ssh-add"* ]]
	printf '#!/bin/sh\necho "$1" >>%s\necho secret\n' "$work/asked" >askpass
	chmod +x askpass
	export SSH_ASKPASS=$PWD/askpass SSH_ASKPASS_REQUIRE=force
	mount_disk
	works "$work/mnt"
	# Several connections and a reconnect: the question was asked once.
	dd if=/dev/zero of="$work/mnt/big" bs=1M count=32 status=none
	stop_sshd all
	SSH_PORT=$ssh_port start_sshd
	wait_for 30 "works '$work/mnt'"
	[ "$(wc -l <asked)" -eq 1 ]
}

# A server that lets "guest" in with the password "let me in" and nothing else; $work/remote is its /mnt. The user is there for it alone: its passwd and
# shadow are in its own mount namespace.
password_sshd() {	# LINES of its configuration
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	mkdir -p remote
	chown 64321:64321 remote
	{ cat /etc/passwd; echo 'guest:x:64321:64321:guest:/mnt:/bin/sh'; } >passwd
	(umask 077 && { cat /etc/shadow; echo "guest:$(openssl passwd -6 'let me in'):19000:0:99999:7:::"; } >shadow)
	local SSHD_EXTRA="PubkeyAuthentication no
		$1"
	local -a SSHD_UNDER=("${own_mounts[@]}" "mount --bind $work/passwd /etc/passwd && mount --bind $work/shadow /etc/shadow && mount --bind $work/remote /mnt")
	start_sshd
}

mount_as_guest() {	# [OPTION...]; what is asked for on standard input
	mkdir -p "$work/mnt"
	echo "$work/mnt" >>"$work/.mounts"
	timeout 60 claimfs guest@disk:/mnt "$work/mnt" -F "$work/sshd/ssh_config" -o timeout=20 "$@" 3>&- 9>&-
}

# A file of many requests goes there and back, as the guest's.
works_as_guest() {
	head -c 5000000 /dev/urandom >"$work/in"
	cp "$work/in" "$1/file" && cmp "$work/in" "$1/file" && cmp "$work/in" "$work/remote/file" && [ "$(stat -c %u "$work/remote/file")" = 64321 ]
}

# The whole of -o password_stdin by one method or the other: a wrong one, none, the right one, and a reconnect with what was given once.
password_on_stdin() {	# LINES
	password_sshd "$1"
	for given in 'wrong\n' '\n'; do
		run mount_as_guest -o password_stdin <<<"$(printf "$given")"
		[ "$status" -eq 1 ]
		[[ $output == *"refuses to let guest in"* ]]
		[ "$(wc -l <<<"$output")" -eq 1 ]
	done
	fails_with 1 "*no password on standard input*" mount_as_guest -o password_stdin </dev/null
	fails_with 1 "*needs a terminal, SSH_ASKPASS or -o password_stdin*" setsid -w timeout 60 claimfs guest@disk:/mnt "$work/mnt" -F "$work/sshd/ssh_config" </dev/null
	mount_as_guest -o password_stdin <<<'let me in'
	works_as_guest "$work/mnt"
	not grep -q 'let me in' "/proc/$(daemon_of "$work/mnt")/cmdline"
	stop_sshd all
	SSH_PORT=$ssh_port password_sshd "$1"
	wait_for 30 "works_as_guest '$work/mnt'"
	unmount "$work/mnt"
}

@test "password_stdin: a user with a password alone mounts, works and is connected again" {
	password_on_stdin "PasswordAuthentication yes"
	grep -q 'Accepted password for guest' sshd/log
}

@test "password_stdin answers keyboard-interactive, and SSH_ASKPASS is asked once" {
	password_on_stdin "KbdInteractiveAuthentication yes
		UsePAM yes"
	grep -q 'Accepted keyboard-interactive/pam for guest' sshd/log
	printf '#!/bin/sh\necho "$1" >>%s\necho let me in\n' "$work/asked" >askpass
	chmod +x askpass
	SSH_ASKPASS=$PWD/askpass SSH_ASKPASS_REQUIRE=force mount_as_guest
	works_as_guest "$work/mnt"
	[ "$(wc -l <asked)" -eq 1 ]
	unmount "$work/mnt"
}

@test "no key is taken: the line names what was tried" {
	start_sshd
	: >"$work/sshd/authorized_keys"
	mount_fails "*refuses to let*$work/sshd/user_key*"
}

@test "the ssh program takes over: ProxyCommand, ProxyJump, GCM-only and RSA-only servers" {
	start_sshd
	config_line "ProxyCommand socat - TCP:%h:%p"
	mount_disk
	works "$work/mnt"
	wait_until 10 grep -q "using the ssh program: ProxyCommand" "$work/mnt.log"
	unmount "$work/mnt"

	sed -i '/ProxyCommand/d' "$work/sshd/ssh_config"
	{ ssh_config_for "$ssh_port" | sed 's/Host disk/Host bastion/'; sed 's/Host disk/&\n    ProxyJump bastion/' "$work/sshd/ssh_config"; } >both
	cat both >"$work/sshd/ssh_config"
	mount_disk
	works "$work/mnt"
	wait_until 10 grep -q "using the ssh program: ProxyJump" "$work/mnt.log"
	unmount "$work/mnt"
	stop_sshd all

	SSHD_EXTRA="Ciphers aes256-gcm@openssh.com" start_sshd
	mount_disk
	works "$work/mnt"
	unmount "$work/mnt"
	stop_sshd all

	rm sshd/host_key sshd/host_key.pub
	ssh-keygen -q -t rsa -b 2048 -N '' -f sshd/host_key
	start_sshd
	mount_disk
	works "$work/mnt"
}

@test "certificates: of the host by @cert-authority, and the user's" {
	mkdir sshd
	ssh-keygen -q -t ed25519 -N '' -f ca
	ssh-keygen -q -t ed25519 -N '' -f sshd/host_key
	ssh-keygen -q -t ed25519 -N '' -f sshd/user_key
	ssh-keygen -q -s ca -I host -h -n 127.0.0.1 -V +1d sshd/host_key.pub
	ssh-keygen -q -s ca -I user -n "$(id -un)" -V +1d sshd/user_key.pub
	SSHD_EXTRA="HostCertificate $work/sshd/host_key-cert.pub
		TrustedUserCAKeys $work/ca.pub" start_sshd
	: >sshd/authorized_keys
	sed -i 's/HostKeyAlias.*/HostKeyAlias 127.0.0.1/' sshd/ssh_config
	printf '@cert-authority 127.0.0.* %s\n' "$(cut -d' ' -f1,2 ca.pub)" >sshd/known_hosts
	mount_disk
	works "$work/mnt"
	wait_until 10 grep -q "using the ssh program: .*cert" "$work/mnt.log"
	unmount "$work/mnt"
	ssh-keygen -q -t ed25519 -N '' -f other
	printf '@cert-authority 127.0.0.* %s\n' "$(cut -d' ' -f1,2 other.pub)" >sshd/known_hosts
	mount_fails "*"
}

@test "sixteen mounts at once at a server that drops connections at start-up: all mount" {
	start_sshd
	end_process "$sshd_pid"
	sed -i 's/MaxStartups.*/MaxStartups 2:60:4/' sshd/sshd_config
	in_background sshd/log2 /usr/sbin/sshd -D -e -f sshd/sshd_config
	wait_until 10 port_open "$ssh_port"
	mkdir disk
	echo content >disk/file
	for i in {1..16}; do
		mkdir "mnt$i"
		echo "$work/mnt$i" >>.mounts
		claimfs "disk:$work/disk" "$work/mnt$i" -F sshd/ssh_config 3>&- 2>"mnt$i.log" &
		pids+=("$!")
	done
	for i in {1..16}; do
		wait "${pids[i - 1]}"
		[ "$(cat "mnt$i/file")" = content ]
	done
	grep -qE 'drop connection|beginning MaxStartups' sshd/log2
}

@test "-o ssh_command runs a program of one's own" {
	start_sshd
	printf '#!/bin/sh\necho "$@" >%s/words\nexec ssh "$@"\n' "$work" >"my ssh"
	chmod +x "my ssh"
	mount_disk -o "ssh_command='$work/my ssh' -v"
	works "$work/mnt"
	grep -q -- '^-v -x -a .* -- disk sftp$' words
}

@test "-o sftp_server: a path on the server, and one that isn't there" {
	start_sshd
	mount_disk -o sftp_server=/usr/lib/openssh/sftp-server
	works "$work/mnt"
	unmount "$work/mnt"
	mount_fails "*nosuchsubsystem*" -o sftp_server=nosuchsubsystem
}

@test "-o directport speaks SFTP without SSH" {
	command -v socat || skip "no socat"
	local port
	for port in $(shuf -n 20 -i 20000-50000); do
		in_background socat.log socat "TCP-LISTEN:$port,bind=127.0.0.1,reuseaddr,fork" EXEC:/usr/lib/openssh/sftp-server
		wait_until 5 port_open_or_gone "$port" "$started_pid"
		gone "$started_pid" || break
	done
	mkdir -p disk
	mount_claimfs "127.0.0.1:$work/disk" "$work/mnt" -o "directport=$port"
	works "$work/mnt"
}

@test "a host that doesn't exist, a port nobody listens at, a host like an option" {
	mkdir -p mnt
	fails_with 1 "*nosuchhost.invalid*" timeout 60 claimfs nosuchhost.invalid:/ mnt -o timeout=5
	fails_with 1 "*is sshd running*" timeout 60 claimfs 127.0.0.1:/ mnt -p 1 -o timeout=2
	fails_with 1 "*begin with '-'*" timeout 60 claimfs x@-oProxyCommand=touch:/ mnt
}

# How many ssh programs the mount has running.
ssh_children() { pgrep -c -P "$mount_pid" -x ssh || true; }
has_ssh_children() { [ "$(ssh_children)" -gt 0 ]; }

@test "data goes through the ssh program where it can log in by itself, else through libssh2" {
	start_sshd
	mount_disk
	dd if=/dev/urandom of="$work/disk/big" bs=1M count=48 status=none
	cmp "$work/mnt/big" "$work/disk/big"
	wait_until 10 has_ssh_children
	cp "$work/mnt/big" "$work/mnt/copy"
	cmp "$work/disk/big" "$work/disk/copy"
	# Killed, they come again, and nothing is lost.
	pkill -9 -P "$mount_pid" -x ssh
	cp "$work/disk/big" "$work/mnt/again"
	cmp "$work/disk/big" "$work/disk/again"
	unmount "$work/mnt"

	# One that answers -G and cannot log in.
	mkdir bin
	printf '#!/bin/sh\ncase $1 in -G) exec %s "$@" ;; esac\necho "Permission denied (none)." >&2; exit 255\n' "$(command -v ssh)" >bin/ssh
	chmod +x bin/ssh
	PATH=$work/bin:$PATH mount_disk
	cat "$work/mnt/big" >/dev/null
	cp "$work/mnt/big" "$work/mnt/third"
	cmp "$work/disk/big" "$work/disk/third"
	not has_ssh_children
	grep -q "so data goes through libssh2 too" "$work/mnt.log"
	unmount "$work/mnt"

	mount_disk -o builtin_ssh
	cmp "$work/mnt/big" "$work/disk/big"
	not has_ssh_children
}

@test "data has a connection of its own where the user shares connections (ControlMaster)" {
	start_sshd
	config_line "ControlMaster auto"
	config_line "ControlPath $work/master"
	config_line "ControlPersist 60"
	ssh -F "$work/sshd/ssh_config" disk true
	[ -S master ]
	mount_disk
	dd if=/dev/urandom of="$work/disk/big" bs=1M count=48 status=none
	cmp "$work/mnt/big" "$work/disk/big"
	wait_until 10 has_ssh_children || skip "the server seemed far away: the machine is busy"
	# The user's goes, and the mount does not mind.
	ssh -F "$work/sshd/ssh_config" -O exit disk
	wait_until 10 test ! -e master
	ssh_children_before=$(pgrep -P "$mount_pid" -x ssh)
	cp "$work/mnt/big" "$work/mnt/copy"
	cmp "$work/disk/big" "$work/disk/copy"
	for pid in $ssh_children_before; do not gone "$pid"; done
	unmount "$work/mnt"
	[ ! -e master ]
}

connections_up() { getfattr --only-values -n user.claimfs.stats "$work/mnt" 2>/dev/null | grep -o '"state":"up"' | wc -l; }
several_connections() { [ "$(connections_up)" -gt 2 ]; }

@test "far from the server, where the ssh program's window is the limit, data goes through libssh2, over several connections at once" {
	start_sshd
	start_pipe --delay 10ms
	mkdir -p "$work/disk"
	dd if=/dev/urandom of="$work/disk/big" bs=1M count=64 status=none
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config"
	cmp "$work/mnt/big" "$work/disk/big"
	cp "$work/mnt/big" "$work/mnt/copy"
	wait_until 10 several_connections
	not has_ssh_children
	cat "$work/disk/big" >"$work/mnt/again"
	cmp "$work/disk/big" "$work/disk/again"
	cmp "$work/disk/big" "$work/disk/copy"
	not has_ssh_children
}

@test "the man page says of each setting that ssh -G tells what becomes of it" {
	local name settings
	settings=$(sed -n '/^What becomes of each setting/,/^\.Ss/p' "$BATS_TEST_DIRNAME/../../man/claimfs.1" | tr -s ' ,' '\n\n')
	[ -n "$settings" ]
	for name in $(ssh -G -F none -o HostKeyAlias=x -o LocalCommand=x -o RemoteCommand=x -o SetEnv=A=1 -o SendEnv=A host | cut -d' ' -f1 | sort -u); do
		grep -qix "$name" <<<"$settings" || { echo "nothing of $name"; return 1; }
	done
}

@test "settings that would part the ssh program from its pipes are undone in a child" {
	start_sshd
	local line
	for line in "ForkAfterAuthentication yes" "StdinNull yes" "SessionType none"; do
		config_line "$line"
		config_line "ProxyCommand socat - TCP:%h:%p"
		mount_disk
		works "$work/mnt"
		unmount "$work/mnt"
		mount_disk -o sftp_server=/usr/lib/openssh/sftp-server
		works "$work/mnt"
		unmount "$work/mnt"
		sed -i 2,3d "$work/sshd/ssh_config"
	done
}
