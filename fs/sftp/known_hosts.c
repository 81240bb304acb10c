/*
 * known_hosts: a matcher of our own, because libssh2's gives up on one long line, knows no wildcards and takes
 * "@revoked" for a host's name.
 */
#include "sftp/known_hosts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/glob.h"
#include "base/io.h"
#include "base/log.h"
#include "sftp/ssh_wire.h"
#include "sftp/sshconf.h"

#define FILE_MAX_BYTES (64 * 1024 * 1024)
#define HASH_LEN 20		/* SHA-1's */

struct word {
	const char *text;
	size_t len;
};

void known_hosts_name(const char *host, int port, const char *alias, struct buf *ret)
{
	if (alias) {
		buf_adds(ret, alias);
		return;
	}
	if (port != 22)
		buf_addch(ret, '[');
	for (; *host; host++)
		buf_addch(ret, tolower((unsigned char)*host));
	if (port != 22)
		buf_addf(ret, "]:%d", port);
}

/* ---- matching ---- */

static bool list_match(const char *field, size_t len, const char *name)
{
	const char *end = field + len;
	bool matched = false;

	while (field < end) {
		const char *comma = memchr(field, ',', (size_t)(end - field));
		const char *stop = comma ? comma : end;
		bool negated = *field == '!';

		field += negated;
		if (stop > field && glob_match(field, (size_t)(stop - field), name, true)) {
			if (negated)
				return false;
			matched = true;
		}
		field = comma ? comma + 1 : end;
	}
	return matched;
}

static int name_hash(const char *name, const void *salt, unsigned char hash[HASH_LEN])
{
	struct buf lower = BUF_INIT;
	unsigned char result[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	int error;

	for (; *name; name++)
		buf_addch(&lower, tolower((unsigned char)*name));
	error = buf_error(&lower);
	if (!error && (!HMAC(EVP_sha1(), salt, HASH_LEN, (const unsigned char *)buf_text(&lower), lower.len, result, &len) ||
		       len != HASH_LEN))
		error = -EIO;
	if (!error)
		memcpy(hash, result, HASH_LEN);
	buf_release(&lower);
	return error;
}

/* |1|base64 of the salt|base64 of HMAC-SHA1(salt, name) */
static bool hashed_match(const char *field, size_t len, const char *name)
{
	struct buf salt = BUF_INIT;
	struct buf wanted = BUF_INIT;
	unsigned char hash[HASH_LEN];
	const char *middle;
	bool matched = false;

	if (len < 4 || memcmp(field, "|1|", 3))
		return false;
	field += 3;
	len -= 3;
	middle = memchr(field, '|', len);
	if (middle && !ssh_base64_decode(field, (size_t)(middle - field), &salt) && salt.len == HASH_LEN &&
	    !ssh_base64_decode(middle + 1, len - (size_t)(middle + 1 - field), &wanted) && wanted.len == HASH_LEN &&
	    !name_hash(name, salt.data, hash))
		matched = !memcmp(hash, wanted.data, HASH_LEN);
	buf_release(&salt);
	buf_release(&wanted);
	return matched;
}

bool known_hosts_match(const char *field, size_t len, const char *name)
{
	return len && (field[0] == '|' ? hashed_match(field, len, name) : list_match(field, len, name));
}

/* ---- reading ---- */

/* The next word of the line, and the line after it. */
static struct word next_word(const char **at, const char *end)
{
	struct word word;

	while (*at < end && (**at == ' ' || **at == '\t'))
		(*at)++;
	word.text = *at;
	while (*at < end && **at != ' ' && **at != '\t' && **at != '\r')
		(*at)++;
	word.len = (size_t)(*at - word.text);
	return word;
}

static bool word_is(struct word word, const char *text)
{
	return word.len == strlen(text) && !memcmp(word.text, text, word.len);
}

/* -EINVAL for a marker that isn't known: such a line says nothing. */
static int take_marker(struct word *word, const char **at, const char *end, enum known_hosts_marker *ret_marker)
{
	*ret_marker = KNOWN_HOSTS_PLAIN;
	if (!word->len || word->text[0] != '@')
		return 0;
	if (word_is(*word, "@cert-authority"))
		*ret_marker = KNOWN_HOSTS_CA;
	else if (word_is(*word, "@revoked"))
		*ret_marker = KNOWN_HOSTS_REVOKED_KEY;
	else
		return -EINVAL;
	*word = next_word(at, end);
	return word->len && word->text[0] != '@' ? 0 : -EINVAL;
}

static int add_entry(struct known_hosts *known, const struct known_hosts_entry *entry)
{
	struct known_hosts_entry *grown = realloc(known->entries, (known->count + 1) * sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	known->entries = grown;
	grown[known->count++] = *entry;
	return 0;
}

/* Takes a line if it is about `name`. 0 (also for nonsense), or -ENOMEM. */
static int take_line(struct known_hosts *known, const char *at, const char *end, const char *name, const char *file, size_t line)
{
	struct known_hosts_entry entry = { .file = file, .line = line };
	struct buf blob = BUF_INIT;
	struct word hosts = next_word(&at, end);
	struct word type;
	struct word key;
	char blob_type[128];
	int error;

	if (!hosts.len || hosts.text[0] == '#')
		return 0;
	if (take_marker(&hosts, &at, end, &entry.marker) || !known_hosts_match(hosts.text, hosts.len, name))
		return 0;
	type = next_word(&at, end);
	key = next_word(&at, end);
	error = ssh_base64_decode(key.text, key.len, &blob);
	if (!error && (!ssh_blob_type(blob.data, blob.len, blob_type, sizeof(blob_type)) || !word_is(type, blob_type)))
		error = -EINVAL;
	if (error) {
		buf_release(&blob);
		if (error == -EINVAL)
			log_debug("%s:%zu: not a host key; the line is skipped", file, line);
		return error == -EINVAL ? 0 : error;
	}
	entry.type = strdup(blob_type);
	entry.blob_len = blob.len;
	entry.blob = buf_detach(&blob);
	error = entry.type && entry.blob ? add_entry(known, &entry) : -ENOMEM;
	if (error) {
		free(entry.type);
		free(entry.blob);
	}
	return error;
}

static int load_file(struct known_hosts *known, const char *file, const char *name)
{
	struct buf text = BUF_INIT;
	const char *at;
	const char *end;
	int error = io_read_file(file, FILE_MAX_BYTES, &text);

	if (error) {
		buf_release(&text);
		if (error == -ENOMEM)
			return error;
		if (error != -ENOENT)
			log_warn("can't read the known hosts in %s: %s; going on without them", file, log_strerror(error));
		return 0;
	}
	at = buf_text(&text);
	end = at + text.len;
	for (size_t line = 1; !error && at < end; line++) {
		const char *newline = memchr(at, '\n', (size_t)(end - at));

		error = take_line(known, at, newline ? newline : end, name, file, line);
		at = newline ? newline + 1 : end;
	}
	buf_release(&text);
	return error;
}

int known_hosts_load(char *const *files, const char *name, struct known_hosts *ret)
{
	int error = 0;

	for (size_t i = 0; !error && files && files[i]; i++) {
		size_t count = 0;

		error = sshconf_strings_add(&ret->files, files[i], strlen(files[i]));
		while (!error && ret->files[count])
			count++;
		if (!error)
			error = load_file(ret, ret->files[count - 1], name);
	}
	return error;
}

void known_hosts_release(struct known_hosts *known)
{
	for (size_t i = 0; i < known->count; i++) {
		free(known->entries[i].type);
		free(known->entries[i].blob);
	}
	free(known->entries);
	sshconf_strings_free(known->files);
	memset(known, 0, sizeof(*known));
}

/* ---- judging ---- */

static bool same_key(const struct known_hosts_entry *entry, const void *blob, size_t len)
{
	return entry->blob_len == len && !memcmp(entry->blob, blob, len);
}

enum known_hosts_status known_hosts_check(const struct known_hosts *known, const void *blob, size_t len,
					  const struct known_hosts_entry **ret_found)
{
	enum known_hosts_status status = KNOWN_HOSTS_NEW;

	*ret_found = NULL;
	for (size_t i = 0; i < known->count; i++) {
		const struct known_hosts_entry *entry = &known->entries[i];

		if (entry->marker == KNOWN_HOSTS_REVOKED_KEY && same_key(entry, blob, len)) {
			*ret_found = entry;
			return KNOWN_HOSTS_REVOKED;
		}
		if (entry->marker != KNOWN_HOSTS_PLAIN || status == KNOWN_HOSTS_OK)
			continue;
		*ret_found = entry;
		status = same_key(entry, blob, len) ? KNOWN_HOSTS_OK : KNOWN_HOSTS_CHANGED;
	}
	return status;
}

bool known_hosts_has(const struct known_hosts *known, enum known_hosts_marker marker, const char *type)
{
	for (size_t i = 0; i < known->count; i++)
		if (known->entries[i].marker == marker && (!type || !strcmp(known->entries[i].type, type)))
			return true;
	return false;
}

/* ---- adding ---- */

static int make_directory(const char *file)
{
	const char *slash = strrchr(file, '/');
	char *directory;
	int error = 0;

	if (!slash || slash == file)
		return 0;
	directory = strndup(file, (size_t)(slash - file));
	if (!directory)
		return -ENOMEM;
	if (mkdir(directory, 0700) && errno != EEXIST)
		error = -errno;
	free(directory);
	return error;
}

static int add_names(struct buf *line, const char *name, bool hash)
{
	unsigned char salt[HASH_LEN];
	unsigned char result[HASH_LEN];
	int error;

	if (!hash) {
		buf_adds(line, name);
		return 0;
	}
	if (RAND_bytes(salt, sizeof(salt)) != 1)
		return -EIO;
	error = name_hash(name, salt, result);
	if (error)
		return error;
	buf_adds(line, "|1|");
	ssh_base64_encode(salt, sizeof(salt), true, line);
	buf_addch(line, '|');
	ssh_base64_encode(result, sizeof(result), true, line);
	return 0;
}

/* A file whose last line has no newline gets one first: else two lines would become one. */
static bool ends_without_newline(int fd)
{
	struct stat stat;
	char last;

	return !fstat(fd, &stat) && stat.st_size > 0 && pread(fd, &last, 1, stat.st_size - 1) == 1 && last != '\n';
}

int known_hosts_add(const char *file, const char *name, const void *blob, size_t len, bool hash)
{
	struct buf line = BUF_INIT;
	char type[128];
	int fd = -1;
	int error = ssh_blob_type(blob, len, type, sizeof(type)) ? make_directory(file) : -EINVAL;

	if (!error) {
		fd = open(file, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		error = fd < 0 ? -errno : 0;
	}
	if (!error) {
		if (ends_without_newline(fd))
			buf_addch(&line, '\n');
		error = add_names(&line, name, hash);
	}
	if (!error) {
		buf_addf(&line, " %s ", type);
		ssh_base64_encode(blob, len, true, &line);
		buf_addch(&line, '\n');
		error = buf_error(&line);
	}
	if (!error)	/* one write: lines of several programs don't mix */
		error = io_write_all(fd, line.data, line.len);
	io_close(&fd);
	buf_release(&line);
	return error;
}
