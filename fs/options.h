/*
 * options: what `claimfs` was asked to do: one struct, one table behind it (options_table.c), from which -o, --help and errors come.
 */
#ifndef CLAIMFS_OPTIONS_H
#define CLAIMFS_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/buf.h"

struct options {
	/* what and where */
	char *spec;		/* as it was given */
	char *host;		/* [user@]host without brackets; NULL: a directory of this machine */
	char *dir;		/* on the server; "." is where one logs in */
	char *mountpoint;
	/* how to run */
	bool help;
	bool version;
	bool foreground;
	bool debug;
	bool single_thread;
	bool fake;		/* mount -f: check, do nothing */
	bool nonempty;
	/* the connection */
	char **ssh_options;	/* "Name=value" for ssh -o, ends with NULL; never NULL */
	size_t ssh_option_count;
	char *ssh_config;	/* -F */
	char *ssh_command;
	char *sftp_server;
	int64_t directport;	/* 0: none */
	bool password_stdin;
	bool builtin_ssh;	/* libssh2 for data too */
	int64_t connections;
	int64_t timeout_ns;
	int64_t alive_interval;	/* seconds; -1: not given */
	int64_t alive_count;
	int64_t max_read;
	int64_t max_write;
	/* what is kept */
	int64_t attr_ns;
	int64_t entry_ns;
	int64_t readahead;
	int64_t write_buffer;
	int64_t hash_cache;
	bool kernel_cache;
	bool auto_cache;
	bool direct_io;
	bool no_readahead;
	bool sync_writes;
	/* what is shown */
	int idmap;		/* enum idmap_mode */
	int nomap;		/* 0 error, 1 ignore */
	char *uidfile;
	char *gidfile;
	int64_t uid;		/* -1: the server's, so with the next two */
	int64_t gid;
	int64_t umask;
	bool follow_symlinks;
	bool transform_symlinks;
	bool contain_symlinks;
	bool disable_hardlink;
	bool rename_by_removing;
	bool rename_xdev;		/* workaround=renamexdev */
	bool read_only;
	/* queues */
	bool no_queues;
	int64_t queue_ttl_ns;
	bool no_cache;
	char *cache_dir;	/* NULL: $XDG_CACHE_HOME/claimfs or ~/.cache/claimfs */
	char *host_name;	/* this node's name in queues; NULL: the host name */
	struct buf mount_options;	/* for the kernel and fusermount3 */
};

/* Defaults, then the command line. 0, or -EINVAL or -ENOMEM with one line in `why`. */
int options_parse(struct options *options, int argc, char **argv, struct buf *why);
void options_release(struct options *options);

void options_print_help(FILE *out, const char *program);

#endif
