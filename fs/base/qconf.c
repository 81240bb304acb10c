/*
 * qconf: queue.conf, its checks, and where outputs go.
 */
#include "base/qconf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/conf.h"
#include "base/pattern.h"

#define DAY_NS (86400 * NS_PER_S)

const char *const qconf_virtual_names[] = {
	"todo", "claims", "done", "failed", "stage", "ctl", "progress", "progress.json", NULL,
};

static const char *const qconf_keys[] = { "name", "stat", "content", NULL };
static const char *const qconf_no_yes[] = { "no", "yes", NULL };

/* ---- paths ---- */

/*
 * Appends `path` without empty and "." parts. `up` says whether leading ".." parts may stay; any other is -EINVAL, as the tree it would climb is
 * not ours to know.
 */
static int qconf_add_normal(struct buf *to, const char *path, bool up)
{
	size_t start = to->len;

	while (*path) {
		size_t len = strcspn(path, "/");
		bool dots = len == 2 && !memcmp(path, "..", 2);

		if (dots && !up)
			return -EINVAL;
		if (len && !(len == 1 && *path == '.')) {
			up = up && dots;
			if (to->len > start)
				buf_addch(to, '/');
			buf_add(to, path, len);
		}
		path += len + (path[len] == '/');
	}
	return buf_error(to);
}

/* Is the first part of `path` one of ours: .claimfs or a virtual name. */
static bool qconf_reserved(const char *path)
{
	size_t len = strcspn(path, "/");

	if (len == strlen(QCONF_DIR) && !memcmp(path, QCONF_DIR, len))
		return true;
	for (size_t i = 0; qconf_virtual_names[i]; i++)
		if (len == strlen(qconf_virtual_names[i]) && !memcmp(path, qconf_virtual_names[i], len))
			return true;
	return false;
}

/* What could not be written to queue.conf and read back as it was. */
static bool qconf_unwritable(const char *value)
{
	size_t len = strlen(value);

	return value[0] == '#' || strpbrk(value, "\n\r\t") || strstr(value, " #") || value[0] == ' ' || (len && value[len - 1] == ' ');
}

static int qconf_normal_input(struct buf *to, const char *value, struct buf *why)
{
	int error = qconf_add_normal(to, value, true);

	if (error)
		buf_addf(why, error == -ENOMEM ? "'%s': out of memory" : "'%s' has a '..' that is not at its head", value);
	return error;
}

/* Only the fixed directory is made normal: what follows may hold {//}. Whether that leads out shows on a unit like any other. */
static int qconf_normal_output(struct buf *to, const char *value, struct buf *why)
{
	const char *rest = value + pattern_fixed_dir(value);
	struct buf part = BUF_INIT, sample = BUF_INIT;
	int error;

	buf_add(&part, value, (size_t)(rest - value));
	error = buf_error(&part);
	if (!error)
		error = qconf_add_normal(to, buf_text(&part), false);
	if (!error && to->len)
		buf_addch(to, '/');
	buf_adds(to, rest + strspn(rest, "/"));
	buf_reset(&part);
	if (!error)
		error = pattern_expand(&part, buf_text(to), "d/x.y", NULL);
	if (error >= 0)
		error = qconf_add_normal(&sample, buf_text(&part), false);
	if (error)
		buf_addf(why, error == -ENOMEM ? "'%s': out of memory" : "'%s' leads out of the queue", value);
	buf_release(&part);
	buf_release(&sample);
	return error;
}

static int qconf_set_path(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	char **field = (char **)(void *)((char *)target + entry->offset);
	bool is_input = entry->offset == offsetof(struct qconf, input);
	struct buf normal = BUF_INIT;
	char *copy = NULL;

	if (!*value)
		buf_adds(why, "empty");
	else if (*value == '/')
		buf_addf(why, "'%s' is absolute; it must be relative to the queue's directory", value);
	else if (qconf_unwritable(value))
		buf_addf(why, "'%s' has white space or a comment where queue.conf cannot keep it", value);
	else if (!(is_input ? qconf_normal_input : qconf_normal_output)(&normal, value, why)) {
		if (!normal.len)
			buf_addch(&normal, '.');
		copy = buf_detach(&normal);
		if (!copy)
			buf_adds(why, "out of memory");
	}
	buf_release(&normal);
	if (!copy)
		return -EINVAL;
	free(*field);
	*field = copy;
	return 0;
}

static int qconf_set_format(void *target, const struct conf_entry *entry, const char *value, struct buf *why)
{
	int64_t *field = (int64_t *)(void *)((char *)target + entry->offset);
	int error = conf_parse_number(value, 1, QCONF_FORMAT, field);

	if (error == -ERANGE && *value != '-' && *value != '0')
		buf_addf(why, "%s is newer than this program knows (%d): update claimfs on this node", value, QCONF_FORMAT);
	else if (error)
		buf_addf(why, "'%s' is not a format", value);
	return error ? -EINVAL : 0;
}

static const struct conf_entry qconf_table[] = {
	{ "format", qconf_set_format, offsetof(struct qconf, format), NULL, 0, 0 },
	{ "input", qconf_set_path, offsetof(struct qconf, input), NULL, 0, 0 },
	{ "output", qconf_set_path, offsetof(struct qconf, output), NULL, 0, 0 },
	{ "key", conf_set_choice, offsetof(struct qconf, key), qconf_keys, 0, 0 },
	{ "lease", conf_set_duration, offsetof(struct qconf, lease_ns), NULL, QCONF_MIN_LEASE_S * NS_PER_S, 30 * DAY_NS },
	{ "attempts", conf_set_number, offsetof(struct qconf, attempts), NULL, 1, 1000000 },
	{ "settle", conf_set_duration, offsetof(struct qconf, settle_ns), NULL, 0, 30 * DAY_NS },
	{ "durable", conf_set_choice, offsetof(struct qconf, durable), qconf_no_yes, 0, 0 },
	{ NULL, NULL, 0, NULL, 0, 0 },
};

/* ---- life ---- */

int qconf_init(struct qconf *conf)
{
	*conf = (struct qconf){
		.format = QCONF_FORMAT,
		.input = strdup("inputs"),
		.output = strdup("outputs/{}"),
		.key = QCONF_KEY_NAME,
		.lease_ns = 60 * NS_PER_S,
		.attempts = 3,
		.settle_ns = 2 * NS_PER_S,
	};
	if (conf->input && conf->output)
		return 0;
	qconf_release(conf);
	return -ENOMEM;
}

void qconf_release(struct qconf *conf)
{
	free(conf->input);
	free(conf->output);
	conf->input = NULL;
	conf->output = NULL;
}

int qconf_set(struct qconf *conf, const char *name, const char *value, struct buf *why)
{
	return conf_set(qconf_table, conf, name, value, why);
}

int qconf_parse(struct qconf *conf, const char *file, const char *text, size_t len, struct buf *why)
{
	struct buf reason = BUF_INIT;
	int error;

	error = conf_parse(file, text, len, qconf_table, conf, why);
	if (!error) {
		error = qconf_check(conf, &reason);
		if (error)
			buf_addf(why, "%s: %s", file, buf_text(&reason));
	}
	if (error)
		qconf_release(conf);
	buf_release(&reason);
	return error;
}

/* ---- checks ---- */

/*
 * Would outputs be found as inputs, and so become units themselves: does the output's fixed directory lie in the input directory, and
 * not below a name that inputs skip.
 */
static bool qconf_feeds_itself(const struct qconf *conf)
{
	size_t fixed = pattern_fixed_dir(conf->output), prefix = strlen(conf->input);
	const char *below = conf->output;

	if (strcmp(conf->input, ".")) {
		if (fixed < prefix || strncmp(conf->output, conf->input, prefix) || conf->output[prefix] != '/')
			return false;
		below += prefix + 1;
	}
	while (below < conf->output + fixed) {
		if (*below == '.')
			return false;
		below += strcspn(below, "/") + 1;
	}
	return true;
}

int qconf_check(const struct qconf *conf, struct buf *why)
{
	if (qconf_reserved(conf->input))
		buf_addf(why, "input: '%s' lies in a directory that the queue itself shows", conf->input);
	else if (qconf_reserved(conf->output))
		buf_addf(why, "output: '%s' lies in a directory that the queue itself shows", conf->output);
	else if (!pattern_has_word(conf->output))
		buf_addf(why, "output: '%s' names one file for all units; write {} where the unit's name goes, as in outputs/{}",
			 conf->output);
	else if (qconf_feeds_itself(conf))
		buf_addf(why, "output: '%s' lies in the input directory '%s', so outputs would become units", conf->output, conf->input);
	else
		return 0;
	return -EINVAL;
}

/* ---- text ---- */

static void qconf_add_duration(struct buf *to, const char *name, int64_t ns)
{
	if (ns % NS_PER_S)
		buf_addf(to, "%s = %lldms\n", name, (long long)(ns / NS_PER_MS));
	else
		buf_addf(to, "%s = %llds\n", name, (long long)(ns / NS_PER_S));
}

void qconf_format(const struct qconf *conf, struct buf *ret)
{
	buf_adds(ret, "# A queue of claimfs: see claimfs-queue(7).\n");
	buf_adds(ret, "# Of this directory's layout; programs refuse a newer one.\n");
	buf_addf(ret, "format = %" PRId64 "\n", conf->format);
	buf_adds(ret, "# Where the inputs are, relative to the queue; may begin with ../\n");
	buf_addf(ret, "input = %s\n", conf->input);
	buf_adds(ret, "# Where a unit's output goes: {} name, {.} without extension, {/} base name, {//} directory, {/.} base name without it\n");
	buf_addf(ret, "output = %s\n", conf->output);
	buf_adds(ret, "# What makes a unit done: name, stat (name, size, mtime) or content (XXH3-128 of the bytes)\n");
	buf_addf(ret, "key = %s\n", qconf_keys[conf->key]);
	buf_adds(ret, "# A claim is live while its node's heartbeat is younger than this\n");
	qconf_add_duration(ret, "lease", conf->lease_ns);
	buf_adds(ret, "# Lost attempts before a unit is set aside in failed/\n");
	buf_addf(ret, "attempts = %" PRId64 "\n", conf->attempts);
	buf_adds(ret, "# Inputs younger than this are not units yet\n");
	qconf_add_duration(ret, "settle", conf->settle_ns);
	buf_adds(ret, "# yes: a commit is answered only when it survives a power cut of the storage host\n");
	buf_addf(ret, "durable = %s\n", qconf_no_yes[conf->durable]);
}

/* ---- outputs ---- */

/* `pattern` for unit `name`, normalised, onto the end of `ret`; nothing is added on error. */
static int qconf_add_expanded(const char *pattern, const char *name, struct buf *ret)
{
	struct buf expanded = BUF_INIT;
	size_t start = ret->len;
	int error;

	error = pattern_expand(&expanded, pattern, name, NULL);
	if (error >= 0)
		error = qconf_add_normal(ret, buf_text(&expanded), false);
	if (!error && ret->len == start)
		error = -EINVAL;
	if (error)
		buf_truncate(ret, start);
	buf_release(&expanded);
	return error;
}

int qconf_output(const struct qconf *conf, const char *name, struct buf *ret)
{
	size_t start = ret->len;
	int error;

	error = qconf_add_expanded(conf->output, name, ret);
	if (!error && qconf_reserved(ret->data + start)) {
		buf_truncate(ret, start);
		error = -EINVAL;
	}
	return error;
}

int qconf_stage(const struct qconf *conf, const char *name, struct buf *ret)
{
	size_t fixed = pattern_fixed_dir(conf->output);

	return qconf_add_expanded(conf->output + fixed, name, ret);
}

/* ---- inputs ---- */

static bool qconf_ends(const char *name, const char *suffix)
{
	size_t len = strlen(name), suffix_len = strlen(suffix);

	return len >= suffix_len && !strcmp(name + len - suffix_len, suffix);
}

bool qconf_skips(const char *base_name)
{
	return base_name[0] == '.' || qconf_ends(base_name, ".part") || qconf_ends(base_name, ".tmp") || qconf_ends(base_name, "~");
}
