# lib.bash: what the system tests share. A bats file begins with: load ../lib
#
# Each test has a directory of its own, $work. What it starts is written down there and ended by teardown, by process id: tests
# run beside one another.

export CLAIMFS_BUILD=${CLAIMFS_BUILD:-$(realpath -m "$BATS_TEST_DIRNAME/../../build")}
PATH=$CLAIMFS_BUILD:$PATH
fault_pipe=$CLAIMFS_BUILD/tests/fault/pipe

setup() {
	work=$BATS_TEST_TMPDIR
	export XDG_CACHE_HOME=$work/cache XDG_RUNTIME_DIR=$work/run
	mkdir -p "$work/cache" "$work/run"
	cd "$work" || return 1
	: >"$work/.pids"
	: >"$work/.mounts"
}

teardown() {
	cd / || return 1
	local mountpoint pid
	tac "$work/.mounts" | while IFS= read -r mountpoint; do
		unmount_now "$mountpoint"
	done
	while read -r pid; do
		end_process "$pid" TERM
	done <"$work/.pids"
	if [ "$(wc -l <"$work/.mounts")" -gt 0 ] && grep -q "$work" /proc/self/mounts; then
		echo "teardown: mounts are left:"
		grep "$work" /proc/self/mounts
	fi
}

# ---- waiting ----

# wait_until SECONDS COMMAND...: until the command succeeds; 1 and a line when it never did. With PATIENCE=N, for programs that are slower than they should
# be, N times as long.
wait_until() {
	local limit=$(($1 * ${PATIENCE:-1})) end
	shift
	end=$((${EPOCHREALTIME/[.,]/} + limit * 1000000))
	until "$@" >/dev/null 2>&1; do
		if [ "${EPOCHREALTIME/[.,]/}" -ge "$end" ]; then
			"$@" >/dev/null 2>&1 && return 0
			echo "not within $limit s: $*"
			return 1
		fi
		sleep 0.05
	done
}

# The same for a condition in shell.
wait_for() {	# SECONDS 'shell code'
	wait_until "$1" eval "$2"
}

gone() {	# PID: is it no process any more, or a zombie nobody has waited for
	! [ -d "/proc/$1" ] || grep -q '^State:[[:space:]]*Z' "/proc/$1/status" 2>/dev/null
}

# not COMMAND...: "! command" is not seen by bats unless it comes last.
not() {
	if "$@"; then
		echo "succeeded, though it must not: $*"
		return 1
	fi
}

# ---- processes ----

started() {	# PID: end it with the test
	echo "$1" >>"$work/.pids"
}

# in_background LOG COMMAND...: its process id in $started_pid. It stands in $work, so that it keeps no mount busy.
in_background() {
	local log=$1
	shift
	(cd "$work" && exec "$@") >"$log" 2>&1 </dev/null 3>&- 9>&- &
	started_pid=$!
	started "$started_pid"
}

end_process() {	# PID [SIGNAL]: and see that it ends
	kill "-${2:-TERM}" "$1" 2>/dev/null || return 0
	wait_until 10 gone "$1" || kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null || true
}

# ---- mounts ----

mounted() {	# MOUNTPOINT
	grep -q " $(printf %s "$(realpath -m "$1" 2>/dev/null || echo "$1")" | sed 's/ /\\\\040/g') fuse" /proc/self/mounts
}

# mount_claimfs SOURCE MOUNTPOINT [OPTION...]: in the foreground as far as claimfs knows, in the background here; its process id in $mount_pid.
# Its log is MOUNTPOINT.log.
mount_claimfs() {
	local source=$1 mountpoint=$2
	shift 2
	mkdir -p "$mountpoint"
	echo "$mountpoint" >>"$work/.mounts"
	in_background "$mountpoint.log" claimfs "$source" "$mountpoint" -f "$@"
	mount_pid=$started_pid
	if ! wait_until "${MOUNT_LIMIT:-20}" mounted_or_gone "$mountpoint" "$mount_pid" || ! mounted "$mountpoint"; then
		echo "mount of $source failed:"
		cat "$mountpoint.log"
		return 1
	fi
}

mounted_or_gone() {
	mounted "$1" || gone "$2"
}

# unmount MOUNTPOINT: as a user does, and the daemon ends by itself.
unmount() {
	local pid
	pid=$(daemon_of "$1")
	fusermount3 -u "$1" || return 1
	[ -z "$pid" ] || wait_until "${UNMOUNT_LIMIT:-20}" gone "$pid" || still_mounted "$1"
}

# Why its daemon is still there, perhaps: another mount namespace has the mount (see own_mounts). Always 1.
still_mounted() {	# MOUNTPOINT
	local mounts
	for mounts in $(grep -ls " $1 fuse" /proc/[0-9]*/mounts); do
		echo "it is mounted for: $(tr '\0' ' ' <"${mounts%mounts}cmdline")"
	done
	return 1
}

unmount_now() {	# whatever state it is in
	mountpoint -q "$1" || mounted "$1" || return 0
	fusermount3 -u "$1" 2>/dev/null && return
	fusermount3 -uz "$1" 2>/dev/null || umount -l "$1" 2>/dev/null || true
}

# The process id of the claimfs that serves MOUNTPOINT, by its command line.
daemon_of() {
	local dir arg self
	self=$(realpath "$(command -v claimfs)")
	for dir in /proc/[0-9]*; do
		[ "$dir/exe" -ef "$self" ] || continue
		while IFS= read -r -d '' arg; do
			if [ "$arg" = "$1" ]; then
				basename "$dir"
				return
			fi
		done <"$dir/cmdline" 2>/dev/null
	done
}

kill_mount() {	# MOUNTPOINT: as a preempted machine: the daemon dies at once, and nobody says goodbye
	local pid
	pid=$(daemon_of "$1")
	kill -KILL "$pid" || return 1
	wait_until 10 gone "$pid"
	fusermount3 -uz "$1" 2>/dev/null || true
}

# "${own_mounts[@]}" 'shell code' COMMAND...: both in a mount namespace of its own. Mounts of other tests would live on in it after they were unmounted,
# and their daemons with them.
own_mounts=(unshare -m bash -c 'umount -a -l -t fuse.claimfs; eval "$1" && shift && exec "$@"' own_mounts)

# ---- a server ----

port_open() {	# PORT
	(exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# From OpenSSH 9.8 on a server shuts an address out for a while after failed logins, of which tests have many.
sshd_pardon() {	# HOST-KEY
	! /usr/sbin/sshd -T -h "$1" -f /dev/null 2>/dev/null | grep -q '^persourcepenalties' || echo 'PerSourcePenalties no'
}

# start_sshd: a server of our own on loopback: keys, configuration, and ssh_config with the host "disk", all in $work/sshd. SHLVL keeps bash from
# reading ~/.bashrc in its sessions: what it starts there (version managers with locks of their own, say) is not what is tested. SSHD_EXTRA: lines
# of its configuration that win over these; SSHD_UNDER: an array, a command that runs it. SSHD_KEX: the key exchange; empty: what sshd has by default,
# which (sntrup761) costs each login a tenth of a second of a core and is left to 010-mount.bats and 100-ssh.bats, where logging in is what is tested.
start_sshd() {
	local dir=$work/sshd attempt
	mkdir -p "$dir"
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	[ -e "$dir/host_key" ] || ssh-keygen -q -t ed25519 -N '' -C host -f "$dir/host_key"
	[ -e "$dir/user_key" ] || ssh-keygen -q -t ed25519 -N '' -C user -f "$dir/user_key"
	cp "$dir/user_key.pub" "$dir/authorized_keys"
	for attempt in 1 2 3 4 5; do
		ssh_port=${SSH_PORT:-$((RANDOM % 30000 + 20000))}
		port_open "$ssh_port" && continue
		cat >"$dir/sshd_config" <<-CONFIG
			${SSHD_EXTRA:-}
			Port $ssh_port
			ListenAddress 127.0.0.1
			HostKey $dir/host_key
			PidFile $dir/pid
			AuthorizedKeysFile $dir/authorized_keys
			StrictModes no
			UsePAM no
			PasswordAuthentication no
			KbdInteractiveAuthentication no
			PermitRootLogin yes
			MaxStartups 100:30:200
			MaxSessions 100
			SetEnv SHLVL=2
			${SSHD_KEX-KexAlgorithms curve25519-sha256}
			LogLevel VERBOSE
			$(sshd_pardon "$dir/host_key")
			Subsystem sftp /usr/lib/openssh/sftp-server
		CONFIG
		in_background "$dir/log" "${SSHD_UNDER[@]}" /usr/sbin/sshd -D -e -f "$dir/sshd_config"
		sshd_pid=$started_pid
		wait_until 10 port_open_or_gone "$ssh_port" "$sshd_pid" || return 1
		gone "$sshd_pid" || break
	done
	if gone "$sshd_pid"; then
		cat "$dir/log"
		return 1
	fi
	printf '[127.0.0.1]:%s %s\n' "$ssh_port" "$(cut -d' ' -f1,2 "$dir/host_key.pub")" >"$dir/known_hosts"
	ssh_config_for "$ssh_port" >"$dir/ssh_config"
}

port_open_or_gone() {
	port_open "$1" || gone "$2"
}

# What a user would have in ~/.ssh/config for a server on that port (through a fault pipe, say).
ssh_config_for() {	# PORT
	cat <<-CONFIG
		Host disk
		    HostName 127.0.0.1
		    Port $1
		    User $(id -un)
		    HostKeyAlias [127.0.0.1]:$ssh_port
		    IdentityFile $work/sshd/user_key
		    IdentitiesOnly yes
		    UserKnownHostsFile $work/sshd/known_hosts
		    StrictHostKeyChecking yes
	CONFIG
}

# Ends the server; with "all" its sessions as well, as when the host dies.
stop_sshd() {
	local children=
	[ "${1:-}" != all ] || children=$(descendants "$sshd_pid")
	end_process "$sshd_pid" TERM
	[ -z "$children" ] || kill -KILL $children 2>/dev/null || true
}

descendants() {	# PID: all of them, by /proc
	local child
	for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do
		echo "$child"
		descendants "$child"
	done
}

# start_pipe [OPTION...]: a fault pipe before sshd; its port in $pipe_port; commands with pipe_ask.
start_pipe() {
	in_background "$work/pipe.out" "$fault_pipe" --listen 0 --to "127.0.0.1:$ssh_port" --control "$work/pipe.ctl" "$@"
	wait_until 10 grep -q '^ready' "$work/pipe.out" || return 1
	pipe_port=$(sed -n 's/^ready //p' "$work/pipe.out")
	ssh_config_for "$pipe_port" >"$work/sshd/pipe_config"
}

pipe_ask() {
	"$fault_pipe" --ask "$work/pipe.ctl" "$@"
}

# ---- queues ----

# make_queue DIR [INIT-OPTION...]: without a settling time unless told otherwise.
make_queue() {
	local dir=$1
	shift
	mkdir -p "$dir/inputs"
	claimctl init "$dir" --settle 0 "$@"
}

# inputs DIR COUNT: files 0001 ... with their names inside.
make_inputs() {
	local dir=$1 count=$2 i
	mkdir -p "$dir"
	for ((i = 1; i <= count; i++)); do
		printf 'input %04d\n' "$i" >"$dir/$(printf %04d "$i")"
	done
}

# on_queue COUNT [INIT-OPTION...]: a queue with that many inputs at $work/disk/q, and mounted: $q.
on_queue() {
	local count=$1
	shift
	make_queue "$work/disk/q" "$@"
	make_inputs "$work/disk/q/inputs" "$count"
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_entries "$q/todo" "$count"
}

entries() {	# DIR: how many, sub-directories' as well
	find "$1" -type f | wc -l
}

has_entries() {	# DIR COUNT
	[ "$(entries "$1")" -eq "$2" ]
}

# errno_of PYTHON: the name of the errno that the statement fails with, or "ok".
errno_of() {
	python3 -c '
import errno, os, sys
try:
    exec(sys.argv[1])
    print("ok")
except OSError as error:
    print(errno.errorcode[error.errno])' "$1"
}

# The status and one clear line: fails_with STATUS PATTERN COMMAND... (PATTERN as in [[ == ]])
fails_with() {
	local expected=$1 pattern=$2
	shift 2
	run "$@"
	if [ "$status" -ne "$expected" ] || [[ $output != $pattern ]]; then
		echo "status $status, expected $expected; said, expected '$pattern':"
		echo "$output"
		return 1
	fi
}
