# loads.bash: what the tests of the sentence on what limits the work share (system/064-loads.bats, 066-loads-far.bats), beside lib.bash.

export LC_ALL=C

# queue_behind COUNT PIPE-OPTION...: a queue with that many inputs of 16 bytes behind a pipe: $q.
queue_behind() {
	make_queue "$work/disk/q"
	make_inputs "$work/disk/q/inputs" "$1"
	start_sshd >/dev/null
	start_pipe "${@:2}" >/dev/null
	mount_claimfs "disk:$work/disk" "$work/mnt" -F "$work/sshd/pipe_config" -o queue_ttl=0.2
	q=$work/mnt/q
}

# limited WORD... [-- FILTER]: by one of these, for the mount's progress and, of the plain directory, for the report; FILTER (jq) holds of what
# progress.json said. That is read once, into $said: far away it takes many round trips.
limited() {
	local word words=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do words+=("$1") && shift; done
	said=$work/said.json
	# A node's own records are seen at once, and the listing when it is a second old.
	wait_until 60 all_told
	cat "$said"
	word=$(jq -r .limit "$said")
	[[ " ${words[*]} " == *" $word "* ]]
	[ $# -lt 2 ] || jq -e "$2" "$said"
	grep -qF "$(jq -r .advice "$said" | cut -c1-40)" <<<"$(claimctl report "$work/disk/q")"
}

all_told() {
	cat "$q/progress.json" >"$said" && jq -e '.units.todo + .units.claimed == 0 and .time_spent.units > 0' "$said"
}
