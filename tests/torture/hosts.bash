# hosts.bash: the machines of a torture run, sourced by run. A node reaches the disk in one of two ways, HOSTS:
#
#   mounts   all on this host, each through an sftp-server of its own
#   netns    each node in a network namespace of its own, joined by a veth pair to that of the storage host, where a real sshd listens; in the
#            node's namespace a fault pipe (tests/fault/pipe.c) stands before it. Needs root and `ip netns`.
#
# DISKS=DIR: the disk is a distributed one that each node has mounted on its own, at DIR/NODE; WITNESS_AT is then where its events can be seen.
#
# A node gets a wall clock that is wrong by up to five hours, and so do its clients.

declare -A mount_pid=() clock_offset=() pipe_pid=()
sshd_pid='' witness_pid='' filler='' few_links=''
[ "$links" -eq 0 ] || few_links=$build/tests/torture/few_links.so
space=claimfs-$$
sshd_port=2222 pipe_port=2223

# ---- the disk ----

# A small filesystem of its own, so that it can be filled; without the right to mount one it is a directory that is never full.
make_disk() {
	if [ -n "${DISKS:-}" ]; then
		ln -s "$DISKS/n0" "$work/disk"
	elif mkdir -p "$work/disk" && [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o "size=${disk_mb}m,nr_inodes=400k" none "$work/disk" 2>/dev/null; then
		filler=$work/disk/filler
	fi
	mkdir -p "$work/disk/q/inputs"
	make_inputs || fail 'no inputs'
	"$build/claimctl" init "$work/disk/q" --lease "${lease}s" --attempts 50 --key "$key" --durable "$durable" >/dev/null || fail 'claimctl init failed'
}

# Each of its own content.
make_inputs() {
	cd "$work/disk/q/inputs" && seq "$units" | awk -v dirs="$nested" '
		{ print (dirs > 0 ? "d" $1 % dirs % 3 "/e" $1 % dirs "/" : "") "unit" $1 }' >"$work/inputs" &&
		{ [ "$nested" -eq 0 ] || sed 's|/[^/]*$||' "$work/inputs" | sort -u | xargs mkdir -p; } &&
		awk '{ print >$0; close($0) }' "$work/inputs" && xargs touch -d '1 minute ago' <"$work/inputs" && cd - >/dev/null
}

# Writes down what happens on the disk (tests/torture/witness.c).
start_witness() {
	# A distributed disk's directories are made through a node of it, never where the witness stands.
	[ -z "${WITNESS_AT:-}" ] || (cd "$work/disk/q/.claimfs" && mkdir -p nodes claims failed redo && printf 'done/%02x\n' {0..255} | xargs mkdir -p)
	"$build/tests/torture/witness" "${WITNESS_AT:-$work/disk}/q" "$work/history.disk" "$key" >"$work/witness.out" 2>&1 &
	witness_pid=$!
	wait_until 10 grep -q '^ready' "$work/witness.out" || fail "no witness: $(cat "$work/witness.out")"
}

end_witness() {
	kill "$witness_pid"
	wait "$witness_pid" || fail "the witness failed: $(cat "$work/witness.out")"
	witness_pid=''
}

# ---- networks ----

inside() {	# NAME COMMAND…: in the namespace of a node or of the storage host, but with the mounts of this one
	local name=$1
	shift
	if [ "$hosts" = netns ]; then exec nsenter --net="/run/netns/$space-$name" "$@"; else exec "$@"; fi
}

make_networks() {
	local n
	ip netns add "$space-disk" 2>/dev/null || fail 'HOSTS=netns needs root and ip netns (iproute2): try HOSTS=mounts'
	for ((n = 0; n < nodes; n++)); do
		ip netns add "$space-n$n" &&
			ip -n "$space-disk" link add "v$n" type veth peer name v0 netns "$space-n$n" &&
			ip -n "$space-disk" addr add "10.77.$n.1/30" dev "v$n" && ip -n "$space-disk" link set "v$n" up &&
			ip -n "$space-n$n" addr add "10.77.$n.2/30" dev v0 && ip -n "$space-n$n" link set v0 up &&
			ip -n "$space-n$n" link set lo up || fail "no network for n$n"
	done
	# The server in sshd itself: no login shell, whose start-up files may hold locks of their own when they are killed.
	mkdir -p "$work/ssh"
	[ "$(id -u)" -ne 0 ] || mkdir -p /run/sshd
	ssh-keygen -q -t ed25519 -N '' -C host -f "$work/ssh/host_key" && ssh-keygen -q -t ed25519 -N '' -C user -f "$work/ssh/user_key" ||
		fail 'no ssh-keygen'
	printf 'disk %s\n' "$(cut -d' ' -f1,2 "$work/ssh/host_key.pub")" >"$work/ssh/known_hosts"
	cat >"$work/ssh/sshd_config" <<-CONFIG
		Port $sshd_port
		HostKey $work/ssh/host_key
		PidFile none
		AuthorizedKeysFile $work/ssh/user_key.pub
		StrictModes no
		UsePAM no
		PasswordAuthentication no
		PermitRootLogin yes
		MaxStartups 100:30:200
		Subsystem sftp internal-sftp
		ForceCommand internal-sftp
	CONFIG
	cat >"$work/ssh/config" <<-CONFIG
		Host disk
		    HostName 127.0.0.1
		    Port $pipe_port
		    User $(id -un)
		    HostKeyAlias disk
		    IdentityFile $work/ssh/user_key
		    IdentitiesOnly yes
		    UserKnownHostsFile $work/ssh/known_hosts
		    StrictHostKeyChecking yes
	CONFIG
	start_sshd
	for ((n = 0; n < nodes; n++)); do start_pipe "$n"; done
}

start_sshd() {
	LD_PRELOAD=$few_links CLAIMFS_TORTURE_LINKS=$links inside disk /usr/sbin/sshd -D -e -f "$work/ssh/sshd_config" 2>>"$work/ssh/log" &
	sshd_pid=$!
}

start_pipe() {
	local node=n$1
	inside "$node" "$build/tests/fault/pipe" --listen "$pipe_port" --to "10.77.$1.1:$sshd_port" --control "$work/$node.pipe" \
		>"$work/$node.pipe.out" 2>&1 &
	pipe_pid[$node]=$!
	wait_until 10 grep -q '^ready' "$work/$node.pipe.out" || fail "no pipe for $node: $(cat "$work/$node.pipe.out")"
}

pipe_ask() {	# NODE COMMAND…
	"$build/tests/fault/pipe" --ask "$work/$1.pipe" "${@:2}" >/dev/null
}

# ---- mounts ----

mounted() { [ -e "$work/$1/q/progress" ]; }

mount_node() {
	local node=$1 source=${DISKS:+$DISKS/$1}
	source=${source:-$work/disk}
	local -a options=(-f -o "host_name=$node")
	mkdir -p "$work/$node"
	: "${clock_offset[$node]:=$((RANDOM % 36000 - 18000))}"
	[ "$hosts" = mounts ] || { source=disk:$work/disk && options+=(-F "$work/ssh/config"); }
	LD_PRELOAD=$few_links CLAIMFS_TORTURE_LINKS=$links CLAIMFS_FAULT_WALL_OFFSET=${clock_offset[$node]} \
		inside "$node" "$build/claimfs" "${options[@]}" "$source" "$work/$node" \
		2>>"$work/$node.log" &
	mount_pid[$node]=$!
	wait_until 30 mounted "$node" || fail "$node does not mount: $(tail -n 3 "$work/$node.log")"
}

# The servers that carry a node's connections (netns: everybody's, since they are sessions of sshd).
sftp_servers() {
	if [ "$hosts" = mounts ]; then pgrep -P "${mount_pid[$1]}" -x sftp-server; else pgrep -P "$sshd_pid"; fi
}

end_hosts() {
	local node pid n
	for node in "${!mount_pid[@]}"; do
		fusermount3 -uz "$work/$node" 2>/dev/null
		for pid in $(pgrep -P "${mount_pid[$node]}"); do kill -CONT "$pid" 2>/dev/null; done
		kill -9 "${mount_pid[$node]}" 2>/dev/null
	done
	[ -z "$witness_pid" ] || kill -9 "$witness_pid" 2>/dev/null
	for node in "${!pipe_pid[@]}"; do kill -9 "${pipe_pid[$node]}" 2>/dev/null; done
	if [ "$hosts" = netns ]; then
		for n in disk $(seq -f 'n%g' 0 $((nodes - 1))); do
			for pid in $(ip netns pids "$space-$n" 2>/dev/null); do kill -9 "$pid" 2>/dev/null; done
			ip netns del "$space-$n" 2>/dev/null
		done
	fi
	wait 2>/dev/null
	[ -z "$filler" ] || umount "$work/disk" 2>/dev/null || umount -l "$work/disk"
}
