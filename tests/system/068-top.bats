#!/usr/bin/env bats
# claimctl top in a terminal of tmux: keys, sizes, and where there is no terminal.

load ../lib

on_two_queues() {	# COUNT of the first
	make_queue "$work/disk/second"
	make_inputs "$work/disk/second/inputs" 2
	on_queue "$1"
	wait_until 10 has_entries "$work/mnt/second/todo" 2
}

term() {	# a server of our own: nothing else's is touched
	tmux -u -S "$work/tmux" -f /dev/null "$@"
}

# start_top SIZE COMMAND...: it runs; its screen in the function below.
start_top() {
	local size=$1
	shift
	term new-session -d -x "${size%x*}" -y "${size#*x}" "LC_ALL=C.UTF-8 $*; echo ended \$?; sleep 60"
	started "$(term display-message -p '#{pid}')"
}

screen() {
	term capture-pane -p
}

shows() {	# PATTERN
	screen | grep -Eq -- "$1"
}

no_wider_than() {	# COLUMNS ROWS
	[ "$(screen | wc -l)" -le "$2" ] && ! screen | grep -qE "^.{$(($1 + 1))}"
}

@test "top: queues, nodes and failures in 80x24, keys, and other sizes" {
	on_two_queues 6
	run timeout 60 claim-worker "$q" -- sh -c '[ "$1" != 0004 ] || { echo "no such model" >&2; exit 5; }' - '{}'
	[ "$status" -eq 1 ]
	start_top 80x24 claimctl top -d 0.2 "$q" "$work/mnt/second"
	wait_until 20 shows '^>q .* 83.3% +5/6 ' || { screen; false; }
	wait_until 10 shows '^ second .* 0.0% +0/2 '
	wait_until 10 shows 'todo 0  claimed 0  done 5  failed 1'
	wait_until 10 shows '^time: [a-z]+ [0-9]+%'
	wait_until 10 shows "^ $(hostname | cut -c1-8).* live .* 5 +1 +0" || { screen; false; }
	no_wider_than 80 24
	# The other queue, and back; its node has done nothing.
	term send-keys j
	wait_until 10 shows '^>second'
	wait_until 10 shows 'todo 2  claimed 0  done 0  failed 0'
	term send-keys Up
	wait_until 10 shows '^>q'
	# What failed, and what it said.
	term send-keys f
	wait_until 10 shows 'FAILED UNITS \(1 of 1\)'
	wait_until 10 shows '^ 0004'
	wait_until 10 shows 'no such model' || { screen; false; }
	# It goes on: a retry takes the failure away.
	claimctl retry "$q" 0004
	wait_until 10 shows 'NO FAILED UNITS' || { screen; false; }
	term send-keys f
	wait_until 10 shows 'NODE +STATE'
	wait_until 10 shows 'todo 1  claimed 0  done 5  failed 0'
	# Second attempts, of which another node's log tells.
	not shows hedges
	printf '1 lost %s 0 %s 2 - 0001 wasted=12 hedge=lost\n' "$(sed -n 's/^key: //p' "$q/done/0001")" "$(date +%s)" >"$work/disk/q/.claimfs/log/other.0000beef"
	wait_until 10 shows 'overall .*  hedges 1, 0 won$' || { screen; false; }
	# Larger, and smaller than it likes.
	term resize-window -x 130 -y 40
	wait_until 10 shows '^.{100,}ETA' || { screen; false; }
	wait_until 10 eval 'screen | tail -1 | grep -q "q quit"'
	term resize-window -x 30 -y 5
	wait_until 10 shows 'claimctl top'
	wait_until 10 no_wider_than 30 5
	term resize-window -x 80 -y 24
	wait_until 10 shows '^>q .* 83.3% +5/6 '
	term send-keys q
	wait_until 10 shows 'ended 0' || { screen; false; }
	term kill-server
}

@test "top: a mount that dies is said, and q still works" {
	on_two_queues 2
	start_top 80x24 claimctl top -d 0.2 "$q"
	wait_until 20 shows ' 0/2 '
	kill_mount "$work/mnt"
	wait_until 20 shows '! these figures are' || { screen; false; }
	term send-keys q
	wait_until 10 shows 'ended 0'
	term kill-server
}

@test "top: where there is no terminal, or a dumb one" {
	on_two_queues 1
	fails_with 1 '*no terminal*claimctl status*--json*' claimctl top "$q"
	start_top 80x24 "TERM=dumb claimctl top $q; TERM=nonsense claimctl top $q"
	wait_until 10 shows "can't move its cursor" || { screen; false; }
	wait_until 10 shows "not known"
	wait_until 10 shows 'ended 1'
	term kill-server
	fails_with 2 '*200ms*' claimctl top -d 1ms "$q"
	fails_with 1 '*no queue*' claimctl top "$work"
}
