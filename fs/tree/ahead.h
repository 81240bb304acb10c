/*
 * ahead: small files that are opened and fetched before a program asks for them, while it reads the files of a directory one after another:
 * each would cost it three round trips (lookup, open, read).
 *
 *   listing ─▶ the order of names ◀─ opens: in sorted order (a shell's *), or in the server's?
 *                    └─ three in a row ─▶ guesses: OPEN, LSTAT, READ of the next ones ─▶ claimed by the kernel's lookup and open
 *
 * Only as far ahead as the program comes within a few round trips, and never more than options.attr_ttl, for which attributes may be old anyway; a
 * guess that is older is dropped. What this mount changes itself is never hidden: a guess is a handle of its node like any other (file_state.h).
 *
 * A directory whose files are opened though nobody has listed it is listed here. Files that were promised to programs (ahead_expected.h) are opened by
 * the order of the promises, and not looked at while what their claims told of them is young: node_is_new() says whether this mount may have changed
 * them since.
 *
 * Thread-safe. Lock order: ahead->lock before real->lock; nothing is sent or answered under it.
 */
#ifndef CLAIMFS_TREE_AHEAD_H
#define CLAIMFS_TREE_AHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "sftp/client.h"
#include "tree/node.h"

#define AHEAD_MOST 64				/* guesses of one directory … */
#define AHEAD_MOST_BYTES (4ull * 1024 * 1024)	/* … and their bytes */
#define AHEAD_EXPECTED 512			/* guesses of what is expected … */
#define AHEAD_HANDLES 3				/* … and no more than a third of the handles that a connection may have, … */
#define AHEAD_EXPECTED_LEAST 128		/* … or this, where the server does not say how many that are */
#define AHEAD_FILE (128ull * 1024)		/* a file of more is left alone */
#define AHEAD_DIRS 4				/* directories remembered */
#define AHEAD_LEAST 16				/* smaller ones are not: among few names, three in a row are chance */
#define AHEAD_ENTRIES 65536			/* nor are larger ones */

struct ahead;
struct listing;
struct open_file;

int ahead_new(struct tree *tree, struct ahead **ret_ahead);	/* 0 or -ENOMEM */
void ahead_stop(struct ahead *ahead);	/* closes what was not claimed; what is under way is dropped when it lands. NULL is fine */
void ahead_free(struct ahead *ahead);	/* once nothing is under way */

/*
 * A program will open the file at this path on the server before long, and then those that are expected after it: the input of a unit that it took.
 * `attrs`: of the file, as a look told that was sent at attrs->asked_ns; 0: all but its size is to be asked for. NULL is fine.
 */
void ahead_expect(struct ahead *ahead, const char *path, const struct sftp_attrs *attrs);

/* `dir` was listed, whole. */
void ahead_listed(struct ahead *ahead, struct node *dir, struct listing *listing);

/*
 * The name is looked up. True: it was guessed, and `looked` is called, now or when the guess has landed: with its attributes and how many seconds old they
 * are, or with NULL: then it must be looked at after all. Once: a second lookup is the kernel's doubt. False: not guessed.
 */
typedef void ahead_looked(void *arg, const struct sftp_attrs *attrs, double age);
bool ahead_lookup(struct ahead *ahead, struct node *dir, const char *name, ahead_looked *looked, void *arg);

/*
 * The node is opened for reading. True: `claimed` is called, now or when the guess has landed: with its handle (attached, the caller's) and its
 * attributes, or with NULL: then it must be opened after all. False: not guessed.
 */
typedef void ahead_claimed(void *arg, struct open_file *of, const struct sftp_attrs *attrs);
bool ahead_claim(struct ahead *ahead, struct node *node, ahead_claimed *claimed, void *arg);

/* The server says that it is not there (any more). */
void ahead_forget(struct ahead *ahead, struct node *node);

/* The node has been opened for reading: what comes next? */
void ahead_opened(struct ahead *ahead, struct node *node);

#endif
