/*
 * listing: what the server listed of a directory, kept by open directories (listing.c) and by who guesses what is opened next (ahead.c).
 */
#ifndef CLAIMFS_TREE_LISTING_H
#define CLAIMFS_TREE_LISTING_H

#include <stddef.h>

#include "sftp/client.h"

struct listing;
struct node;
struct tree;

/* Of a listing that is done: nothing changes any more. */
size_t listing_count(const struct listing *listing);
const char *listing_entry(const struct listing *listing, size_t index, const struct sftp_attrs **ret_attrs);

/* Asks for it though nobody reads it, so that ahead_listed() gets it; nothing when it has more entries than that. No lock held. */
void listing_start(struct tree *tree, struct node *dir, size_t most);
void listing_ref(struct listing *listing);
void listing_unref(struct listing *listing);

#endif
