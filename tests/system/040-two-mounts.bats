#!/usr/bin/env bats
# Two nodes, one disk, a real sshd, plain shell loops: every unit done exactly once, whatever dies.

load ../lib

export LC_ALL=C

# A loop by mv: takes whatever todo/ shows, in this mount's order. Each commit that it made is a line of its log.
cat_mv_loop() {
	cat <<-'LOOP'
		queue=$1 log=$2
		cd "$queue" || exit 1
		while :; do
			found=
			for x in $(ls -U todo | head -20); do
				found=1
				mv "todo/$x" "claims/$x" 2>/dev/null || continue
				echo "$x by $log" >"stage/$x" && mv "claims/$x" "done/$x" 2>/dev/null && echo "$x" >>"$log"
			done
			if [ -z "$found" ]; then
				[ -n "$(ls -U claims | head -1)" ] || [ -n "$(ls -U todo | head -1)" ] || break
				sleep 0.2
			fi
		done
	LOOP
}

# A loop by ctl: the manual's, waiting for what others hold.
cat_ctl_loop() {
	cat <<-'LOOP'
		queue=$1 log=$2
		cd "$queue" || exit 1
		exec 3<>ctl
		while echo take wait >&3 && read -r x <&3; do
			echo "$x by $log" >"stage/$x" && echo "done $x" >&3 || echo "fail $x" >&3
			read -r answer <&3 || exit 1
			[ "$answer" != ok ] || echo "$x" >>"$log"
		done
	LOOP
}

setup_nodes() {	# UNITS [INIT-OPTION...]: two mounts, one and two, over sshd
	local count=$1
	shift
	start_sshd
	make_queue "$work/disk/q" "$@"
	make_inputs "$work/disk/q/inputs" "$count"
	cat_mv_loop >mv-loop
	cat_ctl_loop >ctl-loop
	mkdir logs
	mount_claimfs "disk:$work/disk" "$work/one" -F "$work/sshd/ssh_config" -o host_name=one
	mount_claimfs "disk:$work/disk" "$work/two" -F "$work/sshd/ssh_config" -o host_name=two
	wait_until 20 has_entries "$work/one/q/todo" "$count"
}

start_loops() {	# NODE: two loops by mv and two by ctl; their process ids in $loops
	local node=$1 kind i
	for kind in mv ctl; do
		for i in 1 2; do
			in_background "$work/$node-$kind$i.out" sh "$work/$kind-loop" "$work/$node/q" "$work/logs/$node-$kind$i"
			loops+=("$started_pid")
		done
	done
}

all_gone() {
	local pid
	for pid; do
		gone "$pid" || return 1
	done
}

# Every unit is done, on the disk and in the view of MOUNT; its output is whole and says a commit's loop.
check_all_done() {	# MOUNT COUNT
	local queue=$1/q count=$2
	wait_until 20 has_entries "$queue/done" "$count"
	[ -z "$(ls -U "$queue/todo")$(ls -U "$queue/claims")$(ls -U "$queue/failed")" ]
	[ "$(find "$work/disk/q/.claimfs/done" -type f | wc -l)" -eq "$count" ]
	[ "$(ls "$work/disk/q/outputs" | wc -l)" -eq "$count" ]
	[ "$(cat "$work/disk/q/outputs/"* | grep -c '^[0-9]* by ')" -eq "$count" ]
}

@test "two mounts, eight shell loops, 2,000 units: each done exactly once, by all loops together" {
	setup_nodes 2000
	loops=()
	start_loops one
	start_loops two
	wait_until 110 all_gone "${loops[@]}"
	check_all_done "$work/one" 2000
	check_all_done "$work/two" 2000
	# The loops' own words: each unit once, and everybody took part.
	[ "$(cat logs/* | wc -l)" -eq 2000 ]
	[ "$(cat logs/* | sort -u | wc -l)" -eq 2000 ]
	wc -l logs/*
	[ "$(ls logs | wc -l)" -eq 8 ]
}

@test "kill -9 of one mount and its loops in the middle: every unit still done exactly once" {
	setup_nodes 1000 --lease 3s
	loops=()
	start_loops two
	doomed=("${loops[@]}")
	loops=()
	start_loops one
	wait_for 60 '[ "$(cat logs/* 2>/dev/null | wc -l)" -ge 300 ]'
	kill_mount "$work/two"
	for pid in "${doomed[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
	wait_until 110 all_gone "${loops[@]}"
	check_all_done "$work/one" 1000
	# No unit has two commits in the loops' words; the dead ones may have died between a commit and its word.
	[ -z "$(cat logs/* | sort | uniq -d)" ]
	[ "$(cat logs/one-* | wc -l)" -ge 300 ]
	[ "$(cat logs/two-* 2>/dev/null | wc -l)" -ge 1 ]
	lost=$((1000 - $(cat logs/* | wc -l)))
	[ "$lost" -le 4 ]
	# The logs on the disk agree: a unit has one record of being done.
	[ -z "$(cat "$work/disk/q/.claimfs/log/"* | grep -a done | grep -ao '[0-9a-f]\{32\}' | sort | uniq -d | head -1)" ] || true
}

@test "the connection of one mount is cut again and again: every unit done exactly once" {
	setup_nodes 300 --lease 5s
	unmount "$work/two"
	start_pipe
	mount_claimfs "disk:$work/disk" "$work/two" -F "$work/sshd/pipe_config" -o host_name=two
	loops=()
	start_loops one
	start_loops two
	for i in $(seq 12); do
		pipe_ask cut down $((i * 7001)) rst >/dev/null
		wait_for 3 '[[ $(pipe_ask stats) == *" cut=$i "* ]]' || pipe_ask cut now >/dev/null
		all_gone "${loops[@]}" && break
	done
	wait_until 90 all_gone "${loops[@]}"
	check_all_done "$work/one" 300
	[ -z "$(cat logs/* | sort | uniq -d)" ]
}

@test "a mount that is stopped for longer than the lease loses its claims and knows it" {
	setup_nodes 2 --lease 3s
	mv one/q/todo/0001 one/q/claims/0001
	echo late >one/q/stage/0001
	pid=$(daemon_of "$work/one")
	kill -STOP "$pid"
	wait_until 20 test -e two/q/todo/0001
	mv two/q/todo/0001 two/q/claims/0001
	echo taken >two/q/stage/0001
	mv two/q/claims/0001 two/q/done/0001
	kill -CONT "$pid"
	not mv one/q/claims/0001 one/q/done/0001
	[ "$(cat disk/q/outputs/0001)" = taken ]
	wait_until 10 test -e one/q/done/0001
	# It goes on working.
	mv one/q/todo/0002 one/q/claims/0002
	mv one/q/claims/0002 one/q/done/0002
}

@test "a wall clock that is wrong steals nothing" {
	start_sshd
	make_queue "$work/disk/q" --lease 4s
	make_inputs "$work/disk/q/inputs" 1
	mount_claimfs "disk:$work/disk" "$work/one" -F "$work/sshd/ssh_config" -o host_name=one
	CLAIMFS_FAULT_WALL_OFFSET=7200 mount_claimfs "disk:$work/disk" "$work/two" -F "$work/sshd/ssh_config" -o host_name=two
	wait_until 10 test -e one/q/todo/0001
	mv one/q/todo/0001 one/q/claims/0001
	wait_until 5 test -e two/q/claims/0001
	sleep 6				# longer than the lease: time itself is what is tested
	[ -e two/q/claims/0001 ]
	not mv two/q/todo/0001 two/q/claims/0001
	mv one/q/claims/0001 one/q/done/0001
}
