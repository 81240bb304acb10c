#!/usr/bin/env bats
# What make install puts where, and that uninstall takes all of it away.

load ../lib

project=$BATS_TEST_DIRNAME/../..

make_target() {	# TARGET VARIABLE...
	make -s --no-print-directory -C "$project" BUILD="$CLAIMFS_BUILD" "$@"
}

@test "install: programs, mount helpers, man pages; uninstall removes them" {
	make_target install DESTDIR="$work/root" PREFIX=/usr
	cd "$work/root"
	for file in usr/bin/claimfs usr/bin/claim-worker usr/bin/claimctl; do [ -x "$file" ]; done
	for page in man1/claimfs.1 man1/claim-worker.1 man1/claimctl.1 man1/claimctl-fleet.1 man7/claimfs-queue.7; do [ -s "usr/share/man/$page" ]; done
	for helper in mount.claimfs mount.fuse.claimfs; do [ "$(readlink "usr/sbin/$helper")" = ../bin/claimfs ]; done
	for helper in fleet-agent providers/gcloud providers/aws providers/hosts; do [ -x "usr/libexec/claimctl/$helper" ]; done
	for name in claimfs claim-worker claimctl; do bash -n "usr/share/bash-completion/completions/$name"; done
	[ -s usr/share/zsh/site-functions/_claimctl ]
	grep -q "^ExecStart=/usr/bin/claim-worker " usr/lib/systemd/system/claim-worker@.service
	usr/bin/claimfs -V | grep -q '^claimfs'
	make_target uninstall DESTDIR="$work/root" PREFIX=/usr
	[ -z "$(find . -type f -o -type l)" ]
}

@test "install: a prefix of one's own is left to itself" {
	make_target install PREFIX="$work/home"
	[ -x home/bin/claimfs ]
	[ -e home/sbin/mount.fuse.claimfs ]
	home/sbin/mount.fuse.claimfs -V | grep -q '^claimfs'
}

@test "install: mount(8) and fstab's way of calling" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	mkdir disk mnt
	ln -s "$(command -v claimfs)" mount.fuse.claimfs
	echo x >disk/x
	echo "$work/mnt" >>.mounts
	./mount.fuse.claimfs "$work/disk" "$work/mnt" -o rw,noauto,user,_netdev,x-systemd.automount 3>&-
	[ "$(cat mnt/x)" = x ]
	unmount "$work/mnt"
}
