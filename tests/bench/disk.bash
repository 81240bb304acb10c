# disk.bash: the disks that the benchmarks put their files on, ours and others' alike. Sourced after tests/lib.bash.
#
#   bench_disk INODES        sets $bench_disk, a new directory of its own on the server's disk, and prints which disk that is
#   bench_node_disk INODES   the same for $bench_node_disk: where a worker keeps what its jobs leave until it is published
#   bench_disk_release       removes them; nothing must use them any more
#
# As root each is a new ext4 with a journal, as users have, in a file of its own below TMPDIR. BENCH_DISK=DIR: a directory there, as is; so it is
# below TMPDIR, said so, where loop devices are not to be had. Such a disk may be an ext4 without a journal: that steps over each inode deleted in
# the last minutes when it makes a file (ext4's recently_deleted()), so a figure would say how much was removed just before it. Hence nothing is
# removed between measurements on the server's either.

bench_disk_gib=8
bench_disks=()		# directories; mounted ones have their image beside them

bench_disk() { bench_disk_new bench_disk "the server's disk" "$1"; }
bench_node_disk() { bench_disk_new bench_node_disk "the node's disk" "$1"; }

bench_disk_new() {	# VARIABLE WHAT INODES
	local dir
	dir=$(mktemp -d "${BENCH_DISK:-${TMPDIR:-/tmp}}/claimfs-bench.XXXXXX")
	if [ -n "${BENCH_DISK:-}" ]; then
		echo "$2: $(bench_disk_kind "$dir"), as BENCH_DISK says"
	elif bench_disk_loop "$dir" "$3"; then
		echo "$2: a new ext4 with a journal, in a file on $(bench_disk_kind "${TMPDIR:-/tmp}")"
	else
		echo "$2: $(bench_disk_kind "$dir"): TMPDIR, for lack of a loop device or of the right to mount one"
	fi
	bench_disks+=("$dir")
	printf -v "$1" %s "$dir"
}

bench_disk_kind() { stat -f -c 'a file system of type %T' "$1"; }	# DIR

bench_disk_loop() {	# DIR INODES
	[ "$(id -u)" -eq 0 ] || return 1
	# Its tables of inodes read as zeros: the kernel need not write them while we measure.
	truncate -s "${bench_disk_gib}G" "$1.img" &&
		mkfs.ext4 -q -F -N "$2" "$1.img" 2>/dev/null &&
		mount -o loop,noinit_itable "$1.img" "$1" 2>/dev/null && return
	rm -f "$1.img"
	return 1
}

bench_disk_release() {
	local dir
	for dir in "${bench_disks[@]}"; do
		if [ ! -e "$dir.img" ]; then
			rm -rf "$dir"
			continue
		fi
		# The server's processes end a moment after their clients.
		! mountpoint -q "$dir" || wait_until 20 umount "$dir" || umount -l "$dir"
		rmdir "$dir"
		rm -f "$dir.img"
	done
	bench_disks=()
}
