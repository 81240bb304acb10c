/*
 * memory: --memory by cgroups, on a directory that looks like one. Its files stay, so that what was written can be read, and keep a group from being
 * removed, as processes do that are about to die.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "tests/fake/worker/queue.h"
#include "worker/memory.h"

static char root[64], self[96];

static void put(const char *dir, const char *name, const char *text)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_write_file(path, text, strlen(text), 0644), 0);
}

static void assert_file(const char *dir, const char *name, const char *text)
{
	struct buf is = BUF_INIT;
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_read_file(path, 4096, &is), 0);
	assert_string_equal(buf_text(&is), text);
	buf_release(&is);
}

/* The only group of a job there is. */
static void find_job(char *ret, size_t room)
{
	DIR *dir = opendir(root);
	struct dirent *entry;

	assert_non_null(dir);
	ret[0] = '\0';
	while ((entry = readdir(dir)))
		if (strncmp(entry->d_name, "job-", 4) == 0) {
			assert_string_equal(ret, "");
			snprintf(ret, room, "%s/%.255s", root, entry->d_name);
		}
	closedir(dir);
}

static int set_up(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/test-memory-XXXXXX");
	assert_non_null(mkdtemp(root));
	snprintf(self, sizeof(self), "%s/self", root);
	put(root, "self", "0::/\n");
	put(root, "cgroup.controllers", "cpu memory\n");
	put(root, "cgroup.procs", "");
	return 0;
}

static int tear_down(void **state)
{
	char command[96];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static void a_job_has_a_group_of_its_own(void **state)
{
	char *const argv[] = { "sh", "-c", "for d in $0/job-*; do echo 5000 >$d/memory.peak; printf 'oom 1\\noom_kill 2\\n' >$d/memory.events; done", root, NULL };
	struct run_spec spec = { .argv = argv, .envp = environ, .in_fd = -1, .out_fd = -1, .err_fd = STDERR_FILENO };
	struct run_result result;
	struct memory *memory;
	struct buf procs = BUF_INIT;
	char job[400], command[450];
	int pid;

	(void)state;
	assert_int_equal(memory_new(root, self, 1 << 20, 2, &memory), 0);
	assert_file(root, "worker/cgroup.procs", "0");
	assert_file(root, "cgroup.subtree_control", "+memory");
	assert_int_equal(memory_begin(memory, 1, &procs), 0);
	find_job(job, sizeof(job));
	assert_file(job, "memory.max", "1048576");
	assert_file(job, "memory.swap.max", "0");
	assert_file(job, "memory.oom.group", "1");
	spec.cgroup = buf_text(&procs);
	pid = run_start(&spec);
	assert_true(pid > 0);
	while (run_ended() != pid)
		usleep(1000);
	assert_file(job, "cgroup.procs", "0");		/* written by the process itself */
	assert_int_equal(run_reap(pid, clock_now(), &result), 0);
	assert_false(result.out_of_memory);
	memory_end(memory, 1, &result);
	assert_true(result.out_of_memory && result.group_peak == 5000);
	assert_file(job, "cgroup.kill", "1");
	/* It could not be removed; it is when it can be. */
	assert_int_equal(access(job, F_OK), 0);
	snprintf(command, sizeof(command), "rm %s/*", job);
	assert_int_equal(system(command), 0);
	memory_free(memory);
	assert_int_equal(access(job, F_OK), -1);
	assert_file(root, "cgroup.procs", "0");
	buf_release(&procs);
}

static void what_is_out_of_memory_has_failed_for_that(void **state)
{
	char *const command[] = { "sh", "-c", "for d in $0/job-*; do echo oom_kill 1 >$d/memory.events; done; kill -9 $$", root, NULL };
	struct worker_options options = options_of(1);
	struct fake fake;

	(void)state;
	options.memory = 64 << 20;
	fake_begin(&fake, 1);
	assert_int_equal(memory_new(root, self, options.memory, 1, &fake.memory), 0);
	assert_int_equal(worker_run(&fake, &options, command), 1);
	assert_non_null(strstr(fake.units[0].values, "signal=9 "));
	assert_non_null(strstr(fake.units[0].values, "needed%20more%20than%20the%2064%20MiB%20of%20--memory"));
	fake_end(&fake);
	memory_free(fake.memory);
}

static void a_group_that_cannot_be_made_is_no_fault_of_the_unit(void **state)
{
	struct buf procs = BUF_INIT;
	struct memory *memory;
	char gone[80];

	(void)state;
	assert_int_equal(memory_new(root, self, 1 << 20, 1, &memory), 0);
	snprintf(gone, sizeof(gone), "%s.gone", root);
	assert_int_equal(rename(root, gone), 0);
	assert_int_equal(memory_begin(memory, 0, &procs), -EAGAIN);
	assert_int_equal(rename(gone, root), 0);
	memory_free(memory);
	buf_release(&procs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_job_has_a_group_of_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_out_of_memory_has_failed_for_that, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_group_that_cannot_be_made_is_no_fault_of_the_unit, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("worker memory", tests, NULL, NULL);
}
