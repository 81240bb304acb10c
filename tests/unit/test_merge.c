/* Logs of nodes long gone become one: what is counted and shown stays the same, whoever dies when, and whoever comes back. */
#include "tests/fake/bench_queue.h"

#include <errno.h>
#include <sys/types.h>

#include "queue/inner.h"
#include "queue/merge.h"
#include "queue/record.h"
#include "tree/keep_db.h"

#define GONE 70				/* more than MERGE_FROM */

/* ---- lines ---- */

static void add_record(struct buf *to, enum record_what what, const char *name, const char *values)
{
	struct record record = { .what = what, .name = name, .values = values, .attempt = 1, .time = 1700000000 };

	record.unit = record.key = layout_unit(name, false, 0, 0);
	assert_int_equal(record_format(&record, to), 0);
}

static void lines_keep_what_they_say(void **state)
{
	struct buf text = BUF_INIT, merged = BUF_INIT, again = BUF_INIT;
	struct merge_origin origin;
	struct record record;
	size_t first;
	char *line;

	(void)state;
	add_record(&text, RECORD_DONE, "a b", "wall=1.5");
	first = text.len;
	buf_adds(&text, "no record\n\n");
	add_record(&text, RECORD_LOST, "c", NULL);
	buf_adds(&text, "1 done torn");
	assert_int_equal(merge_lines("h.00000001", 1000, text.data, text.len, &merged), text.len - strlen("1 done torn"));
	line = strchr(merged.data, '\n');
	assert_int_equal(record_parse(merged.data, (size_t)(line - merged.data), &record), 0);
	assert_string_equal(record.name, "a b");
	assert_int_equal(merge_origin(record.values, &origin), 0);
	assert_string_equal(origin.log, "h.00000001");
	assert_int_equal(origin.node_len, 10);
	assert_int_equal(origin.begin, 1000);
	assert_int_equal(origin.end, 1000 + first);
	assert_true(strncmp(record.values, "wall=1.5 ", 9) == 0);
	*line++ = '\n';
	assert_int_equal(record_parse(line, strlen(line) - 1, &record), 0);
	assert_int_equal(record.what, RECORD_LOST);
	assert_int_equal(merge_origin(record.values, &origin), 0);
	assert_int_equal(origin.begin, 1000 + first + strlen("no record\n\n"));
	/* Merged once more they are what they were. */
	buf_reset(&merged);
	assert_true(merge_lines("h.00000001", 1000, text.data, text.len, &merged) > 0);
	assert_int_equal(merge_lines("other.00000002.7", 5, merged.data, merged.len, &again), merged.len);
	assert_string_equal(again.data, merged.data);
	buf_release(&text);
	buf_release(&merged);
	buf_release(&again);
}

static void a_line_without_room_loses_its_values(void **state)
{
	static char values[RECORD_MAX_VALUES + 1];
	struct buf text = BUF_INIT, merged = BUF_INIT;
	struct merge_origin origin;
	struct record record;

	(void)state;
	memset(values, 'x', RECORD_MAX_VALUES - 1);
	memcpy(values, "stderr=", 7);
	add_record(&text, RECORD_FAILED, "a", values);
	assert_int_equal(merge_lines("h.00000001", 0, text.data, text.len, &merged), text.len);
	assert_int_equal(record_parse(merged.data, merged.len - 1, &record), 0);
	assert_int_equal(merge_origin(record.values, &origin), 0);
	assert_int_equal(origin.end, text.len);
	buf_release(&text);
	buf_release(&merged);
}

static void junk_is_no_origin(void **state)
{
	static const char *const bad[] = {
		"from=", "from=:", "from=h.00000001", "from=h.00000001:", "from=h.00000001:1", "from=h.00000001:1:", "from=h.00000001:2:1",
		"from=h.00000001:1:1", "from=h.00000001:-1:1", "from=h.00000001:1:x", "from=h:1:2", "from=../x.00000001:1:2",
		"from=h.00000001:1:99999999999999999999", "from=h.00000001:1099511627776:1099511627777", "from=h.00000001.0:1:2",
		"from=h.00000001.123456789:1:2", "from=h.00000001:1:2:3", NULL
	};
	struct merge_origin origin;

	(void)state;
	assert_int_equal(merge_origin("", &origin), -ENOENT);
	assert_int_equal(merge_origin("wall=1 fro=m", &origin), -ENOENT);
	assert_int_equal(merge_origin("wall=1 from=h.00000001.12:0:2", &origin), 0);
	assert_string_equal(origin.log, "h.00000001.12");
	assert_int_equal(origin.node_len, 10);
	for (int i = 0; bad[i]; i++)
		if (merge_origin(bad[i], &origin) != -EINVAL)
			fail_msg("taken for an origin: %s", bad[i]);
}

/* ---- queues ---- */

static void gone_node(int i, char ret_node[LAYOUT_MAX_NODE + 1])
{
	char host[32];

	snprintf(host, sizeof(host), "gone-%d", i);
	layout_node(host, (uint32_t)i, ret_node);
}

/* A unit done and one lost by each of GONE nodes, of which nothing but their logs and markers is left. */
static void plant(struct bench *bench)
{
	char name[32], node[LAYOUT_MAX_NODE + 1], path[LAYOUT_PATH];
	struct buf text = BUF_INIT;
	struct hash128 unit;

	for (int i = 0; i < GONE; i++) {
		gone_node(i, node);
		snprintf(name, sizeof(name), "u%05d", i);
		buf_reset(&text);
		add_record(&text, RECORD_LOST, name, NULL);
		buf_adds(&text, i % 7 ? "" : "not a record\n");
		add_record(&text, RECORD_DONE, name, "wall=2");
		buf_adds(&text, i % 5 ? "" : "1 done tor");
		layout_log(path, node);
		assert_int_equal(mem_disk_write(bench->disk, path, text.data, text.len), 0);
		unit = layout_unit(name, false, 0, 0);
		layout_marker(path, &unit, 0);
		assert_int_equal(mem_disk_puts(bench->disk, path, "claimfs 1\n"), 0);
	}
	buf_release(&text);
}

static bool has_swept(void *arg)
{
	struct bench_mount *mount = arg;
	bool swept;

	pthread_mutex_lock(&mount->queue->lock);
	swept = mount->queue->sweep_ns > 0;
	pthread_mutex_unlock(&mount->queue->lock);
	return swept;
}

/* A mount that has an identity and a log, and whose keeper does not look for gone nodes for a while. */
static struct bench_mount *worker(struct bench *bench, const char *unit)
{
	struct bench_mount *mount = bench_mount(bench);

	assert_int_equal(queue_claim(mount->queue, unit), 0);
	assert_int_equal(bench_end(mount, QUEUE_VERB_DONE, unit), 0);
	assert_true(bench_until(has_swept, mount));
	return mount;
}

static int names_in(struct bench *bench, const char *dir)
{
	struct buf names = BUF_INIT;
	int count = mem_disk_list(bench->disk, dir, &names);

	buf_release(&names);
	return count;
}

/* What this mount knows of the gone nodes' work: all of it, once. */
static void check_known(struct bench_mount *mount, int also_done)
{
	char node[LAYOUT_MAX_NODE + 1], name[32];
	struct buf text = BUF_INIT;
	uint32_t index;

	assert_int_equal(bench_count(mount, QUEUE_DONE), GONE + also_done);
	for (int i = 0; i < GONE; i++) {
		gone_node(i, node);
		pthread_mutex_lock(&mount->queue->lock);
		index = nodes_get_locked(mount->queue, node);
		assert_int_equal(mount->queue->nodes[index - 1].done, 1);
		assert_int_equal(mount->queue->nodes[index - 1].lost, 1);
		pthread_mutex_unlock(&mount->queue->lock);
		if (i % 10)
			continue;
		snprintf(name, sizeof(name), "u%05d", i);
		buf_reset(&text);
		assert_int_equal(queue_ticket(mount->queue, QUEUE_DONE, name, &text), 0);
		if (!strstr(buf_text(&text), node) || !strstr(buf_text(&text), "wall: 2 s"))
			fail_msg("the ticket of %s says: %s", name, buf_text(&text));
	}
	buf_release(&text);
}

static void settle_all(struct bench_mount *mount)
{
	assert_int_equal(logs_flush(mount->queue), 0);
	assert_int_equal(queue_refresh(mount->queue, 0), 0);
}

static struct bench *planted(int others)
{
	struct bench *bench = bench_new("");

	bench_inputs(bench, GONE + others);
	return bench;
}

static void logs_become_one(void **state)
{
	struct bench *bench = planted(3);
	struct bench_mount *a, *b, *c;

	(void)state;
	a = worker(bench, "u00070");
	b = worker(bench, "u00071");
	plant(bench);
	settle_all(a);
	settle_all(b);
	merge_logs(a->queue);
	assert_int_equal(names_in(bench, ".claimfs/log"), 3);		/* a's, b's and the merged one */
	assert_int_equal(names_in(bench, ".claimfs/tmp"), 2);
	/* b knew the old ones, a new mount only sees the merged one. */
	check_known(b, 2);
	check_known(a, 2);
	c = bench_mount(bench);
	check_known(c, 2);
	assert_true(bench_is(c, QUEUE_TODO, "u00072"));
	bench_free(bench);
}

static void few_logs_and_live_ones_stay(void **state)
{
	struct bench *bench = planted(1);
	char node[LAYOUT_MAX_NODE + 1], path[LAYOUT_PATH];
	struct bench_mount *a;
	int before;

	(void)state;
	a = worker(bench, "u00070");
	plant(bench);
	for (int i = 0; i < GONE - MERGE_FROM; i++) {
		gone_node(i, node);
		layout_heartbeat(path, node, (uint32_t)i % 2);
		assert_int_equal(mem_disk_puts(bench->disk, path, "claimfs 1\n"), 0);
	}
	before = names_in(bench, ".claimfs/log");
	merge_logs(a->queue);
	assert_int_equal(names_in(bench, ".claimfs/log"), before);
	/* One more that is silent for long is enough. */
	mem_disk_set_mtime(bench->disk, path, mem_disk_time(bench->disk) - (MERGE_LEASES + 1) * BENCH_LEASE);
	merge_logs(a->queue);
	assert_int_equal(names_in(bench, ".claimfs/log"), before - MERGE_FROM);
	check_known(a, 1);
	bench_free(bench);
}

/* ---- death ---- */

/* How many operations a merge takes when nobody dies. */
static int steps_of_merge(void)
{
	struct bench *bench = planted(2);
	struct bench_mount *a = worker(bench, "u00070");
	int kinds = STORE_COPY + 1, steps = 0, i;

	plant(bench);
	settle_all(a);
	for (i = 0; i < kinds; i++)
		steps -= (int)mem_count(a->store, (enum store_kind)i);
	merge_logs(a->queue);
	for (i = 0; i < kinds; i++)
		steps += (int)mem_count(a->store, (enum store_kind)i);
	bench_free(bench);
	return steps;
}

static void die_at(int step)
{
	struct bench *bench = planted(3);
	struct bench_mount *a, *b, *c;

	a = worker(bench, "u00070");
	b = worker(bench, "u00071");
	plant(bench);
	settle_all(a);
	settle_all(b);
	mem_cut(a->store, step);
	merge_logs(a->queue);
	bench_kill(a);
	mem_cancel(a->store);
	check_known(b, 2);
	c = bench_mount(bench);
	check_known(c, 2);
	/* The dead one's lease runs out; another finishes what it began. */
	bench_jump(2 * BENCH_LEASE);
	assert_int_equal(lease_renew(b->queue->lease, NULL), 0);
	merge_logs(b->queue);
	assert_true(names_in(bench, ".claimfs/log") <= 2 + MERGE_FROM);
	check_known(b, 2);
	check_known(c, 2);
	check_known(bench_mount(bench), 2);
	bench_free(bench);
}

static void whoever_dies_at_any_step_loses_nothing(void **state)
{
	int step, steps = steps_of_merge();

	(void)state;
	assert_true(steps > 2 * GONE);
	for (step = 0; step <= steps; step += step < 8 || step > steps - 8 ? 1 : 5)
		die_at(step);
}

/* ---- at the same time ---- */

struct meddler {
	struct bench *bench;
	struct bench_mount *other;
	enum store_kind kind;
	const char *part;
	const char *path;		/* what grows; NULL: the other one merges */
	int times;
};

static void meddle(void *arg, const struct store_op *op)
{
	struct meddler *meddler = arg;
	struct buf text = BUF_INIT;

	if (op->kind != meddler->kind || !op->path || !strstr(op->path, meddler->part) || meddler->times++)
		return;
	if (!meddler->path) {
		merge_logs(meddler->other->queue);
		return;
	}
	assert_int_equal(mem_disk_read(meddler->bench->disk, meddler->path, &text), 0);
	add_record(&text, RECORD_DONE, "u00072", "wall=2");
	assert_int_equal(mem_disk_write(meddler->bench->disk, meddler->path, text.data, text.len), 0);
	buf_release(&text);
}

static void two_do_not_do_the_same_work(void **state)
{
	struct bench *bench = planted(3);
	struct meddler meddler = { .bench = bench, .kind = STORE_READ, .part = "log/gone-" };
	struct bench_mount *a, *b;

	(void)state;
	a = worker(bench, "u00070");
	b = worker(bench, "u00071");
	plant(bench);
	settle_all(a);
	meddler.other = b;
	mem_set_hook(a->store, meddle, &meddler);
	merge_logs(a->queue);
	assert_true(meddler.times > 1);
	assert_int_equal(names_in(bench, ".claimfs/log"), 3);
	assert_int_equal(mem_count(b->store, STORE_RENAME), 0);
	mem_set_hook(a->store, NULL, NULL);
	check_known(b, 2);
	bench_free(bench);
}

static void what_is_appended_at_the_last_moment_is_kept(void **state)
{
	struct bench *bench = planted(4);
	struct meddler meddler = { .bench = bench, .kind = STORE_RENAME, .part = "log/gone-" };
	char node[LAYOUT_MAX_NODE + 1], path[LAYOUT_PATH];
	struct bench_mount *a, *b;

	(void)state;
	a = worker(bench, "u00070");
	b = worker(bench, "u00071");
	plant(bench);
	settle_all(b);
	/* The one that is moved first: any may be, so it is the one that the operation names. */
	gone_node(1, node);
	layout_log(path, node);
	meddler.path = path;
	meddler.part = path;
	mem_set_hook(a->store, meddle, &meddler);
	merge_logs(a->queue);
	mem_set_hook(a->store, NULL, NULL);
	assert_true(meddler.times > 0);
	assert_int_equal(names_in(bench, ".claimfs/log"), 3);
	assert_true(bench_is(bench_mount(bench), QUEUE_DONE, "u00072"));
	assert_true(bench_is(b, QUEUE_DONE, "u00072"));
	assert_true(bench_is(b, QUEUE_TODO, "u00073"));
	bench_free(bench);
}

/* ---- a node that comes back ---- */

static bool in_a_log(struct bench *bench, const char *name)
{
	struct buf names = BUF_INIT, text = BUF_INIT;
	char path[LAYOUT_PATH];
	const char *at;
	bool found = false;
	int i, count = mem_disk_list(bench->disk, ".claimfs/log", &names);

	for (i = 0, at = names.data; i < count; i++, at += strlen(at) + 1) {
		layout_log(path, at);
		buf_reset(&text);
		assert_int_equal(mem_disk_read(bench->disk, path, &text), 0);
		found |= text.len && memmem(text.data, text.len, name, strlen(name)) != NULL;
	}
	buf_release(&names);
	buf_release(&text);
	return found;
}

static uint64_t tally_of(struct bench_mount *mount, const char *node)
{
	uint64_t done;
	uint32_t index;

	assert_int_equal(queue_refresh(mount->queue, 0), 0);
	pthread_mutex_lock(&mount->queue->lock);
	index = nodes_get_locked(mount->queue, node);
	done = mount->queue->nodes[index - 1].done;
	pthread_mutex_unlock(&mount->queue->lock);
	return done;
}

/* Silent for long, its log merged meanwhile; `heartbeat`: its file in nodes/ was removed too, as fsck does. */
static void come_back(bool heartbeat)
{
	struct bench *bench = planted(4);
	struct bench_mount *a, *sleeper, *fresh;
	char node[LAYOUT_MAX_NODE + 1], path[LAYOUT_PATH];

	sleeper = worker(bench, "u00070");
	settle_all(sleeper);
	assert_true(lease_node(sleeper->queue->lease, node, NULL));
	plant(bench);
	mem_cut(sleeper->store, 0);
	bench_jump((MERGE_LEASES + 2) * BENCH_LEASE);
	a = worker(bench, "u00071");
	layout_log(path, node);
	if (mem_disk_exists(bench->disk, path))
		merge_logs(a->queue);
	assert_false(mem_disk_exists(bench->disk, path));
	layout_heartbeat(path, node, 0);
	if (heartbeat)
		assert_int_equal(mem_disk_remove(bench->disk, path), 0);
	mem_uncut(sleeper->store);
	assert_int_equal(queue_claim(sleeper->queue, "u00072"), 0);
	assert_int_equal(bench_end(sleeper, QUEUE_VERB_DONE, "u00072"), 0);
	settle_all(sleeper);
	assert_true(in_a_log(bench, " u00072"));
	/* Again, with nothing in between: the new log is its own. */
	assert_int_equal(queue_claim(sleeper->queue, "u00073"), 0);
	assert_int_equal(bench_end(sleeper, QUEUE_VERB_DONE, "u00073"), 0);
	settle_all(sleeper);
	check_known(sleeper, 4);
	check_known(a, 4);
	fresh = bench_mount(bench);
	check_known(fresh, 4);
	if (!heartbeat) {
		assert_int_equal(tally_of(fresh, node), 3);
		assert_int_equal(tally_of(sleeper, node), 3);
	}
	assert_true(lease_node(sleeper->queue->lease, path, NULL));
	assert_int_equal(strcmp(path, node) != 0, heartbeat);
	assert_true(in_a_log(bench, " u00073"));
	bench_free(bench);
}

static void a_node_that_comes_back_begins_another_log(void **state)
{
	(void)state;
	come_back(false);
}

static void one_whose_heartbeat_is_gone_is_another_node(void **state)
{
	(void)state;
	come_back(true);
}

/* ---- what is remembered ---- */

static char cache[] = "/tmp/claimfs-merge-XXXXXX";

static void remove_cache(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", cache);
	assert_int_equal(system(command), 0);
}

static struct bench_mount *remembering(struct bench *bench, struct keep **ret_keep)
{
	struct bench_mount *mount;

	assert_int_equal(keep_db_open(cache, "test", "/queue", ret_keep), 0);
	bench->keep = *ret_keep;
	mount = bench_mount(bench);
	bench->keep = NULL;
	return mount;
}

static void end_remembering(struct bench_mount *mount, struct keep *keep)
{
	queue_close(mount->queue, NS_PER_S);
	mount->queue = NULL;
	keep->ops->free(keep);
}

static void memory_survives_a_merge(void **state)
{
	struct bench *bench = planted(4);
	struct bench_mount *a, *mount;
	struct keep *keep;
	uint64_t listed;

	(void)state;
	assert_non_null(mkdtemp(cache));
	a = worker(bench, "u00070");
	plant(bench);
	mem_disk_set_mtime(bench->disk, "inputs", mem_disk_time(bench->disk) - 100);
	mount = remembering(bench, &keep);
	check_known(mount, 1);
	end_remembering(mount, keep);
	/* Merged while nobody looked: all is learned anew but the inputs. */
	merge_logs(a->queue);
	assert_int_equal(names_in(bench, ".claimfs/log"), 2);
	mount = remembering(bench, &keep);
	listed = mount->queue->index.dirs[0]->count;
	assert_int_equal(listed, GONE + 4);
	check_known(mount, 1);
	assert_int_equal(mount->queue->index.dirs[0]->listed_ns, 0);
	end_remembering(mount, keep);
	/* From then on it is as good as any. */
	mount = remembering(bench, &keep);
	assert_int_equal(mount->queue->index.counts[QUEUE_DONE], GONE + 1);
	check_known(mount, 1);
	end_remembering(mount, keep);
	bench_free(bench);
	remove_cache();
}

static void a_merge_that_was_watched_is_remembered(void **state)
{
	struct bench *bench = planted(4);
	struct bench_mount *a, *mount;
	struct keep *keep;

	(void)state;
	strcpy(cache + strlen(cache) - 6, "XXXXXX");
	assert_non_null(mkdtemp(cache));
	a = worker(bench, "u00070");
	plant(bench);
	mount = remembering(bench, &keep);
	check_known(mount, 1);
	merge_logs(a->queue);
	check_known(mount, 1);
	end_remembering(mount, keep);
	mount = remembering(bench, &keep);
	assert_int_equal(mount->queue->index.counts[QUEUE_DONE], GONE + 1);	/* without a look at the disk's logs */
	check_known(mount, 1);
	end_remembering(mount, keep);
	bench_free(bench);
	remove_cache();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_keep_what_they_say),
		cmocka_unit_test(a_line_without_room_loses_its_values),
		cmocka_unit_test(junk_is_no_origin),
		cmocka_unit_test(logs_become_one),
		cmocka_unit_test(few_logs_and_live_ones_stay),
		cmocka_unit_test(whoever_dies_at_any_step_loses_nothing),
		cmocka_unit_test(two_do_not_do_the_same_work),
		cmocka_unit_test(what_is_appended_at_the_last_moment_is_kept),
		cmocka_unit_test(a_node_that_comes_back_begins_another_log),
		cmocka_unit_test(one_whose_heartbeat_is_gone_is_another_node),
		cmocka_unit_test(memory_survives_a_merge),
		cmocka_unit_test(a_merge_that_was_watched_is_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
