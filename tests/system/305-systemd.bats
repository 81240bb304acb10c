#!/usr/bin/env bats
# Under a real systemd, which runs in namespaces of its own (tests/fake/systemd/boot): what `claimctl fleet start' makes of it, and the units
# that the package brings. Needs root, systemd, and a cgroup2 that may be written; skipped elsewhere.

load ../lib
bats_require_minimum_version 1.5.0

project=$BATS_TEST_DIRNAME/../..

boot() {
	local hierarchy
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -x /lib/systemd/systemd ] || skip "needs systemd"
	hierarchy=$(findmnt -n -t cgroup2 -o TARGET | head -1)
	cgroup=$hierarchy/claimfs-test-$$-$BATS_TEST_NUMBER
	[ -n "$hierarchy" ] && mkdir "$cgroup" 2>/dev/null || skip "no cgroup2 that may be written"
	mkdir -p units helpers
	ln -s "$(command -v claimfs)" helpers/mount.fuse.claimfs
	(
		echo "$BASHPID" >"$cgroup/cgroup.procs"
		exec unshare --mount --propagation slave --pid --cgroup --uts --ipc --fork --kill-child \
			"$project/tests/fake/systemd/boot" "$work/units" "$work/helpers"
	) >systemd.log 2>&1 </dev/null 3>&- &
	booted=$!
	wait_until 30 eval 'gone "$booted" || inside systemctl is-active test.target' || { cat systemd.log; false; }
	! gone "$booted" || skip "no systemd in namespaces here: $(tail -1 systemd.log)"
}

eval "lib_$(declare -f teardown)"
teardown() {
	if [ -n "${booted:-}" ]; then
		kill -KILL "$booted" 2>/dev/null || true	# and all that is in its namespaces
		wait "$booted" 2>/dev/null || true
		wait_for 10 'find "$cgroup" -depth -type d -exec rmdir {} + && [ ! -e "$cgroup" ]'
	fi
	lib_teardown
}

# A machine that systemd runs: in its namespaces, with the test's files.
enter() {	# the command for it, as an array
	local init
	init=$(cat "/proc/$booted/task/$booted/children") && [ -n "$init" ] || return
	entering=(nsenter -t "${init%% *}" --mount --pid --cgroup --uts --ipc --wdns="$work")
}

inside() {	# COMMAND...
	enter && "${entering[@]}" "$@"
}

unit_is() {	# UNIT STATE
	[ "$(inside systemctl show -p ActiveState --value "$1")" = "$2" ]
}

# The processes of a unit, by their names.
processes() {	# UNIT
	inside sh -c 'find "/sys/fs/cgroup$(systemctl show -p ControlGroup --value "$1")" -name cgroup.procs -exec cat {} + | xargs -I{} cat /proc/{}/comm' - "$1" | sort
}

# The machine's sshd, in a scope with all its sessions.
start_ssh() {
	enter
	SSHD_UNDER=("${entering[@]}" systemd-run -q --scope --unit=ssh)
	SSHD_EXTRA="Match all
		SetEnv SHLVL=2 HOME=$work/home ${SSHD_SET:-PATH=$PATH}" start_sshd
}

start_machine() {
	export XDG_STATE_HOME=$work/state
	mkdir -p home bin
	start_ssh
	printf '#!/bin/sh\nexec /usr/bin/ssh -F %s "$@"\n' "$work/sshd/ssh_config" >bin/ssh
	chmod +x bin/ssh
	PATH=$work/bin:$PATH
}

@test "systemd: fleet start survives the end of all that ssh has started, is done once, and drains on stop" {
	boot
	start_machine
	make_queue "$work/disk/q" --lease 6s
	make_inputs "$work/disk/q/inputs" 4
	mkdir mnt
	inside systemd-run -q --unit=disk "$(command -v claimfs)" "$work/disk" "$work/mnt" -f
	wait_until 20 inside test -e mnt/q/ctl
	claimctl fleet up -H disk
	# Each job waits until it is told to end.
	start=(claimctl fleet start "$work/mnt/q" -j 1 --watch -- sh -c ': >"$0/$CLAIM_NAME"; until [ -e "$1/$CLAIM_NAME" ]; do sleep 0.1; done; echo "$CLAIM_NAME: $2" >"$CLAIM_OUT"' "$work/began" "$work/go" 'it'\''s; $x "${HOME}" %h')
	mkdir go began
	[ "$("${start[@]}")" = "disk started" ]
	unit=$(inside systemctl list-units --plain --no-legend 'claim-fleet-*' | cut -d' ' -f1)
	unit_is "$unit" active
	wait_for 20 'processes "$unit" | grep -qx claim-worker'
	worker=$(inside systemctl show -p MainPID --value "$unit")
	[ "$("${start[@]}")" = "disk already running" ]
	[ "$(inside systemctl show -p MainPID --value "$unit")" = "$worker" ]
	claimctl fleet ls | grep -q "running $work/mnt/q"
	# More than a logout: nothing is left of ssh.
	inside systemctl stop ssh.scope
	not port_open "$ssh_port"
	touch go/000{1,2,3,4}
	wait_until 30 has_entries disk/q/outputs 4
	grep -qF '0001: it'\''s; $x "${HOME}" %h' disk/q/outputs/0001
	unit_is "$unit" active
	# stop: the job that runs may end, and what was not begun is given back.
	SSH_PORT=$ssh_port start_ssh
	rm go/*
	make_inputs "$work/disk/q/inputs" 6
	wait_until 30 has_entries began 5
	in_background stop.out claimctl fleet stop
	wait_for 20 'claimctl fleet logs | grep -q "stopping: 1 job may run 25 s more"'
	touch go/0005 go/0006
	wait_until 30 gone "$started_pid"
	[ "$(cat stop.out)" = "disk stopped $work/mnt/q" ]
	[ "$(entries disk/q/outputs)" -eq 5 ]
	claimctl fleet ls | grep -q "ended 143 $work/mnt/q"
	wait_for 10 '[ "$(inside systemctl show -p LoadState --value "$unit")" = not-found ]'
	# As a machine that goes down: there is time for the grace, for jobs that don't end by themselves, and for giving back.
	claimctl fleet start "$work/mnt/q" -j 1 --grace 1s -- sh -c 'trap "" TERM; : >"$1"; while :; do sleep 0.1; done' - "$work/deaf"
	wait_until 30 test -e deaf
	grace=$(claim-worker --help | sed -n 's/^ *--grace=.*(\([0-9]*\)s)$/\1/p')
	limit=$(inside systemctl show -p TimeoutStopUSec --value "$unit")
	[ $((grace + 2)) -lt "${limit%s}" ] && [ "${limit%s}" -lt 30 ]
	inside systemctl stop "$unit"
	claimctl fleet ls | grep -q "ended 143 $work/mnt/q"
	inside claimctl status --json mnt/q | jq -e '.units.todo == 1 and .units.claimed == 0'
	not grep -r lost disk/q/.claimfs/log
}

# A user of the machine who isn't root, with a manager of their own, as a login makes it.
add_user() {	# NAME ID
	chmod 711 "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$work" "$work/sshd"
	mkdir -p run-user programs
	cp "$(command -v claimfs)" "$(command -v claim-worker)" programs/
	printf '#!/bin/sh\n[ "$*" = enable-linger ] && [ -e "$HOME/may linger" ]\n' >programs/loginctl
	printf '#!/bin/sh\nexit 1\n' >programs/sudo
	chmod +x programs/*
	{ cat /etc/passwd; echo "$1:x:$2:$2::$work/home:/bin/sh"; } >passwd
	{ cat /etc/shadow; echo "$1:*:19000:0:99999:7:::"; } >shadow
	inside mount --bind "$work/passwd" /etc/passwd
	inside mount --bind "$work/shadow" /etc/shadow
	mkdir -p home
	chown -R "$2:$2" home run-user disk mnt go began
	inside systemd-run -q --unit="user-$2" --uid="$2" -p Delegate=yes --setenv=XDG_RUNTIME_DIR="$work/run-user" --setenv=HOME="$work/home" \
		--setenv=SYSTEMD_UNIT_PATH="$work/units" /lib/systemd/systemd --user --unit=test.target
	wait_until 20 test -S run-user/systemd/private
}

as_user() {	# ID COMMAND...
	local id=$1
	shift
	inside env XDG_RUNTIME_DIR="$work/run-user" setpriv --reuid="$id" --regid="$id" --clear-groups "$@"
}

@test "systemd: fleet start as a user who isn't root: a unit of their own manager" {
	boot
	make_queue "$work/disk/q" --lease 6s
	make_inputs "$work/disk/q/inputs" 2
	mkdir mnt go began
	start_machine
	add_user ann 4242
	inside systemctl stop ssh.scope
	SSH_PORT=$ssh_port SSHD_SET="XDG_RUNTIME_DIR=$work/run-user PATH=$work/programs:/usr/bin:/bin" start_ssh
	sed -i "s/User .*/User ann/" sshd/ssh_config
	timeout 200 claimctl fleet up -H disk || { cat sshd/log; false; }
	inside systemd-run -q --unit=disk "$(command -v claimfs)" "$work/disk" "$work/mnt" -f -o allow_other
	wait_until 20 inside test -e mnt/q/ctl
	start=(claimctl fleet start "$work/mnt/q" -j 1 -- sh -c 'until [ -e "$1/$CLAIM_NAME" ]; do sleep 0.1; done; id -un >"$CLAIM_OUT"' - "$work/go")
	# Where it ends with the session, the manager is not used.
	"${start[@]}"
	claimctl fleet ls | grep -q "running $work/mnt/q"
	[ -z "$(as_user 4242 systemctl --user list-units --all --plain --no-legend 'claim-fleet-*')" ]
	claimctl fleet stop
	touch "home/may linger"
	"${start[@]}"
	as_user 4242 systemctl --user list-units --plain --no-legend 'claim-fleet-*' | grep -q ' active running'
	touch go/000{1,2}
	wait_until 30 has_entries disk/q/outputs 2
	[ "$(cat disk/q/outputs/0001)" = ann ]
	wait_for 20 'claimctl fleet ls | grep -q "ended 0 $work/mnt/q"'
}

# The package's units, as they are installed but for their paths.
install_units() {
	mkdir etc
	sed -e "s|/usr/bin/|$(realpath "$CLAIMFS_BUILD")/|; s|/etc/claimfs|$work/etc|" "$project/tools/systemd/claim-worker@.service" >units/claim-worker@.service
	disk=$(systemd-escape -p --suffix=mount "$work/mnt")
	sed -e "s|^What=.*|What=$work/disk|; s|^Where=.*|Where=$work/mnt|; s|^Options=.*|Options=_netdev,allow_other,queue_ttl=0.2|" \
		"$project/tools/systemd/mnt-disk.mount" >"units/$disk"
}

@test "systemd: the worker's unit mounts what it needs, works, drains within a notice, and does not go on with a wrong option" {
	boot
	install_units
	make_queue "$work/disk/a run"
	make_inputs "$work/disk/a run/inputs" 3
	mkdir mnt go
	unit=$(systemd-escape -p --template=claim-worker@.service "$work/mnt/a run")
	mkdir -p "etc$work/mnt"
	env="etc$work/mnt/a run.env"
	cat >job <<-'JOB'
		#!/bin/sh
		: >"$3/began-$(basename "$1")"
		until [ -e "$3/go" ]; do sleep 0.1; done
		cp "$1" "$2"
	JOB
	chmod +x job
	printf 'COMMAND=%s {in} {out} %s\nOPTIONS=-j 1 --watch\n' "$work/job" "$work/go" >"$env"
	inside systemctl daemon-reload
	inside systemctl start "$unit"
	unit_is "$disk" active
	wait_until 30 has_entries go 1
	processes "$unit" | grep -qx claim-worker
	# stop: SIGTERM to the worker alone, so the job ends by itself.
	enter
	in_background stop.out "${entering[@]}" systemctl stop "$unit"
	wait_until 10 unit_is "$unit" deactivating
	: >go/go
	wait_until 30 gone "$started_pid"
	unit_is "$unit" inactive		# 143 is no failure
	[ "$(entries "disk/a run/outputs")" -eq 1 ]
	inside claimctl status --json "mnt/a run" | jq -e '.units | .todo == 2 and .claimed == 0'
	# To the end, without --watch: a unit that has done its work is not started again.
	printf 'COMMAND=%s {in} {out} %s\n' "$work/job" "$work/go" >"$env"
	inside systemctl start "$unit"
	wait_until 30 has_entries "disk/a run/outputs" 3
	wait_until 30 unit_is "$unit" inactive
	[ "$(inside systemctl show -p ExecMainStatus --value "$unit")" = 0 ]
	# Status 2: nothing would change, so it is not tried again.
	printf 'COMMAND=true\nOPTIONS=--no-such-option\n' >"$env"
	inside systemctl start "$unit"
	wait_until 30 unit_is "$unit" failed
	[ "$(inside systemctl show -p ExecMainStatus --value "$unit")" = 2 ]
	[ "$(inside systemctl show -p NRestarts --value "$unit")" = 0 ]
	# Status 1: what failed is set aside, so it is not tried again either.
	inside sh -c 'rm "$1"/done/*' - "$work/mnt/a run"
	printf 'COMMAND=false\nOPTIONS=-j 1 --halt soon,fail=1\n' >"$env"
	inside systemctl start "$unit"
	wait_until 30 unit_is "$unit" failed
	[ "$(inside systemctl show -p ExecMainStatus --value "$unit")" = 1 ]
	[ "$(inside systemctl show -p NRestarts --value "$unit")" = 0 ]
	[ "$(entries "disk/a run/.claimfs/failed")" -ge 1 ]
	# The mount goes after the worker that needs it.
	printf 'COMMAND=%s {in} {out} %s\nOPTIONS=--watch\n' "$work/job" "$work/go" >"$env"
	inside systemctl start "$unit"
	unit_is "$unit" active
	inside systemctl stop "$disk"
	unit_is "$unit" inactive
	inside sh -c '! mountpoint -q "$1"' - "$work/mnt"
}
