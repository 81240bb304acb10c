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

int main(int argc, char **argv)
{
	struct history history = { 0 };
	struct verdict verdict;
	int broken = 0, error;

	if (argc < 3) {
		fprintf(stderr, "usage: check LEASE_SECONDS HISTORY...\n");
		return 2;
	}
	if (read_all(&history, argv + 2, argc - 2) < 0)
		return 2;
	history_sort(&history);
	error = history_judge(&history, (int64_t)(atof(argv[1]) * 1e9), stdout, &verdict);
	if (error || verdict.blind) {
		fprintf(stderr, "check: no verdict: %s\n", error ? strerror(-error) : "the witness lost events");
		return 2;
	}
	printf("%zu events, %d units, %d done with an acknowledged commit, %d redone, %d executions, %d of them duplicates\n", history.count,
	       verdict.units, verdict.committed, verdict.redone, verdict.executions, verdict.duplicates);
	printf("%d claims withdrawn, %d units hedged, %d quiet points\n", verdict.withdrawn, verdict.hedges, verdict.quiet);
	for (int i = 0; i < PROMISES; i++) {
		broken += verdict.broken[i];
		printf("  %-32s %s", promise_names[i], verdict.broken[i] ? "BROKEN" : "held\n");
		if (verdict.broken[i])
			printf(" %d times\n", verdict.broken[i]);
	}
	history_release(&history);
	return broken ? 1 : verdict.units ? 0 : 2;
}
