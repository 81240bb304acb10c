#!/usr/bin/env bats
# What bash and zsh offer at the cursor. Words are completed as the shells do it: bash's function with its variables, zsh in a terminal of its own.

load ../lib

completion=$BATS_TEST_DIRNAME/../../tools/completion

# offers LINE WORD...: exactly these; the last word of LINE is at the cursor ("claimctl " ends with an empty one).
offers() {
	local line=$1 is
	shift
	is=$(complete_in_bash "$line")
	[ "$is" = "$(printf '%s\n' "$@" | sort)" ] || { printf 'for <%s> expected: %s\nis:\n%s\n' "$line" "$*" "$is"; false; }
}

offers_also() {
	local line=$1 word is
	shift
	is=$(complete_in_bash "$line")
	for word; do
		grep -qxF -e "$word" <<<"$is" || { printf 'for <%s> no <%s> in:\n%s\n' "$line" "$word" "$is"; false; }
	done
}

complete_in_bash() {
	bash -c '
		. "$1/claimfs.bash"
		# As readline splits: at "=" too. A word with a space is written with a backslash.
		eval "COMP_WORDS=(${2//=/ = })"
		[[ $2 != *[\ =] ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		function="_${COMP_WORDS[0]//-/_}"
		complete -p "${COMP_WORDS[0]}" | grep -q "$function" || exit
		"$function" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
		[ ${#COMPREPLY[@]} -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}" | sort' - "$completion" "$1"
}

@test "completion: bash: commands, options, values" {
	offers "claimctl re" report retry redo release
	offers_also "claimctl " init status log fleet fsck help
	offers "claimctl --v" --version
	offers "claimctl init --dur" --durable=
	offers "claimctl init --durable=" yes no
	offers "claimctl init --durable y" yes
	offers "claimctl fleet st" start stop
	offers_also "claimctl fleet " up ls run push mount watch logs down
	offers_also "claimctl fleet up --" --provider= --spot --prefix= --help
	offers "claimctl fleet preempted " gcloud aws hosts
	offers "claimctl help fs" fsck
	offers "claim-worker --batch" --batch= --batch-time=
	offers "claim-worker --batch=" auto
	offers_also "claimfs -o re" reconnect readahead=
	offers "claimfs -o reconnect,idm" reconnect,idmap=
	offers_also "claimfs -" -F -o -p --version
}

@test "completion: bash: every command's and verb's options are known" {
	for command in $(complete_in_bash "claimctl "); do
		[ "$command" = help ] || [ "$command" = fleet ] || offers_also "claimctl $command --" --help
	done
	for verb in $(complete_in_bash "claimctl fleet "); do
		# Each prints a table, but for watch, which tells what happens, and preempted, which knows no fleet.
		[ "$verb" = watch ] || [ "$verb" = preempted ] || offers_also "claimctl fleet $verb --" --prefix= --json --help
	done
}

@test "completion: bash: directories, units, machines, commands" {
	mkdir -p "a queue/failed/sub" "a queue/done" bin other
	: >"a queue/failed/x 1"
	: >"a queue/failed/sub/y"
	: >file
	offers "claimctl status a" "a queue"
	offers "claim-worker o" other
	offers "claimctl retry a\\ queue " sub/ "x 1"
	offers "claimctl retry a\\ queue sub/" sub/y
	offers "claimctl retry --all f"
	offers "claimctl redo a\\ queue "
	offers "claimctl fleet push fi" file
	offers "claimctl fleet up --hosts-file=f" file
	printf '#!/bin/sh\n' >bin/a-strange-command
	chmod +x bin/a-strange-command
	PATH=$work/bin:$PATH
	offers "claim-worker -j 4 q -- a-strange-c" a-strange-command
	offers "claimctl fleet run -- a-strange-c" a-strange-command
	export XDG_STATE_HOME=$work/state
	mkdir -p state/claimctl
	printf 'claimctl-fleet 1\nprovider\tgcloud\nup\tp-000\tx\nmaking\tp-001\nend\n' >state/claimctl/p.fleet
	offers "claimctl fleet run --only " p-000 p-001
	offers "claimctl fleet ls --prefix=" p
	offers "claimctl fleet start q --ret" --retries=
}

@test "completion: zsh" {
	command -v zsh || skip "needs zsh"
	mkdir -p a-queue/failed
	: >a-queue/failed/unit-7
	cat >ask.zsh <<-'ZSH'
		zmodload zsh/zpty
		zpty shell "zsh -f -i"
		zpty -w shell "PS1='>'; fpath=($1 \$fpath); autoload -Uz compinit && compinit -u -d $PWD/dump; zstyle ':completion:*' list-prompt ''; bindkey '^I' complete-word; setopt no_beep; LISTMAX=1000; echo rea''dy"
		zpty -r -m shell line '*ready*' || exit 1
		zpty -w -n shell "$2"$'\t'
		limit=$((SECONDS + 15)) all=
		while ((SECONDS < limit)) && [[ $all != *$~3* ]]; do
			! zpty -r -t shell part || all+=$part
		done
		print -r -- "$all"
		zpty -d shell
		[[ $all == *$~3* ]]
	ZSH
	ask() { zsh -f ask.zsh "$completion" "$@"; }
	ask 'claimctl sta' '*status*'
	ask 'claimctl fleet wa' '*watch*'
	ask 'claimctl fleet up --prov' '*--provider*'
	ask 'claimctl init --dur' '*--durable*'
	ask 'claimctl retry a-queue uni' '*unit-7*'
	ask 'claim-worker --resi' '*--resident*'
	ask 'claimfs -o reconnect,idm' '*idmap*'
}
