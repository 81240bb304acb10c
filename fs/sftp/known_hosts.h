/*
 * known_hosts: the host keys a user trusts, read as OpenSSH reads them (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT):
 * hashed names, [host]:port, comma lists, * and ?, negation, @revoked, @cert-authority. Lines that make no sense are
 * skipped, however long.
 */
#ifndef CLAIMFS_SFTP_KNOWN_HOSTS_H
#define CLAIMFS_SFTP_KNOWN_HOSTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum known_hosts_status {
	KNOWN_HOSTS_NEW,	/* nothing is known of this name */
	KNOWN_HOSTS_OK,
	KNOWN_HOSTS_CHANGED,	/* other keys are known, this one isn't */
	KNOWN_HOSTS_REVOKED,
};

enum known_hosts_marker { KNOWN_HOSTS_PLAIN, KNOWN_HOSTS_CA, KNOWN_HOSTS_REVOKED_KEY };

struct known_hosts_entry {
	enum known_hosts_marker marker;
	char *type;		/* ssh-ed25519 … */
	char *blob;		/* the key as it goes over the wire */
	size_t blob_len;
	const char *file;
	size_t line;
};

/* The entries of some files that match one name, in their order. */
struct known_hosts {
	struct known_hosts_entry *entries;
	size_t count;
	char **files;
};

/*
 * How known_hosts calls a host: its alias if it has one, else the name in lower case, as [host]:port where the port
 * isn't 22.
 */
void known_hosts_name(const char *host, int port, const char *alias, struct buf *ret);

/*
 * Adds what the files (ends with NULL) say of `name`. Missing and unreadable files are skipped. 0 or -ENOMEM. `ret`
 * begins as zeros.
 */
int known_hosts_load(char *const *files, const char *name, struct known_hosts *ret);
void known_hosts_release(struct known_hosts *known);

/* Is this the host's key? CHANGED: *ret_found is the last entry that differs; OK: the one that is equal; else NULL. */
enum known_hosts_status known_hosts_check(const struct known_hosts *known, const void *blob, size_t len,
					  const struct known_hosts_entry **ret_found);

/* Is a plain key of this type known? `type` NULL: of any type. */
bool known_hosts_has(const struct known_hosts *known, enum known_hosts_marker marker, const char *type);

/* Appends a line to `file` (made 0600, its directory 0700 if that is missing), hashed if `hash`. 0 or -errno. */
int known_hosts_add(const char *file, const char *name, const void *blob, size_t len, bool hash);

/* Does a host field of a line match? For tests and known_hosts_load. */
bool known_hosts_match(const char *field, size_t len, const char *name);

#endif
