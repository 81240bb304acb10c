/* client: every call against the tests' peer and against a real sftp-server, where there is one: the same expectations of both. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "sftp/client.h"
#include "sftp/pool.h"
#include "tests/fake/rig.h"

#define SERVER "/usr/lib/openssh/sftp-server"
#define MIB (1024u * 1024)

static char *server_argv[] = { SERVER, "-d", NULL, NULL };
static struct pipe_maker server;

static int set_up(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	rig_connect(rig, 1, 20000, 0);
	*state = rig;
	return 0;
}

static int set_up_four(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));

	rig_init(rig);
	rig_connect(rig, 4, 20000, 0);
	*state = rig;
	return 0;
}

/* The same over OpenSSH's server: relative paths lead to the scratch directory. */
static int set_up_server(void **state)
{
	struct sftp_options options = { .connections = 3, .timeout_ns = 20 * NS_PER_S };
	struct rig *rig = calloc(1, sizeof(*rig));
	struct buf why = BUF_INIT;
	int error;

	rig_init(rig);
	server_argv[2] = rig->dir;
	pipe_maker_init(&server, server_argv);
	error = sftp_connect(&server.maker, &options, &rig->sftp, &why);
	if (error)
		print_message("%s\n", buf_text(&why));
	buf_release(&why);
	*state = rig;
	return error;
}

static int tear_down(void **state)
{
	struct rig *rig = *state;

	rig_disconnect(rig);
	if (rig->peer)
		assert_int_equal(peer_open_handles(rig->peer), 0);
	rig_release(rig);
	free(rig);
	return 0;
}

#define WAITED(call) rig_waited(rig, call)
#define DONE sftp_wait_done, rig->wait
#define S rig->sftp, SFTP_CONTROL

/* ---- names ---- */

static void test_names(void **state)
{
	struct rig *rig = *state;
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE | SFTP_ATTR_TIMES, .mode = 0640, .atime = 1000, .mtime = 4000000000u };

	assert_int_equal(WAITED(sftp_mkdir(S, "d", 0750, DONE)), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "d", DONE)), 0);
	assert_true(S_ISDIR(rig->reply.attrs.mode));
	assert_int_equal(WAITED(sftp_mkdir(S, "d", 0750, DONE)), -EREMOTEIO);
	rig_put(rig, "d/a", "hello", 5);
	assert_int_equal(WAITED(sftp_setstat(S, "d/a", &attrs, false, DONE)), 0);
	assert_int_equal(WAITED(sftp_stat(S, "d/a", DONE)), 0);
	assert_int_equal(rig->reply.attrs.size, 5);
	assert_int_equal(rig->reply.attrs.mode, S_IFREG | 0640);
	assert_int_equal(rig->reply.attrs.mtime, 4000000000u);	/* beyond 2038 */
	assert_true(rig->reply.sent_ns && rig->reply.received_ns >= rig->reply.sent_ns);
	assert_int_equal(WAITED(sftp_rmdir(S, "d", DONE)), -EREMOTEIO);
	assert_int_equal(WAITED(sftp_remove(S, "d/a", DONE)), 0);
	assert_int_equal(WAITED(sftp_remove(S, "d/a", DONE)), -ENOENT);
	assert_int_equal(WAITED(sftp_rmdir(S, "d", DONE)), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "d", DONE)), -ENOENT);
}

static void test_links(void **state)
{
	struct rig *rig = *state;
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_TIMES, .atime = 7, .mtime = 8 };

	rig_put(rig, "a", "1", 1);
	assert_int_equal(WAITED(sftp_symlink(S, "target of it", "s", DONE)), 0);
	assert_int_equal(WAITED(sftp_readlink(S, "s", DONE)), 0);
	assert_string_equal(buf_text(&rig->text), "target of it");
	assert_int_equal(rig->reply.len, 12);
	assert_int_equal(WAITED(sftp_readlink(S, "a", DONE)), -EINVAL);
	assert_int_equal(WAITED(sftp_setstat(S, "s", &attrs, true, DONE)), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "s", DONE)), 0);
	assert_int_equal(rig->reply.attrs.mtime, 8);
	assert_int_equal(WAITED(sftp_hardlink(S, "a", "b", DONE)), 0);
	assert_int_equal(WAITED(sftp_hardlink(S, "a", "b", DONE)), -EREMOTEIO);
	assert_int_equal(WAITED(sftp_realpath(S, "b", DONE)), 0);
	assert_non_null(strstr(buf_text(&rig->text), "/b"));
}

static void test_renames(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, "a", "1", 1);
	rig_put(rig, "b", "22", 2);
	assert_int_equal(WAITED(sftp_rename(S, "a", "b", DONE)), -EREMOTEIO);
	assert_int_equal(WAITED(sftp_rename(S, "a", "c", DONE)), 0);
	assert_int_equal(WAITED(sftp_posix_rename(S, "c", "b", DONE)), 0);
	assert_int_equal(WAITED(sftp_stat(S, "b", DONE)), 0);
	assert_int_equal(rig->reply.attrs.size, 1);
	assert_int_equal(WAITED(sftp_posix_rename(S, "c", "b", DONE)), -ENOENT);
	assert_int_equal(WAITED(sftp_statvfs(S, ".", DONE)), 0);
	assert_true(rig->reply.statvfs.blocks && rig->reply.statvfs.namemax == 255);
}

static void test_long_names(void **state)
{
	struct rig *rig = *state;
	char path[5000];

	memset(path, 'x', sizeof(path));
	path[256] = '\0';
	assert_int_equal(WAITED(sftp_lstat(S, path, DONE)), -ENAMETOOLONG);	/* the server's answer */
	assert_int_equal(WAITED(sftp_open(S, path, SFTP_OPEN_READ, NULL, DONE)), -ENAMETOOLONG);
	path[256] = 'x';
	path[4999] = '\0';
	assert_int_equal(sftp_lstat(S, path, DONE), -ENAMETOOLONG);		/* ours: done is not called */
	assert_int_equal(sftp_symlink(S, path, "s", DONE), -ENAMETOOLONG);
	assert_int_equal(sftp_rename(S, "a", path, DONE), -ENAMETOOLONG);
	assert_int_equal(sftp_open(S, path, SFTP_OPEN_READ, NULL, DONE), -ENAMETOOLONG);
	assert_int_equal(sftp_list(S, path, NULL, NULL, DONE), -ENAMETOOLONG);
}

/* ---- files ---- */

static void test_file(void **state)
{
	struct rig *rig = *state;
	struct sftp_attrs size = { .flags = SFTP_ATTR_SIZE, .size = 3 }, mode = { .flags = SFTP_ATTR_MODE, .mode = 0600 };
	struct sftp_file *file;
	char data[100];

	assert_int_equal(WAITED(sftp_open(S, "f", SFTP_OPEN_READ, NULL, DONE)), -ENOENT);
	assert_int_equal(WAITED(sftp_open(S, "f", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, &mode, DONE)), 0);
	file = rig->reply.file;
	assert_int_equal(WAITED(sftp_open(S, "f", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT | SFTP_OPEN_EXCL, NULL, DONE)), -EREMOTEIO);
	assert_int_equal(rig_write(rig, file, 0, "hello world"), 0);
	assert_int_equal(WAITED(sftp_fstat(file, DONE)), 0);
	assert_int_equal(rig->reply.attrs.size, 11);
	assert_int_equal(rig->reply.attrs.mode & 07777, 0600);
	assert_int_equal(WAITED(sftp_read(file, 6, data, sizeof(data), DONE)), 0);
	assert_int_equal(rig->reply.len, 5);		/* short: the end of the file */
	assert_memory_equal(data, "world", 5);
	assert_int_equal(WAITED(sftp_read(file, 11, data, sizeof(data), DONE)), 0);
	assert_int_equal(rig->reply.len, 0);
	assert_int_equal(WAITED(sftp_fsetstat(file, &size, DONE)), 0);
	assert_int_equal(WAITED(sftp_read(file, 0, data, sizeof(data), DONE)), 0);
	assert_int_equal(rig->reply.len, 3);
	assert_int_equal(WAITED(sftp_fsync(file, DONE)), 0);
	assert_int_equal(rig_close(rig, file), 0);
}

static void test_bad_file(void **state)
{
	struct rig *rig = *state;
	struct sftp_file *file;
	char c;

	rig_put(rig, "f", "x", 1);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "f", SFTP_OPEN_READ, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "y"), -EBADF);
	assert_int_equal(rig_close(rig, file), 0);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "f", SFTP_OPEN_WRITE, &file), 0);
	assert_int_equal(WAITED(sftp_read(file, 0, &c, 1, DONE)), -EBADF);
	assert_int_equal(sftp_close(file, NULL, NULL), 0);
	assert_int_equal(WAITED(sftp_lstat(S, "f", DONE)), 0);	/* behind the close */
}

static void test_append(void **state)
{
	struct rig *rig = *state;
	struct buf text = BUF_INIT;
	struct sftp_file *file;

	rig_put(rig, "log", "1\n", 2);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "log", SFTP_OPEN_WRITE | SFTP_OPEN_APPEND, &file), 0);
	assert_int_equal(rig_write(rig, file, 0, "2\n"), 0);
	assert_int_equal(rig_write(rig, file, 0, "3\n"), 0);
	assert_int_equal(rig_close(rig, file), 0);
	rig_get(rig, "log", &text);
	assert_string_equal(buf_text(&text), "1\n2\n3\n");
	buf_release(&text);
}

static void test_copy(void **state)
{
	struct rig *rig = *state;
	struct buf text = BUF_INIT;
	struct sftp_file *from, *to;
	size_t len = 3 * MIB + 17, i;
	char *data = malloc(len);

	for (i = 0; i < len; i++)
		data[i] = (char)(i * 31 >> 5);
	rig_put(rig, "from", data, len);
	assert_int_equal(rig_open(rig, SFTP_DATA, "from", SFTP_OPEN_READ, &from), 0);
	assert_int_equal(rig_open(rig, SFTP_DATA, "to", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &to), 0);
	assert_int_equal(WAITED(sftp_copy(from, 1, len - 1, to, 2, DONE)), 0);
	assert_int_equal(rig->reply.len, len - 1);
	assert_int_equal(WAITED(sftp_copy(from, len - 5, 100, to, 0, DONE)), 0);	/* as much as there is */
	assert_int_equal(rig_close(rig, from), 0);
	assert_int_equal(rig_close(rig, to), 0);
	rig_get(rig, "to", &text);
	assert_int_equal(text.len, len + 1);
	assert_memory_equal(text.data + 7, data + 6, len - 6);
	free(data);
	buf_release(&text);
}

/* Longer than one request may be: sent in pieces. */
static void test_long_requests(void **state)
{
	struct rig *rig = *state;
	size_t len = 2 * MIB + 5, i;
	char *data = malloc(len), *back = malloc(len + 10);
	struct sftp_file *file;

	for (i = 0; i < len; i++)
		data[i] = (char)(i * 131 >> 7);
	assert_int_equal(rig_open(rig, SFTP_DATA, "f", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &file), 0);
	assert_int_equal(WAITED(sftp_write(file, 3, data, len, DONE)), 0);
	assert_int_equal(WAITED(sftp_read(file, 3, back, len + 10, DONE)), 0);
	assert_int_equal(rig->reply.len, len);
	assert_memory_equal(back, data, len);
	assert_int_equal(rig_close(rig, file), 0);
	free(data);
	free(back);
}

/* ---- listings ---- */

struct seen {
	struct rig *rig;
	unsigned int count;
	unsigned int stop_at;
	bool names[400];
};

static bool see(void *arg, const struct sftp_name *name)
{
	struct seen *seen = arg;
	char text[16];
	int number;

	assert_true(name->len < sizeof(text));
	memcpy(text, name->name, name->len);
	text[name->len] = '\0';
	number = atoi(text + 1);
	assert_false(seen->names[number]);
	seen->names[number] = true;
	assert_true(name->attrs->flags & SFTP_ATTR_MODE);
	return ++seen->count != seen->stop_at;
}

static void seen_all(void *arg, const struct sftp_reply *reply)
{
	sftp_wait_done(((struct seen *)arg)->rig->wait, reply);
}

static void test_list(void **state)
{
	struct rig *rig = *state;
	struct seen seen = { .rig = rig };
	char name[16];
	int i;

	assert_int_equal(WAITED(sftp_list(S, "none", see, NULL, seen_all, &seen)), -ENOENT);
	assert_int_equal(WAITED(sftp_list(S, ".", see, NULL, seen_all, &seen)), 0);
	assert_int_equal(seen.count, 0);
	for (i = 0; i < 350; i++) {
		snprintf(name, sizeof(name), "n%d", i);
		rig_put(rig, name, "", 0);
	}
	assert_int_equal(WAITED(sftp_list(S, ".", see, NULL, seen_all, &seen)), 0);
	assert_int_equal(seen.count, 350);
	memset(&seen, 0, sizeof(seen));
	seen.rig = rig;
	seen.stop_at = 120;
	assert_int_equal(WAITED(sftp_list(rig->sftp, SFTP_DATA, ".", see, NULL, seen_all, &seen)), 0);
	assert_int_equal(seen.count, 120);
	assert_int_equal(WAITED(sftp_lstat(S, "n1", DONE)), 0);	/* the directory's close is behind us */
}

/* The first answer of a small directory looks like the last: nothing is asked on behind it. */
static void test_short_list(void **state)
{
	struct rig *rig = *state;
	struct seen seen = { .rig = rig };
	unsigned int before;

	rig_put(rig, "n1", "", 0);
	rig_put(rig, "n2", "", 0);
	assert_int_equal(WAITED(sftp_lstat(S, "n1", DONE)), 0);
	before = peer_count(rig->peer, FXP_READDIR);
	assert_int_equal(WAITED(sftp_list(S, ".", see, NULL, seen_all, &seen)), 0);
	assert_int_equal(seen.count, 2);
	assert_int_equal(WAITED(sftp_lstat(S, "n1", DONE)), 0);
	assert_int_equal(peer_count(rig->peer, FXP_READDIR) - before, 8);
}

/* ---- many at once ---- */

struct many {
	struct rig *rig;
	struct sftp_file *file;
	char *data;
	size_t len, chunk;
	atomic_int left;
	atomic_int bad;
};

static void one_landed(void *arg, const struct sftp_reply *reply)
{
	struct many *many = arg;

	if (reply->error || reply->len != many->chunk)
		atomic_fetch_add(&many->bad, 1);
	if (atomic_fetch_sub(&many->left, 1) == 1)
		sftp_wait_done(many->rig->wait, reply);
}

static void all_at_once(struct many *many, bool write)
{
	size_t at;

	atomic_store(&many->left, (int)(many->len / many->chunk));
	for (at = 0; at < many->len; at += many->chunk)
		assert_int_equal(write ? sftp_write(many->file, at, many->data + at, many->chunk, one_landed, many) :
				 sftp_read(many->file, at, many->data + at, many->chunk, one_landed, many), 0);
	assert_int_equal(rig_waited(many->rig, 0), 0);
	assert_int_equal(atomic_load(&many->bad), 0);
}

/* Striped where there are several connections. */
static void test_striping(void **state)
{
	struct many many = { .rig = *state, .len = 48 * MIB, .chunk = 128 * 1024 };
	struct rig *rig = *state;
	struct buf text = BUF_INIT, stats = BUF_INIT;
	size_t i;

	many.data = malloc(many.len);
	for (i = 0; i < many.len; i++)
		many.data[i] = (char)(i * 2654435761u >> 11);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &many.file), 0);
	all_at_once(&many, true);
	rig_get(rig, "big", &text);
	assert_int_equal(text.len, many.len);
	assert_memory_equal(text.data, many.data, many.len);
	memset(many.data, 0, many.len);
	all_at_once(&many, false);
	assert_memory_equal(text.data, many.data, many.len);
	sftp_stats(rig->sftp, &stats);
	assert_non_null(strstr(buf_text(&stats), "\"write\":{\"count\":384"));
	assert_int_equal(rig_close(rig, many.file), 0);
	free(many.data);
	buf_release(&text);
	buf_release(&stats);
}

static bool data_is_up(void *arg)
{
	struct rig *rig = arg;

	return pool_up_count(rig->sftp) > 1;
}

/* What a connection has sent so far. */
static unsigned long long sent_by(struct rig *rig, int index)
{
	return atomic_load(&rig->sftp->conns[index]->stats.sent_bytes);
}

/* A heartbeat never waits behind megabytes, though the file was opened where it goes. */
static void test_control_stays_free(void **state)
{
	struct many many = { .rig = *state, .len = 16 * MIB, .chunk = 128 * 1024 };
	struct rig *rig = *state;
	unsigned long long before;

	many.data = calloc(1, many.len);
	assert_non_null(many.data);
	assert_int_equal(rig_open(rig, SFTP_DATA, "first", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &many.file), 0);
	all_at_once(&many, true);
	assert_int_equal(rig_close(rig, many.file), 0);
	assert_true(rig_until(data_is_up, rig));
	before = sent_by(rig, 0);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "big", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &many.file), 0);
	all_at_once(&many, true);
	assert_in_range(sent_by(rig, 0) - before, 1, POOL_STRIPE_BYTES + 256 * 1024);
	assert_int_equal(rig_close(rig, many.file), 0);
	free(many.data);
}

/* On a busy machine the first answers may come as late as from afar. The least that was seen counts, so it stays near. */
static bool is_near(void *arg)
{
	struct rig *rig = arg;

	assert_int_equal(WAITED(sftp_lstat(S, ".", DONE)), 0);
	return atomic_load(&rig->sftp->conns[0]->stats.rtt_least_ns) && !pool_is_far(rig->sftp);
}

/* Near a server a transfer takes no more connections than there are cores for. */
static void test_few_connections_nearby(void **state)
{
	struct many many = { .rig = *state, .len = 16 * MIB, .chunk = 128 * 1024 };
	struct rig *rig = *state;
	int round;

	rig->sftp->options.near_data = 1;
	assert_true(rig_until(is_near, rig));
	atomic_store(&rig->sftp->conns[0]->stats.rtt_least_ns, 1);	/* near, however busy this machine is */
	many.data = calloc(1, many.len);
	assert_non_null(many.data);
	assert_int_equal(rig_open(rig, SFTP_DATA, "big", SFTP_OPEN_READ | SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &many.file), 0);
	for (round = 0; round < 3; round++) {
		all_at_once(&many, true);
		all_at_once(&many, false);
		assert_true(rig_until(data_is_up, rig));
	}
	assert_int_equal(pool_up_count(rig->sftp), 2);
	assert_int_equal(rig_close(rig, many.file), 0);
	free(many.data);
}

static bool two_copies(void *arg)
{
	struct rig *rig = arg;
	int i, busy = 0;

	for (i = 0; i < rig->sftp->count; i++)
		busy += atomic_load(&rig->sftp->conns[i]->slow) == 1;
	return busy == 2;
}

static bool two_data_up(void *arg)
{
	struct rig *rig = arg;

	return pool_up_count(rig->sftp) == 3;
}

static bool all_released(void *arg)
{
	struct many *many = arg;

	peer_release(many->rig->peer);
	return !atomic_load(&many->left);
}

/* Two copies between the same files are under way on two connections, where there are two. */
static void test_copies_side_by_side(void **state)
{
	struct many many = { .rig = *state, .chunk = 2 * MIB }, looks = { .rig = *state };
	struct rig *rig = *state;
	struct sftp_file *from, *to;
	struct buf text = BUF_INIT;
	char *data = malloc(2 * many.chunk);
	unsigned long long before;
	size_t i;

	for (i = 0; i < 2 * many.chunk; i++)
		data[i] = (char)(i * 2654435761u >> 11);
	rig->sftp->options.near_data = 1;
	assert_true(rig_until(is_near, rig));
	rig_put(rig, "from", data, 2 * many.chunk);
	assert_int_equal(rig_open(rig, SFTP_DATA, "from", SFTP_OPEN_READ, &from), 0);
	assert_int_equal(rig_open(rig, SFTP_DATA, "to", SFTP_OPEN_WRITE | SFTP_OPEN_CREAT, &to), 0);
	for (i = 0; i < 2; i++)		/* the first opens a connection for itself, the second one beside it */
		assert_int_equal(WAITED(sftp_copy(from, 0, 1, to, 0, DONE)), 0);
	assert_true(rig_until(two_data_up, rig));
	before = sent_by(rig, 2);
	atomic_store(&looks.left, 16);
	for (i = 0; i < 16; i++)	/* which is no reason to use it for anything else */
		assert_int_equal(sftp_lstat(rig->sftp, SFTP_DATA, "from", one_landed, &looks), 0);
	assert_int_equal(rig_waited(rig, 0), 0);
	assert_int_equal(sent_by(rig, 2), before);
	peer_rule(rig->peer, FXP_EXTENDED, 0, 2, PEER_HOLD);
	atomic_store(&many.left, 2);
	for (i = 0; i < 2; i++)
		assert_int_equal(sftp_copy(from, i * many.chunk, many.chunk, to, i * many.chunk, one_landed, &many), 0);
	assert_true(rig_until(two_copies, rig));
	assert_int_equal(atomic_load(&rig->sftp->conns[0]->load), 0);
	assert_true(rig_until(all_released, &many));
	assert_int_equal(rig_waited(rig, 0), 0);
	assert_int_equal(atomic_load(&many.bad), 0);
	assert_int_equal(rig_close(rig, from), 0);
	assert_int_equal(rig_close(rig, to), 0);
	rig_get(rig, "to", &text);
	assert_int_equal(text.len, 2 * many.chunk);
	assert_memory_equal(text.data, data, text.len);
	free(data);
	buf_release(&text);
}

static void test_order(void **state)
{
	struct rig *rig = *state;
	struct sftp_wait *waits[40];
	struct sftp_reply reply;
	char name[16];
	int i;

	rig_put(rig, "a", "", 0);
	for (i = 0; i < 40; i += 2) {
		snprintf(name, sizeof(name), "l%d", i);
		waits[i] = sftp_wait_new();
		waits[i + 1] = sftp_wait_new();
		assert_int_equal(sftp_hardlink(S, "a", name, sftp_wait_done, waits[i]), 0);
		assert_int_equal(sftp_lstat(S, name, sftp_wait_done, waits[i + 1]), 0);
	}
	for (i = 0; i < 40; i++) {
		assert_int_equal(sftp_wait_for(waits[i], &reply, NULL), 0);
		sftp_wait_free(waits[i]);
	}
}

/* ---- servers without extensions, and ends ---- */

static void test_plain(void **state)
{
	struct rig *rig = *state;
	struct sftp_attrs attrs = { .flags = SFTP_ATTR_MODE, .mode = 0600 };
	struct sftp_file *file;

	rig_disconnect(rig);
	peer_plain(rig->peer, true);
	rig_connect(rig, 1, 20000, 0);
	assert_int_equal(sftp_features(rig->sftp), 0);
	assert_int_equal(sftp_max_read(rig->sftp), 32768);
	assert_int_equal(sftp_max_write(rig->sftp), 32768);
	assert_int_equal(sftp_max_handles(rig->sftp), 0);
	rig_put(rig, "a", "1", 1);
	assert_int_equal(WAITED(sftp_posix_rename(S, "a", "b", DONE)), -EOPNOTSUPP);
	assert_int_equal(WAITED(sftp_hardlink(S, "a", "b", DONE)), -EOPNOTSUPP);
	assert_int_equal(WAITED(sftp_statvfs(S, "a", DONE)), -EOPNOTSUPP);
	assert_int_equal(WAITED(sftp_setstat(S, "a", &attrs, true, DONE)), -EOPNOTSUPP);
	assert_int_equal(rig_open(rig, SFTP_CONTROL, "a", SFTP_OPEN_WRITE, &file), 0);
	assert_int_equal(WAITED(sftp_fsync(file, DONE)), -EOPNOTSUPP);
	assert_int_equal(WAITED(sftp_copy(file, 0, 1, file, 9, DONE)), -EOPNOTSUPP);
	assert_int_equal(rig_close(rig, file), 0);
}

/* With a byte a request, a megabyte to write would be a million of them. */
static void test_tiny_limits(void **state)
{
	struct rig *rig = *state;

	rig_disconnect(rig);
	peer_limits(rig->peer, 1);
	rig_connect(rig, 1, 20000, 0);
	assert_int_equal(sftp_max_read(rig->sftp), 512);
	assert_int_equal(sftp_max_write(rig->sftp), 512);
}

static void test_features(void **state)
{
	struct rig *rig = *state;
	unsigned int all = SFTP_HAS_POSIX_RENAME | SFTP_HAS_HARDLINK | SFTP_HAS_FSYNC | SFTP_HAS_STATVFS | SFTP_HAS_LSETSTAT |
		SFTP_HAS_LIMITS | SFTP_HAS_COPY_DATA;

	assert_int_equal(sftp_features(rig->sftp) & all, all);
	assert_int_equal(sftp_max_read(rig->sftp), 255 * 1024);
	assert_int_equal(sftp_max_write(rig->sftp), 255 * 1024);
	assert_true(sftp_max_handles(rig->sftp) > 0);
}

#define EACH(test)                                                               \
	{ #test " (peer)", test, set_up, tear_down, NULL },                      \
	{ #test " (four connections)", test, set_up_four, tear_down, NULL },     \
	{ #test " (sftp-server)", test, set_up_server, tear_down, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(test_names), EACH(test_links), EACH(test_renames), EACH(test_long_names), EACH(test_file), EACH(test_bad_file),
		EACH(test_append), EACH(test_copy), EACH(test_long_requests), EACH(test_list), EACH(test_striping), EACH(test_order),
		EACH(test_features),
		cmocka_unit_test_setup_teardown(test_control_stays_free, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_few_connections_nearby, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_copies_side_by_side, set_up_four, tear_down),
		cmocka_unit_test_setup_teardown(test_plain, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tiny_limits, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_short_list, set_up, tear_down),
	};

	log_open("test_client", LOG_LEVEL_ERROR);
	alarm(300);	/* what hangs is to fail */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
