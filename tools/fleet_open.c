/*
 * fleet_open: which fleet a verb is about, and its settings in the environment.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/log.h"
#include "tools/fleet.h"

bool fleet_meant(const struct fleet_options *options, const char *name)
{
	size_t i;

	for (i = 0; i < options->only.count; i++)
		if (strcmp(options->only.word[i], name) == 0 || fnmatch(options->only.word[i], name, 0) == 0)
			return true;
	return options->only.count == 0;
}

/* The only fleet there is. */
static int only_fleet(const char *verb, const char *otherwise, struct buf *ret_prefix)
{
	struct words names = WORDS_INIT;
	int error = fleet_names(&names);

	if (error) {
		log_error("%s: can't look for fleets: %s", verb, log_strerror(error));
	} else if (names.count > 1) {
		log_error("%s: there is more than one fleet, so say which with --prefix: %s, %s%s", verb, names.word[0], names.word[1],
			  names.count > 2 ? " …" : "");
		error = -EINVAL;
	} else if (names.count == 0 && !otherwise) {
		log_error("%s: there is no fleet yet: claimctl fleet up makes one", verb);
		error = -ENOENT;
	} else {
		buf_adds(ret_prefix, names.count ? names.word[0] : otherwise);
		error = buf_error(ret_prefix);
	}
	words_release(&names);
	return error;
}

int fleet_which(const struct fleet_options *options, const char *verb, const char *otherwise, struct buf *ret_prefix)
{
	const char *prefix = options->prefix ? options->prefix : getenv("CLAIM_FLEET");

	if (!prefix || !*prefix)
		return only_fleet(verb, otherwise, ret_prefix);
	if (!fleet_prefix_valid(prefix)) {
		log_error("%s: '%s' can't be a prefix: letters, digits, '-', '_' and '.', at most 50, neither '-' nor '.' first", verb, prefix);
		return -EINVAL;
	}
	buf_adds(ret_prefix, prefix);
	return buf_error(ret_prefix);
}

void fleet_export(const struct fleet *fleet)
{
	struct buf name = BUF_INIT;
	const char *equals;
	size_t i;

	setenv("CLAIM_FLEET_PREFIX", fleet->prefix, 1);
	for (i = 0; i < fleet->settings.count; i++) {
		equals = strchr(fleet->settings.word[i], '=');
		buf_reset(&name);
		buf_adds(&name, "CLAIM_FLEET_");
		buf_add(&name, fleet->settings.word[i], (size_t)(equals - fleet->settings.word[i]));
		if (buf_error(&name) == 0)
			setenv(buf_text(&name), equals + 1, 1);
	}
	buf_release(&name);
}

static int load(const char *verb, const char *prefix, struct fleet *ret)
{
	struct buf why = BUF_INIT;
	int error = fleet_load(prefix, ret, &why);

	if (error == -ENOENT)
		log_error("%s: there is no fleet '%s': claimctl fleet up --prefix %s makes it", verb, prefix, prefix);
	else if (error)
		log_error("%s: %s", verb, buf_text(&why));
	else
		fleet_export(ret);
	buf_release(&why);
	return error;
}

int fleet_open(const struct fleet_options *options, const char *verb, struct fleet *ret)
{
	struct buf prefix = BUF_INIT;
	int error = fleet_which(options, verb, NULL, &prefix);

	if (!error)
		error = load(verb, buf_text(&prefix), ret);
	buf_release(&prefix);
	return error;
}

int fleet_open_locked(const struct fleet_options *options, const char *verb, struct fleet *ret, int *ret_lock)
{
	struct buf prefix = BUF_INIT;
	int lock = -1, error = fleet_which(options, verb, NULL, &prefix);

	if (!error) {
		lock = fleet_lock(buf_text(&prefix));
		if (lock < 0) {
			error = lock;
			log_error("%s: can't lock the fleet's state: %s", verb, log_strerror(error));
		}
	}
	if (!error)
		error = load(verb, buf_text(&prefix), ret);
	if (error)
		io_close(&lock);
	else
		*ret_lock = lock;
	buf_release(&prefix);
	return error;
}
