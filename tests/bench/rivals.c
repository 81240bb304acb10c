/*
 * rivals: take and finish units the way people do without a queue of this kind, to compare cycles.c with. Units are 0 … COUNT-1.
 *
 *   rivals excl DIR COUNT            claim: open DIR/claims/N with O_EXCL; done: rename it to DIR/done/N
 *   rivals mkdir DIR COUNT           the same with a directory as the lock
 *   rivals redis PORT COUNT BATCH    LMOVE todo claims; done: LREM claims; BATCH commands sent together (RESP2, redis.io's protocol)
 *
 * Prints: units seconds. DIR and both lists must be there and fresh ("todo" with COUNT elements).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAX_BATCH 1024
#define NAME_ROOM 32

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int fail(const char *what)
{
	fprintf(stderr, "rivals: %s: %s\n", what, strerror(errno));
	return -1;
}

/* ---- locks in a directory ---- */

static int lock_cycle(bool is_dir, long unit)
{
	char claim[64], done[64];
	int fd;

	snprintf(claim, sizeof(claim), "claims/%ld", unit);
	snprintf(done, sizeof(done), "done/%ld", unit);
	if (is_dir) {
		if (mkdir(claim, 0777) < 0)
			return fail(claim);
	} else {
		fd = open(claim, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0 || close(fd) < 0)
			return fail(claim);
	}
	return rename(claim, done) < 0 ? fail(done) : 0;
}

static int run_locks(bool is_dir, const char *dir, long count)
{
	long unit;

	if (chdir(dir) < 0)
		return fail(dir);
	for (unit = 0; unit < count; unit++)
		if (lock_cycle(is_dir, unit) < 0)
			return -1;
	return 0;
}

/* ---- Redis ---- */

static FILE *redis_connect(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return NULL;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
		close(fd);
		return NULL;
	}
	return fdopen(fd, "r+");
}

static int send_all(FILE *redis, const char *text, size_t len)
{
	ssize_t sent;

	for (; len > 0; text += sent, len -= (size_t)sent) {
		sent = write(fileno(redis), text, len);
		if (sent < 0)
			return fail("redis");
	}
	return 0;
}

/* A bulk string's answer into `name`: 1, or 0 when there was none. */
static int read_bulk(FILE *redis, char name[NAME_ROOM])
{
	char line[NAME_ROOM];

	if (!fgets(line, sizeof(line), redis) || line[0] != '$')
		return fail("redis: no string");
	if (line[1] == '-')
		return 0;
	if (!fgets(name, NAME_ROOM, redis))
		return fail("redis: no string");
	name[strcspn(name, "\r\n")] = '\0';
	return 1;
}

static int read_number(FILE *redis)
{
	char line[NAME_ROOM];

	return fgets(line, sizeof(line), redis) && line[0] == ':' ? atoi(line + 1) : fail("redis: no number");
}

/* How many of `batch` were taken and done; -1. */
static long redis_cycle(FILE *redis, long batch)
{
	static const char take[] = "*5\r\n$5\r\nLMOVE\r\n$4\r\ntodo\r\n$6\r\nclaims\r\n$4\r\nLEFT\r\n$5\r\nRIGHT\r\n";
	static char text[MAX_BATCH * 128];
	static char names[MAX_BATCH][NAME_ROOM];
	long i, taken = 0;
	size_t len = 0;
	int got;

	for (i = 0; i < batch; i++, len += sizeof(take) - 1)
		memcpy(text + len, take, sizeof(take) - 1);
	if (send_all(redis, text, len) < 0)
		return -1;
	for (i = 0; i < batch; i++, taken += got) {
		got = read_bulk(redis, names[taken]);
		if (got < 0)
			return -1;
	}
	for (i = 0, len = 0; i < taken; i++)
		len += (size_t)snprintf(text + len, 128, "*4\r\n$4\r\nLREM\r\n$6\r\nclaims\r\n$1\r\n1\r\n$%zu\r\n%s\r\n", strlen(names[i]), names[i]);
	if (taken && send_all(redis, text, len) < 0)
		return -1;
	for (i = 0; i < taken; i++)
		if (read_number(redis) != 1)
			return fail("redis: a claim was not there");
	return taken;
}

static int run_redis(int port, long count, long batch)
{
	FILE *redis = redis_connect(port);
	long done, sum = 0;

	if (!redis)
		return fail("redis");
	while (sum < count) {
		done = redis_cycle(redis, batch < MAX_BATCH ? batch : MAX_BATCH);
		if (done <= 0)
			break;
		sum += done;
	}
	fclose(redis);
	return sum >= count ? 0 : -1;
}

int main(int argc, char **argv)
{
	double begun = now();
	long count = argc > 3 ? atol(argv[3]) : 0;
	int error;

	if (argc == 5 && strcmp(argv[1], "redis") == 0) {
		error = run_redis(atoi(argv[2]), count, atol(argv[4]));
	} else if (argc == 4 && (strcmp(argv[1], "excl") == 0 || strcmp(argv[1], "mkdir") == 0)) {
		error = run_locks(strcmp(argv[1], "mkdir") == 0, argv[2], count);
	} else {
		fprintf(stderr, "usage: rivals excl|mkdir DIR COUNT, or: rivals redis PORT COUNT BATCH\n");
		return 2;
	}
	if (!error)
		printf("%ld %.6f\n", count, now() - begun);
	return error != 0;
}
