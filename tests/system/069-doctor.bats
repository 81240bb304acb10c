#!/usr/bin/env bats
# claimctl doctor: what it says of queues whose records are made up, of this node, and before anything has run.

load ../lib

export LC_ALL=C

# queue_of COUNT VALUES: a queue of three inputs, and a node's log of COUNT more units that are done, each with VALUES; mounted at $q.
queue_of() {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" 3
	if [ "$1" -gt 0 ]; then
		mkdir -p "$work/disk/q/.claimfs/log"
		for ((i = 1; i <= $1; i++)); do
			echo "1 done $(printf 'u%d' "$i" | md5sum | cut -c1-32) 0 $(date +%s) 1 - u$i $2"
		done >"$work/disk/q/.claimfs/log/a.00000001"
	fi
	mount_claimfs "$work/disk" "$work/mnt"
	q=$work/mnt/q
	wait_until 10 has_entries "$q/todo" 3
}

# doctor [WORD...]: what it says is in $output, and its status is right. The machine that tests run on may be short of something itself, so
# tests ask for the warnings they mean; many slots and few files keep those of a loaded machine away.
doctor() {
	local expected=0
	run timeout 60 claimctl doctor -j 16 "$@" "$q"
	! grep -Eq '^  warning|"ok":[[:space:]]*false' <<<"$output" || expected=1
	[ "$status" -eq "$expected" ] || { echo "status $status, expected $expected:"; echo "$output"; false; }
}

line() {	# PATTERN: is a line of it
	grep -Eq -- "$1" <<<"$output" || { echo "no line '$1' in:"; echo "$output"; false; }
}

no_line() {	# PATTERN
	not grep -E -- "$1" <<<"$output"
}

@test "doctor: nothing has run yet, and the file that measures the link is gone" {
	queue_of 0 -
	doctor
	line '^  ok +units +0 of 3 done, 3 to do'
	line '^  ok +limit +nothing has run yet'
	line '^  ok +nodes +0 of 0 work now: nobody'
	line '^  ok +link rate +[0-9.]+ [kMG]?B/s written, [0-9.]+ [kMG]?B/s read'
	line '^  ok +latency +[0-9.]+ ms a round trip'
	line '^  ok +connection +[1-9]'
	line '^  ok +cipher +none'
	line '^  ok +open files +'
	no_line '^  warning  (units|nodes|limit|link rate|connection|cipher|open files|clock|warning)'
	line '(nothing is|things? (is|are)) in the way$'
	[ "$(find "$work/disk/q" -name '*doctor*' | wc -l)" -eq 0 ]
	[ "$(ls -A "$work/disk/q" | tr '\n' ' ')" = ".claimfs inputs " ]
	doctor --no-transfer
	line '^  ok +link rate +not measured'
	fails_with 1 '*not seen through claimfs*' claimctl doctor "$work/disk/q"
	fails_with 2 '*-j*1 to 4096*' claimctl doctor -j 0 "$q"
}

@test "doctor: a queue that computes is well but for a node that is missing, and few open files are said" {
	queue_of 20 'wall=2 user=1.9 sys=0.02 rwait=0.03 spawn=0.001 claim=0.005 in=5000000 out=1000'
	doctor --no-transfer
	line '^  ok +slots +computing 9[0-9]% \(38 s\), reading 1% '
	line '^  ok +limit +computing, 9[0-9]% of .*add machines'
	line '^  ok +a unit +runs 2 s, computes 1.9 s, reads 5.0 MB, writes 1.0 kB'
	line '^  warning  nodes .*to do: start one: claim-worker'
	no_line '^  warning  (units|limit|a unit|open files|link rate)'
	line 'q: [0-9]+ things? (is|are) in the way$'
	bash -c 'ulimit -n 64 && claimctl doctor -j 16 --no-transfer "$1"' - "$q" >few || true
	grep -Eq '^  warning  open files +limit 64; 16 slots may need 192; to do: ' few
	not grep -Eq '^  warning  limit' few
}

@test "doctor: a starved queue, and one that waits for round trips, with figures and JSON" {
	queue_of 20 'wall=1 user=0.9 sys=0.01 spawn=0.001 idle=5'
	doctor --no-transfer
	line '^  warning  limit +idle, 8[0-9]% of the slots. time; 3 units are left to claim; to do: .*fewer slots'
	unmount "$work/mnt"
	sed -i 's/ wall=.*/ wall=0.06 user=0.002 rwait=0.05 spawn=0.001 in=20000/' disk/q/.claimfs/log/a.00000001
	rm -rf "$work/cache"
	mkdir "$work/cache"
	mount_claimfs "$work/disk" "$work/mnt"
	doctor --json
	python3 - "$output" <<'PYTHON'
import json, sys
facts = json.loads(sys.argv[1])
found = {f["name"]: f for f in facts["findings"]}
assert facts["format"] == 1 and facts["limit"] == "latency", facts
assert facts["warnings"] == sum(not f["ok"] for f in facts["findings"]) >= 2, facts
assert all((f["advice"] is None) == f["ok"] and f["section"] in ("queue", "time", "node") for f in facts["findings"]), facts
assert "--ahead" in found["limit"]["advice"] and "20 kB" in found["a unit"]["text"] and "round trips a unit" in found["limit"]["text"], found
node = facts["node"]
assert node["write_rate"] > 0 and node["read_rate"] > 0 and node["rtt_s"] > 0 and node["cores"] >= 1 and node["aes_rate"] is None, node
PYTHON
}

@test "doctor: over SSH: the cipher's speed; a failed unit is in the way" {
	make_queue "$work/disk/q" --settle 0
	make_inputs "$work/disk/q/inputs" 2
	start_sshd
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/ssh_config"
	q=$work/mnt/q
	wait_until 20 has_entries "$q/todo" 2
	run timeout 60 claim-worker -j 1 "$q" -- sh -c 'case $1 in 0002) exit 3;; esac' - '{}'
	wait_until 10 grep -q '"failed":1' "$q/progress.json"
	doctor
	line '^  warning  failed +1 unit failed; to do: .*claimctl retry'
	line ' cipher +AES-128-GCM [0-9.]+ [MG]B/s, ChaCha20-Poly1305 [0-9.]+ [MG]B/s on one core'
	line ' link rate +[0-9.]+ [kMG]?B/s written'
	line '^  ok +connection +[1-9] of [0-9] up, broken 0 times'
	[ "$(ls -A "$work/disk/q" | grep -c doctor)" -eq 0 ]
	doctor --json
	python3 -c 'import json, sys; assert json.loads(sys.argv[1])["node"]["aes_rate"] > 0' "$output"
}
