/*
 * listing: what the server listed of a directory, kept by open directories (listing.c) and by who guesses what is opened next (ahead.c).
 */
#ifndef CLAIMFS_TREE_LISTING_H
#define CLAIMFS_TREE_LISTING_H

#include <stddef.h>

#include "sftp/client.h"

struct listing;

/* Of a listing that is done: nothing changes any more. */
size_t listing_count(const struct listing *listing);
const char *listing_entry(const struct listing *listing, size_t index, const struct sftp_attrs **ret_attrs);
void listing_ref(struct listing *listing);
void listing_unref(struct listing *listing);

#endif
