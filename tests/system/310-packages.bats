#!/usr/bin/env bats
# What make deb and make dist give away: the package's contents and control file, and the systemd units in it.

load ../lib

project=$BATS_TEST_DIRNAME/../..

# `make deb' compiles anew; the same package is made here of the programs that are being tested.
build_deb() {
	make -s --no-print-directory -C "$project" BUILD="$CLAIMFS_BUILD" DESTDIR="$work/root" PREFIX=/usr install
	SOURCE_DATE_EPOCH=1700000000 "$project/tools/deb/build" "$work/root" 1.2.3 "$work"
	deb=$(echo "$work"/claimfs_1.2.3_*.deb)
}

setting() {	# UNIT NAME
	sed -n "s/^$2=//p" "$1"
}

@test "deb: what is in it, where, and what it needs" {
	command -v dpkg-shlibdeps || skip "needs dpkg-dev"
	build_deb
	dpkg-deb -x "$deb" out
	cd out
	for program in claimfs claim-worker claimctl; do
		[ -x "usr/bin/$program" ]
		[ -s "usr/share/man/man1/$program.1.gz" ]
	done
	for helper in mount.claimfs mount.fuse.claimfs; do [ "$(realpath "usr/sbin/$helper")" = "$PWD/usr/bin/claimfs" ]; done
	for provider in gcloud aws hosts; do [ -x "usr/libexec/claimctl/providers/$provider" ]; done
	for file in copyright changelog.gz examples/mnt-disk.mount examples/demo; do [ -s "usr/share/doc/claimfs/$file" ]; done
	[ -z "$(find . ! -user "$(id -un)" -o -perm -o+w ! -type l)" ]
	dpkg-deb -c "$deb" | not grep -qv ' root/root '
	[ "$(dpkg-deb -f "$deb" Version)" = 1.2.3 ]
	# Debian 13 has libfuse3-4, and libssh2-1t64.
	for library in 'libfuse3-[34]' 'libssh2-1(t64)?' liblmdb0 libxxhash0 libcjson1 fuse3 openssh-client; do
		[[ ", $(dpkg-deb -f "$deb" Depends)," =~ ", "$library[\ ,] ]]
	done
	dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./md5sums >sums
	md5sum --quiet -c sums
	[ "$(wc -l <sums)" -eq "$(find usr -type f | wc -l)" ]
	# Claimctl finds its helpers where the package has them.
	fails_with 1 '*no provider*nobodys*' usr/bin/claimctl fleet up -n 1 --provider nobodys
	XDG_STATE_HOME=$work/state fails_with 1 '*hosts: which?*' usr/bin/claimctl fleet up -n 1 --provider hosts
}

@test "deb: lintian finds no error" {
	command -v lintian && command -v dpkg-shlibdeps || skip "needs lintian and dpkg-dev"
	build_deb
	lintian --allow-root --fail-on error "$deb"
}

@test "units: systemd reads them" {
	command -v systemd-analyze || skip "needs systemd"
	mkdir units
	sed "s|/usr/bin/|$(realpath "$CLAIMFS_BUILD")/|" "$project/tools/systemd/claim-worker@.service" >units/claim-worker@.service
	cp "$project/tools/systemd/mnt-disk.mount" units/
	instance=$(systemd-escape -p --template=claim-worker@.service '/mnt/disk/a run')
	run systemd-analyze verify --man=no "units/$instance" units/mnt-disk.mount
	echo "$output"
	[ "$status" -eq 0 ]
	[ -z "$(grep units/ <<<"$output")" ]
	[ "$(systemd-escape -p --suffix=mount "$(setting units/mnt-disk.mount Where)")" = mnt-disk.mount ]
}

@test "units: the worker's is gone within the 30 s of a notice, and its command line is one" {
	unit=$project/tools/systemd/claim-worker@.service
	[ "$(setting "$unit" KillMode)" = mixed ] && [ "$(setting "$unit" KillSignal)" = SIGTERM ]
	read -r program dash grace rest <<<"$(setting "$unit" ExecStart)"
	[ "$program $dash" = "/usr/bin/claim-worker --grace" ]
	# Jobs that did not end get SIGTERM and 2 s; then units are given back.
	[ $((${grace%s} + 2 + 3)) -le "$(setting "$unit" TimeoutStopSec)" ] && [ "$(setting "$unit" TimeoutStopSec)" -lt 30 ]
	make_queue disk/q
	make_inputs disk/q/inputs 1
	mount_claimfs "$work/disk" mnt
	# As the service manager takes it apart: %f is one word, $OPTIONS and $COMMAND are as many as there are.
	OPTIONS="--dry-run -j 1" COMMAND="echo {in} {out}"
	read -ra words <<<"--grace $grace $rest"
	for at in "${!words[@]}"; do
		[ "${words[at]}" != %f ] || words[at]=$work/mnt/q
	done
	run claim-worker $(IFS=$'\n'; sed -e "s/^[$]OPTIONS\$/${OPTIONS// /\\n}/" -e "s/^[$]COMMAND\$/${COMMAND// /\\n}/" <<<"${words[*]}")
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"echo "*/mnt/q/inputs/0001" "*/0001* ]]
}

@test "dist: a tar of all sources" {
	git -C "$project" rev-parse HEAD || skip "needs a git checkout"
	make -s --no-print-directory -C "$project" BUILD="$work/build" VERSION=1.2.3 dist
	tar -tf build/claimfs-1.2.3.tar.xz | grep -v '/$' | sort >is
	git -C "$project" ls-tree -r --name-only HEAD | sed 's|^|claimfs-1.2.3/|' | sort >ought
	diff ought is
}
