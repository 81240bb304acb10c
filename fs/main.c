/*
 * claimfs: order of start and stop, nothing else.
 *
 *   options ─▶ mountpoint ─▶ background (fork; the terminal stays) ─▶ connection ─▶ remote root ─▶ tree ─▶ FUSE mount ─▶ ready
 *   signal or unmount ─▶ handles and their writes ─▶ queues (claims given back) ─▶ connection ─▶ the rest
 *
 * Until it is ready, whatever fails is one line on standard error and exit status 1.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "base/clock.h"
#include "base/crash.h"
#include "base/fault.h"
#include "base/log.h"
#include "fuse/session.h"
#include "mountpoint.h"
#include "options.h"
#include "remote.h"
#include "sftp/client.h"
#include "tree/idmap.h"
#include "tree/tree.h"

#define MAIN_KERNEL_READAHEAD (1U << 20)	/* with a whole FUSE request */
#define MAIN_FLUSH_NS (60 * NS_PER_S)		/* for what is not yet written when the mount ends and -o timeout says "for ever" */
#define SETTLE_NS (300 * NS_PER_MS)		/* what sshd and its SFTP server need to end, many times over: local runs took a few ms */

struct mount {
	struct options options;
	char *mountpoint;
	char host_name[HOST_NAME_MAX + 1];
	struct idmap *uids;
	struct idmap *gids;
	struct background background;
	struct remote *remote;
	struct sftp *sftp;
	struct buf root;
	struct buf cache_dir;
	struct buf cache_scope;
	struct tree *tree;
	struct session *session;
};

static void print_version(void)
{
	printf("claimfs %s\nlibfuse %s\nSFTP protocol 3 (draft-ietf-secsh-filexfer-02 and OpenSSH's extensions)\n", CLAIMFS_VERSION,
		session_fuse_version());
}

/* Where queues are remembered: "" for nowhere. */
static void find_cache(struct mount *mount)
{
	const struct options *options = &mount->options;
	const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME");

	if (options->no_cache)
		return;
	if (options->cache_dir)
		buf_adds(&mount->cache_dir, options->cache_dir);
	else if (cache && cache[0] == '/')
		buf_addf(&mount->cache_dir, "%s/claimfs", cache);
	else if (home && home[0] == '/')
		buf_addf(&mount->cache_dir, "%s/.cache/claimfs", home);
	buf_addf(&mount->cache_scope, "%s %" PRId64, options->host ? options->host : "", options->directport);
}

static int prepare(struct mount *mount, struct buf *why)
{
	struct options *options = &mount->options;
	int error;

	error = mountpoint_check(options->mountpoint, options->nonempty, &mount->mountpoint, why);
	if (!error && options->uidfile)
		error = idmap_load(options->uidfile, false, !options->nomap, &mount->uids, why);
	if (!error && options->gidfile)
		error = idmap_load(options->gidfile, true, !options->nomap, &mount->gids, why);
	if (gethostname(mount->host_name, sizeof(mount->host_name) - 1))
		strcpy(mount->host_name, "localhost");
	find_cache(mount);
	return error;
}

static int connect_to(struct mount *mount, struct buf *why)
{
	const struct options *options = &mount->options;
	struct sftp_options sftp_options = {
		.connections = (int)options->connections,
		.timeout_ns = options->timeout_ns,
		.max_read = (uint32_t)(options->max_read > UINT32_MAX ? 0 : options->max_read),
		.max_write = (uint32_t)(options->max_write > UINT32_MAX ? 0 : options->max_write),
		.settle_ns = options->host ? SETTLE_NS : 0,	/* a local server process is waited for */
	};
	struct buf reason = BUF_INIT;
	int error;

	if (options->alive_interval > 0)
		sftp_options.alive_ns = options->alive_interval * options->alive_count * NS_PER_S;
	error = remote_new(options, &mount->remote, &reason);
	if (!error && options->alive_interval < 0)
		sftp_options.alive_ns = remote_alive_ns(mount->remote);
	if (!error && !options->builtin_ssh)
		sftp_options.data_maker = remote_data_maker(mount->remote);
	if (!error)
		error = sftp_connect(remote_maker(mount->remote), &sftp_options, &mount->sftp, &reason);
	if (!error)
		error = remote_root(options, mount->sftp, &mount->root, &reason);
	if (error)
		buf_addf(why, "%s: %s", options->spec, reason.len ? buf_text(&reason) : log_strerror(error));
	buf_release(&reason);
	return error;
}

static int make_tree(struct mount *mount, struct buf *why)
{
	const struct options *options = &mount->options;
	struct tree_options tree_options = {
		.attr_ttl = (double)options->attr_ns / NS_PER_S, .entry_ttl = (double)options->entry_ns / NS_PER_S,
		.queue_ttl_ns = options->queue_ttl_ns, .direct_io = options->direct_io, .kernel_cache = options->kernel_cache,
		.no_readahead = options->no_readahead, .sync_writes = options->sync_writes, .no_queues = options->no_queues,
		.follow_symlinks = options->follow_symlinks, .transform_symlinks = options->transform_symlinks,
		.contain_symlinks = options->contain_symlinks, .disable_hardlink = options->disable_hardlink,
		.rename_by_removing = options->rename_by_removing, .rename_xdev = options->rename_xdev, .read_only = options->read_only,
		.idmap = (enum idmap_mode)options->idmap, .uids = mount->uids, .gids = mount->gids,
		.local_uid = getuid(), .local_gid = getgid(),
		.force_uid = options->uid >= 0, .uid = (uid_t)options->uid, .force_gid = options->gid >= 0, .gid = (gid_t)options->gid,
		.force_umask = options->umask >= 0, .umask = (mode_t)options->umask,
		.readahead = (size_t)options->readahead, .write_buffer = (size_t)options->write_buffer,
		.hash_cache = (size_t)options->hash_cache,
		.host = options->host_name ? options->host_name : mount->host_name,
		.one_host = options->host != NULL,	/* what is local may be a distributed disk that other nodes mount, too */
		.cache_scope = buf_text(&mount->cache_scope),
	};
	int error = 0;

	tree_options.cache_dir = mount->cache_dir.len ? mount->cache_dir.data : NULL;
	tree_options.remote_uid = getuid();	/* who serves a directory of this machine */
	tree_options.remote_gid = getgid();
	if (tree_options.idmap == IDMAP_USER && options->host)
		error = remote_user(mount->sftp, &tree_options.remote_uid, &tree_options.remote_gid);
	if (!error)
		error = tree_new(mount->sftp, buf_text(&mount->root), &tree_options, &mount->tree);
	if (error)
		buf_addf(why, "cannot start: %s", log_strerror(error));
	return error;
}

static int start(struct mount *mount, struct buf *why)
{
	const struct options *options = &mount->options;
	struct session_options session_options = {
		.mountpoint = mount->mountpoint, .mount_options = buf_text(&options->mount_options), .debug = options->debug,
		.single_thread = options->single_thread, .auto_cache = options->auto_cache,
		.readahead = options->no_readahead ? 0 : MAIN_KERNEL_READAHEAD,
	};
	int error;

	error = connect_to(mount, why);
	if (!error)
		error = make_tree(mount, why);
	if (!error)
		error = session_new(mount->tree, &session_options, &mount->session, why);
	return error;
}

static void stop(struct mount *mount)
{
	int64_t patience = mount->options.timeout_ns ? mount->options.timeout_ns : MAIN_FLUSH_NS;

	if (mount->session && session_end(mount->session, patience))
		log_error("%s: the mount ends with writes that the server has not acknowledged", mount->options.spec);
	tree_stop(mount->tree);
	sftp_free(mount->sftp);
	tree_free(mount->tree);
	session_free(mount->session);
	remote_free(mount->remote);
	idmap_free(mount->uids);
	idmap_free(mount->gids);
	buf_release(&mount->root);
	buf_release(&mount->cache_dir);
	buf_release(&mount->cache_scope);
	free(mount->mountpoint);
}

static int run(struct mount *mount, struct buf *why)
{
	const struct options *options = &mount->options;
	int error;

	mount->background.pipe = -1;
	error = prepare(mount, why);
	if (error || options->fake)
		return error;
	if (!options->foreground)
		error = background_begin(&mount->background);
	if (error) {
		buf_addf(why, "cannot go to the background: %s", log_strerror(error));
		return error;
	}
	if (!options->debug)		/* what goes wrong until it is mounted is told once, at the end */
		log_set_level(LOG_LEVEL_WARN);
	error = start(mount, why);
	if (error)
		return error;
	if (!options->debug)
		log_set_level(LOG_LEVEL_INFO);
	if (!options->foreground)
		remote_detach(mount->remote);
	background_ready(&mount->background);
	if (!options->debug)
		remote_tell(options, mount->remote);
	error = session_loop(mount->session);
	if (error)
		buf_addf(why, "%s: serving the kernel failed: %s", options->spec, log_strerror(error));
	return error;
}

int main(int argc, char **argv)
{
	struct mount mount = { 0 };
	struct buf why = BUF_INIT;
	int error;

	log_open("claimfs", LOG_LEVEL_INFO);
	crash_watch();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);	/* what the user may not write is an error of the cache, not the end of the mount */
	error = fault_init();
	if (!error)
		error = options_parse(&mount.options, argc, argv, &why);
	if (!error && mount.options.debug)
		log_set_level(LOG_LEVEL_DEBUG);
	if (!error && mount.options.help)
		options_print_help(stdout, argv[0]);
	else if (!error && mount.options.version)
		print_version();
	else if (!error)
		error = run(&mount, &why);
	if (error && error != -EINVAL && !why.len)
		buf_adds(&why, log_strerror(error));
	if (why.len)
		log_error("%s", buf_text(&why));
	stop(&mount);
	options_release(&mount.options);
	buf_release(&why);
	return error ? 1 : 0;
}
