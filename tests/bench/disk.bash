# disk.bash: the disk that the benchmarks put the server's files on, ours and others' alike. Sourced after tests/lib.bash.
#
#   bench_disk INODES    sets $bench_disk, a new directory of its own on it, and prints which disk it is
#   bench_disk_release   removes it; nothing must use it any more
#
# As root it is a new ext4 with a journal, as users have, in a file of its own below TMPDIR. BENCH_DISK=DIR: a directory there, as is; so it is
# below TMPDIR, said so, where loop devices are not to be had. Such a disk may be an ext4 without a journal: that steps over each inode deleted in
# the last minutes when it makes a file (ext4's recently_deleted()), so a figure would say how much was removed just before it. Hence nothing is
# removed between measurements either.

bench_disk_gib=8

bench_disk() {
	local inodes=$1
	bench_disk_image=
	if [ -n "${BENCH_DISK:-}" ]; then
		bench_disk=$(mktemp -d "$BENCH_DISK/claimfs-bench.XXXXXX")
		echo "the server's disk: $(bench_disk_kind "$bench_disk"), as BENCH_DISK says"
	elif bench_disk_loop "$inodes"; then
		echo "the server's disk: a new ext4 with a journal, in a file on $(bench_disk_kind "${TMPDIR:-/tmp}")"
	else
		bench_disk=$(mktemp -d "${TMPDIR:-/tmp}/claimfs-bench.XXXXXX")
		echo "the server's disk: $(bench_disk_kind "$bench_disk"): TMPDIR, for lack of a loop device or of the right to mount one"
	fi
}

bench_disk_kind() { stat -f -c 'a file system of type %T' "$1"; }	# DIR

bench_disk_loop() {	# INODES
	[ "$(id -u)" -eq 0 ] || return 1
	bench_disk_image=$(mktemp "${TMPDIR:-/tmp}/claimfs-bench.XXXXXX.img")
	bench_disk=$bench_disk_image.d
	mkdir "$bench_disk"
	# Its tables of inodes read as zeros: the kernel need not write them while we measure.
	truncate -s "${bench_disk_gib}G" "$bench_disk_image" &&
		mkfs.ext4 -q -F -N "$inodes" "$bench_disk_image" 2>/dev/null &&
		mount -o loop,noinit_itable "$bench_disk_image" "$bench_disk" 2>/dev/null && return
	bench_disk_release
	return 1
}

bench_disk_release() {
	[ -n "${bench_disk:-}" ] || return 0
	if [ -z "$bench_disk_image" ]; then
		rm -rf "$bench_disk"
	else
		# The server's processes end a moment after their clients.
		! mountpoint -q "$bench_disk" || wait_until 20 umount "$bench_disk" || umount -l "$bench_disk"
		rmdir "$bench_disk"
		rm -f "$bench_disk_image"
		bench_disk_image=
	fi
	bench_disk=
}
