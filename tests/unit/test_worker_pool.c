/*
 * The whole worker but its main(): against a queue made of a thread that answers ctl lines over sockets and plain files in a temporary
 * directory. Real processes run.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "worker/options.h"
#include "worker/place.h"
#include "worker/pool.h"

#define MAX_UNITS 64
#define WAIT_NS (20 * NS_PER_S)

enum fake_state { FAKE_TODO, FAKE_CLAIMED, FAKE_DONE, FAKE_FAILED };

struct fake_unit {
	char name[64];
	enum fake_state state;
	int takes;
	char values[16384];		/* of its done or fail */
};

struct fake {
	char dir[64];
	struct place place;
	int fds[2][2];			/* [take, finish][worker's, ours] */
	pthread_t threads[2];
	pthread_mutex_t lock;		/* guards all below */
	pthread_cond_t change;
	struct fake_unit units[MAX_UNITS];
	int count;
	int releases;
	const char *done_answer;	/* instead of ok, for the first done */
	bool closed[2];
};

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
			sprintf(answer + strlen(answer), "%s%s", taken++ ? "\t" : "", fake->units[i].name);
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

static void fake_line(struct fake *fake, int fd, char *line)
{
	char answer[MAX_UNITS * 70] = "", *save = NULL, *verb = strtok_r(line, " ", &save), *word = strtok_r(NULL, " ", &save);
	bool end = false;

	pthread_mutex_lock(&fake->lock);
	if (verb && strcmp(verb, "take") == 0)
		end = !fake_take(fake, word ? atoi(word) : 1, answer);
	else if (verb && word)
		strcpy(answer, fake_finish(fake, verb, word, save ? save : ""));
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
		char *line, *save = NULL;

		packet[len] = '\0';
		for (line = strtok_r(packet, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
			fake_line(fake, fd, line);
	}
	free(self);
	return NULL;
}

static void put_file(const char *dir, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	*strrchr(path, '/') = '\0';
	assert_int_equal(io_mkdirs(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_write_file(path, text, strlen(text), 0600), 0);
}

static bool has_file(struct fake *fake, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", fake->dir, name);
	return access(path, F_OK) == 0;
}

static void fake_add(struct fake *fake, const char *name)
{
	char path[128];

	snprintf(fake->units[fake->count++].name, sizeof(fake->units[0].name), "%s", name);
	snprintf(path, sizeof(path), "inputs/%s", name);
	put_file(fake->dir, path, name);
	snprintf(path, sizeof(path), "claims/%s", name);
	put_file(fake->dir, path, "unit: x\nattempt: 2\n");
}

static void fake_begin(struct fake *fake, int units)
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

static void fake_serve_all(struct fake *fake)
{
	int i, size = 1 << 20;

	for (i = 0; i < 2; i++) {
		struct fake_thread *self = malloc(sizeof(*self));

		assert_non_null(self);
		*self = (struct fake_thread){ fake, i };
		setsockopt(fake->fds[i][0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
		assert_int_equal(pthread_create(&fake->threads[i], NULL, fake_serve, self), 0);
	}
}

static void fake_end(struct fake *fake)
{
	char command[128];
	int i;

	pthread_mutex_lock(&fake->lock);
	fake->closed[0] = true;
	pthread_cond_broadcast(&fake->change);
	pthread_mutex_unlock(&fake->lock);
	for (i = 0; i < 2; i++) {
		shutdown(fake->fds[i][1], SHUT_RDWR);
		pthread_join(fake->threads[i], NULL);
		close(fake->fds[i][1]);
	}
	place_release(&fake->place);
	snprintf(command, sizeof(command), "rm -rf %s", fake->dir);
	assert_int_equal(system(command), 0);
}

/* ---- running the worker on it ---- */

/* In a process of its own, as it is in life: its signals and children are not the test's. Returns its exit status. */
static pid_t worker_start(struct fake *fake, struct worker_options *options, char *const *command)
{
	struct warden *warden;
	struct pool *pool;
	pid_t pid = fork();
	int i, status;

	assert_true(pid >= 0);
	if (pid > 0) {
		for (i = 0; i < 2; i++)
			close(fake->fds[i][0]);
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
	    pool_new(options, &fake->place, environ, warden, fake->fds[0][0], fake->fds[1][0], &pool) < 0)
		_exit(91);
	status = pool_run(pool);
	pool_free(pool);
	warden_free(warden);
	_exit(status);
}

static int worker_wait(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int worker_run(struct fake *fake, struct worker_options *options, char *const *command)
{
	pid_t pid = worker_start(fake, options, command);

	fake_serve_all(fake);
	return worker_wait(pid);
}

static void wait_for_file(struct fake *fake, const char *name)
{
	int64_t end = clock_now() + WAIT_NS;

	while (!has_file(fake, name)) {
		assert_true(clock_now() < end);
		usleep(1000);
	}
}

static void wait_for_death(pid_t pid)
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

static pid_t read_pid(struct fake *fake, const char *name)
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

static int count_state(struct fake *fake, enum fake_state state)
{
	int i, count = 0;

	for (i = 0; i < fake->count; i++)
		count += fake->units[i].state == state;
	return count;
}

static struct worker_options options_of(int slots)
{
	return (struct worker_options){ .slots = slots, .ahead = OPTIONS_AHEAD_AUTO, .grace_ns = 10 * NS_PER_S, .quiet = true };
}

/* ---- tests ---- */

static void every_unit_is_done(void **state)
{
	char *const command[] = { "sh", "-c", "cat {in} > {out} && test $CLAIM_NAME = {} && test $CLAIM_ATTEMPT = 2", NULL };
	struct worker_options options = options_of(3);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 40);
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(count_state(&fake, FAKE_DONE), 40);
	assert_int_equal(fake.releases, 0);
	assert_true(has_file(&fake, "stage/u39.out"));
	assert_non_null(strstr(fake.units[0].values, "status=0 wall="));
	assert_non_null(strstr(fake.units[0].values, " in=5 "));
	assert_non_null(strstr(fake.units[0].values, " out=5"));
	assert_non_null(strstr(fake.units[0].values, " maxrss="));
	assert_null(strstr(fake.units[0].values, "stderr="));
	fake_end(&fake);
}

static void a_failing_unit_is_set_aside_with_its_last_words(void **state)
{
	char *const command[] = { "sh", "-c", "[ {} != u1.in ] || { echo 'no = good' >&2; exit 3; }", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 3);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(fake.units[0].state, FAKE_DONE);
	assert_int_equal(fake.units[1].state, FAKE_FAILED);
	assert_int_equal(fake.units[2].state, FAKE_DONE);
	assert_non_null(strstr(fake.units[1].values, "status=3 "));
	assert_non_null(strstr(fake.units[1].values, "stderr=no%20%3D%20good%0A"));
	fake_end(&fake);
}

static void a_killed_job_fails_with_its_signal(void **state)
{
	char *const command[] = { "sh", "-c", "kill -SEGV $$", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_memory_equal(fake.units[0].values, "signal=11 ", 10);
	fake_end(&fake);
}

static void names_reach_the_command_as_they_are(void **state)
{
	char *const command[] = { "sh", "-c", "test \"$1\" = \"$CLAIM_NAME\" && cat -- \"$CLAIM_IN\" > \"$CLAIM_OUT\"", "sh", "{name}", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 0);
	put_file(fake.dir, "inputs/-rf a'\"\n$(touch x).in", "weird");
	snprintf(fake.units[fake.count++].name, sizeof(fake.units[0].name), "-rf%%20a'\"%%0A$(touch%%20x).in");
	assert_int_equal(worker_run(&fake, &options, command), 0);
	assert_int_equal(fake.units[0].state, FAKE_DONE);
	assert_true(has_file(&fake, "stage/-rf a'\"\n$(touch x).out"));
	fake_end(&fake);
}

static void a_command_that_is_missing_condemns_no_unit(void **state)
{
	char *const command[] = { "/nonexistent/command", NULL };
	struct worker_options options = options_of(2);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 4);
	assert_int_equal(worker_run(&fake, &options, command), 2);
	assert_int_equal(count_state(&fake, FAKE_TODO), 4);
	fake_end(&fake);
}

static void a_unit_that_is_the_command_fails_alone(void **state)
{
	char *const command[] = { "{in}", NULL };
	struct worker_options options = options_of(2);
	char path[128];
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	fake_add(&fake, "good");
	put_file(fake.dir, "inputs/good", "#!/bin/sh\nexit 0\n");
	snprintf(path, sizeof(path), "%s/inputs/good", fake.dir);
	assert_int_equal(chmod(path, 0700), 0);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_int_equal(fake.units[0].state, FAKE_FAILED);
	assert_memory_equal(fake.units[0].values, "status=126 stderr=", 18);
	assert_int_equal(fake.units[1].state, FAKE_DONE);
	fake_end(&fake);
}

static void answers_that_are_not_ok(const char *answer, int status, int takes)
{
	char *const command[] = { "true", NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	fake_begin(&fake, 2);
	fake.done_answer = answer;
	assert_int_equal(worker_run(&fake, &options, command), status);
	assert_int_equal(count_state(&fake, FAKE_DONE), 2);
	assert_int_equal(fake.units[0].takes + fake.units[1].takes, takes);
	fake_end(&fake);
}

static void done_by_another_or_lost_is_no_failure(void **state)
{
	(void)state;
	answers_that_are_not_ok("already other.1\n", 0, 2);
	answers_that_are_not_ok("error ESTALE the lease was lost\n", 0, 2);
}

static void what_the_disk_refuses_is_done_again(void **state)
{
	(void)state;
	answers_that_are_not_ok("error ENOSPC the disk is full\n", 0, 3);
}

static void background_processes_end_with_their_job(void **state)
{
	char *argv[] = { "sh", "-c", "sleep 1000 & echo $! > \"$1/pid1\"; setsid sh -c 'echo $$ > \"$1/pid2\"; exec sleep 1000' sh \"$1\" & "
			 "while ! [ -s \"$1/pid2\" ]; do sleep 0.01; done", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	argv[4] = fake.dir;
	assert_int_equal(worker_run(&fake, &options, argv), 0);
	wait_for_death(read_pid(&fake, "pid1"));
	wait_for_death(read_pid(&fake, "pid2"));
	fake_end(&fake);
}

/* u0 hangs; the worker is told to stop. */
static void stop_worker(const char *script, int number, int times, int64_t grace_ns, int want_status, enum fake_state want_state)
{
	char *argv[] = { "sh", "-c", (char *)script, "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	pid_t pid;

	fake_begin(&fake, 2);
	argv[4] = fake.dir;
	options.grace_ns = grace_ns;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	while (times-- > 0) {
		assert_int_equal(kill(pid, number), 0);
		if (times > 0)
			usleep(50000);		/* one signal twice at once would be one */
	}
	assert_int_equal(worker_wait(pid), want_status);
	assert_int_equal(fake.units[0].state, want_state);
	assert_int_equal(fake.units[1].state, FAKE_TODO);
	wait_for_death(read_pid(&fake, "begun"));
	fake_end(&fake);
}

static void a_draining_worker_lets_its_jobs_end(void **state)
{
	(void)state;
	stop_worker("echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 0.3", SIGTERM, 1, 10 * NS_PER_S, 143, FAKE_DONE);
}

static void after_the_grace_jobs_are_ended_and_released(void **state)
{
	(void)state;
	stop_worker("echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGTERM, 1, 50 * NS_PER_MS, 143, FAKE_TODO);
	/* It ignores SIGTERM, and one that ends well on it has done half of its work. */
	stop_worker("trap '' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGTERM, 1, 50 * NS_PER_MS, 143, FAKE_TODO);
	stop_worker("trap 'exit 0' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000 & wait", SIGTERM, 1, 50 * NS_PER_MS, 143,
		    FAKE_TODO);
}

static void the_second_signal_ends_at_once(void **state)
{
	(void)state;
	stop_worker("trap '' TERM; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", SIGINT, 2, 1000 * NS_PER_S, 130, FAKE_TODO);
}

static void jobs_die_with_a_killed_worker(void **state)
{
	char *argv[] = { "sh", "-c", "sleep 1000 & echo $! > $1/child; echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; wait", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	pid_t pid;

	(void)state;
	fake_begin(&fake, 1);
	argv[4] = fake.dir;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	kill(pid, SIGKILL);
	assert_int_equal(worker_wait(pid), 1000 + SIGKILL);
	wait_for_death(read_pid(&fake, "begun"));
	wait_for_death(read_pid(&fake, "child"));
	fake_end(&fake);
}

static void a_mount_that_goes_away_ends_the_worker(void **state)
{
	char *argv[] = { "sh", "-c", "echo $$ > $1/begun.tmp; mv $1/begun.tmp $1/begun; sleep 1000", "sh", NULL, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;
	pid_t pid;

	(void)state;
	fake_begin(&fake, 2);
	argv[4] = fake.dir;
	options.ahead = 1;
	pid = worker_start(&fake, &options, argv);
	fake_serve_all(&fake);
	wait_for_file(&fake, "begun");
	pthread_mutex_lock(&fake.lock);
	fake.count = 3;			/* a take is waited for */
	strcpy(fake.units[2].name, "later");
	fake.units[2].state = FAKE_CLAIMED;
	pthread_mutex_unlock(&fake.lock);
	shutdown(fake.fds[1][1], SHUT_RDWR);
	shutdown(fake.fds[0][1], SHUT_RDWR);
	kill(pid, SIGTERM);		/* it has something to say to the queue now */
	assert_int_equal(worker_wait(pid), 143);
	wait_for_death(read_pid(&fake, "begun"));
	fake_end(&fake);
}

static void place_says_what_is_missing(void **state)
{
	char dir[] = "/tmp/test-worker-XXXXXX", path[64];
	struct buf why = BUF_INIT;
	struct place place;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "claimctl init"));
	put_file(dir, ".claimfs/queue.conf", "input = inputs\n");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "not seen through claimfs"));
	put_file(dir, "ctl", "");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -ENOENT);
	assert_non_null(strstr(buf_text(&why), "input = inputs"));
	put_file(dir, ".claimfs/queue.conf", "input = inputs\nleese = 3s\n");
	buf_reset(&why);
	assert_int_equal(place_open(dir, &place, &why), -EINVAL);
	assert_non_null(strstr(buf_text(&why), "queue.conf:2:"));
	buf_reset(&why);
	assert_int_equal(place_open("/nonexistent", &place, &why), -ENOENT);
	put_file(dir, ".claimfs/queue.conf", "input = ../../tmp\n");
	buf_reset(&why);
	snprintf(path, sizeof(path), "%s", dir);
	assert_int_equal(place_open(path, &place, &why), 0);
	assert_string_equal(place.input, "/tmp");
	place_release(&place);
	buf_release(&why);
	snprintf(path, sizeof(path), "rm -rf %s", dir);
	assert_int_equal(system(path), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_unit_is_done),
		cmocka_unit_test(a_failing_unit_is_set_aside_with_its_last_words),
		cmocka_unit_test(a_killed_job_fails_with_its_signal),
		cmocka_unit_test(names_reach_the_command_as_they_are),
		cmocka_unit_test(a_command_that_is_missing_condemns_no_unit),
		cmocka_unit_test(a_unit_that_is_the_command_fails_alone),
		cmocka_unit_test(done_by_another_or_lost_is_no_failure),
		cmocka_unit_test(what_the_disk_refuses_is_done_again),
		cmocka_unit_test(background_processes_end_with_their_job),
		cmocka_unit_test(a_draining_worker_lets_its_jobs_end),
		cmocka_unit_test(after_the_grace_jobs_are_ended_and_released),
		cmocka_unit_test(the_second_signal_ends_at_once),
		cmocka_unit_test(jobs_die_with_a_killed_worker),
		cmocka_unit_test(a_mount_that_goes_away_ends_the_worker),
		cmocka_unit_test(place_says_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
