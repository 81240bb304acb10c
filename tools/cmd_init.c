/*
 * claimctl init: makes a queue of a directory, on a mount or a plain disk. queue.conf comes last: until then there is no queue.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/log.h"
#include "base/map.h"
#include "tools/command.h"
#include "tools/names.h"
#include "tools/site.h"
#include "tools/store_dirs.h"

#define INIT_MAX_LOOKED_AT 200000	/* inputs, for two with one output */
#define SHOWN_LIMIT_NS (3 * NS_PER_S)	/* a mount of something else never shows it */
#define GONE_LIMIT_NS (10 * NS_PER_S)	/* of a busy machine */
#define SHOWN_PAUSE_NS (50 * NS_PER_MS)

enum { KEY_MKDIR = 256, KEY_INPUT, KEY_OUTPUT, KEY_KEY, KEY_LEASE, KEY_ATTEMPTS, KEY_SETTLE, KEY_DURABLE };

struct init {
	bool mkdir;
	const char *values[8];		/* by key - KEY_INPUT; NULL: not given */
};

static struct init init_options;

static const struct args_option table[] = {
	{ KEY_INPUT, "input", "DIR", "directory of the inputs, relative to QUEUE, may begin with ../ (inputs)" },
	{ KEY_OUTPUT, "output", "PATTERN", "where outputs go, relative to QUEUE: {} {.} {/} {//} {/.} (outputs/{})" },
	{ KEY_KEY, "key", "name|stat|content", "what makes a unit done (name)" },
	{ KEY_LEASE, "lease", "TIME", "a claim is free when its node was silent this long (60s)" },
	{ KEY_ATTEMPTS, "attempts", "N", "lost attempts before a unit is set aside (3)" },
	{ KEY_SETTLE, "settle", "TIME", "inputs younger than this are not units yet (2s)" },
	{ KEY_DURABLE, "durable", "yes|no", "a commit survives a power cut of the storage host (no)" },
	{ KEY_MKDIR, "mkdir", NULL, "make QUEUE and the input directory where they are missing" },
	{ 0, NULL, NULL, NULL },
};

static int init_set(void *target, int key, const char *value, struct buf *why)
{
	struct init *init = target;
	struct qconf conf;
	int error;

	if (key == KEY_MKDIR) {
		init->mkdir = true;
		return 0;
	}
	init->values[key - KEY_INPUT] = value;
	error = qconf_init(&conf);
	if (!error)
		error = qconf_set(&conf, table[key - KEY_INPUT].name, value, why);
	qconf_release(&conf);
	return error;
}

/* Puts the settings that were given over `conf`. */
static int apply(const struct init *init, struct qconf *conf, struct buf *why)
{
	int i, error = 0;

	for (i = 0; !error && i <= KEY_DURABLE - KEY_INPUT; i++)
		if (init->values[i])
			error = qconf_set(conf, table[i].name, init->values[i], why);
	return error ? error : qconf_check(conf, why);
}

/* ---- may it be a queue ---- */

static bool there(const char *dir, const char *name)
{
	struct buf path = BUF_INIT;
	struct stat st;
	bool is;

	buf_addf(&path, "%s/%s", dir, name);
	is = !buf_error(&path) && lstat(buf_text(&path), &st) == 0;
	buf_release(&path);
	return is;
}

static const char *virtual_name_there(const char *dir)
{
	const char *const *name = qconf_virtual_names;

	while (*name && !there(dir, *name))
		name++;
	return *name;
}

static int check_names(const char *dir, struct buf *why)
{
	const char *name = virtual_name_there(dir);

	if (!name)
		return 0;
	buf_addf(why, "%s/%s is there already, and a queue shows something else under that name: rename it first", dir, name);
	return -EEXIST;
}

/* `dir` is absolute, without symbolic links: walks up to the root. */
static int check_above(const char *dir, struct buf *why)
{
	char *above = strdup(dir), *slash;
	int error = above ? 0 : -ENOMEM;

	while (!error && (slash = strrchr(above, '/')) && above[1] != '\0') {
		const char *base = slash + 1;

		if (strcmp(base, QCONF_DIR) == 0) {
			buf_addf(why, "%s lies in the store of another queue", dir);
			error = -EINVAL;
			break;
		}
		*(slash == above ? slash + 1 : slash) = '\0';
		if (there(above, QCONF_PATH)) {
			buf_addf(why, "%s lies in another queue, %s: queues can't be nested", dir, above);
			error = -EINVAL;
		}
	}
	free(above);
	return error;
}

static int check_input(const struct init *init, const char *dir, const struct qconf *conf, struct buf *why)
{
	struct buf path = BUF_INIT;
	struct stat st;
	int error;

	buf_addf(&path, "%s/%s", dir, conf->input);
	error = buf_error(&path);
	if (!error && init->mkdir)
		error = io_mkdirs(buf_text(&path), 0777);
	if (error)
		buf_addf(why, "can't make the input directory %s: %s", buf_text(&path), log_strerror(error));
	else if (stat(buf_text(&path), &st) < 0) {
		error = -errno;
		buf_addf(why, "there is no input directory %s: --mkdir makes it, --input names another", buf_text(&path));
	} else if (!S_ISDIR(st.st_mode)) {
		error = -ENOTDIR;
		buf_addf(why, "the input %s is not a directory", buf_text(&path));
	}
	buf_release(&path);
	return error;
}

/* ---- what a mount shows ---- */

/*
 * A mount knows nothing of a queue that was made or removed until what it believed of the directory is a second old. On a mount of something else,
 * or a plain disk, there is nothing to wait for.
 */
static void wait_for_mount(const char *dir, bool shown)
{
	const struct timespec pause = clock_timespec(SHOWN_PAUSE_NS);
	const int64_t ends = clock_now() + (shown ? SHOWN_LIMIT_NS : GONE_LIMIT_NS);
	struct statfs fs;

	if (statfs(dir, &fs) == 0 && fs.f_type == FUSE_SUPER_MAGIC)
		while ((shown ? !there(dir, "progress") : virtual_name_there(dir) != NULL) && clock_now() < ends)
			nanosleep(&pause, NULL);
}

/* ---- it is one already ---- */

static int same_settings(const struct init *init, const char *dir, const struct qconf *was)
{
	struct buf before = BUF_INIT, after = BUF_INIT, why = BUF_INIT;
	struct qconf now = { 0 };
	int error;

	qconf_format(was, &before);
	error = buf_error(&before) ? buf_error(&before) : qconf_init(&now);
	if (!error)
		error = qconf_parse(&now, dir, before.data, before.len, &why);
	if (!error)
		error = apply(init, &now, &why);
	if (!error) {
		qconf_format(&now, &after);
		error = buf_error(&after);
	}
	if (error)
		log_error("init: %s", why.len > 0 ? buf_text(&why) : log_strerror(error));
	else if (strcmp(buf_text(&before), buf_text(&after)) != 0) {
		log_error("init: %s is a queue already, with other settings: see %s/" QCONF_PATH, dir, dir);
		error = -EEXIST;
	} else {
		printf("%s is a queue already\n", dir);
	}
	qconf_release(&now);
	buf_release(&before);
	buf_release(&after);
	buf_release(&why);
	return error;
}

/* ---- two inputs, one output ---- */

/* The two names are told once: the first pair found. */
static bool warn_of_shared_output(const struct qconf *conf, const struct names *names)
{
	struct map outputs = MAP_INIT;
	struct buf output = BUF_INIT;
	size_t i, shared = 0;
	void *other = NULL;

	for (i = 0; i < names->count; i++) {
		buf_reset(&output);
		if (qconf_output(conf, names->list[i], &output) < 0)
			continue;
		if (map_set(&outputs, output.data, output.len, names->list[i], &other) < 0)
			break;
		if (other && ++shared == 1)
			log_warn("%s and %s would both write %s (output = %s): the later replaces the earlier", (char *)other,
				 names->list[i], buf_text(&output), conf->output);
	}
	if (shared > 1)
		log_warn("so would %zu more", shared - 1);
	map_release(&outputs);
	buf_release(&output);
	return shared > 0;
}

static void report_inputs(const char *dir, const struct qconf *conf)
{
	struct names names = NAMES_INIT;
	struct buf path = BUF_INIT;
	int error;

	buf_addf(&path, "%s/%s", dir, conf->input);
	error = buf_error(&path) ? buf_error(&path) : names_walk(&names, buf_text(&path), true, INIT_MAX_LOOKED_AT);
	if (error)
		log_warn("can't list all of %s: %s", buf_text(&path), log_strerror(error));
	warn_of_shared_output(conf, &names);
	printf("%s is a queue now: %s%zu unit%s in %s\n", dir, names.count == INIT_MAX_LOOKED_AT ? "more than " : "", names.count,
	       names.count == 1 ? "" : "s", conf->input);
	names_release(&names);
	buf_release(&path);
}

/* ---- making it ---- */

static int make(const char *dir, const struct qconf *conf, struct buf *why)
{
	struct buf text = BUF_INIT;
	int error;

	qconf_format(conf, &text);
	buf_addf(&text, "# This queue's own: one that is made anew in its place is another, which mounts see by this number: %016" PRIx64 "\n",
		 clock_random());
	error = buf_error(&text) ? buf_error(&text) : store_dirs_make(dir, why);
	if (!error)
		error = store_dirs_try_link(dir, why);
	if (!error)
		error = store_dirs_put_conf(dir, text.data, text.len, why);
	if (error && error != -EEXIST)
		store_dirs_unmake(dir);
	buf_release(&text);
	return error;
}

static int init_new(const struct init *init, const char *dir, struct qconf *conf, struct buf *why)
{
	int error = apply(init, conf, why);

	wait_for_mount(dir, false);	/* it may still show one that was removed */
	if (!error)
		error = check_names(dir, why);
	if (!error)
		error = check_above(dir, why);
	if (!error)
		error = check_input(init, dir, conf, why);
	if (!error)
		error = make(dir, conf, why);
	if (!error)
		report_inputs(dir, conf);
	else if (error == -EEXIST && why->len == 0)
		buf_addf(why, "another made a queue of %s at the same time", dir);
	return error;
}

static int init_dir(const struct init *init, const char *dir)
{
	struct qconf conf = { 0 };
	struct buf why = BUF_INIT;
	int error = site_read_conf(dir, &conf, &why);

	if (!error) {
		error = same_settings(init, dir, &conf);
	} else {
		if (error == -ENOENT && why.len == 0)
			error = qconf_init(&conf);
		if (!error)
			error = init_new(init, dir, &conf, &why);
		if (error)
			log_error("init: %s", why.len > 0 ? buf_text(&why) : log_strerror(error));
	}
	qconf_release(&conf);
	buf_release(&why);
	return error;
}

static int init_run(char **operands, void *target)
{
	const struct init *init = target;
	char *dir;
	int error = 0;

	if (operands[1]) {
		log_error("init: one queue at a time, not '%s' as well", operands[1]);
		return COMMAND_USAGE;
	}
	if (init->mkdir)
		error = io_mkdirs(operands[0], 0777);
	dir = error ? NULL : realpath(operands[0], NULL);
	if (!dir) {
		error = error ? error : -errno;
		log_error("init: can't open %s: %s%s", operands[0], log_strerror(error),
			  error == -ENOENT ? " (--mkdir makes it)" : "");
		return COMMAND_FAILED;
	}
	error = init_dir(init, dir);
	if (!error)
		wait_for_mount(dir, true);	/* whoever says init wants to use the queue in the next line */
	free(dir);
	return error ? COMMAND_FAILED : 0;
}

const struct command cmd_init = {
	.name = "init",
	.summary = "make a queue of a directory",
	.usage = "init [OPTIONS] QUEUE",
	.description = "Makes a queue of the directory QUEUE, on a mount of claimfs or on the storage host's own disk: the settings go to\n"
		       "QUEUE/.claimfs/queue.conf. Files that are there stay as they are.\n",
	.examples = "  claimctl init --mkdir /mnt/disk/queue\n"
		    "  claimctl init --input ../images --output 'features/{.}.npy' --lease 30s /mnt/disk/queue\n",
	.options = table,
	.set = init_set,
	.run = init_run,
	.target = &init_options,
};
