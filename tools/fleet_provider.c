/*
 * fleet_provider: finds providers, runs their verbs, and reads what `list' says; claimctl fleet preempted. The protocol is in claimctl-fleet(1).
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tools/command.h"
#include "tools/fleet.h"

#define PROVIDER_LIST_LIMIT_NS (120 * NS_PER_S)

/* ---- where ---- */

int fleet_helper(const char *name, struct buf *ret_path)
{
	static const char *const places[] = { "../libexec/claimctl", "libexec/claimctl" };	/* installed; in the build directory */
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	size_t i;

	if (len < 0)
		return -errno;
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		buf_reset(ret_path);
		buf_addf(ret_path, "%s/%s/%s", self, places[i], name);
		if (buf_error(ret_path) == 0 && access(buf_text(ret_path), R_OK) == 0)
			return 0;
	}
	return -ENOENT;
}

static bool runnable(const struct buf *path)
{
	return buf_error(path) == 0 && access(buf_text(path), X_OK) == 0;
}

static bool find_named(const char *name, struct buf *ret_path)
{
	const char *own = getenv("CLAIMCTL_PROVIDERS"), *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	struct buf helper = BUF_INIT;
	bool found;

	buf_addf(ret_path, "%s/%s", own ? own : "", name);
	if (own && runnable(ret_path))
		return true;
	buf_reset(ret_path);
	buf_addf(ret_path, "%s%s/claimctl/providers/%s", config ? config : home ? home : "", config ? "" : "/.config", name);
	if (runnable(ret_path))
		return true;
	buf_reset(ret_path);
	buf_addf(&helper, "providers/%s", name);
	found = buf_error(&helper) == 0 && fleet_helper(buf_text(&helper), ret_path) == 0 && runnable(ret_path);
	buf_release(&helper);
	return found;
}

int provider_find(const char *name, struct buf *ret_path)
{
	char *path;

	if (!strchr(name, '/')) {
		if (name[0] && name[0] != '.' && find_named(name, ret_path))
			return 0;
		log_error("fleet: there is no provider '%s': gcloud, aws, hosts, a path with a '/' in it, or an executable in ~/.config/claimctl/providers",
			  name);
		return -ENOENT;
	}
	path = realpath(name, NULL);
	if (path)
		buf_adds(ret_path, path);
	free(path);
	if (path && runnable(ret_path))
		return 0;
	log_error("fleet: the provider %s can't be run: %s", name, log_strerror(errno));
	return -ENOENT;
}

int provider_words(const struct fleet *fleet, const char *verb, struct words *ret_argv)
{
	struct buf path = BUF_INIT;
	int error = provider_find(fleet->provider, &path);

	if (!error) {
		words_add(ret_argv, buf_text(&path));
		words_add(ret_argv, verb);
		error = words_error(ret_argv);
	}
	buf_release(&path);
	return error;
}

/* ---- preempted ---- */

/* The provider becomes this process: who waits for it, or ends it, has no other to care for. */
int fleet_preempted(char **operands, void *target)
{
	struct buf path = BUF_INIT;
	char *argv[] = { NULL, "preempted", NULL };

	(void)target;
	if (operands[1]) {
		log_error("preempted: of one provider: claimctl fleet preempted PROVIDER");
		return COMMAND_USAGE;
	}
	if (provider_find(operands[0], &path) == 0) {
		argv[0] = (char *)buf_text(&path);
		execv(argv[0], argv);
		log_error("preempted: can't run %s: %s", argv[0], log_strerror(errno));
	}
	buf_release(&path);
	return COMMAND_FAILED;
}

/* ---- list ---- */

static const char *const states[] = { "starting", "running", "stopping", "stopped", "free", NULL };

static bool known_state(const char *state)
{
	size_t i;

	for (i = 0; states[i]; i++)
		if (strcmp(states[i], state) == 0)
			return true;
	return false;
}

static int parse_entry(const char *line, size_t len, struct provider_entry *ret_entry)
{
	const char *tab = memchr(line, '\t', len), *end = line + len, *second;
	struct provider_entry entry;

	if (!tab || tab == line || line[0] == '-')
		return -EINVAL;
	second = memchr(tab + 1, '\t', (size_t)(end - tab - 1));
	entry.name = strndup(line, (size_t)(tab - line));
	entry.state = strndup(tab + 1, (size_t)((second ? second : end) - tab - 1));
	entry.address = second ? strndup(second + 1, (size_t)(end - second - 1)) : strdup("");
	*ret_entry = entry;
	if (!entry.name || !entry.state || !entry.address)
		return -ENOMEM;
	return known_state(entry.state) ? 0 : -EINVAL;
}

int provider_parse_list(const char *text, struct provider_list *ret_list)
{
	struct provider_list list = { 0 };
	struct provider_entry *grown;
	const char *end;
	int error = 0;

	for (; !error && *text; text = *end ? end + 1 : end) {
		end = strchrnul(text, '\n');
		if (end == text)
			continue;
		grown = realloc(list.entries, (list.count + 1) * sizeof(*grown));
		if (!grown) {
			error = -ENOMEM;
			break;
		}
		list.entries = grown;
		memset(&grown[list.count], 0, sizeof(*grown));
		error = parse_entry(text, (size_t)(end - text), &grown[list.count++]);
	}
	if (error) {
		provider_list_release(&list);
		return error;
	}
	*ret_list = list;
	return 0;
}

void provider_list_release(struct provider_list *list)
{
	size_t i;

	for (i = 0; i < list->count; i++) {
		free(list->entries[i].name);
		free(list->entries[i].state);
		free(list->entries[i].address);
	}
	free(list->entries);
	memset(list, 0, sizeof(*list));
}

int provider_list(const struct fleet *fleet, struct provider_list *ret_list)
{
	struct words argv = WORDS_INIT;
	struct buf out = BUF_INIT, err = BUF_INIT, line = BUF_INIT;
	int status, error = provider_words(fleet, "list", &argv);

	if (!error) {
		status = run_one(argv.word, PROVIDER_LIST_LIMIT_NS, &out, &err);
		run_last_line(&err, &line);
		if (status != 0) {
			log_error("fleet: '%s list' failed (exit status %d): %s", fleet->provider, status, buf_text(&line));
			error = -EIO;
		} else if (provider_parse_list(buf_text(&out), ret_list) < 0) {
			log_error("fleet: '%s list' is to print NAME<TAB>STATE<TAB>ADDRESS, STATE one of starting running stopping stopped free",
				  fleet->provider);
			error = -EIO;
		}
	}
	words_release(&argv);
	buf_release(&out);
	buf_release(&err);
	buf_release(&line);
	return error;
}

const struct provider_entry *provider_entry(const struct provider_list *list, const char *name)
{
	size_t i;

	for (i = 0; i < list->count; i++)
		if (strcmp(list->entries[i].name, name) == 0)
			return &list->entries[i];
	return NULL;
}

bool provider_entry_is(const struct provider_entry *entry, const char *state)
{
	return entry && strcmp(entry->state, state) == 0;
}

bool provider_entry_exists(const struct provider_entry *entry)
{
	return entry && strcmp(entry->state, "stopped") != 0 && strcmp(entry->state, "stopping") != 0;
}
