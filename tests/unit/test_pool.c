/* pool: where files that are to be fsynced are opened. What else it decides is in test_client.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "sftp/client.h"
#include "sftp/handle.h"
#include "sftp/pool.h"
#include "tests/fake/rig.h"

#define CONNECTIONS 4
#define FILES 8
#define HELD_NS (10 * NS_PER_MS)	/* far more than an fsync that is slow */

struct opening {
	struct rig *rig;
	struct sftp_file *files[FILES];
	atomic_int left;
	atomic_int bad;
};

struct one {
	struct opening *all;
	int index;
};

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	rig_connect(rig, CONNECTIONS, 20000, 0);
	rig->sftp->options.near_data = 1;
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	rig_disconnect(rig);
	assert_int_equal(peer_open_handles(rig->peer), 0);
	rig_release(rig);
	free(rig);
	return 0;
}

/* However busy this machine is. */
static void be_near(struct rig *rig)
{
	assert_int_equal(rig_waited(rig, sftp_lstat(rig->sftp, SFTP_CONTROL, ".", sftp_wait_done, rig->wait)), 0);
	atomic_store(&rig->sftp->conns[0]->stats.rtt_least_ns, 1);
}

static void opened(void *arg, const struct sftp_reply *reply)
{
	struct one *one = arg;

	one->all->files[one->index] = reply->file;
	atomic_fetch_add(&one->all->bad, reply->error != 0);
	atomic_fetch_sub(&one->all->left, 1);
}

static bool all_opened(void *arg)
{
	struct opening *opening = arg;

	peer_release(opening->rig->peer);
	return !atomic_load(&opening->left);
}

/* Opens FILES at once: the first is answered when the last has its place. On how many connections they are. */
static int open_together(struct rig *rig)
{
	struct opening opening = { .rig = rig, .left = FILES };
	struct one ones[FILES];
	bool used[CONNECTIONS] = { false };
	int i, count = 0;
	char name[16];

	peer_rule(rig->peer, FXP_OPEN, 0, FILES, PEER_HOLD);
	for (i = 0; i < FILES; i++) {
		ones[i] = (struct one){ &opening, i };
		snprintf(name, sizeof(name), "f%d", i);
		assert_int_equal(sftp_open(rig->sftp, SFTP_FSYNC, name, SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, NULL, opened, &ones[i]), 0);
	}
	assert_true(rig_until(all_opened, &opening));
	assert_int_equal(atomic_load(&opening.bad), 0);
	for (i = 0; i < FILES; i++) {
		used[atomic_load(&opening.files[i]->home)] = true;
		assert_int_equal(rig_close(rig, opening.files[i]), 0);
	}
	for (i = 0; i < CONNECTIONS; i++)
		count += used[i];
	return count;
}

static bool all_up(void *arg)
{
	struct rig *rig = arg;

	open_together(rig);
	return pool_up_count(rig->sftp) == CONNECTIONS;
}

struct held {
	struct rig *rig;
	int64_t until_ns;		/* 0: it is not held yet */
};

static bool held_long(void *arg)
{
	struct held *held = arg;

	if (!held->until_ns && peer_rules_done(held->rig->peer))
		held->until_ns = clock_now() + HELD_NS;
	return held->until_ns && clock_now() >= held->until_ns;
}

/* The first fsync makes the connection that the second one takes. */
static void fsync_slowly(struct rig *rig)
{
	struct held held = { .rig = rig };
	struct sftp_file *file;

	assert_int_equal(rig_open(rig, SFTP_FSYNC, "a", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &file), 0);
	assert_int_equal(rig_waited(rig, sftp_fsync(file, sftp_wait_done, rig->wait)), 0);
	assert_int_equal(pool_up_count(rig->sftp), 2);
	atomic_store(&rig->sftp->fsync_ns, 0);
	peer_rule(rig->peer, FXP_EXTENDED, 0, 1, PEER_HOLD);
	assert_int_equal(sftp_fsync(file, sftp_wait_done, rig->wait), 0);
	assert_true(rig_until(held_long, &held));
	peer_release(rig->peer);
	assert_int_equal(rig_waited(rig, 0), 0);
	assert_int_equal(rig_close(rig, file), 0);
}

/* A server process fsyncs one file after another: where that takes long, several do it side by side, and elsewhere none is started for it. */
static void test_slow_fsyncs_side_by_side(void **state)
{
	struct rig *rig = *state;

	be_near(rig);
	fsync_slowly(rig);
	assert_in_range(atomic_load(&rig->sftp->fsync_ns), POOL_FSYNC_NS, INT64_MAX);
	assert_true(rig_until(all_up, rig));
	assert_int_equal(open_together(rig), CONNECTIONS - 1);
	atomic_store(&rig->sftp->fsync_ns, 0);
	assert_int_equal(open_together(rig), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_slow_fsyncs_side_by_side, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
