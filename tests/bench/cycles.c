/*
 * cycles: takes units through a queue's ctl and says done at once: what the queue itself costs, with no work in it.
 *
 *   cycles CTL BATCH [MOST]      one `take BATCH` line, then as many `done` lines in one write; until none is left, or MOST were done
 *
 * Prints: units seconds. Names go back as they came: ctl's encoding is the same both ways.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct session {
	int fd;
	char *text;		/* what was read, up to `len` */
	size_t len;
	size_t cap;
	char *lines;		/* the done lines */
	size_t lines_cap;
};

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "cycles: %s: %s\n", what, strerror(errno));
	return -1;
}

static int send_text(struct session *session, const char *text, size_t len)
{
	ssize_t sent;

	for (; len > 0; text += sent, len -= (size_t)sent) {
		sent = write(session->fd, text, len);
		if (sent < 0)
			return fail("writing to ctl");
	}
	return 0;
}

/* Reads `lines` whole lines. 1; 0 at the end of file; -1. */
static int read_lines(struct session *session, size_t lines)
{
	size_t at = 0;
	ssize_t got;

	session->len = 0;
	while (lines > 0) {
		if (session->cap - session->len < 65536) {
			session->cap = session->cap * 2 + 131072;
			session->text = realloc(session->text, session->cap);
			if (!session->text)
				return fail("reading ctl");
		}
		got = read(session->fd, session->text + session->len, session->cap - session->len);
		if (got < 0)
			return fail("reading ctl");
		if (got == 0)
			return 0;
		session->len += (size_t)got;
		for (; at < session->len; at++)
			lines -= lines > 0 && session->text[at] == '\n';
	}
	return 1;
}

/* The names of the answer, each in a done line. How many, or -1. */
static long make_lines(struct session *session, size_t *ret_len)
{
	const char *name = session->text, *end = session->text + session->len, *next;
	size_t len = 0, need = session->len * 6 + 16;
	long count = 0;

	if (need > session->lines_cap) {
		session->lines_cap = need;
		session->lines = realloc(session->lines, need);
		if (!session->lines)
			return fail("out of memory");
	}
	for (; name < end; name = next + 1, count++) {
		for (next = name; *next != '\t' && *next != '\n'; next++)
			;
		memcpy(session->lines + len, "done ", 5);
		memcpy(session->lines + len + 5, name, (size_t)(next - name));
		len += 5 + (size_t)(next - name);
		session->lines[len++] = '\n';
	}
	*ret_len = len;
	return count;
}

/* Every answer must be "ok". */
static int check_answers(const struct session *session)
{
	const char *line = session->text, *end = session->text + session->len;

	for (; line < end; line = (const char *)memchr(line, '\n', (size_t)(end - line)) + 1)
		if (strncmp(line, "ok\n", 3) != 0) {
			fprintf(stderr, "cycles: ctl answered: %.*s\n", (int)((const char *)memchr(line, '\n', (size_t)(end - line)) - line), line);
			return -1;
		}
	return 0;
}

/* How many were done; 0: none is left; -1. */
static long cycle(struct session *session, long batch)
{
	char line[64];
	size_t len = 0;
	long count;
	int got;

	snprintf(line, sizeof(line), "take %ld\n", batch);
	if (send_text(session, line, strlen(line)) < 0)
		return -1;
	got = read_lines(session, 1);
	if (got <= 0)
		return got;
	if (strncmp(session->text, "error ", 6) == 0) {
		fprintf(stderr, "cycles: ctl answered: %.*s", (int)session->len, session->text);
		return -1;
	}
	count = make_lines(session, &len);
	if (count <= 0 || send_text(session, session->lines, len) < 0 || read_lines(session, (size_t)count) <= 0)
		return -1;
	return check_answers(session) < 0 ? -1 : count;
}

int main(int argc, char **argv)
{
	struct session session = { .fd = -1 };
	long batch, most, count = 1, units = 0;
	double begun;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: cycles CTL BATCH [MOST]\n");
		return 2;
	}
	batch = atol(argv[2]);
	most = argc > 3 ? atol(argv[3]) : -1;
	session.fd = open(argv[1], O_RDWR | O_CLOEXEC);
	if (session.fd < 0)
		return fail(argv[1]) != 0;
	begun = now();
	while (count > 0 && (most < 0 || units < most)) {
		count = cycle(&session, most >= 0 && most - units < batch ? most - units : batch);
		units += count > 0 ? count : 0;
	}
	printf("%ld %.6f\n", units, now() - begun);
	close(session.fd);
	free(session.text);
	free(session.lines);
	return count < 0;
}
