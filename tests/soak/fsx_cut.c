/* fsx_cut: breaks connections: through the control socket of the fault pipe (tests/fault/pipe.c), or by killing server processes. */
#include "tests/soak/fsx.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One command, and its answer. */
static void ask(struct run *run, const char *command)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char answer[256];
	ssize_t len;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(run->control) >= sizeof(address.sun_path))
		run_fail(run, "%s: too long for a socket", run->control);
	strcpy(address.sun_path, run->control);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) || write(fd, command, strlen(command)) < 0)
		run_fail(run, "%s: %s", run->control, strerror(errno));
	len = read(fd, answer, sizeof(answer) - 1);
	if (len < 2 || memcmp(answer, "ok", 2))
		run_fail(run, "the fault pipe refused: %s", command);
	close(fd);
}

/* Now, or after so many more bytes: in the middle of a request, of an answer, of a greeting. */
static void cut_pipe(struct run *run)
{
	const char *end = run_chance(run, 50) ? "rst" : "fin";
	uint32_t most = run_chance(run, 50) ? 300 : 200000;
	char command[80];

	switch (run_random(run, 3)) {
	case 0:
		snprintf(command, sizeof(command), "cut now %s\n", end);
		break;
	case 1:
		snprintf(command, sizeof(command), "cut up %u %s\n", 1 + run_random(run, most), end);
		break;
	default:
		snprintf(command, sizeof(command), "cut down %u %s\n", 1 + run_random(run, most), end);
		break;
	}
	run_log(run, "%.*s", (int)strlen(command) - 1, command);
	ask(run, command);
}

static bool kill_in(const char *path, bool all)
{
	char text[4096], *at = text, *end;
	FILE *file = fopen(path, "re");
	long pid;

	if (!file)
		return false;		/* that thread has ended meanwhile */
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	fclose(file);
	while ((pid = strtol(at, &end, 10)) && end != at) {
		kill((pid_t)pid, SIGKILL);
		if (!all)
			return true;
		at = end;
	}
	return false;
}

/* Each server process that runs on behalf of the mount, or one of them. */
static void kill_children(struct run *run)
{
	bool all = run_chance(run, 50);
	char pattern[64];
	glob_t found;
	size_t i;

	run_log(run, "kill %s", all ? "all" : "one");
	snprintf(pattern, sizeof(pattern), "/proc/%ld/task/*/children", run->children_of);
	if (glob(pattern, 0, NULL, &found))
		run_fail(run, "there is no process %ld", run->children_of);
	for (i = 0; i < found.gl_pathc; i++)
		if (kill_in(found.gl_pathv[i], all))
			break;
	globfree(&found);
}

void cut_something(struct run *run)
{
	if (run->control && (!run->children_of || run_chance(run, 50)))
		cut_pipe(run);
	else
		kill_children(run);
	run->cuts++;
}
