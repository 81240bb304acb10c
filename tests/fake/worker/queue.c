/*
 * queue: see queue.h. Sockets that keep packets apart: one of no bytes is a read of no bytes, which ctl answers when nothing is left.
 */
#include "tests/fake/worker/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "worker/pool.h"
#include "worker/warden.h"

#define WAIT_NS (20 * NS_PER_S)

/* ---- the fake queue ---- */

static bool fake_over(struct fake *fake)
{
	int i;

	for (i = 0; i < fake->count; i++)
		if (fake->units[i].state < FAKE_DONE)
			return false;
	return true;
}

/* Appends up to `count` names; waits while units are only held. False: the end. */
static bool fake_take(struct fake *fake, int count, char *answer)
{
	int i, taken = 0;

	for (;;) {
		for (i = 0; i < fake->count && taken < count; i++) {
			if (fake->units[i].state != FAKE_TODO)
				continue;
			fake->units[i].state = FAKE_CLAIMED;
			fake->units[i].takes++;
			sprintf(answer + strlen(answer), "%s%d %s", taken++ ? "\t" : "", fake->units[i].takes, fake->units[i].name);
		}
		if (taken > 0 || fake_over(fake) || fake->closed[0])
			break;
		pthread_cond_wait(&fake->change, &fake->lock);
	}
	strcat(answer, "\n");
	return taken > 0;
}

static const char *fake_finish(struct fake *fake, const char *verb, const char *name, const char *values)
{
	const char *answer = "ok\n";
	int i;

	for (i = 0; i < fake->count && strcmp(fake->units[i].name, name); i++)
		;
	if (i == fake->count || fake->units[i].state != FAKE_CLAIMED)
		return "error ESTALE not yours\n";
	snprintf(fake->units[i].values, sizeof(fake->units[i].values), "%s", values);
	if (strcmp(verb, "done") == 0 && fake->done_answer) {
		answer = fake->done_answer;
		fake->done_answer = NULL;
		if (strncmp(answer, "error E", 7) == 0 && !strstr(answer, "ESTALE"))
			return answer;		/* still claimed */
		fake->units[i].state = FAKE_DONE;
	} else if (strcmp(verb, "release") == 0) {
		fake->releases++;
		fake->units[i].state = FAKE_TODO;
	} else {
		fake->units[i].state = strcmp(verb, "done") == 0 ? FAKE_DONE : FAKE_FAILED;
	}
	pthread_cond_broadcast(&fake->change);
	return answer;
}

/* What comes with a put lies then where a done would have found it. */
static void fake_publish(struct fake *fake, const char *name, const void *data, size_t len)
{
	struct buf path = BUF_INIT;

	assert_int_equal(place_out(&fake->place, name, &path), 0);
	assert_int_equal(io_write_file(path.data, data, len, 0600), 0);
	fake->puts++;
	buf_release(&path);
}

static void fake_line(struct fake *fake, int fd, char *line, const char *data, size_t len)
{
	char answer[MAX_UNITS * 70] = "", *save = NULL, *verb = strtok_r(line, " ", &save), *word = strtok_r(NULL, " ", &save);
	bool end = false, put = verb && strcmp(verb, "put") == 0;

	if (put) {
		strtok_r(NULL, " ", &save);
		verb = (char *)"done";
		word = strtok_r(NULL, " ", &save);
	}

	pthread_mutex_lock(&fake->lock);
	if (verb && strcmp(verb, "take") == 0)
		end = !fake_take(fake, word ? atoi(word) : 1, answer);
	else if (verb && word)
		strcpy(answer, fake_finish(fake, verb, word, save ? save : ""));
	if (put && strcmp(answer, "ok\n") == 0)
		fake_publish(fake, word, data, len);
	pthread_mutex_unlock(&fake->lock);
	send(fd, answer, end ? 0 : strlen(answer), MSG_NOSIGNAL);
}

struct fake_thread {
	struct fake *fake;
	int index;
};

static void *fake_serve(void *arg)
{
	struct fake_thread *self = arg;
	struct fake *fake = self->fake;
	int fd = fake->fds[self->index][1];
	static _Thread_local char packet[1 << 20];
	ssize_t len;

	while ((len = recv(fd, packet, sizeof(packet) - 1, 0)) > 0) {
		char *line = packet, *end;
		size_t data;

		packet[len] = '\0';
		while (line < packet + len && (end = strchr(line, '\n'))) {
			*end++ = '\0';
			data = strncmp(line, "put ", 4) == 0 ? strtoul(line + 4, NULL, 10) : 0;
			fake_line(fake, fd, line, end, data);
			line = end + data;
		}
	}
	free(self);
	return NULL;
}

void put_file(const char *dir, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	*strrchr(path, '/') = '\0';
	assert_int_equal(io_mkdirs(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_write_file(path, text, strlen(text), 0600), 0);
}

bool has_file(struct fake *fake, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fake->dir, name);
	return access(path, F_OK) == 0;
}

void fake_add(struct fake *fake, const char *name)
{
	char path[128];

	snprintf(fake->units[fake->count++].name, sizeof(fake->units[0].name), "%s", name);
	snprintf(path, sizeof(path), "inputs/%s", name);
	put_file(fake->dir, path, name);
}

void fake_begin(struct fake *fake, int units)
{
	struct buf why = BUF_INIT;
	char name[16];
	int i;

	memset(fake, 0, sizeof(*fake));
	snprintf(fake->dir, sizeof(fake->dir), "/tmp/test-worker-XXXXXX");
	assert_non_null(mkdtemp(fake->dir));
	pthread_mutex_init(&fake->lock, NULL);
	pthread_cond_init(&fake->change, NULL);
	put_file(fake->dir, ".claimfs/queue.conf", "input = inputs\noutput = outputs/{.}.out\n");
	put_file(fake->dir, "ctl", "");
	put_file(fake->dir, "stage/x", "");
	put_file(fake->dir, "inputs/.x", "");
	for (i = 0; i < units; i++) {
		snprintf(name, sizeof(name), "u%d.in", i);
		fake_add(fake, name);
	}
	if (place_open(fake->dir, &fake->place, &why) < 0)
		fail_msg("%s", buf_text(&why));
	for (i = 0; i < 2; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fake->fds[i]), 0);
}

void fake_serve_all(struct fake *fake)
{
	int i, size = 1 << 20;

	for (i = 0; i < 2; i++) {
		struct fake_thread *self = malloc(sizeof(*self));

		assert_non_null(self);
		*self = (struct fake_thread){ fake, i };
		setsockopt(fake->fds[i][0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		assert_int_equal(pthread_create(&fake->threads[i], NULL, fake_serve, self), 0);
	}
	fake->served = true;
}

/* As ctl does it: what was taken but never read is given back, as if never taken. */
static void fake_give_back(struct fake *fake)
{
	static char packet[1 << 20];
	ssize_t len;
	int i;

	while ((len = recv(fake->fds[0][0], packet, sizeof(packet) - 1, MSG_DONTWAIT)) > 0) {
		char *name, *save = NULL;

		packet[len] = '\0';
		for (name = strtok_r(packet, "\t\n", &save); name; name = strtok_r(NULL, "\t\n", &save)) {
			name += strcspn(name, " ");
			for (i = 0; i < fake->count; i++)
				if (*name && strcmp(fake->units[i].name, name + 1) == 0)
					fake->units[i].state = FAKE_TODO;
		}
	}
}

/* What a test looks at without the lock must not be written any more: the worker has ended, so the threads do. */
void fake_join(struct fake *fake)
{
	int i;

	if (!fake->served)
		return;
	shutdown(fake->fds[0][0], SHUT_WR);	/* the end of the worker's session, but for what it left unread */
	pthread_mutex_lock(&fake->lock);
	fake->closed[0] = true;
	pthread_cond_broadcast(&fake->change);
	pthread_mutex_unlock(&fake->lock);
	for (i = 0; i < 2; i++)
		pthread_join(fake->threads[i], NULL);
	fake_give_back(fake);
	close(fake->fds[0][0]);
	fake->served = false;
}

void fake_end(struct fake *fake)
{
	char command[128];
	int i;

	for (i = 0; i < 2; i++)
		shutdown(fake->fds[i][1], SHUT_RDWR);
	fake_join(fake);
	for (i = 0; i < 2; i++)
		close(fake->fds[i][1]);
	place_release(&fake->place);
	snprintf(command, sizeof(command), "rm -rf %s", fake->dir);
	assert_int_equal(system(command), 0);
}

/* ---- running the worker on it ---- */

/* In a process of its own, as it is in life: its signals and children are not the test's. Returns its exit status. */
pid_t worker_start(struct fake *fake, struct worker_options *options, char *const *command)
{
	struct warden *warden;
	struct pool *pool;
	pid_t pid = fork();
	int i, status;

	assert_true(pid >= 0);
	if (pid > 0) {
		close(fake->fds[1][0]);		/* the other one is looked at once more: fake_give_back() */
		return pid;
	}
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		_exit(90);
	for (i = 0; i < 2; i++) {
		close(fake->fds[i][1]);
		io_set_nonblock(fake->fds[i][0], true);
	}
	options->command = command;
	options->queue = fake->dir;
	log_open("test", LOG_LEVEL_ERROR);
	if (warden_new((unsigned int)options->slots, &warden) < 0 ||
	    pool_new(options, &fake->place, environ, warden, &pool) < 0)
		_exit(91);
	pool->memory = fake->memory;
	status = pool_run(pool, fake->fds[0][0], fake->fds[1][0]);
	pool_free(pool);
	warden_free(warden);
	_exit(status);
}

int worker_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

int worker_run(struct fake *fake, struct worker_options *options, char *const *command)
{
	pid_t pid = worker_start(fake, options, command);

	int status;

	fake_serve_all(fake);
	status = worker_wait(pid);
	fake_join(fake);
	return status;
}

void wait_for_file(struct fake *fake, const char *name)
{
	int64_t end = clock_now() + WAIT_NS;

	while (!has_file(fake, name)) {
		assert_true(clock_now() < end);
		usleep(1000);
	}
}

void wait_for_death(pid_t pid)
{
	int64_t end = clock_now() + WAIT_NS;
	char path[64], text[512];

	for (;;) {
		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		FILE *file = fopen(path, "r");
		size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

		if (file)
			fclose(file);
		text[len] = '\0';
		if (kill(pid, 0) < 0 || len == 0 || strstr(text, ") Z "))
			return;
		assert_true(clock_now() < end);
		usleep(1000);
	}
}

pid_t read_pid(struct fake *fake, const char *name)
{
	struct buf text = BUF_INIT;
	char path[256];
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s", fake->dir, name);
	assert_int_equal(io_read_file(path, 100, &text), 0);
	pid = atoi(buf_text(&text));
	buf_release(&text);
	return pid;
}

int count_state(struct fake *fake, enum fake_state state)
{
	int i, count = 0;

	pthread_mutex_lock(&fake->lock);
	for (i = 0; i < fake->count; i++)
		count += fake->units[i].state == state;
	pthread_mutex_unlock(&fake->lock);
	return count;
}

struct worker_options options_of(int slots)
{
	struct worker_options options;

	options_defaults(&options);
	options.slots = slots;
	options.quiet = true;
	return options;
}
