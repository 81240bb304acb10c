/*
 * fleet_state: reads, writes and locks the file of a fleet; see fleet_state.h for its format.
 */
#include "tools/fleet_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/pct.h"

#define FLEET_HEAD "claimctl-fleet 1"
#define FLEET_HEAD_ANY "claimctl-fleet "
#define FLEET_MAX_BYTES (16u << 20)
#define FLEET_MAX_PREFIX 50
#define FLEET_SUFFIX ".fleet"

bool fleet_prefix_valid(const char *prefix)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
	size_t len = strlen(prefix);

	return len > 0 && len <= FLEET_MAX_PREFIX && prefix[0] != '-' && prefix[0] != '.' && strspn(prefix, allowed) == len;
}

/* ---- the struct ---- */

int fleet_init(struct fleet *fleet, const char *prefix)
{
	memset(fleet, 0, sizeof(*fleet));
	fleet->prefix = strdup(prefix);
	return fleet->prefix ? 0 : -ENOMEM;
}

static void release_records(struct fleet_records *records)
{
	while (records->count > 0)
		words_release(&records->list[--records->count]);
	free(records->list);
}

void fleet_release(struct fleet *fleet)
{
	size_t i;

	for (i = 0; i < fleet->count; i++) {
		free(fleet->machines[i].name);
		words_release(&fleet->machines[i].ssh);
		buf_release(&fleet->machines[i].why);
	}
	free(fleet->machines);
	for (i = 0; i < FLEET_KINDS; i++)
		release_records(&fleet->records[i]);
	words_release(&fleet->settings);
	words_release(&fleet->extra);
	free(fleet->provider);
	free(fleet->prefix);
	memset(fleet, 0, sizeof(*fleet));
}

struct fleet_machine *fleet_find(const struct fleet *fleet, const char *name)
{
	size_t i;

	for (i = 0; i < fleet->count; i++)
		if (strcmp(fleet->machines[i].name, name) == 0)
			return &fleet->machines[i];
	return NULL;
}

struct fleet_machine *fleet_add(struct fleet *fleet, const char *name)
{
	struct fleet_machine *grown = realloc(fleet->machines, (fleet->count + 1) * sizeof(*grown));
	struct fleet_machine *machine;

	if (!grown)
		return NULL;
	fleet->machines = grown;
	machine = &grown[fleet->count];
	memset(machine, 0, sizeof(*machine));
	machine->name = strdup(name);
	if (!machine->name)
		return NULL;
	fleet->count++;
	return machine;
}

void fleet_forget(struct fleet *fleet, const char *name)
{
	struct fleet_machine *machine = fleet_find(fleet, name);
	size_t after;

	if (!machine)
		return;
	after = fleet->count - (size_t)(machine - fleet->machines) - 1;
	free(machine->name);
	words_release(&machine->ssh);
	buf_release(&machine->why);
	memmove(machine, machine + 1, after * sizeof(*machine));
	fleet->count--;
}

const char *fleet_setting(const struct fleet *fleet, const char *name)
{
	size_t i, len = strlen(name);

	for (i = 0; i < fleet->settings.count; i++)
		if (strncmp(fleet->settings.word[i], name, len) == 0 && fleet->settings.word[i][len] == '=')
			return fleet->settings.word[i] + len + 1;
	return NULL;
}

int fleet_set(struct fleet *fleet, const char *name, const char *value)
{
	struct words settings = WORDS_INIT;
	struct buf entry = BUF_INIT;
	size_t i, len = strlen(name);
	int error;

	for (i = 0; i < fleet->settings.count; i++)
		if (strncmp(fleet->settings.word[i], name, len) != 0 || fleet->settings.word[i][len] != '=')
			words_add(&settings, fleet->settings.word[i]);
	buf_addf(&entry, "%s=%s", name, value);
	words_add(&settings, buf_text(&entry));
	error = buf_error(&entry) ? buf_error(&entry) : words_error(&settings);
	buf_release(&entry);
	if (error) {
		words_release(&settings);
		return error;
	}
	words_release(&fleet->settings);
	fleet->settings = settings;
	return 0;
}

int fleet_put_record(struct fleet *fleet, enum fleet_kind kind, struct words *record)
{
	struct fleet_records *records = &fleet->records[kind];
	const size_t key = kind == FLEET_MOUNT ? 1 : 0;
	struct words *grown;
	size_t i;

	for (i = 0; i < records->count; i++) {
		if (strcmp(records->list[i].word[key], record->word[key]) != 0)
			continue;
		words_release(&records->list[i]);
		records->list[i] = *record;
		*record = (struct words)WORDS_INIT;
		return 0;
	}
	grown = realloc(records->list, (records->count + 1) * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	records->list = grown;
	grown[records->count++] = *record;
	*record = (struct words)WORDS_INIT;
	return 0;
}

void fleet_drop_record(struct fleet *fleet, enum fleet_kind kind, size_t at)
{
	struct fleet_records *records = &fleet->records[kind];

	words_release(&records->list[at]);
	memmove(&records->list[at], &records->list[at + 1], (records->count - at - 1) * sizeof(*records->list));
	records->count--;
}

/* ---- the text ---- */

static void format_record(struct buf *to, const char *tag, const char *first, const struct words *words)
{
	size_t i;

	buf_adds(to, tag);
	if (first) {
		buf_addch(to, '\t');
		pct_encode(to, first, strlen(first));
	}
	for (i = 0; words && i < words->count; i++) {
		buf_addch(to, '\t');
		pct_encode(to, words->word[i], strlen(words->word[i]));
	}
	buf_addch(to, '\n');
}

static const char *const kind_tags[FLEET_KINDS] = {
	[FLEET_PUSH] = "push", [FLEET_RUN] = "run", [FLEET_MOUNT] = "mount", [FLEET_WORK] = "work",
};

int fleet_format(const struct fleet *fleet, struct buf *ret_text)
{
	size_t i, kind;

	buf_adds(ret_text, FLEET_HEAD "\n");
	format_record(ret_text, "provider", fleet->provider ? fleet->provider : "", NULL);
	format_record(ret_text, "settings", NULL, &fleet->settings);
	format_record(ret_text, "extra", NULL, &fleet->extra);
	for (i = 0; i < fleet->count; i++)
		format_record(ret_text, fleet->machines[i].stage == FLEET_UP ? "up" : "making", fleet->machines[i].name, &fleet->machines[i].ssh);
	for (kind = 0; kind < FLEET_KINDS; kind++)
		for (i = 0; i < fleet->records[kind].count; i++)
			format_record(ret_text, kind_tags[kind], NULL, &fleet->records[kind].list[i]);
	buf_adds(ret_text, "end\n");
	return buf_error(ret_text);
}

struct record_kind {
	const char *tag;
	size_t least, most;	/* words */
	/* Takes over what it wants of `words` (the record without its tag). 0, -EINVAL for a record that is none, or -ENOMEM. */
	int (*take)(struct fleet *fleet, struct words *words);
};

static int take_provider(struct fleet *fleet, struct words *words)
{
	free(fleet->provider);
	fleet->provider = strdup(words->word[0]);
	return fleet->provider ? 0 : -ENOMEM;
}

static int take_settings(struct fleet *fleet, struct words *words)
{
	size_t i;

	for (i = 0; i < words->count; i++)
		if (!strchr(words->word[i], '='))
			return -EINVAL;
	words_add_all(&fleet->settings, words->word);
	return words_error(&fleet->settings);
}

static int take_extra(struct fleet *fleet, struct words *words)
{
	words_add_all(&fleet->extra, words->word);
	return words_error(&fleet->extra);
}

static int take_machine(struct fleet *fleet, struct words *words, enum fleet_stage stage)
{
	struct fleet_machine *machine;

	if (fleet_find(fleet, words->word[0]))
		return -EINVAL;
	machine = fleet_add(fleet, words->word[0]);
	if (!machine)
		return -ENOMEM;
	machine->stage = stage;
	words_add_all(&machine->ssh, words->word + 1);
	return words_error(&machine->ssh);
}

static int take_making(struct fleet *fleet, struct words *words)
{
	return take_machine(fleet, words, FLEET_MAKING);
}

static int take_up(struct fleet *fleet, struct words *words)
{
	return take_machine(fleet, words, FLEET_UP);
}

static int take_push(struct fleet *fleet, struct words *words)
{
	return fleet_put_record(fleet, FLEET_PUSH, words);
}

static int take_run(struct fleet *fleet, struct words *words)
{
	return fleet_put_record(fleet, FLEET_RUN, words);
}

static int take_mount(struct fleet *fleet, struct words *words)
{
	return fleet_put_record(fleet, FLEET_MOUNT, words);
}

static int take_work(struct fleet *fleet, struct words *words)
{
	return fleet_put_record(fleet, FLEET_WORK, words);
}

static const struct record_kind kinds[] = {
	{ "provider", 1, 1, take_provider },
	{ "settings", 0, SIZE_MAX, take_settings },
	{ "extra", 0, SIZE_MAX, take_extra },
	{ "making", 1, SIZE_MAX, take_making },
	{ "up", 2, SIZE_MAX, take_up },
	{ "push", 4, SIZE_MAX, take_push },
	{ "run", 3, SIZE_MAX, take_run },
	{ "mount", 2, SIZE_MAX, take_mount },
	{ "work", 2, SIZE_MAX, take_work },
};

static int split_record(const char *line, size_t len, struct words *ret_words)
{
	const char *end = line + len, *tab;
	size_t i;

	for (;; line = tab + 1) {
		tab = memchr(line, '\t', (size_t)(end - line));
		words_add_len(ret_words, line, (size_t)((tab ? tab : end) - line));
		if (!tab)
			break;
	}
	for (i = 0; !words_error(ret_words) && i < ret_words->count; i++)
		if (pct_decode(ret_words->word[i]) < 0)
			return -EINVAL;
	return words_error(ret_words);
}

static int parse_record(struct fleet *fleet, const char *line, size_t len)
{
	struct words words = WORDS_INIT, rest;
	size_t i;
	int error = split_record(line, len, &words);

	for (i = 0; !error && i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(words.word[0], kinds[i].tag) == 0)
			break;
	if (!error && (i == sizeof(kinds) / sizeof(kinds[0]) || words.count - 1 < kinds[i].least || words.count - 1 > kinds[i].most))
		error = -EINVAL;
	if (error) {
		words_release(&words);
		return error;
	}
	/* The tag goes; what is left is a list of its own. */
	free(words.word[0]);
	memmove(words.word, words.word + 1, words.count * sizeof(*words.word));
	words.count--;
	rest = words;
	error = kinds[i].take(fleet, &rest);
	words_release(&rest);
	return error;
}

static int check_head(const char *text, struct buf *why)
{
	if (strncmp(text, FLEET_HEAD "\n", strlen(FLEET_HEAD "\n")) == 0)
		return 0;
	if (strncmp(text, FLEET_HEAD_ANY, strlen(FLEET_HEAD_ANY)) == 0)
		buf_adds(why, "it was written by a newer claimctl");
	else
		buf_adds(why, "it is no fleet's file");
	return -EINVAL;
}

int fleet_parse(const char *prefix, const char *text, struct fleet *ret, struct buf *why)
{
	const char *line = text + strlen(FLEET_HEAD "\n"), *end;
	struct fleet fleet;
	int error = check_head(text, why), number = 2;

	if (error)
		return error;
	error = fleet_init(&fleet, prefix);
	while (!error && strcmp(line, "end\n") != 0) {
		end = strchr(line, '\n');
		error = end ? parse_record(&fleet, line, (size_t)(end - line)) : -EINVAL;
		if (error)
			break;
		line = end + 1;
		number++;
	}
	if (!error && !fleet.provider)
		error = -EINVAL;
	if (error) {
		buf_addf(why, "line %d: %s", number, error == -EINVAL ? "not understood" : log_strerror(error));
		fleet_release(&fleet);
		return error;
	}
	*ret = fleet;
	return 0;
}

/* ---- the file ---- */

static int state_dir(struct buf *ret_path)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && state[0] == '/')
		buf_addf(ret_path, "%s/claimctl", state);
	else if (home && home[0] == '/')
		buf_addf(ret_path, "%s/.local/state/claimctl", home);
	else
		return -ENOENT;
	if (buf_error(ret_path))
		return buf_error(ret_path);
	return io_mkdirs(buf_text(ret_path), 0700);
}

static int state_path(const char *prefix, const char *suffix, struct buf *ret_path)
{
	int error = state_dir(ret_path);

	if (error)
		return error;
	buf_addf(ret_path, "/%s%s", prefix, suffix);
	return buf_error(ret_path);
}

int fleet_load(const char *prefix, struct fleet *ret, struct buf *why)
{
	struct buf path = BUF_INIT, text = BUF_INIT, reason = BUF_INIT;
	int error = state_path(prefix, FLEET_SUFFIX, &path);

	if (!error)
		error = io_read_file(buf_text(&path), FLEET_MAX_BYTES, &text);
	if (!error) {
		error = fleet_parse(prefix, buf_text(&text), ret, &reason);
		if (error == -ENOENT)
			error = -EINVAL;
	} else {
		buf_adds(&reason, log_strerror(error));
	}
	if (error)
		buf_addf(why, "can't read %s: %s", buf_text(&path), buf_text(&reason));
	buf_release(&path);
	buf_release(&text);
	buf_release(&reason);
	return error;
}

int fleet_save(const struct fleet *fleet)
{
	struct buf path = BUF_INIT, text = BUF_INIT;
	int error = state_path(fleet->prefix, FLEET_SUFFIX, &path);

	if (!error && fleet->count == 0) {
		if (unlink(buf_text(&path)) < 0 && errno != ENOENT)
			error = -errno;
	} else if (!error) {
		error = fleet_format(fleet, &text);
		if (!error)
			error = io_write_file(buf_text(&path), text.data, text.len, 0600);
	}
	if (error)
		log_error("fleet: can't write %s: %s", buf_text(&path), log_strerror(error));
	buf_release(&path);
	buf_release(&text);
	return error;
}

int fleet_lock(const char *prefix)
{
	struct buf path = BUF_INIT;
	int fd, error = state_path(prefix, ".lock", &path);

	if (error) {
		buf_release(&path);
		return error;
	}
	fd = open(buf_text(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			log_info("fleet: another claimctl is changing '%s': waiting for it", prefix);
		while (flock(fd, LOCK_EX) < 0) {
			if (errno == EINTR)
				continue;
			error = -errno;
			io_close(&fd);
			break;
		}
	} else if (fd < 0) {
		error = -errno;
	}
	buf_release(&path);
	return error ? error : fd;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int fleet_names(struct words *ret_names)
{
	struct buf path = BUF_INIT;
	struct dirent *entry;
	size_t len, suffix = strlen(FLEET_SUFFIX);
	DIR *dir;
	int error = state_dir(&path);

	dir = error ? NULL : opendir(buf_text(&path));
	if (!error && !dir)
		error = -errno;
	while (dir && (entry = readdir(dir))) {
		len = strlen(entry->d_name);
		if (entry->d_name[0] != '.' && len > suffix && strcmp(entry->d_name + len - suffix, FLEET_SUFFIX) == 0)
			words_add_len(ret_names, entry->d_name, len - suffix);
	}
	if (dir)
		closedir(dir);
	buf_release(&path);
	if (!error && ret_names->count > 1)
		qsort(ret_names->word, ret_names->count, sizeof(*ret_names->word), compare_names);
	return error ? error : words_error(ret_names);
}
