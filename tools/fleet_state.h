/*
 * fleet_state: what claimctl knows of a fleet, kept in $XDG_STATE_HOME/claimctl/PREFIX.fleet.
 *
 * The file is text: "claimctl-fleet 1", then a record a line (a tag and its words, tabs between, percent-encoded), then "end". A newer
 * format gets a higher number, and this program refuses numbers that it doesn't know. It is replaced whole, so whoever reads it sees one
 * state or the next. Who changes it holds the lock (PREFIX.lock) from reading to writing; the kernel frees the lock of one that is killed. A machine is
 * written down before it is made and forgotten after it is gone, so that what is killed between leaves a machine that `down' still knows.
 */
#ifndef CLAIMFS_TOOLS_FLEET_STATE_H
#define CLAIMFS_TOOLS_FLEET_STATE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "tools/fleet_words.h"

enum fleet_stage {
	FLEET_MAKING,		/* asked for, or about to be; it may exist */
	FLEET_UP,		/* ssh has answered */
};

struct fleet_machine {
	char *name;
	enum fleet_stage stage;
	struct words ssh;	/* ssh's arguments, the destination last; none while MAKING */
	struct buf why;		/* why it could not be made just now; not kept in the file */
};

/* What machines were asked to do, and what those that come later are to do as well, in this order. */
enum fleet_kind {
	FLEET_PUSH,		/* an identity, directory there, "install" or "", absolute paths here */
	FLEET_RUN,		/* an identity, seconds or "0", words of the command */
	FLEET_MOUNT,		/* source, mountpoint, claimfs's options */
	FLEET_WORK,		/* queue, then the whole command line of claim-worker */
	FLEET_KINDS
};

struct fleet_records {
	struct words *list;
	size_t count;
};

struct fleet {
	char *prefix;
	char *provider;			/* its name, or an absolute path */
	struct words settings;		/* NAME=value, given to the provider as CLAIM_FLEET_NAME */
	struct words extra;		/* further arguments of the provider's `up' */
	struct fleet_machine *machines;
	size_t count;
	struct fleet_records records[FLEET_KINDS];
};

/* May it name a fleet? Letters, digits, '-', '_' and '.', at most 50, no '-' or '.' first. */
bool fleet_prefix_valid(const char *prefix);

int fleet_init(struct fleet *fleet, const char *prefix);
void fleet_release(struct fleet *fleet);

/* 0; -ENOENT: there is no such fleet; or -errno with one line in `why`. `ret` needs fleet_release() after success only. */
int fleet_load(const char *prefix, struct fleet *ret, struct buf *why);
int fleet_save(const struct fleet *fleet);	/* 0 or -errno; a fleet without machines is forgotten */

/* Waits for the lock, and says so when it has to. A descriptor to close, or -errno. */
int fleet_lock(const char *prefix);

/* The names of all fleets. 0 or -errno. */
int fleet_names(struct words *ret_names);

struct fleet_machine *fleet_find(const struct fleet *fleet, const char *name);
struct fleet_machine *fleet_add(struct fleet *fleet, const char *name);	/* NULL: -ENOMEM; pointers to others end here */
void fleet_forget(struct fleet *fleet, const char *name);

const char *fleet_setting(const struct fleet *fleet, const char *name);	/* NULL: not set */
int fleet_set(struct fleet *fleet, const char *name, const char *value);

/* Puts a record in the place of the one with the same identity (a mount's is its mountpoint), or adds it. It takes over the words. 0 or -ENOMEM. */
int fleet_put_record(struct fleet *fleet, enum fleet_kind kind, struct words *record);
void fleet_drop_record(struct fleet *fleet, enum fleet_kind kind, size_t at);

/* The file's text, both ways; for tests too. */
int fleet_format(const struct fleet *fleet, struct buf *ret_text);
int fleet_parse(const char *prefix, const char *text, struct fleet *ret, struct buf *why);

#endif
