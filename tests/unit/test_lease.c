/*
 * lease: identity, heartbeats, lapses, links and the server's clock.
 */
#include "queue/lease.h"
#include "tests/fake/bench_queue.h"

#define LEASE_NS (6 * NS_PER_S)

struct leased {
	struct mem_disk *disk;
	struct store *store;
	struct lease *lease;
};

static struct leased leased_new(int64_t limit)
{
	struct lease_options options = { .host = "n", .pid = 1, .lease_ns = LEASE_NS, .link_limit = limit };
	struct leased leased;

	log_open("test", LOG_LEVEL_ERROR);
	clock_set_source(bench_now);
	leased.disk = mem_disk_new();
	leased.store = mem_mount(leased.disk);
	mem_disk_mkdirs(leased.disk, ".claimfs/tmp");
	assert_int_equal(lease_new(leased.store, &options, &leased.lease), 0);
	return leased;
}

static void leased_free(struct leased *leased)
{
	lease_stop(leased->lease);
	lease_free(leased->lease);
	mem_unmount(leased->store);
	mem_disk_free(leased->disk);
}

static int begin(struct leased *leased, uint32_t claims, struct lease_stand *stand)
{
	uint32_t wanted = claims;
	int error = lease_begin(leased->lease, &wanted, stand);

	return error ? error : (int)wanted;
}

static void an_identity_is_made_at_the_first_claim(void **state)
{
	struct leased leased = leased_new(0);
	char node[LAYOUT_MAX_NODE + 1];
	struct lease_stand stand;

	(void)state;
	assert_false(lease_node(leased.lease, node, NULL));
	assert_int_equal(lease_age(leased.lease, clock_now()), -1);
	assert_int_equal(begin(&leased, 3, &stand), 3);
	assert_true(lease_node(leased.lease, node, NULL));
	assert_string_equal(node, stand.node);
	assert_true(mem_disk_exists(leased.disk, stand.path));
	assert_true(lease_good(leased.lease, &stand));
	assert_false(lease_gone(leased.lease, &stand));
	assert_true(lease_was_node(leased.lease, node));
	assert_false(lease_was_node(leased.lease, "m.00000001"));
	leased_free(&leased);
}

static void a_name_that_may_be_taken_is_not_used(void **state)
{
	struct leased leased = leased_new(0);
	struct mem_fault lost = { .fault = MEM_FAIL, .kind = STORE_WRITE, .error = STORE_UNKNOWN, .count = 2 };
	struct lease_stand stand;
	struct buf names = BUF_INIT;

	(void)state;
	mem_fault(leased.store, &lost);
	assert_int_equal(begin(&leased, 1, &stand), 1);
	assert_int_equal(mem_disk_list(leased.disk, ".claimfs/nodes", &names), 3);
	buf_release(&names);
	leased_free(&leased);
}

static void heartbeats_keep_the_file_fresh(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand stand;
	int64_t mtime = 0;
	int i;

	(void)state;
	begin(&leased, 1, &stand);
	for (i = 0; i < 12; i++) {
		bench_pass(1);
		mem_disk_mtime(leased.disk, stand.path, &mtime);
		assert_true(mem_disk_time(leased.disk) - mtime <= 4);
	}
	assert_true(lease_good(leased.lease, &stand));
	leased_free(&leased);
}

static void time_without_an_answer_is_a_lapse(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand stand, after;
	uint32_t lapses = 0;

	(void)state;
	begin(&leased, 1, &stand);
	mem_cut(leased.store, 0);
	bench_pass(7);
	assert_false(lease_good(leased.lease, &stand));
	assert_true(lease_renew(leased.lease, NULL) < 0);
	mem_uncut(leased.store);
	assert_int_equal(lease_renew(leased.lease, &lapses), 0);
	assert_true(lapses != stand.lapses);
	/* Fresh again, but what was claimed before is in doubt for ever, until it is verified. */
	assert_false(lease_good(leased.lease, &stand));
	assert_false(lease_gone(leased.lease, &stand));
	assert_int_equal(begin(&leased, 1, &after), 1);
	assert_true(lease_good(leased.lease, &after));
	leased_free(&leased);
}

static void a_machine_that_slept_has_lapsed(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand stand;

	(void)state;
	begin(&leased, 1, &stand);
	bench_jump(100);
	assert_false(lease_good(leased.lease, &stand));
	assert_int_equal(lease_renew(leased.lease, NULL), 0);
	assert_false(lease_good(leased.lease, &stand));
	leased_free(&leased);
}

static void a_file_that_is_gone_ends_the_incarnation(void **state)
{
	struct leased leased = leased_new(0);
	struct mem_fault gone = { .fault = MEM_FAIL, .kind = STORE_WRITE, .error = -ESTALE, .count = 1 };
	struct lease_stand stand, next;

	(void)state;
	begin(&leased, 1, &stand);
	mem_fault(leased.store, &gone);
	assert_int_equal(lease_renew(leased.lease, NULL), -ENOENT);
	assert_true(lease_gone(leased.lease, &stand));
	assert_int_equal(begin(&leased, 1, &next), 1);
	assert_string_not_equal(stand.node, next.node);
	assert_true(lease_was_node(leased.lease, stand.node));
	leased_free(&leased);
}

static void a_full_file_is_followed_by_another(void **state)
{
	struct leased leased = leased_new(20);
	struct lease_stand one, two, three;
	int64_t before = 0, after = 0;

	(void)state;
	assert_int_equal(begin(&leased, 64, &one), 10);
	assert_int_equal(begin(&leased, 4, &two), 4);
	assert_string_equal(one.node, two.node);
	assert_string_not_equal(one.path, two.path);
	assert_int_equal(begin(&leased, 4, &three), 4);
	assert_string_equal(two.path, three.path);
	/* The old one beats on while claims hang on it, and no longer. */
	mem_disk_mtime(leased.disk, one.path, &before);
	bench_pass(5);
	mem_disk_mtime(leased.disk, one.path, &after);
	assert_true(after > before);
	lease_end(leased.lease, &one, 10);
	bench_pass(5);
	mem_disk_mtime(leased.disk, one.path, &before);
	bench_pass(5);
	mem_disk_mtime(leased.disk, one.path, &after);
	assert_int_equal(before, after);
	assert_true(lease_good(leased.lease, &two));
	leased_free(&leased);
}

static void the_disks_limit_is_learned(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand one, two;
	uint64_t links;

	(void)state;
	assert_int_equal(begin(&leased, 50, &one), 50);
	links = lease_full(leased.lease, &one);
	assert_int_equal(links, 100);
	assert_int_equal(lease_full(leased.lease, &one), 0);
	lease_learn(leased.lease, links);
	assert_int_equal(begin(&leased, 64, &two), 25);
	assert_string_not_equal(one.path, two.path);
	leased_free(&leased);
}

static void what_is_given_back_has_its_mtime(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand stand;
	char path[LAYOUT_PATH], again[LAYOUT_PATH];
	int64_t mtime = -1;

	(void)state;
	begin(&leased, 1, &stand);
	assert_int_equal(lease_given_back(leased.lease, false, path), 0);
	mem_disk_mtime(leased.disk, path, &mtime);
	assert_int_equal(mtime, 1);
	assert_int_equal(lease_given_back(leased.lease, false, again), 0);
	assert_string_equal(path, again);
	lease_given_back_full(leased.lease, false);
	assert_int_equal(lease_given_back(leased.lease, false, again), 0);
	assert_string_not_equal(path, again);
	assert_int_equal(lease_given_back(leased.lease, true, path), 0);
	mem_disk_mtime(leased.disk, path, &mtime);
	assert_int_equal(mtime, 0);
	leased_free(&leased);
}

static void a_disk_that_loses_the_mtime_is_not_used(void **state)
{
	struct leased leased = leased_new(0);
	struct mem_fault fail = { .fault = MEM_LOSE_REQUEST, .kind = STORE_UTIME, .count = 1 };
	struct lease_stand stand;
	char path[LAYOUT_PATH];

	(void)state;
	begin(&leased, 1, &stand);
	mem_fault(leased.store, &fail);
	assert_true(lease_given_back(leased.lease, false, path) < 0);
	assert_int_equal(lease_given_back(leased.lease, false, path), 0);
	leased_free(&leased);
}

static void the_servers_time_is_known_within_a_second(void **state)
{
	struct leased leased = leased_new(0);
	struct lease_stand stand;
	int64_t min, max, now;
	int i;

	(void)state;
	assert_false(lease_time(leased.lease, clock_now(), &min, &max));
	begin(&leased, 1, &stand);
	for (i = 0; i < 10; i++) {
		bench_pass(1.25);
		now = mem_disk_time(leased.disk) * NS_PER_S;
		assert_true(lease_time(leased.lease, clock_now(), &min, &max));
		assert_true(min <= now + NS_PER_S + NS_PER_S / 10);
		assert_true(max >= now - NS_PER_S / 10);
		assert_true(max - min <= NS_PER_S + NS_PER_S / 2);
	}
	/* Set by an hour: the next heartbeat tells. */
	mem_disk_shift(leased.disk, -3600);
	assert_int_equal(lease_renew(leased.lease, NULL), 0);
	assert_true(lease_time(leased.lease, clock_now(), &min, &max));
	now = mem_disk_time(leased.disk) * NS_PER_S;
	assert_true(min <= now + 2 * NS_PER_S && max >= now - NS_PER_S);
	leased_free(&leased);
}

static void a_probe_tells_the_time_and_leaves_nothing(void **state)
{
	struct leased leased = leased_new(0);
	struct buf names = BUF_INIT;
	int64_t min, max;

	(void)state;
	assert_int_equal(lease_probe(leased.lease), 0);
	assert_true(lease_time(leased.lease, clock_now(), &min, &max));
	assert_int_equal(mem_disk_list(leased.disk, ".claimfs/tmp", &names), 0);
	buf_release(&names);
	leased_free(&leased);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_identity_is_made_at_the_first_claim),
		cmocka_unit_test(a_name_that_may_be_taken_is_not_used),
		cmocka_unit_test(heartbeats_keep_the_file_fresh),
		cmocka_unit_test(time_without_an_answer_is_a_lapse),
		cmocka_unit_test(a_machine_that_slept_has_lapsed),
		cmocka_unit_test(a_file_that_is_gone_ends_the_incarnation),
		cmocka_unit_test(a_full_file_is_followed_by_another),
		cmocka_unit_test(the_disks_limit_is_learned),
		cmocka_unit_test(what_is_given_back_has_its_mtime),
		cmocka_unit_test(a_disk_that_loses_the_mtime_is_not_used),
		cmocka_unit_test(the_servers_time_is_known_within_a_second),
		cmocka_unit_test(a_probe_tells_the_time_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
