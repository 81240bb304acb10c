/*
 * sshconf: what `ssh -G` says of a host: the user's and the system's ssh_config read by ssh itself, so that aliases,
 * Match, Include and Canonicalize mean here what they mean there (ssh_config(5)). Without an ssh program: the
 * defaults of OpenSSH 9.2.
 *
 * Filled once before threads start, read-only afterwards.
 */
#ifndef CLAIMFS_SFTP_SSHCONF_H
#define CLAIMFS_SFTP_SSHCONF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum sshconf_strict { SSHCONF_STRICT_NO, SSHCONF_STRICT_ACCEPT_NEW, SSHCONF_STRICT_ASK, SSHCONF_STRICT_YES };

/* What to ask ssh. Strings belong to the caller. */
struct sshconf_query {
	const char *host;		/* [user@]host */
	int port;			/* 0: as configured */
	const char *config_file;	/* -F, or NULL */
	char *const *ssh_args;		/* values of -o, ends with NULL; may be NULL */
	const char *ssh_program;	/* NULL: "ssh" */
};

/* Names are ssh_config's. Lists end with NULL and are never NULL themselves; other strings are NULL when unset or "none". */
struct sshconf {
	char *host;			/* as the user wrote it, without user@ */
	char *hostname;
	char *user;
	char *hostkeyalias;
	char *bindaddress;
	char *bindinterface;
	char *addressfamily;		/* any, inet, inet6 */
	char *identityagent;		/* a socket's path; "none": use no agent; NULL: SSH_AUTH_SOCK */
	char *controlpath;		/* tokens and ~ are replaced */
	char *revokedhostkeys;
	char *knownhostscommand;
	char *proxyjump;
	char *proxycommand;
	char *pkcs11provider;
	char *ciphers;
	char *macs;
	char *kexalgorithms;
	char *hostkeyalgorithms;
	char *pubkeyacceptedalgorithms;
	char *preferredauthentications;
	char **identityfiles;		/* tokens and ~ are replaced */
	char **certificatefiles;
	char **userknownhosts;
	char **globalknownhosts;
	char **setenv;			/* NAME=value */
	char **sendenv;			/* patterns of names of the environment */
	char *fingerprinthash;		/* SHA256, MD5; NULL: SHA256 */
	char *sessiontype;		/* NULL: this ssh has no such setting */
	int port;
	int connecttimeout;		/* seconds, 0: none */
	int connectionattempts;
	int requiredrsasize;		/* bits */
	int serveraliveinterval;
	int serveralivecountmax;
	int numberofpasswordprompts;
	int strict;			/* enum sshconf_strict */
	int tos;			/* IPQoS of a session without a terminal, as the IP header has it; -1: leave the system's */
	bool rekeylimit;		/* other than the cipher's own */
	bool forkafterauthentication;
	bool stdinnull;
	bool identitiesonly;
	bool compression;
	bool hashknownhosts;
	bool checkhostip;
	bool nohostauthenticationforlocalhost;
	bool pubkeyauthentication;
	bool passwordauthentication;
	bool kbdinteractiveauthentication;
	bool gssapiauthentication;
	bool hostbasedauthentication;
	bool verifyhostkeydns;
	bool batchmode;
	bool tcpkeepalive;
	bool from_ssh;			/* false: there was no ssh program */
};

void sshconf_init(struct sshconf *conf);
void sshconf_release(struct sshconf *conf);

/*
 * Runs `ssh -G` (30 s at most). 0; -EINVAL with ssh's own words in `why`; -ENOMEM. `ret_conf` was initialised, or is
 * released by the caller.
 */
int sshconf_load(const struct sshconf_query *query, struct sshconf *ret_conf, struct buf *why);

/* What sshconf_load does with ssh's answer: for tests. `spec` is [user@]host. 0, -EINVAL, -ENOMEM. */
int sshconf_parse(const char *spec, const char *text, size_t len, struct sshconf *ret_conf);

/* Replaces ~, ~user, %-tokens and ${NAME} in a file name as ssh does. 0, -EINVAL for a token that isn't known, -ENOMEM. */
int sshconf_expand(const struct sshconf *conf, const char *name, struct buf *ret);

/* The host part of [user@]host, without brackets around an IPv6 address; a copy, NULL when out of memory. */
char *sshconf_host_of(const char *spec);
/*
 * A host that ssh might take for an option, that is empty or has control bytes or white space. 0, or -EINVAL with one
 * line in `why`.
 */
int sshconf_check_host(const char *spec, struct buf *why);

/* Does a comma-separated list have this word? */
bool sshconf_list_has(const char *list, const char *word);

/* List of strings: appends a copy of `len` bytes of `text`. 0 or -ENOMEM. */
int sshconf_strings_add(char ***list, const char *text, size_t len);
void sshconf_strings_free(char **list);

#endif
