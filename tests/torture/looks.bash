# looks.bash: what a torture run looks at, sourced by run: quiet points, and the end.

# The names of units below a directory.
units_in() { find "$1" -type f -printf '%P\n'; }

# Every unit of a node's mount with the directory it stands in, a line each, to $work/states. 1 when a directory cannot be listed: one of nested inputs
# may have gone since it was shown.
list_states() {
	local state
	for state in todo claims done failed; do
		units_in "$work/$1/q/$state" >"$work/names" || return 1
		sed "s/\$/ $state/" "$work/names"
	done | sort >"$work/states" && [ "${PIPESTATUS[0]}" -eq 0 ]
}

# Writes down what a mount shows while no client asks, once two looks agree: what a lease that ran out meanwhile moves is no quiet.
look_quietly() {
	local node=$1 tries time states=$work/states
	: >"$work/states.before"
	for ((tries = 0; tries < 10; tries++)); do
		time=$(now)
		wait_until 10 list_states "$node" || fail "the directories of $node cannot be listed"
		[ "$tries" -gt 0 ] && cmp -s "$states" "$states.before" && break
		cp "$states" "$states.before"
		read -rt 0.3 <> <(:)
	done
	[ "$tries" -lt 10 ] || return 0
	sort "$work/inputs" >"$work/names"
	awk -v head="$time run $node" -v units="$(wc -l <"$work/names")" '
		{ state[$2]++; seen[$1]++ }
		END {
			while ((getline name < names) > 0) once += seen[name] == 1
			printf "%s quiet - %d %d %d %d %d %d\n", head, units, state["todo"], state["claims"], state["done"], state["failed"], once
		}' names="$work/names" "$states" >>"$work/history.run"
	awk '$2 == "claims" { print $1 }' "$states" | while read -r name; do
		owner=$(sed -n 's/^node: //p' "$work/$node/q/claims/$name" 2>/dev/null)
		# One that has no owner any more has gone since.
		[ -z "$owner" ] || printf '%s run %s shown %s %s\n' "$(now)" "$node" "$name" "$owner"
	done >>"$work/history.run"
}

# Nobody asks for a while: every mount must show all units, and no dead node's claims.
quiet_point() {
	local node pid
	say '  quiet'
	for pid in "${client_pid[@]}"; do kill -STOP "$pid" 2>/dev/null; done
	read -rt 1.2 <> <(:)
	for node in "${!mount_pid[@]}"; do look_quietly "$node"; done
	for pid in "${client_pid[@]}"; do kill -CONT "$pid" 2>/dev/null; done
}

# The hash in an output's last line when it is that of all before it, else what it is instead.
digest_of() {
	local said real
	[ -f "$1" ] || { printf -- '-'; return; }
	said=$(tail -n 1 "$1")
	real=$(head -n -1 "$1" | xxhsum -H2 - | awk '{ print $1 }')
	if [ "$said" = "$real" ]; then printf '%s' "$said"; else printf 'torn'; fi
}

write_end() {
	local name state time node
	for node in "${!mount_pid[@]}"; do look_quietly "$node"; done
	wait_until 10 list_states n0 || fail 'the directories of n0 cannot be listed'
	time=$(now)
	sort "$work/inputs" | join -a 1 -e none -o 0,2.2 - "$work/states" | while read -r name state; do
		printf '%s run - end %s %s %s\n' "$time" "$name" "$state" "$(digest_of "$work/disk/q/outputs/$name")"
	done >>"$work/history.run"
}
