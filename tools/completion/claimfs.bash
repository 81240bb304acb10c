# Completion of claimfs, claim-worker and claimctl for bash. Commands, options and the kinds of their values are read from --help, so they are
# those of the program that is called; what is known here besides is where queues keep which units, and where fleets are written down.
# shellcheck shell=bash disable=SC2207

# Options with "=" where they take a value, which follows it: "--lease=TIME". Also claimfs's "-F FILE".
_claimfs_options() {	# PROGRAM [COMMAND...]
	"$@" --help 2>/dev/null | sed -n \
		-e 's/^  *\(-[A-Za-z0-9]\), \(--[a-z][a-z-]*\)=\([^ ]*\).*/\1=\3\n\2=\3/p; t' \
		-e 's/^  *\(-[A-Za-z0-9]\), \(--[a-z][a-z-]*\).*/\1\n\2/p; t' \
		-e 's/^  *\(--[a-z][a-z-]*=*[^ ]*\).*/\1/p; t' \
		-e 's/^  *\(-[A-Za-z0-9]\)[ =]\([A-Z][^ ]*\) .*/\1=\2/p; t' \
		-e 's/^  *\(-[A-Za-z0-9]\)  .*/\1/p'
}

_claimfs_reply() {	# WORD...: those that begin as the word at the cursor
	local IFS=$'\n' word
	COMPREPLY=()
	for word; do
		[[ $word != "$cur"* ]] || COMPREPLY+=("$word")
	done
}

_claimfs_files() {	# -f|-d [PREFIX]: names below PREFIX, which is not shown
	local IFS=$'\n' below=${2:-} name
	compopt -o filenames 2>/dev/null
	COMPREPLY=()
	while read -r name; do
		# "filenames" adds the "/" by itself, but knows nothing of a prefix.
		[ -z "$below" ] || [ ! -d "$name" ] || { name+=/; compopt -o nospace 2>/dev/null; }
		COMPREPLY+=("${name#"$below"}")
	done < <(compgen "$1" -- "$below$cur")
}

_claimfs_state() {
	printf %s "${XDG_STATE_HOME:-$HOME/.local/state}/claimctl"
}

_claimfs_fleets() {
	local file
	for file in "$(_claimfs_state)"/*.fleet; do
		[ ! -e "$file" ] || basename "$file" .fleet
	done
}

_claimfs_machines() {
	cat "$(_claimfs_state)"/*.fleet 2>/dev/null | awk -F '\t' '$1 == "up" || $1 == "making" { print $2 }'
}

_claimfs_providers() {
	local IFS=$'\n'
	printf '%s\n' gcloud aws hosts
	ls "${CLAIMCTL_PROVIDERS:-${XDG_CONFIG_HOME:-$HOME/.config}/claimctl/providers}" 2>/dev/null
}

_claimfs_value() {	# OPTION KIND: what may follow it
	local IFS=$'\n'
	case $1=$2 in
	--only=*) _claimfs_reply $(_claimfs_machines) ;;
	--provider=*) _claimfs_reply $(_claimfs_providers) ;;
	--prefix=*) _claimfs_reply $(_claimfs_fleets) ;;
	*=FILE) _claimfs_files -f ;;
	*=DIR | *=QUEUE) _claimfs_files -d ;;
	*=COMMAND) COMPREPLY=($(compgen -c -- "$cur" | sort -u)) ;;
	*'|'*) _claimfs_reply $(printf '%s\n' "$2" | tr '|' '\n' | grep '^[a-z]*$') ;;
	*) COMPREPLY=() ;;
	esac
}

# Looks through the words before the cursor: $operands; $dashes: where "--" stands; $pending: the option whose value is at the cursor.
_claimfs_parse() {	# FIRST: the first word that may be an option or an operand
	local i word kind=
	operands=() dashes= pending= pending_kind=
	for ((i = $1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [ "$word" = -- ]; then
			dashes=$i
			return
		elif [ "$word" = = ]; then
			continue
		elif [ -n "$kind" ]; then
			kind=
		elif [[ $word == -* ]]; then
			kind=$(printf '%s\n' "${options[@]}" | sed -n "s/^$word=//p" | head -1)
			pending=$word pending_kind=$kind
		else
			operands+=("$word")
		fi
	done
	[ -n "$kind" ] || pending=
}

_claimfs_reply_options() {
	local IFS=$'\n'
	_claimfs_reply $(printf '%s\n' "${options[@]}" -h --help | sed -e 's/^\(-.\)=.*/\1/' -e 's/=.*/=/' | sort -u)
	[[ ${COMPREPLY[*]} != *= ]] || compopt -o nospace 2>/dev/null
}

# What is behind "--" is a command line of its own.
_claimfs_command() {
	if declare -F _command_offset >/dev/null; then
		_command_offset $((dashes + 1))
	elif [ "$COMP_CWORD" -eq $((dashes + 1)) ]; then
		COMPREPLY=($(compgen -c -- "$cur" | sort -u))
	else
		_claimfs_files -f
	fi
}

# The common part: true when something was found.
_claimfs_common() {
	if [ -n "$dashes" ]; then
		_claimfs_command
	elif [ -n "$pending" ]; then
		_claimfs_value "$pending" "$pending_kind"
	elif [[ $cur == -* ]]; then
		_claimfs_reply_options
	else
		return 1
	fi
	return 0
}

_claimfs_begin() {
	cur=${COMP_WORDS[COMP_CWORD]}
	[ "$cur" != = ] || cur=
	COMPREPLY=()
}

_claim_worker() {
	local cur options operands dashes pending pending_kind IFS=$'\n'
	_claimfs_begin
	options=($(_claimfs_options "$1"))
	_claimfs_parse 1
	_claimfs_common || [ ${#operands[@]} -gt 0 ] || _claimfs_files -d
}

_claimctl_fleet() {	# PROGRAM
	local verb=${COMP_WORDS[2]}
	if [ "$COMP_CWORD" -eq 2 ]; then
		_claimfs_reply $("$1" fleet --help | sed -n '/^Verbs:/,/^$/s/^  \([a-z]*\) .*/\1/p')
		return
	fi
	options=($(_claimfs_options "$1" fleet "$verb"))
	_claimfs_parse 3
	if [ "$verb" = start ] && [ ${#operands[@]} -gt 0 ]; then
		options=($(_claimfs_options "${1%claimctl}claim-worker"))
		_claimfs_parse 4
	fi
	_claimfs_common && return
	case $verb,${#operands[@]} in
	push,*) _claimfs_files -f ;;
	preempted,0) _claimfs_reply $(_claimfs_providers) ;;
	esac
}

_claimctl() {
	local cur options operands dashes pending pending_kind command=${COMP_WORDS[1]} IFS=$'\n'
	_claimfs_begin
	if [[ $COMP_CWORD -eq 1 && $cur == -* ]]; then
		_claimfs_reply --help --version
		return
	elif [ "$COMP_CWORD" -eq 1 ] || { [ "$command" = help ] && [ "$COMP_CWORD" -eq 2 ]; }; then
		_claimfs_reply $("$1" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
		return
	fi
	if [ "$command" = fleet ]; then
		_claimctl_fleet "$1"
		return
	fi
	options=($(_claimfs_options "$1" "$command"))
	_claimfs_parse 2
	_claimfs_common && return
	case $command,${#operands[@]} in
	memo,*) ;;
	*,0 | status,* | top,*) _claimfs_files -d ;;
	retry,*) _claimfs_files -f "${operands[0]}/failed/" ;;
	redo,*) _claimfs_files -f "${operands[0]}/done/" ;;
	release,*) _claimfs_files -f "${operands[0]}/claims/" ;;
	log,*) _claimfs_files -f "${operands[0]}/inputs/" ;;
	esac
}

# The names after -o, with commas between: what is before the last comma stays.
_claimfs_mount_options() {
	local before= names
	[[ $cur != *,* ]] || before=${cur%,*},
	names=$("$1" --help | sed -n '/^After -o/,/^$/s/^  \([a-zA-Z_]*=*\).*/\1/p')
	_claimfs_reply $(printf "$before%s\n" $names)
	compopt -o nospace 2>/dev/null
}

_claimfs() {
	local cur options operands dashes pending pending_kind IFS=$'\n'
	_claimfs_begin
	options=($(_claimfs_options "$1"))
	_claimfs_parse 1
	if [ "$pending" = -o ]; then
		_claimfs_mount_options "$1"
		return
	fi
	_claimfs_common && return
	_claimfs_files -d
	if [ ${#operands[@]} -eq 0 ] && [[ $cur != */* ]]; then
		COMPREPLY+=($(compgen -W "$(awk 'tolower($1) == "host" { for (i = 2; i <= NF; i++) if ($i !~ /[*?!]/) print $i ":" }' \
			~/.ssh/config 2>/dev/null)" -- "$cur"))
	fi
}

complete -F _claimfs claimfs
complete -F _claim_worker claim-worker
complete -F _claimctl claimctl
