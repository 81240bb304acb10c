#!/usr/bin/env bats
# claimctl fleet: machines are sshds of their own, clouds are tests/fake/cloud; a preemption is the end of one, with all that runs on it.

load ../lib
bats_require_minimum_version 1.5.0

export LC_ALL=C
fakes=$BATS_TEST_DIRNAME/../fake/cloud

# The disk's server, and a cloud without machines. claimctl finds them as a user's would: ssh, gcloud and aws on PATH.
prepare() {
	start_sshd
	export XDG_STATE_HOME=$work/state XDG_CONFIG_HOME=$work/config FAKE_CLOUD=$work/cloud
	mkdir -p cloud bin
	printf 'FAKE_KEYS=%q\nFAKE_PATH=%q\n' "$work/sshd" "$work/bin:$PATH" >cloud/config
	printf 'fake %s\n' "$(cut -d' ' -f1,2 sshd/host_key.pub)" >sshd/known_hosts.fake
	cat >ssh_config <<-CONFIG
		Include $work/cloud/*/ssh_config
		Include $work/sshd/ssh_config
		Host *
		    User $(id -un)
		    IdentityFile $work/sshd/user_key
		    IdentitiesOnly yes
		    UserKnownHostsFile $work/sshd/known_hosts.fake
		    StrictHostKeyChecking yes
	CONFIG
	printf '#!/bin/sh\nexec /usr/bin/ssh -F %s "$@"\n' "$work/ssh_config" >bin/ssh
	chmod +x bin/ssh
	ln -s "$fakes/gcloud" "$fakes/aws" "$fakes/curl" "$fakes/machines.bash" bin/
	PATH=$work/bin:$PATH
	. "$fakes/machines.bash"
}

teardown_machines() {
	local dir
	for dir in "$work"/cloud/*/; do
		[ ! -e "$dir/pid" ] || machine_kill "$(basename "$dir")"
	done
}

eval "lib_$(declare -f teardown)"
teardown() {
	[ ! -e "$work/cloud/config" ] || teardown_machines
	lib_teardown
}

hosts() {	# NAME...: machines that are there already
	local name
	for name; do machine_start "$name"; done
}

lines_are() {	# FILE LINE...: in any order
	local file=$1
	shift
	diff <(printf '%s\n' "$@" | sort) <(sort "$file")
}

# says_json COMMAND... FILTER: what it prints is one object, of which FILTER (jq) is true; nothing is on standard error.
says_json() {
	local filter=${*: -1}
	"${@:1:$#-1}" >said.json 2>said.err || true
	[ ! -s said.err ] || { cat said.err; return 1; }
	[ "$(jq -s length said.json)" -eq 1 ] && jq -e "$filter" said.json >/dev/null || { cat said.json; return 1; }
}

@test "fleet: run gives words as they are to all machines at once; the worst exit status; who failed" {
	prepare
	hosts m1 m2
	run claimctl fleet up -H m1,m2
	[ "$status" -eq 0 ]
	[[ $output == *"m1"*"up"* && $output == *"2 of 2 machines are up" ]]
	odd='it'\''s "odd"; $(touch oops) `x` \ *'
	claimctl fleet run -- printf '[%s]\n' "$odd" '' $'new\nline' ';' '-n' --help >out
	lines_are out m{1,2}" [$odd]" m{1,2}" []" m{1,2}" [new" m{1,2}" line]" m{1,2}" [;]" m{1,2}" [-n]" m{1,2}" [--help]"
	[ ! -e cloud/m1/home/oops ] && [ ! -e oops ]
	# Each is in its own home, and no terminal, no standard input of ours.
	claimctl fleet run -- sh -c 'pwd; cat' >out
	lines_are out "m1 $work/cloud/m1/home" "m2 $work/cloud/m2/home"
	claimctl fleet run --only 'm[2]' -- echo only >out
	lines_are out "m2 only"
	fails_with 9 '*run failed on 1 of 2*m2*exit status 9*broken*' claimctl fleet run -- sh -c 'case $HOME in */m2/*) echo broken >&2; exit 9 ;; esac'
	run -127 claimctl fleet run -- /nowhere
	[[ $output == *nowhere* ]]
	run claimctl fleet run --json -- sh -c 'case $HOME in */m2/*) exit 9 ;; esac; printf "one\n\377"'
	[ "$status" -eq 9 ]
	python3 -c '
import json, sys
said = json.loads(sys.argv[1])
first, second = said["machines"]
assert first == {"name": "m1", "status": 0, "stdout": "one\n\ufffd", "stderr": ""}, said
assert second["name"] == "m2" and second["status"] == 9 and said["status"] == 9, said' "$output"
	# On a terminal each machine has its colour.
	script -qec 'claimctl fleet run -- echo here' /dev/null </dev/null >out
	grep -q $'\033\\[31mm1\033\\[0m here' out && grep -q $'\033\\[32mm2\033\\[0m here' out
	begin=$SECONDS
	fails_with 124 '*took too long*' claimctl fleet run --only m1 --timeout 1 -- sleep 100
	[ $((SECONDS - begin)) -lt 20 ]
	# Another fleet of the same machines, from a file.
	printf '# ours\n\nfirst -o ConnectTimeout=5 m1  # the one\nm2\n' >'the hosts'
	claimctl fleet up --prefix other -n 1 --hosts-file 'the hosts'
	claimctl fleet run --prefix other -- echo here >out
	lines_are out "first here"
	fails_with 1 '*more than one fleet*claim, other*' claimctl fleet ls
	mv 'the hosts' elsewhere
	fails_with 1 '*the hosts*No such file*' claimctl fleet ls --prefix other
	mv elsewhere 'the hosts'
	fails_with 1 '*hosts: which?*' claimctl fleet up -n 1 --prefix third --provider hosts
	fails_with 1 '*no host other-000 left*' claimctl fleet up --prefix other -n 3
	CLAIM_FLEET=other claimctl fleet down --yes
	machine_kill m2
	fails_with 255 '*m2*no connection*' claimctl fleet run -- true
	fails_with 1 '*no machine has such a name*' claimctl fleet run --only nobody -- true
	fails_with 2 '*run WHAT*' claimctl fleet run true
	fails_with 2 "*did you mean 'start'*" claimctl fleet strat
}

@test "fleet: push, also names that a shell would take apart; install" {
	prepare
	hosts m1 m2
	claimctl fleet up -H m1,m2
	odd=$'-o d"d; $x\'s'
	mkdir -p "some dir/sub"
	echo one >"$odd"
	echo two >"some dir/sub/file"
	claimctl fleet push --to 'in a dir' "./$odd" 'some dir'
	for m in m1 m2; do
		[ "$(cat "cloud/$m/home/in a dir/$odd")" = one ]
		[ "$(cat "cloud/$m/home/in a dir/some dir/sub/file")" = two ]
	done
	printf '#!/bin/sh\necho "I am here: $1"\n' >tool
	# As the real one: it knows what it needs after an update, and takes for a file what begins with "/" or "./".
	cat >bin/apt-get <<-'APT'
		#!/bin/sh
		for last; do :; done
		case " $* " in
		*' update '*) : >"$HOME/lists" ;;
		*) [ -e "$HOME/lists" ] && case $last in /* | ./*) cp "$last" "$HOME/apt" ;; *) echo "E: Unable to locate package $last" >&2; exit 100 ;; esac ;;
		esac
	APT
	chmod +x bin/apt-get
	echo package >"a b.deb"
	claimctl fleet push --install tool "a b.deb"
	claimctl fleet run -- tool 'x  y' >out
	lines_are out "m1 I am here: x  y" "m2 I am here: x  y"
	[ "$(cat cloud/m2/home/apt)" = package ]
	fails_with 1 '*nothing/there*' claimctl fleet push nothing/there
	# With two calls it is still one object: of the installation, or of what came before it and failed.
	says_json claimctl fleet push --install tool --json '.status == 0 and [.machines[] | [.name, .status, .stdout, .stderr]] ==
		[["m1", 0, "installed tool\n", ""], ["m2", 0, "installed tool\n", ""]]'
	rm -r cloud/m2/home/.cache/claim-fleet
	: >cloud/m2/home/.cache/claim-fleet
	says_json claimctl fleet push --install tool --json '.status > 0 and .machines[0].status == 0 and (.machines[1].stderr | test("claim-fleet"))'
}

@test "fleet: mount, start, logs, stop; a second time nothing happens twice" {
	prepare
	hosts m1 m2
	claimctl fleet up -H m1,m2
	make_queue "$work/disk/a queue; \$x" --lease 6s
	make_inputs "$work/disk/a queue; \$x/inputs" 4
	claimctl fleet mount "disk:$work/disk" 'the disk' -o queue_ttl=0.2 -- -F "$work/ssh_config" >out
	lines_are out "m1 mounted" "m2 mounted"
	claimctl fleet mount "disk:$work/disk" 'the disk' -o queue_ttl=0.2 -- -F "$work/ssh_config" >out
	lines_are out "m1 already mounted" "m2 already mounted"
	says_json claimctl fleet mount --json "disk:$work/disk" 'the disk' -o queue_ttl=0.2 -- -F "$work/ssh_config" '[.machines[].stdout] == ["already mounted\n", "already mounted\n"]'
	q='the disk/a queue; $x'
	start=(claimctl fleet start "$q" -j 1 --watch -- sh -c 'echo "did $CLAIM_NAME: $1"; echo "$CLAIM_NAME" >>"$2"; cp "$CLAIM_IN" "$CLAIM_OUT"' - 'it'\''s; "x" $y' "$work/ran")
	"${start[@]}" >out
	lines_are out "m1 started" "m2 started"
	"${start[@]}" >out
	lines_are out "m1 already running" "m2 already running"
	says_json "${start[@]:0:3}" --json "${start[@]:3}" '[.machines[].stdout] == ["already running\n", "already running\n"]'
	fails_with 1 '*another command runs on this queue*' claimctl fleet start "$q" -- true
	wait_until 30 has_entries "$work/disk/a queue; \$x/outputs" 4
	wait_for 30 'claimctl fleet logs | grep -qF "did 0001: it'\''s; \"x\" \$y"'
	claimctl fleet ls >out
	[ "$(grep -cF "running $q" out)" -eq 2 ]
	claimctl fleet ls --json | python3 -c '
import json, sys
fleet = json.load(sys.stdin)
assert [m["name"] for m in fleet["machines"]] == ["m1", "m2"], fleet
assert all(m["answers"] and m["workers"][0]["state"] == "running" for m in fleet["machines"]), fleet'
	says_json claimctl fleet logs --json '.machines[1].stdout | test("did ")'
	fails_with 2 '*-f has no end*' claimctl fleet logs --json -f
	says_json claimctl fleet stop --json --only m1 '[.machines[] | [.name, .stdout]] == [["m1", "stopped '"$q"'\n"]]'
	claimctl fleet stop >out
	lines_are out "m2 stopped $q"
	[ "$(sort -u ran | wc -l)" -eq 4 ] && [ "$(wc -l <ran)" -eq 4 ]
	claimctl fleet ls | grep -qF "ended 143 $q"
	claimctl fleet stop
	# A worker that can't start says so.
	fails_with 1 '*--no-such-option*' claimctl fleet start "$q" --no-such-option -- true
	says_json claimctl fleet start --json "$q" --no-such-option -- true '.status == 1 and (.machines[0].stderr | test("no-such-option"))'
	# Nor is one started that dies before it has begun, or does not begin.
	mkdir -p cloud/m{1,2}/home/.local/bin
	printf '#!/bin/sh\nsleep 1\necho "all is lost"\nexit 75\n' >cloud/m1/home/.local/bin/claim-worker
	printf '#!/bin/sh\necho "I am slow"\nexec sleep 1000\n' >cloud/m2/home/.local/bin/claim-worker
	chmod +x cloud/m{1,2}/home/.local/bin/claim-worker
	says_json claimctl fleet start --json --only m1 "$q" -- true '.status == 1 and
		(.machines[0].stderr | test("ended at once, with status 75; the end of /.*/log: .*all is lost"; "p")) and (.machines | tostring | contains("announces") | not)'
	grep -q "nobody announces" cloud/m1/home/.local/state/claim-fleet/*/no-notice
	# One that says how far it is is waited for, however long it takes.
	printf '#!/bin/sh\nfor i in 1 2 3 4 5; do echo "listing: $i"; sleep 7; done\nexec %q "$@"\n' "$(command -v claim-worker)" >cloud/m1/home/.local/bin/claim-worker
	says_json claimctl fleet start --json "$q" --watch -- true '.status == 1 and .machines[0].stdout == "started\n" and
		(.machines[1].stderr | test("has not begun and has said nothing for 30 s, and is left to try; the end of /.*/log: .*I am slow"; "p"))'
	find /proc/"$(cat cloud/m1/home/.local/state/claim-fleet/*/worker)"/fd -lname '*/ctl' | grep -q .
	says_json claimctl fleet down --yes --json '[.machines[] | [.name, .status]] == [["m1", 0], ["m2", 0]]'
	machine_exists m1			# hosts are nobody's to delete
	[ ! -e state/claimctl/claim.fleet ]
}

@test "fleet: up makes up what is missing, after kill -9 too, and two at once; down deletes only its own" {
	prepare
	gcloud compute instances create claim-009 --labels=claim-fleet=other
	FAKE_CREATE_SECONDS=1 in_background first.out claimctl fleet up -n 3 --type e2-small --zone europe-west1-b --spot -- --boot-disk-size=20GB
	wait_until 20 grep -q '^create claim-000' cloud/calls
	kill -KILL "$started_pid"
	FAKE_CREATE_SECONDS=0.5 in_background second.out claimctl fleet up -n 3
	second=$started_pid
	claimctl fleet up -n 4 >third.out || { cat third.out second.out; false; }
	wait "$second" || { cat second.out; false; }
	claimctl fleet ls >out
	cat out
	[ "$(grep -c ' up ' out)" -eq 4 ]
	[ "$(find cloud -name port | wc -l)" -eq 5 ]
	[ "$(cat cloud/claim-000/kind)" = "SPOT e2-small europe-west1-b" ]
	grep -q '^create claim-000.*--provisioning-model=SPOT --instance-termination-action=DELETE.*--boot-disk-size=20GB' cloud/calls
	claimctl fleet up -n 4 | grep -q '4 of 4'
	says_json claimctl fleet up -n 4 --json '.status == 0 and [.machines[].status] == [0, 0, 0, 0]'
	fails_with 1 '*--yes*' claimctl fleet down
	# Somebody who can be asked is asked.
	echo n | script -qec 'claimctl fleet down' /dev/null >out && { cat out; false; }
	grep -q 'These 4 machines will be deleted: claim-000 claim-001 claim-002 claim-003' out
	[ "$(find cloud -name port | wc -l)" -eq 5 ]
	echo y | script -qec 'claimctl fleet down --only claim-000' /dev/null
	claimctl fleet ls | not grep -q claim-000
	claimctl fleet down --yes
	[ "$(find cloud -name port)" = cloud/claim-009/port ]
	fails_with 1 '*no fleet yet*' claimctl fleet ls
	# A name that another has: it is not ours, and down does not touch it.
	gcloud compute instances create claim-000 --labels=claim-fleet=other
	fails_with 1 '*claim-000*already exists*' claimctl fleet up -n 1
	claimctl fleet down --yes
	machine_exists claim-000
	# What the cloud refuses is told, and leaves nothing.
	fails_with 1 "*unrecognized arguments: --unheard-of*" claimctl fleet up -n 1 -- --unheard-of
	says_json claimctl fleet up --json '.status == 1 and .machines[0].status == 1 and (.machines[0].stderr | test("unrecognized arguments: --unheard-of"))'
	claimctl fleet down --yes
	fails_with 1 "*can't name a machine*" claimctl fleet up -n 1 --prefix Upper_case
	fails_with 1 "*can't be a prefix*" claimctl fleet up -n 1 --prefix '../x'
}

@test "fleet: a provider of one's own; the manual's example is a script of 30 lines" {
	prepare
	mkdir -p config/claimctl/providers
	cat >config/claimctl/providers/mine <<-'PROVIDER'
		#!/bin/bash
		. "$FAKE_CLOUD/../bin/machines.bash"
		case $1 in
		up) printf '%s\n' "$@" "$CLAIM_FLEET_TYPE" >"$FAKE_CLOUD/asked"; machine_start "$2" ;;
		down) machine_kill "$2" ;;
		list) for dir in "$FAKE_CLOUD"/*/; do [ -e "$dir/port" ] && printf '%s\trunning\tsome where\n' "$(basename "$dir")"; done; true ;;
		ssh-args) printf '%s\n' -o 'ConnectionAttempts 2' "$2" ;;
		*) exit 1 ;;
		esac
	PROVIDER
	chmod +x config/claimctl/providers/mine
	claimctl fleet up -n 1 --provider mine --type 'a "type"; $x' -- --odd 'b c' ''
	lines_are cloud/asked up claim-000 --odd 'b c' '' 'a "type"; $x'
	claimctl fleet ls | grep -q 'claim-000 *up *some where'
	fails_with 1 '*another --prefix*' claimctl fleet up -n 2 --provider gcloud
	claimctl fleet down --yes
	not machine_exists claim-000
	fails_with 1 "*no provider 'nobodys'*" claimctl fleet up -n 1 --provider nobodys
	# The manual's.
	mandoc -T utf8 "$BATS_TEST_DIRNAME/../../man/claimctl-fleet.1" | sed -n '/#!\/bin\/sh/,/esac$/p' >example
	[ "$(wc -l <example)" -le 30 ] && [ "$(wc -l <example)" -ge 15 ]
	sh -n example
}

@test "fleet: aws" {
	prepare
	claimctl fleet up -n 2 --provider aws --prefix 'A.1' --type t3.micro --spot --user "$(id -un)" -- --key-name mine
	claimctl fleet run -- echo here >out
	lines_are out "A.1-000 here" "A.1-001 here"
	claimctl fleet ls | grep -q '^A.1-000 *up *10\.1\.0\.'
	grep -q '"spot": true' cloud/*/instance
	machine_kill "$(basename "$(dirname "$(grep -l A.1-001 cloud/*/instance)")")"
	claimctl fleet ls | grep -q '^A.1-001 *gone'
	claimctl fleet up -n 2
	[ "$(find cloud -name port | wc -l)" -eq 2 ]
	claimctl fleet down --yes
	[ -z "$(find cloud -name port)" ]
	fails_with 1 '*Unknown options: --unheard-of*' claimctl fleet up -n 1 --provider aws -- --unheard-of x
}

# On a machine of a cloud: claimctl finds a metadata server.
prepare_machine() {
	mkdir -p bin machine
	ln -s "$fakes/curl" bin/
	PATH=$work/bin:$PATH
	export FAKE_MACHINE=$work/machine
}

waits_for_notice() {	# PROVIDER PATTERN: and while the server is away too; then says what was announced
	rm -f machine/*
	in_background said claimctl fleet preempted "$1"
	wait_until 10 test -e machine/asked
	: >machine/away
	: >machine/notice
	not wait_until 2 gone "$started_pid"
	rm machine/away
	wait_until 20 gone "$started_pid" || { cat said; false; }
	wait "$started_pid"
	[[ $(cat said) == $2 ]] || { cat said; false; }
}

@test "fleet: preempted waits until the cloud announces it, and says how much time is left" {
	prepare_machine
	waits_for_notice gcloud 'gcloud: Google preempts this machine: *30 s are left'
	waits_for_notice aws 'aws: Amazon will terminate this machine at 20*Z: 1?? s are left'
	# What was announced before is seen at once.
	fails_with 0 '*at most 30 s are left' timeout 5 claimctl fleet preempted gcloud
	fails_with 0 '*Amazon will terminate*' timeout 5 claimctl fleet preempted aws
}

@test "fleet: preempted says on a machine that is no cloud's that it can't tell" {
	prepare_machine
	unset FAKE_MACHINE
	fails_with 1 'gcloud: Google*metadata server does not tell: *Could not resolve host; is this one of its machines?' claimctl fleet preempted gcloud
	fails_with 1 'aws: Amazon*gives no token: *Could not resolve host; is this one of its machines?' claimctl fleet preempted aws
	fails_with 1 'hosts: nobody announces*' claimctl fleet preempted hosts
	fails_with 1 "*no provider 'google': gcloud, aws, hosts*" claimctl fleet preempted google
	fails_with 2 '*of one provider*' claimctl fleet preempted gcloud aws
	fails_with 2 '*something is missing*fleet preempted PROVIDER' claimctl fleet preempted
	# Something that answers whatever it is asked, as some networks have it.
	rm bin/curl
	printf '#!/bin/sh\necho "<html>log in first</html>"\n' >bin/curl
	chmod +x bin/curl
	fails_with 1 '*does not tell: <html>log in first*' claimctl fleet preempted gcloud
}

@test "fleet: a worker drains when the command it waits with says that its machine is taken away" {
	prepare_machine
	on_queue 3
	worker=(claim-worker -j 1 --drain-cmd 'claimctl fleet preempted gcloud' "$q" -- sh -c 'touch "$0"; until [ -e "$1" ]; do sleep 0.1; done' "$work/runs" "$work/go")
	in_background worker.out "${worker[@]}"
	wait_until 10 test -e runs
	wait_until 10 test -e machine/asked
	: >machine/notice
	wait_until 10 grep -q 'stopping: 1 job may run' worker.out
	grep -q 'Google preempts this machine' worker.out
	: >go
	wait_until 10 gone "$started_pid"
	status=0
	wait "$started_pid" || status=$?
	[ "$status" -eq 143 ]
	[ "$(entries "$work/disk/q/.claimfs/done")" -eq 1 ]
	# The command ends with a worker that is killed.
	rm runs go machine/*
	in_background worker.out "${worker[@]}"
	wait_until 10 test -e machine/asked
	children=$(descendants "$started_pid")
	[ "$(wc -l <<<"$children")" -ge 5 ]	# the warden, the job, a shell, the provider and its curl
	kill -KILL "$started_pid"
	for pid in $children; do wait_until 10 gone "$pid"; done
}

@test "fleet: the whole story: up, push, mount, start, a preemption, watch makes it anew, all units done once, down" {
	prepare
	make_queue "$work/disk/q" --lease 6s
	make_inputs "$work/disk/q/inputs" 60
	claimctl fleet up -n 3 --zone europe-west1-b --spot
	# The last third waits until both machines are lost, however slow the test is.
	cat >"my job" <<-JOB
		#!/bin/sh
		case \$1 in *00[456]?) until [ -e "$work/both lost" ]; do sleep 0.1; done ;; esac
		echo "\$1" >>"\$3"
		cp "\$1" "\$2"
	JOB
	claimctl fleet push --install "my job"
	# What belongs to the machine is done again on those that come later, before the mount; what was only asked is not, nor what failed.
	claimctl fleet run --setup -- sh -c 'echo "$1" >>"$HOME/setup"' - 'it'\''s $x'
	claimctl fleet run -- sh -c 'echo once >>"$HOME/setup"'
	fails_with 7 '*exit status 7*' claimctl fleet run --setup -- sh -c 'echo failed >>"$HOME/setup"; exit 7'
	claimctl fleet mount "disk:$work/disk" disk -- -F "$work/ssh_config"
	claimctl fleet start disk/q -j 2 -- "my job" '{in}' '{out}' "$work/ran"
	wait_until 30 test -e disk/q/outputs
	in_background watch.out claimctl fleet watch --interval 0.5
	watch=$started_pid
	machine_kill claim-001
	# Another is told beforehand, drains, and goes.
	touch cloud/claim-002/notice
	wait_until 30 grep -q 'gave notice' cloud/claim-002/home/.local/state/claim-fleet/*/log
	machine_kill claim-002
	: >"both lost"
	wait_until 60 gone "$watch" || { cat watch.out; false; }
	cat watch.out
	wait "$watch"
	grep -q 'claim-001: is gone: making it anew' watch.out
	grep -q 'all work is done' watch.out
	lines_are cloud/claim-000/home/setup 'it'\''s $x' once failed
	for m in claim-001 claim-002; do lines_are "cloud/$m/home/setup" 'it'\''s $x'; done
	[ "$(grep -c '^create claim-001 ' cloud/calls)" -eq 2 ]
	[ "$(entries disk/q/outputs)" -eq 60 ]
	[ "$(entries disk/q/.claimfs/done)" -eq 60 ]
	[ "$(sed 's,.*/,,' ran | sort -u | wc -l)" -eq 60 ]
	# Attempts that died with a machine are the only ones there are twice.
	[ "$(wc -l <ran)" -le 64 ]
	claimctl fleet down --yes
	[ -z "$(find cloud -name port)" ]
}

# The displays of a section of the tutorial, as they are typed; what is one person's alone is replaced by the test's.
tutorial() {	# SECTION
	awk -v section="$1" '
		/^\.Ss / { here = $2 == section "." }
		/^\.Bd/ && here { shown = 1; next }
		/^\.Ed/ { shown = 0 }
		shown' "$BATS_TEST_DIRNAME/../../man/claimfs-tutorial.7" |
		sed -e 's/^\\&//' -e 's/\\e/\\/g' -e "s|ann@storage:/data|storage:$work/disk|; s|/tmp/features.txt|features.txt|; s|fleet down|fleet down --yes|; s|fleet watch|& --interval 0.5|" \
			-e "s|claimctl init|& --settle 0 --lease 6s|"
}

follow() {	# SECTION
	tutorial "$1" >"section $1"
	[ -s "section $1" ]
	bash -eux "section $1" </dev/null 3>&-
}

@test "fleet: the tutorial, as it is typed" {
	prepare
	mkdir -p disk pictures/sub
	{ sed 's/^Host disk/Host storage/' sshd/ssh_config; cat ssh_config; } >both && mv both ssh_config
	printf '#!/bin/sh\ncase $1 in -F) echo "# Host $2 found"; echo "$2 ssh-ed25519 AAAA" ;; *) exec /usr/bin/ssh-keygen "$@" ;; esac\n' >bin/ssh-keygen
	for name in one two sub/three bad; do echo "$name" >"pictures/$name.jpg"; done
	: >claimfs_0.1.0_amd64.deb
	printf '#!/bin/sh\ncase $1 in download) : >imagemagick_8_amd64.deb ;; esac\n' >bin/apt-get
	printf '#!/bin/sh\ntest "$*" = "-i keys/id_ed25519.pub ann@storage" -a -s keys/id_ed25519.pub\n' >bin/ssh-copy-id
	cat >bin/convert <<-CONVERT
		#!/bin/sh
		case \$1 in */bad.jpg) [ -e "$work/mended" ] || { echo "no image" >&2; exit 3; } ;; esac
		[ "\$2 \$3 \$4 \$5 \$6 \$7" = "-resize 256x256 -colors 16 -format %c" ] && cp "\$1" "\${8#histogram:info:}"
	CONVERT
	chmod +x bin/*
	# The laptop's mount is not where the disk itself lies here.
	mkdir laptop && cp -r pictures laptop/ && cp claimfs_0.1.0_amd64.deb laptop/ && cd laptop
	echo "$work/laptop/disk" >>"$work/.mounts"
	follow 1
	tutorial 2 | sed -n '/^#!/,/histogram/p' >extract
	tutorial 2 | sed '/^#!/,/histogram/d' >"section 2"
	bash -eux "section 2" </dev/null 3>&- || true		# it may have been the bad image's turn
	[ -s features.txt ]
	follow 3
	tutorial 4 | sed '/^claimctl status/,$d' >"section 4"
	[ "$(wc -l <"section 4")" -eq 3 ]
	# 1 when a machine of the fleet had the bad image, 0 when the laptop had.
	bash -ux "section 4" </dev/null 3>&- || [ $? -eq 1 ]
	[ "$(ls disk/run1/failed)" = bad.jpg ]
	: >"$work/mended"
	follow 5
	wait_until 30 has_entries disk/run1/features 4
	wait_until 20 has_entries disk/run1/done 4
	follow 6
	not mounted disk
	[ "$(cat "$work/disk/run1/features/sub/three.txt")" = sub/three ]
	[ -z "$(find "$work/cloud" -name port)" ]
}
