# nemesis.bash: what befalls the nodes of a torture run, sourced by run. Each event is over when its function returns, but for what it killed.

# note EVENT NODE: for the reader of a story; nothing is judged by it.
note() { printf '%s nemesis %s %s -\n' "$(now)" "$2" "$1" >>"$work/history.nemesis"; }

pause() { read -rt "$1" <> <(:); }

kill_mount() {
	local node=$1 pid=${mount_pid[$1]}
	say "  kill -9 the mount of $node"
	note kill "$node"
	{ kill -9 "$pid" && wait "$pid"; } 2>/dev/null
	fusermount3 -uz "$work/$node"
	wait_until 10 eval "! mountpoint -q '$work/$node'"
	mount_node "$node"
	replace_workers "$node"
}

stop_mount() {
	local node=$1 pid=${mount_pid[$1]} time=$((lease + RANDOM % 3))
	say "  stop the mount of $node for $time s"
	note stop "$node"
	kill -STOP "$pid"
	pause "$time"
	kill -CONT "$pid"
	note cont "$node"
}

whose() { if [ "$hosts" = mounts ]; then echo "$1"; else echo 'all nodes'; fi; }

kill_servers() {
	local node=$1
	say "  kill -9 sftp-servers of $(whose "$node")"
	note cut "$node"
	kill -9 $(sftp_servers "$node") 2>/dev/null
}

# Its requests were sent and are carried out later, perhaps when the lease is over.
stop_servers() {
	local node=$1 time=$((1 + RANDOM % (lease + 1))) pids
	pids=$(sftp_servers "$node")
	say "  stop the sftp-servers of $(whose "$node") for $time s"
	note stop "$node"
	kill -STOP $pids 2>/dev/null
	pause "$time"
	kill -CONT $pids 2>/dev/null
	note cont "$node"
}

kill_client() {
	local which=$((RANDOM % ${#client_pid[@]})) node
	node=${client_node[$which]}
	say "  kill -9 client $which of $node, and another one comes"
	note kill "client-$which"
	{ kill -9 "${client_pid[$which]}" && wait "${client_pid[$which]}"; } 2>/dev/null
	start_client "$which" "$node"
}

stop_client() {
	local which=$((RANDOM % ${#client_pid[@]})) pid
	pid=${client_pid[$which]}
	say "  stop client $which for a second"
	kill -STOP "$pid" 2>/dev/null
	pause 1
	kill -CONT "$pid" 2>/dev/null
}

fill_disk() {
	[ -n "$filler" ] || return 0
	say '  fill the disk for 2 s'
	note stop disk
	dd if=/dev/zero of="$filler" bs=64k status=none 2>/dev/null
	pause 2
	rm -f "$filler"
	note cont disk
}

# A user does some units anew.
redo() {
	local node=$1 name pick=$RANDOM
	say "  redo through $node"
	for name in $(units_in "$work/$node/q/done" 2>/dev/null | sort | shuf -n 5 --random-source=<(yes "$pick")); do
		printf '%s run %s redo %s\n' "$(now)" "$node" "$name" >>"$work/history.run"
		timeout 20 mv "$work/$node/q/done/$name" "$work/$node/q/todo/$name" 2>>"$work/redo.log"
	done
	for name in $(units_in "$work/$node/q/failed" 2>/dev/null | head -n 2); do
		printf '%s run %s retry %s\n' "$(now)" "$node" "$name" >>"$work/history.run"
		timeout 20 mv "$work/$node/q/failed/$name" "$work/$node/q/todo/$name" 2>>"$work/redo.log"
	done
}

# ---- with networks ----

kill_sshd() {
	say '  kill -9 sshd and all its sessions'
	note kill disk
	{ kill -9 $(ip netns pids "$space-disk") && wait "$sshd_pid"; } 2>/dev/null
	pause "0.$((RANDOM % 9 + 1))"
	start_sshd
}

cut_link() {
	local node=$1 time=$((1 + RANDOM % (lease + 2)))
	say "  the link of $node is down for $time s"
	note cut "$node"
	ip -n "$space-$node" link set v0 down
	pause "$time"
	ip -n "$space-$node" link set v0 up
	note mend "$node"
}

cut_at_byte() {
	local node=$1 at=$((RANDOM * 4))
	say "  cut the connection of $node in $at bytes"
	note cut "$node"
	pipe_ask "$node" cut "$at" rst
}

slow_link() {
	local node=$1
	say "  slow the link of $node: 300 ms and 50 kB/s, for 3 s"
	note cut "$node"
	pipe_ask "$node" delay 300ms
	pipe_ask "$node" rate 50k
	pause 3
	pipe_ask "$node" delay 0s
	pipe_ask "$node" rate 0
	note mend "$node"
}

events_of_mounts=(kill_mount stop_mount kill_servers stop_servers kill_client stop_client fill_disk redo)
events_of_netns=("${events_of_mounts[@]}" kill_sshd cut_link cut_at_byte slow_link)

disturb() {
	local -n events_here=events_of_$hosts
	"${events_here[$((RANDOM % ${#events_here[@]}))]}" "n$((RANDOM % nodes))"
}
