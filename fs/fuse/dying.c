/* dying: programs that are about to end: which signals wait for them says so (proc(5)). */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "fuse/internal.h"

bool dying_is(pid_t pid)
{
	static const int enders[] = { SIGHUP, SIGINT, SIGQUIT, SIGKILL, SIGTERM };
	uint64_t mask = 0, set, pending = 0;
	char path[64], line[256];
	unsigned int i;
	FILE *file;

	for (i = 0; i < sizeof(enders) / sizeof(enders[0]); i++)
		mask |= UINT64_C(1) << (enders[i] - 1);
	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	file = pid > 0 ? fopen(path, "re") : NULL;
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SigPnd: %" SCNx64, &set) == 1 || sscanf(line, "ShdPnd: %" SCNx64, &set) == 1)
			pending |= set;
	fclose(file);
	return pending & mask;
}
