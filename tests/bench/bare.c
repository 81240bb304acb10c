/*
 * bare: a pipelined SFTP client without a filesystem above it: what the transport, the server and the engine allow, to compare a mount with.
 *
 *   bare [-F SSH_CONFIG] [-c CONNECTIONS] HOST read PATH         a file, in sequence
 *                                              write PATH BYTES  a new file, and its close
 *                                              files DIR         all files of a directory, many at a time
 *                                              list DIR          its entries with attributes
 *                                              copy FROM TO      on the server, as one piece
 *                                              make DIR COUNT    new empty files, many at a time
 *
 * Everything is done twice, so that connections are up, and the seconds of the second time are printed.
 */
#include <errno.h>
#include <getopt.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/client.h"
#include "sftp/ssh.h"

#define FLYING 64
#define FILE_MOST (64u * 1024)

struct run {
	struct sftp *sftp;
	struct sftp_wait *wait;
	const char *path;
	struct sftp_file *file;
	bool writes;
	const char *to;			/* of a copy */
	uint32_t piece;
	uint64_t size;
	atomic_ullong next;		/* offset, or number of the name */
	atomic_int error;
	atomic_uint flying;
	sem_t done;
	struct buf names;
	size_t *name_at;
	size_t count;
};

struct lane {				/* one request after another */
	struct run *run;
	uint8_t *data;
	struct sftp_file *file;
};

static int waited(struct run *run, int submitted, struct sftp_reply *ret_reply)
{
	return submitted ? submitted : sftp_wait_for(run->wait, ret_reply, NULL);
}

static void lane_end(struct lane *lane, int error)
{
	struct run *run = lane->run;

	if (error)
		atomic_store(&run->error, error);
	free(lane->data);
	free(lane);
	if (atomic_fetch_sub(&run->flying, 1) == 1)
		sem_post(&run->done);
}

/* ---- one large file ---- */

static void piece_next(struct lane *lane);

static void piece_done(void *arg, const struct sftp_reply *reply)
{
	struct lane *lane = arg;

	if (reply->error)
		lane_end(lane, reply->error);
	else
		piece_next(lane);
}

static void piece_next(struct lane *lane)
{
	struct run *run = lane->run;
	uint64_t at = atomic_fetch_add(&run->next, run->piece);
	size_t len;
	int error;

	if (at >= run->size) {
		lane_end(lane, 0);
		return;
	}
	len = run->size - at < run->piece ? (size_t)(run->size - at) : run->piece;
	if (run->writes)
		error = sftp_write(run->file, at, lane->data, len, piece_done, lane);
	else
		error = sftp_read(run->file, at, lane->data, len, piece_done, lane);
	if (error)
		lane_end(lane, error);
}

/* ---- many files ---- */

static void file_next(struct lane *lane);

static void file_read_done(void *arg, const struct sftp_reply *reply)
{
	struct lane *lane = arg;
	int error = reply->error;

	sftp_close(lane->file, NULL, NULL);
	if (error)
		lane_end(lane, error);
	else
		file_next(lane);
}

static void file_opened(void *arg, const struct sftp_reply *reply)
{
	struct lane *lane = arg;
	int error = reply->error;

	if (!error) {
		lane->file = reply->file;
		error = sftp_read(lane->file, 0, lane->data, 4096, file_read_done, lane);
	}
	if (error)
		lane_end(lane, error);
}

static void file_next(struct lane *lane)
{
	struct run *run = lane->run;
	uint64_t number = atomic_fetch_add(&run->next, 1);
	struct buf path = BUF_INIT;
	int error;

	if (number >= run->count) {
		lane_end(lane, 0);
		return;
	}
	buf_addf(&path, "%s/%s", run->path, run->names.data + run->name_at[number]);
	error = sftp_open(run->sftp, SFTP_DATA, buf_text(&path), SFTP_OPEN_READ, NULL, file_opened, lane);
	buf_release(&path);
	if (error)
		lane_end(lane, error);
}

static bool add_name(void *arg, const struct sftp_name *name)
{
	struct run *run = arg;
	size_t *more = realloc(run->name_at, (run->count + 1) * sizeof(*more));

	if (!more)
		return false;
	run->name_at = more;
	run->name_at[run->count++] = run->names.len;
	buf_add(&run->names, name->name, name->len);
	buf_addch(&run->names, '\0');
	return true;
}

/* ---- runs ---- */

static int fly(struct run *run, size_t room, void (*next)(struct lane *lane))
{
	struct lane *lanes[FLYING];
	unsigned int i;

	for (i = 0; i < FLYING; i++) {
		lanes[i] = calloc(1, sizeof(*lanes[i]));
		if (!lanes[i] || !(lanes[i]->data = calloc(1, room)))
			return -ENOMEM;
		lanes[i]->run = run;
	}
	atomic_store(&run->next, 0);
	atomic_store(&run->flying, FLYING);
	for (i = 0; i < FLYING; i++)
		next(lanes[i]);
	while (sem_wait(&run->done))
		;
	return atomic_load(&run->error);
}

static int run_large(struct run *run)
{
	uint32_t flags = run->writes ? SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC : SFTP_OPEN_READ;
	struct sftp_reply reply;
	int error;

	error = waited(run, sftp_open(run->sftp, SFTP_DATA, run->path, flags, NULL, sftp_wait_done, run->wait), &reply);
	if (error)
		return error;
	run->file = reply.file;
	if (!run->writes) {
		error = waited(run, sftp_fstat(run->file, sftp_wait_done, run->wait), &reply);
		run->size = reply.attrs.size;
	}
	run->piece = run->writes ? sftp_max_write(run->sftp) : sftp_max_read(run->sftp);
	if (!error)
		error = fly(run, run->piece, piece_next);
	sftp_close(run->file, sftp_wait_done, run->wait);
	sftp_wait_for(run->wait, NULL, NULL);
	return error;
}

static void listed(void *arg, const struct sftp_reply *reply)
{
	struct run *run = arg;

	atomic_store(&run->error, reply->error);
	sem_post(&run->done);
}

static int run_list(struct run *run)
{
	int error;

	run->count = 0;
	buf_reset(&run->names);
	error = sftp_list(run->sftp, SFTP_DATA, run->path, add_name, NULL, listed, run);
	if (error)
		return error;
	while (sem_wait(&run->done))
		;
	return atomic_load(&run->error);
}

static int run_files(struct run *run)
{
	int error = run->count ? 0 : run_list(run);

	return error ? error : fly(run, FILE_MOST, file_next);
}

/* ---- on the server ---- */

static int open_one(struct run *run, const char *path, uint32_t flags, struct sftp_file **ret_file)
{
	struct sftp_reply reply;
	int error = waited(run, sftp_open(run->sftp, SFTP_DATA, path, flags, NULL, sftp_wait_done, run->wait), &reply);

	if (!error)
		*ret_file = reply.file;
	return error;
}

static int run_copy(struct run *run)
{
	struct sftp_file *from, *to;
	struct sftp_reply reply;
	int error;

	error = open_one(run, run->path, SFTP_OPEN_READ, &from);
	if (error)
		return error;
	error = open_one(run, run->to, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC, &to);
	if (!error) {
		error = waited(run, sftp_copy(from, 0, 0, to, 0, sftp_wait_done, run->wait), &reply);
		sftp_close(to, NULL, NULL);
	}
	sftp_close(from, NULL, NULL);
	return error;
}

static void make_next(struct lane *lane);

static void made(void *arg, const struct sftp_reply *reply)
{
	struct lane *lane = arg;

	if (reply->error) {
		lane_end(lane, reply->error);
		return;
	}
	sftp_close(reply->file, NULL, NULL);
	make_next(lane);
}

static void make_next(struct lane *lane)
{
	struct run *run = lane->run;
	uint64_t number = atomic_fetch_add(&run->next, 1);
	struct buf path = BUF_INIT;
	int error = 0;

	if (number < run->count) {
		buf_addf(&path, "%s/%llu", run->path, (unsigned long long)number);
		error = sftp_open(run->sftp, SFTP_DATA, buf_text(&path), SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_TRUNC, NULL, made, lane);
		buf_release(&path);
	}
	if (number >= run->count || error)
		lane_end(lane, error);
}

static int run_make(struct run *run)
{
	return fly(run, 1, make_next);
}

static int usage(void)
{
	fprintf(stderr, "usage: bare [-F SSH_CONFIG] [-c CONNECTIONS] HOST read PATH | write PATH BYTES | files DIR | list DIR | copy FROM TO | "
		"make DIR COUNT\n");
	return 2;
}

static int measure(struct run *run, int (*work)(struct run *run))
{
	int64_t begun;
	int error = work(run);

	begun = clock_now();
	if (!error)
		error = work(run);
	if (error) {
		fprintf(stderr, "bare: %s: %s\n", run->path, log_strerror(error));
		return 1;
	}
	printf("%.4f\n", (double)(clock_now() - begun) / NS_PER_S);
	return 0;
}

static int (*choose(struct run *run, char **words, int count))(struct run *run)
{
	run->writes = !strcmp(words[0], "write") && count == 3;
	run->path = words[1];
	if (!strcmp(words[0], "copy") && count == 3) {
		run->to = words[2];
		return run_copy;
	}
	if (!strcmp(words[0], "make") && count == 3) {
		run->count = strtoull(words[2], NULL, 10);
		return run_make;
	}
	if (run->writes)
		run->size = strtoull(words[2], NULL, 10);
	if (run->writes || !strcmp(words[0], "read"))
		return run_large;
	if (!strcmp(words[0], "files"))
		return run_files;
	return strcmp(words[0], "list") ? NULL : run_list;
}

int main(int argc, char **argv)
{
	struct sftp_options options = { .connections = 5, .timeout_ns = 60 * NS_PER_S };
	struct ssh_options ssh_options = { 0 };
	struct buf why = BUF_INIT;
	struct ssh_maker *maker;
	struct run run = { 0 };
	int (*work)(struct run *run);
	int opt, status;

	log_open("bare", LOG_LEVEL_WARN);
	while ((opt = getopt(argc, argv, "F:c:")) >= 0) {
		if (opt == 'F')
			ssh_options.config_file = optarg;
		else if (opt == 'c')
			options.connections = atoi(optarg);
		else
			return usage();
	}
	if (argc - optind < 3 || !(work = choose(&run, argv + optind + 1, argc - optind - 1)))
		return usage();
	ssh_options.host = argv[optind];
	if (ssh_maker_new(&ssh_options, &maker, &why)) {
		fprintf(stderr, "bare: %s\n", buf_text(&why));
		return 1;
	}
	options.data_maker = ssh_maker_data(maker);	/* as a mount does */
	if (sftp_connect(ssh_maker_channel(maker), &options, &run.sftp, &why)) {
		fprintf(stderr, "bare: %s\n", buf_text(&why));
		return 1;
	}
	run.wait = sftp_wait_new();
	sem_init(&run.done, 0, 0);
	status = measure(&run, work);
	sftp_free(run.sftp);
	ssh_maker_free(maker);
	sftp_wait_free(run.wait);
	sem_destroy(&run.done);
	buf_release(&run.names);
	buf_release(&why);
	free(run.name_at);
	return status;
}
