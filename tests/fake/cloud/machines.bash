# machines.bash: machines of the fake clouds: each an sshd on a port of its own with a home of its own, in $FAKE_CLOUD/NAME. What runs on one
# carries FAKE_MACHINE in its environment, by which all of it is ended at once.
#
# $FAKE_CLOUD/config: FAKE_KEYS (a directory with host_key and user_key.pub), FAKE_PATH (the machines' PATH).
. "$FAKE_CLOUD/config"

machine_port_open() {
	(exec 4<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# machine_start NAME: port, pid and what else is known of it as files.
machine_start() {
	local dir=$FAKE_CLOUD/$1 port tries
	mkdir -p "$dir/home" || return
	for tries in 1 2 3 4 5 6 7 8; do
		port=$((RANDOM % 30000 + 20000))
		machine_port_open "$port" && continue
		cat >"$dir/sshd_config" <<-CONFIG
			Port $port
			ListenAddress 127.0.0.1
			HostKey $FAKE_KEYS/host_key
			PidFile none
			AuthorizedKeysFile $FAKE_KEYS/authorized_keys
			StrictModes no
			UsePAM no
			PermitRootLogin yes
			MaxStartups 100:30:200
			KexAlgorithms curve25519-sha256
			SetEnv HOME=$dir/home FAKE_MACHINE=$dir PATH=$FAKE_PATH
		CONFIG
		setsid /usr/sbin/sshd -D -e -f "$dir/sshd_config" >"$dir/sshd.log" 2>&1 </dev/null 3>&- 8>&- 9>&- &
		echo $! >"$dir/pid"
		for ((i = 0; i < 200; i++)); do
			machine_port_open "$port" && break
			kill -0 "$(cat "$dir/pid")" 2>/dev/null || break
			sleep 0.05
		done
		kill -0 "$(cat "$dir/pid")" 2>/dev/null && break
	done
	echo "$port" >"$dir/port"
	cat >"$dir/ssh_config" <<-CONFIG
		Host $1
		    HostName 127.0.0.1
		    Port $port
		    HostKeyAlias fake
	CONFIG
}

machine_exists() {
	[ -e "$FAKE_CLOUD/$1/port" ]
}

machine_processes() {	# DIR
	local environ pid descendants parent child
	descendants=" $(cat "$1/pid") "
	for parent in $descendants; do
		for child in $(cat "/proc/$parent/task/"*/children 2>/dev/null); do
			descendants+="$child $(cat "/proc/$child/task/"*/children 2>/dev/null) "
		done
	done
	for pid in $descendants; do
		[ ! -d "/proc/$pid" ] || grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null || echo "$pid"
	done
	for environ in /proc/[0-9]*/environ; do
		pid=${environ#/proc/} pid=${pid%/environ}
		if grep -qszF "FAKE_MACHINE=$1" "$environ"; then
			echo "$pid"
		fi
	done
}

# machine_kill NAME: as a preemption does: at once, all of it, its disk too.
machine_kill() {
	local dir=$FAKE_CLOUD/$1 pids tries mountpoint
	[ -e "$dir/pid" ] || return 0
	rm -f "$dir/port"
	for ((tries = 0; tries < 200; tries++)); do
		pids=$(machine_processes "$dir")
		[ -n "$pids" ] || break
		kill -KILL $pids 2>/dev/null
		sleep 0.05
	done
	grep -F " $dir/" /proc/self/mounts | cut -d' ' -f2 | while IFS= read -r mountpoint; do
		fusermount3 -uz "$(printf %b "$mountpoint")"
	done
	rm -rf "$dir"
}
