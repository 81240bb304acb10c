/* check LEASE_S HISTORY…: judges the histories of a torture run. Exit 1 when a promise was broken. See history.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "history.h"

static int read_all(struct history *history, char **files, int count)
{
	for (int i = 0; i < count; i++) {
		FILE *file = fopen(files[i], "r");
		int error;

		if (!file) {
			fprintf(stderr, "check: cannot read %s: %s\n", files[i], strerror(errno));
			return -errno;
		}
		error = history_read(history, file, files[i]);
		fclose(file);
		if (error)
			return error;
	}
	return 0;
}

static int say(const char *promise, int breaches)
{
	printf("  %-32s %s", promise, breaches ? "BROKEN" : "held");
	if (breaches)
		printf(" %d times", breaches);
	printf("\n");
	return breaches;
}

int main(int argc, char **argv)
{
	struct history history = { 0 };
	struct verdict verdict;
	int broken = 0;

	if (argc < 3) {
		fprintf(stderr, "usage: check LEASE_SECONDS HISTORY...\n");
		return 2;
	}
	if (read_all(&history, argv + 2, argc - 2) < 0)
		return 2;
	history_sort(&history);
	history_judge(&history, (int64_t)(atof(argv[1]) * 1e9), stdout, &verdict);
	printf("%zu events, %d units, %d with an acknowledged commit, %d executions, %d of them duplicates\n", history.count,
	       verdict.units, verdict.committed, verdict.executions, verdict.duplicates);
	broken += say("one commit", verdict.one_commit);
	broken += say("no unit is lost", verdict.no_unit_lost);
	broken += say("done means there", verdict.done_is_there);
	broken += say("one owner at a time", verdict.one_owner);
	broken += say("attempt numbers rise", verdict.attempts_rise);
	history_release(&history);
	return broken ? 1 : verdict.units ? 0 : 2;
}
