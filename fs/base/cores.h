/* cores: how many processors there are for this process. */
#ifndef CLAIMFS_BASE_CORES_H
#define CLAIMFS_BASE_CORES_H

/* Those this process may run on: in a container or under taskset they are fewer than the machine's. At least 1; any thread. */
int cores_count(void);

#endif
