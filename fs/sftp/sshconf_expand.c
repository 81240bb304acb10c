/*
 * sshconf_expand: ~, %-tokens and ${NAME} in the file names of ssh_config (ssh_config(5), TOKENS), which `ssh -G`
 * leaves as they are.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sftp/sshconf.h"

/* The home directory of a user, or with an empty name one's own: the password file's, as ssh does. */
static int add_home(struct buf *to, const char *user, size_t len)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char text[4096];
	char name[256];

	if (len >= sizeof(name))
		return -EINVAL;
	memcpy(name, user, len);
	name[len] = '\0';
	if (len)
		getpwnam_r(name, &entry, text, sizeof(text), &found);
	else
		getpwuid_r(getuid(), &entry, text, sizeof(text), &found);
	if (found)
		buf_adds(to, found->pw_dir);
	else if (!len && getenv("HOME"))
		buf_adds(to, getenv("HOME"));
	else
		return -EINVAL;
	return 0;
}

static void local_name(char *name, size_t size)
{
	if (gethostname(name, size))
		name[0] = '\0';
	name[size - 1] = '\0';
}

static void add_user(struct buf *to)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char text[4096];

	getpwuid_r(getuid(), &entry, text, sizeof(text), &found);
	if (found)
		buf_adds(to, found->pw_name);
	else
		buf_addf(to, "%u", (unsigned int)getuid());
}

/* %C: the SHA-1 of %l%h%p%r%j. */
static int add_connection_hash(const struct sshconf *conf, struct buf *to)
{
	struct buf text = BUF_INIT;
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	char name[256];
	int error;

	local_name(name, sizeof(name));
	buf_addf(&text, "%s%s%d%s%s", name, conf->hostname, conf->port, conf->user, conf->proxyjump ? conf->proxyjump : "");
	error = buf_error(&text);
	if (!error && EVP_Digest(text.data, text.len, hash, &len, EVP_sha1(), NULL) != 1)
		error = -EINVAL;
	for (unsigned int i = 0; !error && i < len; i++)
		buf_addf(to, "%02x", hash[i]);
	buf_release(&text);
	return error;
}

static int add_token(const struct sshconf *conf, char token, struct buf *to)
{
	char name[256];

	switch (token) {
	case '%': buf_addch(to, '%'); return 0;
	case 'C': return add_connection_hash(conf, to);
	case 'd': return add_home(to, "", 0);
	case 'h': buf_adds(to, conf->hostname); return 0;
	case 'i': buf_addf(to, "%u", (unsigned int)getuid()); return 0;
	case 'j': buf_adds(to, conf->proxyjump ? conf->proxyjump : ""); return 0;
	case 'k': buf_adds(to, conf->hostkeyalias ? conf->hostkeyalias : conf->host); return 0;
	case 'l': local_name(name, sizeof(name)); buf_adds(to, name); return 0;
	case 'L': local_name(name, sizeof(name)); buf_add(to, name, strcspn(name, ".")); return 0;
	case 'n': buf_adds(to, conf->host); return 0;
	case 'p': buf_addf(to, "%d", conf->port); return 0;
	case 'r': buf_adds(to, conf->user); return 0;
	case 'u': add_user(to); return 0;
	default: return -EINVAL;
	}
}

/* ${NAME}; `at` is after the dollar. Returns what follows, or NULL when it isn't well formed or not set. */
static const char *add_variable(const char *at, struct buf *to)
{
	const char *end = strchr(at, '}');
	char name[256];
	size_t len;

	if (!end || (len = (size_t)(end - at - 1)) == 0 || len >= sizeof(name))
		return NULL;
	memcpy(name, at + 1, len);
	name[len] = '\0';
	if (!getenv(name))
		return NULL;
	buf_adds(to, getenv(name));
	return end + 1;
}

int sshconf_expand(const struct sshconf *conf, const char *name, struct buf *ret)
{
	int error = 0;

	if (*name == '~') {
		size_t len = strcspn(name + 1, "/");

		error = add_home(ret, name + 1, len);
		name += 1 + len;
	}
	while (!error && *name) {
		if (name[0] == '%') {
			error = add_token(conf, name[1], ret);
			name += 2;
		} else if (name[0] == '$' && name[1] == '{') {
			name = add_variable(name + 1, ret);
			if (!name)
				return -EINVAL;
		} else {
			buf_addch(ret, *name++);
		}
	}
	return error ? error : buf_error(ret);
}
