/*
 * fleet_run: many commands at once.
 */
#include "tools/fleet_run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"

#define RUN_MAX_OUTPUT (1u << 20)
#define RUN_MAX_LINE (64u << 10)
#define RUN_KEPT_ERR 4096
#define RUN_KILL_NS (2 * NS_PER_S)
#define RUN_COLOURS 6

int run_init(struct run *run, size_t count)
{
	size_t i;

	memset(run, 0, sizeof(*run));
	run->tasks = calloc(count ? count : 1, sizeof(*run->tasks));
	if (!run->tasks)
		return -ENOMEM;
	run->count = count;
	for (i = 0; i < count; i++) {
		run->tasks[i].input_fd = -1;
		run->tasks[i].pidfd = -1;
		run->tasks[i].out_fd = -1;
		run->tasks[i].err_fd = -1;
	}
	return 0;
}

void run_release(struct run *run)
{
	size_t i;

	for (i = 0; i < run->count; i++) {
		words_release(&run->tasks[i].argv);
		buf_release(&run->tasks[i].out);
		buf_release(&run->tasks[i].err);
		buf_release(&run->tasks[i].out_line);
		buf_release(&run->tasks[i].err_line);
	}
	free(run->tasks);
	run->tasks = NULL;
	run->count = 0;
}

/* ---- output ---- */

static void show_line(const struct run *run, const struct run_task *task, FILE *to, const char *line, size_t len)
{
	if (run->colour)
		fprintf(to, "\033[%dm%-*s\033[0m ", (int)(31 + (task - run->tasks) % RUN_COLOURS), run->name_width, task->name);
	else
		fprintf(to, "%-*s ", run->name_width, task->name);
	fwrite(line, 1, len, to);
	fputc('\n', to);
}

/* Whole lines of `pending` are shown; with `all` what has no end too. */
static void show_lines(const struct run *run, const struct run_task *task, FILE *to, struct buf *pending, bool all)
{
	char *end;

	while (pending->len > 0) {
		end = memchr(pending->data, '\n', pending->len);
		if (!end && !all && pending->len < RUN_MAX_LINE)
			break;
		show_line(run, task, to, pending->data, end ? (size_t)(end - pending->data) : pending->len);
		buf_drop(pending, end ? (size_t)(end - pending->data) + 1 : pending->len);
	}
	fflush(to);
}

static void take_output(const struct run *run, struct run_task *task, bool is_err, const char *data, size_t len)
{
	struct buf *kept = is_err ? &task->err : &task->out, *line = is_err ? &task->err_line : &task->out_line;

	if (!run->show) {
		if (kept->len < RUN_MAX_OUTPUT)
			buf_add(kept, data, len);
		return;
	}
	buf_add(line, data, len);
	show_lines(run, task, is_err ? stderr : stdout, line, false);
	if (!is_err)
		return;
	buf_add(kept, data, len);
	if (kept->len > 2 * RUN_KEPT_ERR)
		buf_drop(kept, kept->len - RUN_KEPT_ERR);
}

/* What is there without waiting. */
static void read_output(const struct run *run, struct run_task *task, bool is_err)
{
	int *fd = is_err ? &task->err_fd : &task->out_fd;
	char data[16384];
	ssize_t len;

	while (*fd >= 0) {
		len = read(*fd, data, sizeof(data));
		if (len > 0)
			take_output(run, task, is_err, data, (size_t)len);
		else if (len < 0 && errno == EINTR)
			continue;
		else if (len < 0 && errno == EAGAIN)
			break;
		else
			io_close(fd);
	}
}

/* ---- processes ---- */

static int open_input(int fd)
{
	char path[64];

	if (fd < 0)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);	/* opened anew: an offset of its own */
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int spawn(struct run_task *task, int in, int out, int err)
{
	posix_spawn_file_actions_t actions;
	int error;

	error = posix_spawn_file_actions_init(&actions);
	if (error)
		return -error;
	posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
	error = -posix_spawnp(&task->pid, task->argv.word[0], &actions, NULL, task->argv.word, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (error)
		return error;
	task->pidfd = pidfd_open(task->pid, 0);
	return task->pidfd < 0 ? -errno : 0;
}

static int start_process(struct run_task *task)
{
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, in = open_input(task->input_fd), error = 0;

	if (words_error(&task->argv) || task->argv.count == 0)
		error = -ENOMEM;
	else if (in < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		error = -errno;
	if (!error)
		error = spawn(task, in, out[1], err[1]);
	io_close(&in);
	io_close(&out[1]);
	io_close(&err[1]);
	if (error) {
		io_close(&out[0]);
		io_close(&err[0]);
		return error;
	}
	task->out_fd = out[0];
	task->err_fd = err[0];
	io_set_nonblock(task->out_fd, true);
	io_set_nonblock(task->err_fd, true);
	return 0;
}

static void over(struct run *run, struct run_task *task)
{
	task->state = RUN_OVER;
	if (run->done && run->done(run, task)) {
		task->state = RUN_WAITING;
		task->terminated = false;
	}
}

static void start_task(struct run *run, struct run_task *task)
{
	int error;

	buf_reset(&task->out);
	buf_reset(&task->err);
	error = start_process(task);
	if (error) {
		task->status = RUN_NOT_STARTED;
		buf_addf(&task->err, "can't run %s: %s\n", task->argv.count ? task->argv.word[0] : "it", log_strerror(error));
		if (run->show)
			show_line(run, task, stderr, task->err.data, task->err.len - 1);
		over(run, task);
		return;
	}
	task->state = RUN_RUNNING;
	task->ends_ns = run->limit_ns ? clock_now() + run->limit_ns : INT64_MAX;
}

static void end_task(struct run *run, struct run_task *task)
{
	int status = 0;

	read_output(run, task, false);
	read_output(run, task, true);
	while (waitpid(task->pid, &status, 0) < 0 && errno == EINTR)
		;
	io_close(&task->pidfd);
	io_close(&task->out_fd);
	io_close(&task->err_fd);
	if (run->show) {
		show_lines(run, task, stdout, &task->out_line, true);
		show_lines(run, task, stderr, &task->err_line, true);
	}
	if (task->terminated)
		task->status = RUN_TIMED_OUT;
	else
		task->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	over(run, task);
}

static void end_late(struct run_task *task, int64_t now)
{
	if (now < task->ends_ns)
		return;
	kill(task->pid, task->terminated ? SIGKILL : SIGTERM);
	task->ends_ns = task->terminated ? INT64_MAX : now + RUN_KILL_NS;
	task->terminated = true;
}

/* ---- the loop ---- */

/* Starts what may start. When something is to be done next, INT64_MAX: nothing but to wait; -1: all are over. */
static int64_t start_due(struct run *run)
{
	size_t i, running = 0, most = run->at_once ? run->at_once : RUN_AT_ONCE;
	int64_t next = INT64_MAX, now = clock_now();
	bool left = false;

	for (i = 0; i < run->count; i++)
		running += run->tasks[i].state == RUN_RUNNING;
	for (i = 0; i < run->count; i++) {
		struct run_task *task = &run->tasks[i];

		if (task->state == RUN_WAITING && task->not_before_ns <= now && running < most) {
			start_task(run, task);
			running += task->state == RUN_RUNNING;
		}
		if (task->state == RUN_RUNNING)
			end_late(task, now);
		if (task->state == RUN_RUNNING && task->ends_ns < next)
			next = task->ends_ns;
		if (task->state == RUN_WAITING && running < most && task->not_before_ns < next)
			next = task->not_before_ns;
		left = left || task->state != RUN_OVER;
	}
	return left ? next : -1;
}

static int wait_ms(int64_t until)
{
	int64_t left;

	if (until == INT64_MAX)
		return -1;
	left = until - clock_now();
	return left <= 0 ? 0 : (int)(left / NS_PER_MS > 60000 ? 60000 : left / NS_PER_MS + 1);
}

static int poll_once(struct run *run, struct pollfd *fds, int64_t until)
{
	size_t i;

	for (i = 0; i < run->count; i++) {
		fds[3 * i] = (struct pollfd){ .fd = run->tasks[i].pidfd, .events = POLLIN };
		fds[3 * i + 1] = (struct pollfd){ .fd = run->tasks[i].out_fd, .events = POLLIN };
		fds[3 * i + 2] = (struct pollfd){ .fd = run->tasks[i].err_fd, .events = POLLIN };
	}
	if (poll(fds, 3 * run->count, wait_ms(until)) < 0)
		return errno == EINTR ? 0 : -errno;
	for (i = 0; i < run->count; i++) {
		if (run->tasks[i].state != RUN_RUNNING)
			continue;
		if (fds[3 * i + 1].revents)
			read_output(run, &run->tasks[i], false);
		if (fds[3 * i + 2].revents)
			read_output(run, &run->tasks[i], true);
		if (fds[3 * i].revents)
			end_task(run, &run->tasks[i]);
	}
	return 0;
}

int run_all(struct run *run)
{
	struct pollfd *fds = calloc(3 * run->count + 1, sizeof(*fds));
	int64_t until;
	int error = 0;

	if (!fds)
		return -ENOMEM;
	while (!error && (until = start_due(run)) >= 0)
		error = poll_once(run, fds, until);
	free(fds);
	return error;
}

int run_worst(const struct run *run)
{
	int worst = 0;
	size_t i;

	for (i = 0; i < run->count; i++)
		worst = run->tasks[i].status > worst ? run->tasks[i].status : worst;
	return worst;
}

int run_one(char *const *argv, int64_t limit_ns, struct buf *ret_out, struct buf *ret_err)
{
	struct run run;
	int status = RUN_NOT_STARTED;

	if (run_init(&run, 1) < 0)
		return RUN_NOT_STARTED;
	run.limit_ns = limit_ns;
	run.tasks[0].name = argv[0];
	words_add_all(&run.tasks[0].argv, argv);
	if (run_all(&run) == 0) {
		status = run.tasks[0].status;
		if (ret_out)
			buf_add(ret_out, buf_text(&run.tasks[0].out), run.tasks[0].out.len);
		if (ret_err)
			buf_add(ret_err, buf_text(&run.tasks[0].err), run.tasks[0].err.len);
	}
	run_release(&run);
	return status;
}

void run_last_line(const struct buf *text, struct buf *ret_line)
{
	size_t end = text->len, start;

	while (end > 0 && (text->data[end - 1] == '\n' || text->data[end - 1] == '\r' || text->data[end - 1] == ' '))
		end--;
	for (start = end; start > 0 && text->data[start - 1] != '\n'; start--)
		;
	buf_add(ret_line, text->data + start, end - start);
}
