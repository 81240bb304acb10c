/*
 * client: one worker of a torture run. Takes units through a session of `ctl`, writes an output into stage/ or puts it behind the line that
 * commits, and writes down what it asked and what it was told (history.h). Now and then it gives back, fails a unit, dies with units in hand, or tries
 * one that another is at (a hedge).
 *
 *   client QUEUE NODE NAME SEED HISTORY [WORK_MS [GIVE_PERCENT [FAIL_PERCENT [DIE_PERCENT [HEDGE_PERCENT]]]]]
 *
 * An output is whole by its own evidence: its last line is the XXH3-128 of all before it. Ends 0 when nothing is left to take. While the mount is
 * away (it was killed) it waits for it to come back, for at most a minute.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/pct.h"

#define AWAY_S 60
#define LONG_PERCENT 3		/* of the units take so many times longer */
#define LONG_TIMES 20
#define PUT_PERCENT 50		/* of the outputs come with the line */

struct client {
	const char *queue;
	const char *node;
	const char *name;
	unsigned int seed;
	int history;
	int ctl;
	long work_ms;
	int give, fail, die, hedge;
};

static void record(struct client *client, const char *event, const char *unit, const char *detail)
{
	struct buf line = BUF_INIT;

	buf_addf(&line, "%" PRId64 "/%" PRId64 " %s %s %s %s%s%s\n", clock_now(), (int64_t)(clock_wall() / NS_PER_S), client->name, client->node,
		 event, unit, *detail ? " " : "", detail);
	if (buf_error(&line) || io_write_all(client->history, line.data, line.len) < 0)
		_exit(3);
	buf_release(&line);
}

static void pause_ms(long ms)
{
	if (ms > 0)
		poll(NULL, 0, (int)ms);
}

static int path_in(struct client *client, const char *dir, const char *name, struct buf *ret)
{
	buf_reset(ret);
	buf_addf(ret, "%s/%s%s%s", client->queue, dir, *name ? "/" : "", name);
	return buf_error(ret);
}

static int open_ctl(struct client *client)
{
	struct buf path = BUF_INIT;
	int64_t until = clock_now() + AWAY_S * NS_PER_S;

	path_in(client, "ctl", "", &path);
	while ((client->ctl = open(path.data, O_RDWR | O_CLOEXEC)) < 0 && clock_now() < until)
		pause_ms(100);
	buf_release(&path);
	return client->ctl < 0 ? -errno : 0;
}

/* Writes one command, with the data behind it if there is any, and reads its one line, without the newline. 1; 0 at end of file; -errno. */
static int ask(struct client *client, const char *command, const char *name, const struct buf *data, struct buf *ret_line)
{
	struct buf line = BUF_INIT;
	char c;
	ssize_t got;
	int error;

	buf_adds(&line, command);
	if (*name) {
		buf_addch(&line, ' ');
		pct_encode(&line, name, strlen(name));
	}
	buf_addch(&line, '\n');
	if (data)
		buf_add(&line, data->data, data->len);
	error = buf_error(&line);
	if (!error)
		error = io_write_all(client->ctl, line.data, line.len);
	buf_release(&line);
	buf_reset(ret_line);
	while (!error) {
		got = read(client->ctl, &c, 1);
		if (got == 1 && c == '\n')
			return 1;
		if (got == 1)
			buf_addch(ret_line, c);
		else if (got == 0)
			return 0;
		else if (errno != EINTR)
			error = -errno;
	}
	return error;
}

static void gone(struct client *client)
{
	record(client, "gone", "-", "");
	close(client->ctl);
	client->ctl = -1;
}

/* A whole output of random length; its hash goes to ret_hex. 0 or -ENOMEM. */
static int make_output(struct client *client, const char *name, struct buf *ret_text, char ret_hex[HASH_HEX_LEN + 1])
{
	struct hash128 hash;

	buf_addf(ret_text, "%s %s %" PRId64 "\n", name, client->name, clock_now());
	for (int i = rand_r(&client->seed) % 3000; i > 0; i--)
		buf_addf(ret_text, "%08x\n", rand_r(&client->seed));
	hash = hash128_of(ret_text->data, ret_text->len);
	hash128_hex(&hash, ret_hex);
	buf_addf(ret_text, "%s\n", ret_hex);
	return buf_error(ret_text);
}

static int stage_output(struct client *client, const char *name, const struct buf *text)
{
	struct buf path = BUF_INIT;
	int fd, error;

	path_in(client, "stage", name, &path);
	error = buf_error(&path);
	fd = error ? -1 : open(path.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (!error && fd < 0)
		error = -errno;
	if (!error)
		error = io_write_all(fd, text->data, text->len);
	if (fd >= 0 && close(fd) < 0 && !error)
		error = -errno;
	buf_release(&path);
	return error;
}

/* Asks for an end of `name`, told as `asked` and, when it was granted, as `granted`. -EIO: the session is good for nothing any more. */
static int finish(struct client *client, const char *command, const char *name, const struct buf *data, const char *unit, const char *asked,
		  const char *granted, const char *detail)
{
	struct buf line = BUF_INIT;
	const char *told, *event = "refused";
	int result;

	record(client, asked, unit, detail);
	result = ask(client, command, name, data, &line);
	told = buf_text(&line);
	if (!strcmp(told, "ok"))
		event = granted;
	else if (!strncmp(told, "already ", 8))
		event = "already";
	else if (!strncmp(told, "error ESTALE", 12) || !strncmp(told, "error EACCES", 12))
		event = "stale";
	if (result == 1)
		record(client, event, unit, event == granted ? "" : told);
	/* What could not be ended is held by the session, and ends with it. */
	result = result == 1 && strcmp(event, "refused") ? 0 : -EIO;
	buf_release(&line);
	return result;
}

static bool chance(struct client *client, int percent)
{
	return rand_r(&client->seed) % 100 < percent;
}

/* Some units take long, so that claims are seen by others and grow old. */
static long work_time(struct client *client)
{
	long ms = client->work_ms ? rand_r(&client->seed) % (2 * client->work_ms) : 0;

	return chance(client, LONG_PERCENT) ? ms + LONG_TIMES * client->work_ms : ms;
}

/* The claim may be lost by now, or the disk full: given back then. */
static int commit(struct client *client, const char *name, const char *unit)
{
	char hex[HASH_HEX_LEN + 1], put[32];
	struct buf text = BUF_INIT;
	int error = make_output(client, name, &text, hex);

	snprintf(put, sizeof(put), "put %zu 644", text.len);
	if (!error && chance(client, PUT_PERCENT))
		error = finish(client, put, name, &text, unit, "commit", "ok", hex);
	else if (!error && stage_output(client, name, &text) == 0)
		error = finish(client, "done", name, NULL, unit, "commit", "ok", hex);
	else
		error = finish(client, "release", name, NULL, unit, "give", "gave", "");
	buf_release(&text);
	return error;
}

static int work_on(struct client *client, const char *name, const char *unit, const char *attempt, bool hedge)
{
	record(client, hedge ? "hedged" : "took", unit, attempt);
	if (chance(client, client->die))
		raise(SIGKILL);
	pause_ms(work_time(client));
	if (chance(client, client->give))
		return finish(client, "release", name, NULL, unit, "give", "gave", "");
	/* A hedge that fails leaves the unit as it is. */
	if (chance(client, client->fail))
		return finish(client, "fail", name, NULL, unit, hedge ? "give" : "fail", hedge ? "gave" : "failed", "");
	return commit(client, name, unit);
}

/* The answer, "ATTEMPT NAME": works on the unit. */
static int taken(struct client *client, char *answer, bool hedge)
{
	struct buf unit = BUF_INIT;
	char *name = strchr(answer, ' ');
	int error;

	if (!name)
		return -EINVAL;
	*name++ = '\0';
	buf_adds(&unit, name);
	error = pct_decode(name);
	if (error >= 0)
		error = work_on(client, name, buf_text(&unit), answer, hedge);
	buf_release(&unit);
	return error;
}

/* ---- second attempts ---- */

/* Some unit of the directory `dir` of claims/, or below it: its name. False: there is none. */
static bool find_claimed(struct client *client, const char *dir, struct buf *ret_name)
{
	struct buf path = BUF_INIT, below = BUF_INIT;
	int seen = 0;
	bool is_dir = false;
	struct dirent *entry;
	DIR *listing;

	buf_addf(&path, "%s/claims/%s", client->queue, dir);
	listing = opendir(buf_text(&path));
	while (listing && (entry = readdir(listing))) {
		if (entry->d_name[0] == '.' || rand_r(&client->seed) % ++seen)
			continue;
		buf_reset(&below);
		buf_addf(&below, "%s%s%s", dir, *dir ? "/" : "", entry->d_name);
		is_dir = entry->d_type == DT_DIR;
	}
	if (listing)
		closedir(listing);
	buf_reset(ret_name);
	if (seen && !is_dir)
		buf_adds(ret_name, below.data);
	else if (seen)
		find_claimed(client, below.data, ret_name);
	buf_release(&path);
	buf_release(&below);
	return ret_name->len > 0;
}

/* A second attempt at a unit that somebody is at; -ENOENT: it was not to be had. */
static int hedge(struct client *client, struct buf *line)
{
	struct buf name = BUF_INIT;
	int result = -ENOENT;

	if (find_claimed(client, "", &name)) {
		record(client, "take", "-", "");
		result = ask(client, "hedge", name.data, NULL, line);
		if (result == 1 && !strncmp(line->data, "ok ", 3)) {
			result = taken(client, line->data + 3, true);
		} else if (result == 1) {
			record(client, "refused", "-", buf_text(line));
			result = -ENOENT;
		} else {
			result = -EIO;
		}
	}
	buf_release(&name);
	return result;
}

/* ---- all of it ---- */

static int run(struct client *client)
{
	struct buf line = BUF_INIT;
	int64_t answered = clock_now();
	int result, status = 1;

	for (;;) {
		if (client->ctl < 0 && open_ctl(client) < 0)
			break;
		if (chance(client, client->hedge) && (result = hedge(client, &line)) != -ENOENT) {
			if (result < 0)
				gone(client);
			continue;
		}
		record(client, "take", "-", "");
		result = ask(client, "take wait attempt", "", NULL, &line);
		if (result == 0) {
			status = 0;
			break;
		}
		if (clock_now() - answered > AWAY_S * NS_PER_S)
			break;
		if (result < 0) {
			gone(client);
		} else if (!strncmp(buf_text(&line), "error ", 6)) {
			record(client, "refused", "-", buf_text(&line));
			pause_ms(200);
		} else {
			answered = clock_now();
			if (taken(client, line.data, false) < 0)
				gone(client);
		}
	}
	buf_release(&line);
	return status;
}

static int number(char **argv, int argc, int index, int otherwise)
{
	return index < argc ? atoi(argv[index]) : otherwise;
}

int main(int argc, char **argv)
{
	struct client client = { .ctl = -1 };

	if (argc < 6) {
		fprintf(stderr, "usage: client QUEUE NODE NAME SEED HISTORY [WORK_MS [GIVE [FAIL [DIE [HEDGE]]]]]  (percents)\n");
		return 2;
	}
	fault_init();
	client.queue = argv[1];
	client.node = argv[2];
	client.name = argv[3];
	client.seed = (unsigned int)strtoul(argv[4], NULL, 10);
	client.history = open(argv[5], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	client.work_ms = number(argv, argc, 6, 5);
	client.give = number(argv, argc, 7, 3);
	client.fail = number(argv, argc, 8, 0);
	client.die = number(argv, argc, 9, 0);
	client.hedge = number(argv, argc, 10, 0);
	if (client.history < 0) {
		fprintf(stderr, "client: cannot write %s: %s\n", argv[5], strerror(errno));
		return 2;
	}
	return run(&client);
}
