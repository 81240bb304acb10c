/*
 * claimctl memo: runs a command once for the same words and the same contents of files, on whichever node, and gives its standard output and
 * exit status again after that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/qconf.h"
#include "tools/command.h"
#include "tools/memo_guard.h"
#include "tools/memo_store.h"

#define MEMO_MAX_FILES 4096
#define MEMO_MAX_OUTPUT (1u << 30)
#define MEMO_POLL_NS (500 * NS_PER_MS)
#define MEMO_NOT_FOUND 127
#define MEMO_NOT_EXECUTABLE 126

enum { KEY_KEY = 256, KEY_STORE, KEY_QUEUE, KEY_ONLY_SUCCESS };

struct memo {
	const char *store;
	const char *queue;
	bool only_success;
	size_t file_count;
	char *files[MEMO_MAX_FILES];
};

static struct memo memo_options;

static const struct args_option table[] = {
	{ KEY_KEY, "key", "FILE", "the result depends on FILE's content; may be given again" },
	{ KEY_QUEUE, "queue", "QUEUE", "keep results in QUEUE ($CLAIM_QUEUE, which claim-worker sets)" },
	{ KEY_STORE, "store", "DIR", "keep results in DIR, on a disk that all nodes share" },
	{ KEY_ONLY_SUCCESS, "only-success", NULL, "keep only results with exit status 0" },
	{ 0, NULL, NULL, NULL },
};

static int memo_set(void *target, int key, const char *value, struct buf *why)
{
	struct memo *memo = target;

	if (key == KEY_STORE) {
		memo->store = value;
	} else if (key == KEY_QUEUE) {
		memo->queue = value;
	} else if (key == KEY_ONLY_SUCCESS) {
		memo->only_success = true;
	} else if (memo->file_count < MEMO_MAX_FILES) {
		memo->files[memo->file_count++] = (char *)value;
	} else {
		buf_addf(why, "more than %d files", MEMO_MAX_FILES);
		return -EINVAL;
	}
	return 0;
}

static int find_store(const struct memo *memo, struct buf *ret_store)
{
	const char *queue = memo->queue ? memo->queue : getenv("CLAIM_QUEUE");
	struct stat st;

	if (memo->store) {
		buf_adds(ret_store, memo->store);
		return buf_error(ret_store);
	}
	if (!queue) {
		log_error("memo: where are results kept? --queue QUEUE or --store DIR");
		return -EINVAL;
	}
	buf_addf(ret_store, "%s/" QCONF_PATH, queue);
	if (stat(buf_text(ret_store), &st) < 0) {
		log_error("memo: %s is no queue: %s", queue, log_strerror(errno));
		return -EINVAL;
	}
	buf_reset(ret_store);
	buf_addf(ret_store, "%s/" QCONF_DIR "/memo", queue);
	return buf_error(ret_store);
}

/* ---- the command ---- */

static void beat(const void *arg)
{
	memo_beat(arg);
}

static int output_file(void)
{
	const char *dir = getenv("TMPDIR");
	struct buf path = BUF_INIT;
	int fd;

	buf_addf(&path, "%s/claimctl-memo.XXXXXX", dir && *dir ? dir : "/tmp");
	if (buf_error(&path))
		return buf_error(&path);
	fd = mkostemp(path.data, O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	else
		unlink(path.data);
	buf_release(&path);
	return fd;
}

static int read_output(int fd, struct buf *ret_output)
{
	struct stat st;
	ssize_t len;
	int error;

	if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	if (st.st_size > MEMO_MAX_OUTPUT)
		return -EFBIG;
	error = buf_reserve(ret_output, (size_t)st.st_size + 1);
	if (error)
		return error;
	len = io_read_full(fd, ret_output->data, (size_t)st.st_size);
	if (len < 0)
		return (int)len;
	ret_output->len = (size_t)len;
	return 0;
}

/* Another's result, if there is one by now, is everybody's; one that can't be read is replaced. The exit status. */
static int keep(const struct memo_place *place, int status, struct buf *output)
{
	struct buf other = BUF_INIT, swap;
	int error = memo_write(place, status, buf_text(output), output->len, false);

	if (error == -EEXIST && memo_read(place, &status, &other) == 0) {
		swap = *output;
		*output = other;
		other = swap;
		error = 0;
	} else if (error == -EEXIST) {
		error = memo_write(place, status, buf_text(output), output->len, true);
	}
	if (error)
		log_warn("memo: can't keep the result: %s", log_strerror(error));
	buf_release(&other);
	return status;
}

/* Runs it and stores the result. The exit status, or -errno after saying why. */
static int compute(const struct memo *memo, char **command, const struct memo_place *place, struct buf *output)
{
	int fd = output_file(), status, error;

	error = fd < 0 ? fd : memo_guard_run(command, fd, MEMO_BEAT_NS, beat, place, &status);
	if (error == -ECHILD) {
		log_error("memo: '%s' was not watched to its end: the process that does was killed", command[0]);
		io_close(&fd);
		return error;
	}
	if (error) {
		log_error("memo: can't run '%s': %s", command[0], log_strerror(error));
		io_close(&fd);
		return error == -ENOENT ? MEMO_NOT_FOUND : MEMO_NOT_EXECUTABLE;
	}
	error = read_output(fd, output);
	io_close(&fd);
	if (error) {
		log_error("memo: can't read what '%s' wrote: %s", command[0], log_strerror(error));
		return error;
	}
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	status = WEXITSTATUS(status);
	if (memo->only_success && status != 0)
		return status;
	return keep(place, status, output);
}

/* Until there is a result or nobody else computes it. 0: the result is there; 1: it is ours to compute; -errno. */
static int wait_for_turn(const struct memo_place *place, int *ret_status, struct buf *output)
{
	const struct timespec pause = clock_timespec(MEMO_POLL_NS);
	struct memo_watch watch = { 0 };
	int error;

	for (;;) {
		if (memo_read(place, ret_status, output) == 0)
			return 0;
		error = memo_begin(place, &watch);
		if (error != -EBUSY)
			break;
		nanosleep(&pause, NULL);
	}
	if (error)
		return error;
	/* Another may have ended between our look and our mark. */
	if (memo_read(place, ret_status, output) < 0)
		return 1;
	memo_end(place);
	return 0;
}

static int run_once(const struct memo *memo, char **command, const struct memo_place *place)
{
	struct buf output = BUF_INIT;
	int status = 0, turn = wait_for_turn(place, &status, &output), error = 0;

	if (turn < 0)
		log_warn("memo: can't use the store, so the command is run for this time alone: %s", log_strerror(turn));
	if (turn != 0) {
		status = compute(memo, command, place, &output);
		if (turn > 0)
			memo_end(place);
	}
	if (output.len > 0)
		error = io_write_all(STDOUT_FILENO, output.data, output.len);
	if (error)
		log_error("memo: can't write the output: %s", log_strerror(error));
	buf_release(&output);
	return status < 0 || error ? COMMAND_FAILED : status;
}

static int memo_run(char **operands, void *target)
{
	const struct memo *memo = target;
	struct buf store = BUF_INIT, why = BUF_INIT;
	struct memo_place place;
	struct hash128 key;
	int status = COMMAND_USAGE, error;

	if (find_store(memo, &store) < 0)
		goto out;
	status = COMMAND_FAILED;
	error = memo_key(operands, memo->files, memo->file_count, &key, &why);
	if (error) {
		log_error("memo: can't read %s: %s", buf_text(&why), log_strerror(error));
		goto out;
	}
	error = memo_place_init(&place, buf_text(&store), &key);
	if (error) {
		log_error("memo: can't use the store %s: %s", buf_text(&store), log_strerror(error));
		goto out;
	}
	status = run_once(memo, operands, &place);
	memo_place_release(&place);
out:
	buf_release(&store);
	buf_release(&why);
	return status;
}

const struct command cmd_memo = {
	.name = "memo",
	.summary = "run a command once for the same input, on all nodes together",
	.usage = "memo [OPTIONS] -- COMMAND [ARGUMENTS]",
	.description = "Runs COMMAND, and keeps its standard output and exit status. Asked again for the same words and the same contents of the files\n"
		       "named by --key, on whichever node, it gives these at once. Two that ask at the same time wait for one another. What a\n"
		       "command writes elsewhere is not kept, and one that was killed leaves nothing.\n",
	.exit_status = "COMMAND's, 126 or 127 when it can't be run, 128 + N when signal N killed it; 1 and 2 as other commands'",
	.examples = "  claimctl memo --store /mnt/disk/memo --key model.bin -- ./evaluate model.bin\n"
		    "  claim-worker queue -- sh -c 'claimctl memo --key \"$CLAIM_IN\" -- ./slow \"$CLAIM_IN\" > \"$CLAIM_OUT\"'\n",
	.options = table,
	.set = memo_set,
	.run = memo_run,
	.target = &memo_options,
};
