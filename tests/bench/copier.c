/*
 * copier: the cheapest resident command: copies each input to its output, or, as `copier none`, does nothing with it. Its protocol is the one of
 * claim-worker --resident (claim-worker(1)).
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define COPIER_MAX_LINE 16384

static bool copy(const char *in, const char *out)
{
	char bytes[65536];
	ssize_t count = -1;
	int from = open(in, O_RDONLY | O_CLOEXEC), to = open(out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

	while (from >= 0 && to >= 0 && (count = read(from, bytes, sizeof(bytes))) > 0)
		if (write(to, bytes, (size_t)count) != count)
			count = -1;
	if (from >= 0)
		close(from);
	return to >= 0 && close(to) == 0 && count == 0;
}

int main(int argc, char **argv)
{
	bool none = argc > 1 && strcmp(argv[1], "none") == 0;
	char line[COPIER_MAX_LINE], *in, *out, *rest;

	while (fgets(line, sizeof(line), stdin)) {
		in = strtok_r(line, "\t", &rest);
		out = strtok_r(NULL, "\t", &rest);
		puts(out && (none || copy(in, out)) ? "ok" : "fail can't copy it");
		fflush(stdout);
	}
	return 0;
}
