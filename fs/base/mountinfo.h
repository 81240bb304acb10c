/*
 * mountinfo: what is mounted at a path, by /proc/self/mountinfo (proc(5)). The mount itself is not asked anything: its program may be dead, and
 * whoever looks into a mount keeps it busy meanwhile.
 */
#ifndef CLAIMFS_BASE_MOUNTINFO_H
#define CLAIMFS_BASE_MOUNTINFO_H

#include <stdbool.h>

struct mountinfo {
	unsigned int major;	/* of the device number */
	unsigned int minor;
	char type[64];		/* "ext4", "fuse.claimfs" */
};

/* The mount exactly at `path` (absolute, without symbolic links), the uppermost if there are several; false: none, or no /proc. Thread-safe. */
bool mountinfo_find(const char *path, struct mountinfo *ret_info);

#endif
