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

# In a mount namespace of its own: the helpers are beside mount(8)'s others, and /etc/fstab is ours.
with_helpers() {	# SCRIPT WORD...
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	mkdir helpers
	ln -s "$(command -v claimfs)" helpers/mount.claimfs
	ln -s "$(command -v claimfs)" helpers/mount.fuse.claimfs
	overlay="mount -t overlay -o 'lowerdir=/usr/sbin:$work/helpers' none /usr/sbin"
	"${own_mounts[@]}" "$overlay" true || skip "no overlay filesystem here"
	[ -e /etc/fstab ] || skip "no /etc/fstab here"
	[ ! -e fstab ] || overlay+=" && mount --bind $work/fstab /etc/fstab"
	run timeout 60 "${own_mounts[@]}" "$overlay" bash -e -c "
		$(declare -f not)
		trap 'umount -l mnt 2>/dev/null || true' EXIT
		$1" 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "mount -t claimfs, mount -t fuse.claimfs: a host, with options of ssh and of the kernel" {
	mkdir disk mnt
	echo x >disk/x
	start_sshd
	options="IdentityFile=$work/sshd/user_key,UserKnownHostsFile=$work/sshd/known_hosts,IdentitiesOnly=yes,port=$ssh_port"
	with_helpers "
		for type in claimfs fuse.claimfs; do
			mount -t \$type '127.0.0.1:$work/disk' mnt -o '$options,noatime,ro'
			[ \"\$(cat mnt/x)\" = x ]
			grep -q ' $work/mnt fuse.claimfs ro,.*noatime' /proc/mounts
			umount mnt
		done
		not mount -t claimfs '127.0.0.1:$work/disk' mnt -o '$options,nosuchoption'"
	[[ $output == *"unknown option: -o nosuchoption"* ]]
}

@test "fstab: noauto, user, _netdev, nofail, x-... and options of one's own" {
	mkdir disk mnt
	echo x >disk/x
	echo "$work/disk $work/mnt fuse.claimfs noauto,user,exec,_netdev,nofail,x-systemd.automount,x-gvfs-hide,allow_other,attr_timeout=3 0 0" >fstab
	with_helpers "
		mount -a
		not grep -q ' $work/mnt ' /proc/mounts
		mount '$work/mnt'
		[ \"\$(cat mnt/x)\" = x ]
		grep ' $work/mnt fuse.claimfs rw,nosuid,nodev.*allow_other' /proc/mounts
		umount '$work/mnt'"
}

# In a namespace as above; $work is /mnt there, where a user without rights gets to, and /dev/fuse is open to all, as udev has it.
@test "fstab: with the option user, a user without rights mounts and unmounts, and root does not see in" {
	[ "$(id -u)" -eq 0 ] || skip "needs root"
	[ -u "$(command -v fusermount3)" ] && [ -u "$(command -v mount)" ] || skip "mount and fusermount3 are not setuid here"
	mkdir disk own
	echo x >disk/x
	chown 65534:65534 disk own
	mknod -m 666 fuse c 10 229 && "${own_mounts[@]}" "mount --bind $work/fuse /dev/fuse" test -w /dev/fuse || skip "no devices can be made here"
	echo "/mnt/disk /mnt/own fuse.claimfs noauto,user,_netdev,attr_timeout=3 0 0" >fstab
	with_helpers "
		mount --bind '$work/fuse' /dev/fuse
		mount --bind '$work' /mnt
		as_user() { setpriv --reuid=65534 --regid=65534 --clear-groups env HOME=/mnt PATH=\$PATH \"\$@\"; }
		as_user mount /mnt/own
		[ \"\$(as_user cat /mnt/own/x)\" = x ]
		as_user touch /mnt/own/y
		[ \"\$(stat -c %u /mnt/disk/y)\" = 65534 ]
		grep ' /mnt/own fuse.claimfs rw,nosuid,nodev,noexec.*user_id=65534' /proc/mounts
		not cat /mnt/own/x
		as_user umount /mnt/own
		not grep ' /mnt/own ' /proc/mounts"
}
