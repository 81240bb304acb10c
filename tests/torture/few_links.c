/*
 * few_links: loaded into the servers of a torture run (LD_PRELOAD), makes the disk one that allows CLAIMFS_TORTURE_LINKS names of an inode: a LINK
 * beyond that fails with EMLINK, which SFTP tells as a plain failure.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int link(const char *from, const char *to)
{
	static int (*real)(const char *, const char *);
	const char *limit = getenv("CLAIMFS_TORTURE_LINKS");
	struct stat status;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "link");
	if (limit && lstat(from, &status) == 0 && status.st_nlink >= strtoul(limit, NULL, 10)) {
		errno = EMLINK;
		return -1;
	}
	return real(from, to);
}
