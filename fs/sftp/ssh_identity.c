/*
 * ssh_identity: files of keys, read when first needed.
 */
#include "sftp/ssh_identity.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "sftp/ssh_key_priv.h"

#define KEY_MAX_BYTES (64 * 1024)
#define TRIES 3

struct identity {
	char *path;
	struct ssh_key *key;	/* guarded by lock; once set it stays */
};

struct ssh_identities {
	pthread_mutex_t lock;	/* held while a passphrase is asked for: the others wait for the answer rather than ask too */
	struct identity *all;
	size_t count;
};

struct ssh_identities *ssh_identities_new(char *const *files)
{
	struct ssh_identities *identities = calloc(1, sizeof(*identities));
	size_t count = 0;

	while (files[count])
		count++;
	if (!identities)
		return NULL;
	pthread_mutex_init(&identities->lock, NULL);
	identities->all = calloc(count ? count : 1, sizeof(*identities->all));
	for (size_t i = 0; identities->all && i < count; i++, identities->count++) {
		identities->all[i].path = strdup(files[i]);
		if (!identities->all[i].path)
			break;
	}
	if (!identities->all || identities->count < count) {
		ssh_identities_free(identities);
		return NULL;
	}
	return identities;
}

void ssh_identities_free(struct ssh_identities *identities)
{
	if (!identities)
		return;
	for (size_t i = 0; i < identities->count; i++) {
		free(identities->all[i].path);
		ssh_key_free(identities->all[i].key);
	}
	free(identities->all);
	pthread_mutex_destroy(&identities->lock);
	free(identities);
}

size_t ssh_identities_count(const struct ssh_identities *identities)
{
	return identities->count;
}

const char *ssh_identity_path(const struct ssh_identities *identities, size_t index)
{
	return identities->all[index].path;
}

/* FILE.pub beside the key. */
static int blob_beside(const char *path, struct buf *ret_blob)
{
	struct buf name = BUF_INIT;
	struct buf text = BUF_INIT;
	int error;

	buf_addf(&name, "%s.pub", path);
	error = buf_error(&name);
	if (!error)
		error = io_read_file(buf_text(&name), KEY_MAX_BYTES, &text);
	if (!error)
		error = ssh_key_peek(buf_text(&text), text.len, ret_blob);
	buf_release(&name);
	buf_release(&text);
	return error;
}

static int blob_of_private(const struct buf *text, struct buf *ret_blob)
{
	struct ssh_key *key = NULL;
	int error = ssh_key_read(buf_text(text), text->len, NULL, 0, &key);

	if (error)
		return error;
	buf_add(ret_blob, ssh_key_blob(key)->data, ssh_key_blob(key)->len);
	ssh_key_free(key);
	return buf_error(ret_blob);
}

int ssh_identity_blob(struct ssh_identities *identities, size_t index, struct buf *ret_blob)
{
	const struct identity *identity = &identities->all[index];
	const struct ssh_key *key;
	struct buf text = BUF_INIT;
	int error;

	pthread_mutex_lock(&identities->lock);
	key = identity->key;
	pthread_mutex_unlock(&identities->lock);
	if (key) {
		buf_add(ret_blob, ssh_key_blob(key)->data, ssh_key_blob(key)->len);
		return buf_error(ret_blob);
	}
	buf_reserve(&text, KEY_MAX_BYTES);	/* no reallocation leaves a copy behind */
	error = io_read_file(identity->path, KEY_MAX_BYTES, &text);
	if (!error)
		error = ssh_key_peek(buf_text(&text), text.len, ret_blob);
	if (error && error != -ENOMEM) {
		int beside = blob_beside(identity->path, ret_blob);	/* also when only FILE.pub is here and the agent has the rest */

		if (!beside)
			error = 0;
		else if (error == -EINVAL && text.len)
			error = blob_of_private(&text, ret_blob);
	}
	ssh_key_wipe(&text);
	return error;
}

/* ssh refuses keys that others can read; so do we. */
static int check_mode(const char *path)
{
	struct stat stat_;

	if (stat(path, &stat_))
		return -errno;
	if (stat_.st_uid == getuid() && stat_.st_mode & 077) {
		log_warn("the private key %s can be read by others (mode %03o) and is ignored, as ssh does: chmod 600 it", path,
			 stat_.st_mode & 0777);
		return -EACCES;
	}
	return 0;
}

static int unlock(struct identity *identity, const struct buf *text, struct ssh_prompt *prompt, struct ssh_limit *limit)
{
	struct buf question = BUF_INIT;
	int error = -EKEYREJECTED;

	buf_addf(&question, "Enter passphrase for key '%s': ", identity->path);
	for (int try = 0; error == -EKEYREJECTED && try < TRIES; try++) {
		struct ssh_secret *secret = NULL;

		error = ssh_prompt_ask(prompt, buf_text(&question), false, limit, &secret);
		if (!error && !secret->len)
			error = -EINTR;		/* an empty line: go on to the next key */
		if (!error)
			error = ssh_key_read(buf_text(text), text->len, secret->text, secret->len, &identity->key);
		ssh_secret_free(secret);
	}
	buf_release(&question);
	return error;
}

static int load_locked(struct identity *identity, struct ssh_prompt *prompt, struct ssh_limit *limit)
{
	struct buf text = BUF_INIT;
	int error;

	if (identity->key)
		return 0;
	error = check_mode(identity->path);
	buf_reserve(&text, KEY_MAX_BYTES);
	if (!error)
		error = io_read_file(identity->path, KEY_MAX_BYTES, &text);
	if (!error)
		error = ssh_key_read(buf_text(&text), text.len, NULL, 0, &identity->key);
	if (error == -ENOKEY)
		error = unlock(identity, &text, prompt, limit);
	ssh_key_wipe(&text);
	return error;
}

int ssh_identity_key(struct ssh_identities *identities, size_t index, struct ssh_prompt *prompt, struct ssh_limit *limit,
		     const struct ssh_key **ret_key)
{
	struct identity *identity = &identities->all[index];
	int error;

	pthread_mutex_lock(&identities->lock);
	error = load_locked(identity, prompt, limit);
	if (!error)
		*ret_key = identity->key;
	pthread_mutex_unlock(&identities->lock);
	return error;
}
