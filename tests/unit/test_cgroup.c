/*
 * cgroup_own(): which group a process may divide, by directories that look like cgroup v2.
 */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cgroup.h"
#include "base/io.h"

struct place {
	char dir[64];
	char self[96];		/* stands for /proc/self/cgroup */
	char group[96];
};

static void put(const char *dir, const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(io_write_file(path, text, strlen(text), 0644), 0);
}

static void make(struct place *place)
{
	snprintf(place->dir, sizeof(place->dir), "/tmp/test-cgroup-XXXXXX");
	assert_non_null(mkdtemp(place->dir));
	snprintf(place->self, sizeof(place->self), "%s/self", place->dir);
	snprintf(place->group, sizeof(place->group), "%s/root/a/b", place->dir);
	assert_int_equal(io_mkdirs(place->group, 0755), 0);
	put(place->dir, "self", "4:memory:/old\n0::/a/b\n");
	put(place->group, "cgroup.controllers", "cpu memory pids\n");
	put(place->group, "cgroup.procs", "");
}

static int own(const struct place *place, struct buf *ret)
{
	char root[96];

	snprintf(root, sizeof(root), "%s/root", place->dir);
	buf_reset(ret);
	return cgroup_own(root, place->self, ret);
}

static void clean(const struct place *place)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -r %s", place->dir);
	assert_int_equal(system(command), 0);
}

static void what_is_ours_is_found(void **state)
{
	struct buf dir = BUF_INIT;
	struct place place;
	char pid[32], above[96];

	(void)state;
	make(&place);
	if (geteuid() == 0) {		/* may write everywhere, so it has to be marked */
		assert_int_equal(own(&place, &dir), -EACCES);
		assert_int_equal(setxattr(place.group, "trusted.delegate", "0", 1, 0), 0);
		assert_int_equal(own(&place, &dir), -EACCES);
		assert_int_equal(setxattr(place.group, "trusted.delegate", "1", 1, 0), 0);
		assert_int_equal(own(&place, &dir), 0);
		/* One above will do. */
		assert_int_equal(removexattr(place.group, "trusted.delegate"), 0);
		snprintf(above, sizeof(above), "%s/root/a", place.dir);
		assert_int_equal(setxattr(above, "trusted.delegate", "1", 1, 0), 0);
	}
	assert_int_equal(own(&place, &dir), 0);
	assert_string_equal(buf_text(&dir), place.group);
	snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	put(place.group, "cgroup.procs", pid);
	assert_int_equal(own(&place, &dir), 0);
	snprintf(pid, sizeof(pid), "%d\n1\n", (int)getpid());
	put(place.group, "cgroup.procs", pid);
	assert_int_equal(own(&place, &dir), -EBUSY);
	put(place.group, "cgroup.controllers", "cpu memory_not pids\n");
	assert_int_equal(own(&place, &dir), -ENOTSUP);
	put(place.dir, "self", "4:memory:/a/b\n0::/elsewhere\n");
	assert_int_equal(own(&place, &dir), -ENOENT);
	put(place.dir, "self", "4:memory:/a/b\n");
	assert_int_equal(own(&place, &dir), -ENOENT);
	put(place.dir, "self", "");
	assert_int_equal(own(&place, &dir), -ENOENT);
	buf_release(&dir);
	clean(&place);
}

/* A container's, as it sees it. */
static void the_root_of_a_container_is_ours(void **state)
{
	struct buf dir = BUF_INIT;
	struct place place;
	char root[96];

	(void)state;
	make(&place);
	snprintf(root, sizeof(root), "%s/root", place.dir);
	put(root, "cgroup.controllers", "memory\n");
	put(root, "cgroup.procs", "");
	put(place.dir, "self", "0::/\n");
	assert_int_equal(own(&place, &dir), 0);
	assert_string_equal(buf_text(&dir), root);
	buf_release(&dir);
	clean(&place);
}

static void numbers_are_read(void **state)
{
	struct place place;

	(void)state;
	make(&place);
	put(place.group, "memory.peak", "123456789012\n");
	put(place.group, "memory.events", "low 1\noom 7\noom_kill 3\noom_group_kill 2\n");
	put(place.group, "memory.max", "max\n");
	assert_true(cgroup_number(place.group, "memory.peak", "") == 123456789012);
	assert_true(cgroup_number(place.group, "memory.events", "oom") == 7);
	assert_true(cgroup_number(place.group, "memory.events", "oom_kill") == 3);
	assert_true(cgroup_number(place.group, "memory.events", "kill") == -1);
	assert_true(cgroup_number(place.group, "memory.max", "") == -1);
	assert_true(cgroup_number(place.group, "memory.low", "") == -1);
	assert_int_equal(cgroup_write(place.group, "memory.max", "4096"), 0);
	assert_true(cgroup_number(place.group, "memory.max", "") == 4096);
	assert_int_equal(cgroup_write("/nowhere", "memory.max", "1"), -ENOENT);
	clean(&place);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_ours_is_found), cmocka_unit_test(the_root_of_a_container_is_ours), cmocka_unit_test(numbers_are_read),
	};

	return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
