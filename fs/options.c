/*
 * options: command lines as sshfs takes them: `[user@]host:[dir] MOUNTPOINT`, options before, between and after; what mount(8) calls its
 * helpers with. What may stand after -o is in options_table.c.
 */
#include "options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/args.h"
#include "base/clock.h"
#include "options_table.h"

/* ---- the command line ---- */

static const struct args_option args_table[] = {
	{ 'o', NULL, "OPTION,…", "options, see below; also any of ssh_config(5), as -o IdentityFile=…" },
	{ 'p', NULL, "PORT", "the server's port" },
	{ 'C', NULL, NULL, "compress" },
	{ 'F', NULL, "FILE", "ssh's configuration file" },
	{ 'f', NULL, NULL, "stay in the foreground" },
	{ 'd', "debug", NULL, "stay in the foreground and say what happens" },
	{ 's', NULL, NULL, "serve the kernel with one thread" },
	{ 'h', "help", NULL, "this text" },
	{ 'V', "version", NULL, "versions" },
	{ 0, NULL, NULL, NULL },
};

/* What mount(8) passes to a helper: `mount.fuse.claimfs SPEC DIR [-sfnv] [-o OPTIONS] [-t TYPE]`. */
static const struct args_option helper_table[] = {
	{ 'o', NULL, "OPTION,…", NULL }, { 's', NULL, NULL, NULL }, { 'f', NULL, NULL, NULL }, { 'n', NULL, NULL, NULL },
	{ 'v', NULL, NULL, NULL }, { 'N', NULL, "NAMESPACE", NULL }, { 't', NULL, "TYPE", NULL }, { 'h', "help", NULL, NULL },
	{ 'V', "version", NULL, NULL }, { 0, NULL, NULL, NULL },
};

struct parsing {
	struct options *options;
	struct buf why;		/* of -o lists: names the option itself, not the -o before it */
};

static int set_key(void *target, int key, const char *value, struct buf *why)
{
	struct parsing *parsing = target;
	struct options *options = parsing->options;

	(void)why;
	switch (key) {
	case 'o':
		return options_set_list(options, value, &parsing->why);
	case 'p':
		return options_set(options, "port", value, &parsing->why);
	case 'C':
		return options_add_ssh(options, "Compression", "yes");
	case 'F':
		return options_set_string(&options->ssh_config, value);
	case 'f':
		options->foreground = true;
		return 0;
	case 'd':
		options->foreground = options->debug = true;
		return 0;
	case 's':
		options->single_thread = true;
		return 0;
	case 'h':
		options->help = true;
		return 0;
	case 'V':
		options->version = true;
		return 0;
	}
	return 0;
}

static int set_helper_key(void *target, int key, const char *value, struct buf *why)
{
	struct parsing *parsing = target;

	if (key == 'f')
		parsing->options->fake = true;
	return strchr("ohV", key) ? set_key(target, key, value, why) : 0;
}

/* Options may stand before, between and after the operands. */
static int parse_all(struct options *options, int argc, char **argv, char **operands, int *ret_count, struct buf *why)
{
	const char *slash = strrchr(argv[0], '/');
	bool helper = !strncmp(slash ? slash + 1 : argv[0], "mount.", 6);
	struct parsing parsing = { .options = options, .why = BUF_INIT };
	int error = 0, first, count = 0;

	while (argc > 1) {
		error = args_parse(argc, argv, helper ? helper_table : args_table, helper ? set_helper_key : set_key, &parsing, &first, why);
		if (error)
			break;
		if (first < argc && count < 2)
			operands[count] = argv[first];
		if (first < argc)
			count++;
		argc -= first;		/* the operand takes the program's place */
		argv += first;
	}
	if (parsing.why.len) {
		buf_reset(why);
		buf_adds(why, buf_text(&parsing.why));
	}
	buf_release(&parsing.why);
	*ret_count = count;
	return error;
}

/* Where the colon is that ends a host: not in brackets, not after a slash. NULL: a path. */
static char *host_end(char *spec)
{
	char *at = spec;

	if (*spec == '/' || *spec == '.')
		return NULL;
	while (*at && *at != ':' && *at != '/') {
		if (*at == '[')
			at += strcspn(at, "]");
		if (*at)
			at++;
	}
	return *at == ':' ? at : NULL;
}

/* "user@[::1]" → "user@::1" */
static void drop_brackets(char *host)
{
	char *open = strchr(host, '['), *close;

	if (!open || (open != host && open[-1] != '@'))
		return;
	close = strchr(open, ']');
	if (!close || close[1])
		return;
	*close = '\0';
	memmove(open, open + 1, strlen(open));
}

static int check_host(const char *host, struct buf *why)
{
	const char *at = strrchr(host, '@'), *name = at ? at + 1 : host;

	if (!*name)
		buf_adds(why, "the host's name is missing before ':'");
	else if (*host == '-' || *name == '-')
		buf_addf(why, "a host cannot begin with '-': %s", host);
	else
		return 0;
	return -EINVAL;
}

/* "~/x" is below the home directory, which is where paths begin anyhow. */
static const char *remote_dir(const char *text)
{
	if (text[0] == '~' && (!text[1] || text[1] == '/')) {
		text++;
		text += strspn(text, "/");
	}
	return *text ? text : ".";
}

static int parse_spec(struct options *options, const char *spec, struct buf *why)
{
	char *copy, *colon;
	int error;

	error = options_set_string(&options->spec, spec);
	if (error)
		return error;
	copy = strdup(spec);
	if (!copy)
		return -ENOMEM;
	colon = host_end(copy);
	if (!colon) {
		free(options->dir);
		options->dir = copy;
		return 0;
	}
	*colon = '\0';
	drop_brackets(copy);
	free(options->host);
	options->host = copy;
	error = check_host(copy, why);
	return error ? error : options_set_string(&options->dir, remote_dir(colon + 1));
}

static int options_init(struct options *options)
{
	memset(options, 0, sizeof(*options));
	options->connections = 5;
	options->timeout_ns = 60 * NS_PER_S;
	options->alive_interval = -1;
	options->alive_count = 3;
	options->attr_ns = NS_PER_S;
	options->entry_ns = NS_PER_S;
	options->queue_ttl_ns = NS_PER_S;
	options->readahead = 16 << 20;
	options->write_buffer = 64 << 20;
	options->hash_cache = 64 << 20;
	options->uid = -1;
	options->gid = -1;
	options->umask = -1;
	options->contain_symlinks = true;
	options->ssh_options = calloc(OPTIONS_MAX_SSH + 1, sizeof(*options->ssh_options));
	return options->ssh_options ? 0 : -ENOMEM;
}

void options_release(struct options *options)
{
	size_t i;

	for (i = 0; i < options->ssh_option_count; i++)
		free(options->ssh_options[i]);
	free(options->ssh_options);
	free(options->spec);
	free(options->host);
	free(options->dir);
	free(options->mountpoint);
	free(options->ssh_config);
	free(options->ssh_command);
	free(options->sftp_server);
	free(options->uidfile);
	free(options->gidfile);
	free(options->cache_dir);
	free(options->host_name);
	buf_release(&options->mount_options);
	memset(options, 0, sizeof(*options));
}

/* What belongs together. */
static int check_all(const struct options *options, struct buf *why)
{
	if (options->idmap == 2 && !options->uidfile && !options->gidfile)
		buf_adds(why, "-o idmap=file needs -o uidfile=FILE or -o gidfile=FILE");
	else if (options->directport && !options->host)
		buf_adds(why, "-o directport is for a host:, not for a directory of this machine");
	else
		return 0;
	return -EINVAL;
}

int options_parse(struct options *options, int argc, char **argv, struct buf *why)
{
	char *operands[2] = { NULL, NULL };
	int count = 0, error = options_init(options);

	if (!error)
		error = parse_all(options, argc, argv, operands, &count, why);
	if (error || options->help || options->version)
		return error;
	if (count != 2) {
		buf_addf(why, "%s; usage: claimfs [user@]host:[dir] MOUNTPOINT [options], or claimfs /local/dir MOUNTPOINT; -h for help",
			count > 2 ? "too many operands" : count ? "no mountpoint given" : "nothing to mount given");
		return -EINVAL;
	}
	error = parse_spec(options, operands[0], why);
	if (!error)
		error = options_set_string(&options->mountpoint, operands[1]);
	if (!error)
		error = check_all(options, why);
	if (!error && !strstr(buf_text(&options->mount_options), ",fsname="))
		error = options_add_mount(options, "fsname", options->spec);
	if (!error)
		error = options_add_mount(options, "subtype", "claimfs");
	if (!error)
		buf_drop(&options->mount_options, 1);	/* the first comma */
	return error;
}

/* ---- help ---- */

void options_print_help(FILE *out, const char *program)
{
	fprintf(out,
		"Usage: %s [user@]host:[dir] MOUNTPOINT [options]\n"
		"       %s /local/dir MOUNTPOINT [options]\n"
		"\n"
		"Mounts a directory of another machine over SFTP, or one of this machine. A directory in it that\n"
		"holds .claimfs/queue.conf (see claimctl init) is a work queue: todo/ claims/ done/ failed/ ctl.\n"
		"Unmount with: fusermount3 -u MOUNTPOINT\n"
		"\n"
		"Examples:\n"
		"  claimfs ann@store:/data ~/data                       as sshfs\n"
		"  claimfs store: ~/home -p 2222 -o IdentityFile=~/.ssh/store\n"
		"  claimfs /srv/jobs /mnt/jobs                          a disk of this machine, without ssh\n"
		"  store:/data  /mnt/data  fuse.claimfs  _netdev,user,noauto  0 0      in /etc/fstab\n"
		"\n"
		"Options:\n", program, program);
	args_print_options(out, args_table);
	fputs("\nAfter -o, with commas between:\n", out);
	options_print_table(out);
	fputs("\nNames of sshfs that need nothing done are accepted; any other is an error.\n"
	      "\nExit status: 0 mounted (with -f: and unmounted), 1 not, with the reason on standard error.\n", out);
}
