/*
 * ssh_hostkey: the decisions of ssh about host keys, and their messages.
 */
#include "sftp/ssh_hostkey.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "sftp/ssh_wire.h"

/* OpenSSH 9.2's default, without certificates: when there is no ssh to ask. */
#define DEFAULT_ALGORITHMS \
	"ssh-ed25519,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,rsa-sha2-512,rsa-sha2-256"

#define QUESTIONS 5	/* until a nonsense answer is a no: a program could go on for ever */

int ssh_hostkeys_load(const struct sshconf *conf, struct ssh_hostkeys *ret)
{
	int error;

	ret->conf = conf;
	known_hosts_name(conf->hostname, conf->port, conf->hostkeyalias, &ret->name);
	error = buf_error(&ret->name);
	if (!error)
		error = known_hosts_load(conf->userknownhosts, buf_text(&ret->name), &ret->known);
	if (!error)
		error = known_hosts_load(conf->globalknownhosts, buf_text(&ret->name), &ret->known);
	if (error)
		ssh_hostkeys_release(ret);
	return error;
}

void ssh_hostkeys_release(struct ssh_hostkeys *keys)
{
	buf_release(&keys->name);
	known_hosts_release(&keys->known);
}

/* ---- the order of algorithms ---- */

static bool is_supported(const char *const *supported, const char *name, size_t len)
{
	for (; *supported; supported++)
		if (strlen(*supported) == len && !memcmp(*supported, name, len))
			return true;
	return false;
}

/* The type of key an algorithm signs with: RSA's SHA-2 signatures come from ssh-rsa keys (RFC 8332). */
static const char *key_type(const char *algorithm)
{
	return !strncmp(algorithm, "rsa-sha2-", 9) ? "ssh-rsa" : algorithm;
}

static void add_algorithms(const struct ssh_hostkeys *keys, const char *const *supported, bool known, struct buf *list)
{
	const char *at = keys->conf->hostkeyalgorithms ? keys->conf->hostkeyalgorithms : DEFAULT_ALGORITHMS;

	while (*at) {
		size_t len = strcspn(at, ",");
		char name[128];

		if (len && len < sizeof(name) && is_supported(supported, at, len)) {
			memcpy(name, at, len);
			name[len] = '\0';
			/* Certificates are the ssh program's business. */
			if (!strstr(name, "-cert-v0") && known_hosts_has(&keys->known, KNOWN_HOSTS_PLAIN, key_type(name)) == known)
				buf_addf(list, "%s%s", list->len ? "," : "", name);
		}
		at += len + (at[len] == ',');
	}
}

static const char *first_plain_type(const struct ssh_hostkeys *keys)
{
	for (size_t i = 0; i < keys->known.count; i++)
		if (keys->known.entries[i].marker == KNOWN_HOSTS_PLAIN)
			return keys->known.entries[i].type;
	return "";
}

int ssh_hostkeys_order(const struct ssh_hostkeys *keys, const char *const *supported, struct buf *ret_list, struct buf *why)
{
	const char *name = buf_text(&keys->name);
	bool plain = known_hosts_has(&keys->known, KNOWN_HOSTS_PLAIN, NULL);
	size_t before = ret_list->len;

	if (!plain && known_hosts_has(&keys->known, KNOWN_HOSTS_CA, NULL)) {
		buf_addf(why, "%s is known by a certificate authority (@cert-authority)", name);
		return -EOPNOTSUPP;
	}
	add_algorithms(keys, supported, true, ret_list);
	if (plain && ret_list->len == before) {
		buf_addf(why, "the known host key of %s is of type %s, which libssh2 can't check", name, first_plain_type(keys));
		return -EOPNOTSUPP;
	}
	add_algorithms(keys, supported, false, ret_list);
	if (ret_list->len == before) {
		buf_adds(why, "libssh2 has none of the configured HostKeyAlgorithms");
		return -EOPNOTSUPP;
	}
	return buf_error(ret_list);
}

/* ---- the verdict ---- */

struct verdict {
	const struct ssh_hostkeys *keys;
	const struct ssh_hostkey_peer *peer;
	const void *blob;
	size_t len;
	char kind[64];			/* ED25519, as ssh calls it */
	struct buf print;		/* SHA256:… */
	struct ssh_prompt *prompt;
	struct ssh_limit *limit;
	struct buf *why;
};

/* ssh-ed25519 → ED25519, ecdsa-sha2-nistp256 → ECDSA */
static void name_kind(const char *type, char *kind, size_t size)
{
	size_t len = 0;

	if (!strncmp(type, "ssh-", 4))
		type += 4;
	while (type[len] && type[len] != '-' && type[len] != '@' && len + 1 < size) {
		kind[len] = (char)toupper((unsigned char)type[len]);
		len++;
	}
	kind[len] = '\0';
}

static void remember(const struct verdict *verdict)
{
	const struct sshconf *conf = verdict->keys->conf;
	const char *name = buf_text(&verdict->keys->name);
	const char *file = conf->userknownhosts[0];
	int error;

	if (!file)
		return;
	error = known_hosts_add(file, name, verdict->blob, verdict->len, conf->hashknownhosts);
	if (error)
		log_warn("can't add the host key of %s to %s: %s", name, file, log_strerror(error));
	else
		log_info("added the %s host key of %s, %s, to %s", verdict->kind, name, buf_text(&verdict->print), file);
}

static int refuse_new(const struct verdict *verdict, const char *reason)
{
	buf_addf(verdict->why, "the %s host key of %s, %s, isn't known%s. If that is its fingerprint, accept it once with: %s",
		 verdict->kind, buf_text(&verdict->keys->name), buf_text(&verdict->print), reason, verdict->peer->accept_command);
	return -EACCES;
}

static void add_question(const struct verdict *verdict, struct buf *question)
{
	const char *address = verdict->peer->address;

	buf_addf(question, "The authenticity of host '%s%s%s%s' can't be established.\n", buf_text(&verdict->keys->name),
		 *address ? " (" : "", address, *address ? ")" : "");
	buf_addf(question, "%s key fingerprint is %s.\n", verdict->kind, buf_text(&verdict->print));
	buf_adds(question, "Are you sure you want to continue connecting (yes/no/[fingerprint])? ");
}

static int ask(const struct verdict *verdict)
{
	struct buf question = BUF_INIT;
	int answer = -1;
	int error = 0;

	add_question(verdict, &question);
	error = buf_error(&question);
	for (int i = 0; !error && answer < 0 && i < QUESTIONS; i++) {
		struct ssh_secret *text = NULL;

		error = ssh_prompt_ask(verdict->prompt, buf_text(&question), true, verdict->limit, &text);
		if (error)
			break;
		if (!strcasecmp(text->text, "yes") || !strcmp(text->text, buf_text(&verdict->print)))
			answer = 1;
		else if (!strcasecmp(text->text, "no") || !*text->text)
			answer = 0;
		ssh_secret_free(text);
		buf_reset(&question);
		buf_adds(&question, "Please type 'yes', 'no' or the fingerprint: ");
	}
	buf_release(&question);
	if (error == -ENOTTY)
		return refuse_new(verdict, " and there is no terminal to ask on");
	if (error == -EINTR || (!error && answer <= 0)) {
		buf_addf(verdict->why, "the host key of %s was not accepted", buf_text(&verdict->keys->name));
		return -EACCES;
	}
	if (!error)
		remember(verdict);
	else
		buf_addf(verdict->why, "can't ask about the host key of %s: %s", buf_text(&verdict->keys->name), log_strerror(error));
	return error;
}

/* A host on another port may be known by its plain name: ssh takes that, too. */
static bool known_without_port(const struct verdict *verdict)
{
	const struct sshconf *conf = verdict->keys->conf;
	const struct known_hosts_entry *found;
	struct known_hosts known = { 0 };
	struct buf name = BUF_INIT;
	bool is_known = false;

	if (conf->hostkeyalias || conf->port == 22)
		return false;
	known_hosts_name(conf->hostname, 22, NULL, &name);
	if (!buf_error(&name) && !known_hosts_load(conf->userknownhosts, buf_text(&name), &known) &&
	    !known_hosts_load(conf->globalknownhosts, buf_text(&name), &known))
		is_known = known_hosts_check(&known, verdict->blob, verdict->len, &found) == KNOWN_HOSTS_OK;
	known_hosts_release(&known);
	buf_release(&name);
	return is_known;
}

static int decide_new(const struct verdict *verdict)
{
	if (known_without_port(verdict))
		return 0;
	switch ((enum sshconf_strict)verdict->keys->conf->strict) {
	case SSHCONF_STRICT_YES:
		return refuse_new(verdict, ", and StrictHostKeyChecking is yes");
	case SSHCONF_STRICT_ASK:
		if (verdict->keys->conf->batchmode)
			return refuse_new(verdict, ", and BatchMode forbids to ask");
		return ask(verdict);
	case SSHCONF_STRICT_ACCEPT_NEW:
	case SSHCONF_STRICT_NO:
		break;
	}
	remember(verdict);
	return 0;
}

static int decide_revoked(const struct verdict *verdict, const struct known_hosts_entry *entry, bool *ret_unsafe)
{
	struct buf message = BUF_INIT;
	int error = 0;

	buf_addf(&message, "the %s host key of %s, %s, is marked as revoked in %s line %zu", verdict->kind, buf_text(&verdict->keys->name),
		 buf_text(&verdict->print), entry->file, entry->line);
	if (verdict->keys->conf->strict == SSHCONF_STRICT_NO) {
		log_warn("%s. Going on without passwords, because StrictHostKeyChecking is no", buf_text(&message));
		*ret_unsafe = true;
	} else {
		buf_addf(verdict->why, "%s: do not connect; tell the administrator", buf_text(&message));
		error = -EACCES;
	}
	buf_release(&message);
	return error;
}

static int decide_changed(const struct verdict *verdict, const struct known_hosts_entry *entry, bool *ret_unsafe)
{
	const char *name = buf_text(&verdict->keys->name);
	struct buf message = BUF_INIT;
	int error = 0;

	buf_addf(&message, "THE HOST KEY OF %s HAS CHANGED: it shows the %s key %s, but %s line %zu has another (%s). ", name,
		 verdict->kind, buf_text(&verdict->print), entry->file, entry->line, entry->type);
	buf_adds(&message, "Somebody may be listening in, or the host was installed anew");
	if (verdict->keys->conf->strict == SSHCONF_STRICT_NO) {
		log_warn("%s. Going on without passwords, because StrictHostKeyChecking is no", buf_text(&message));
		*ret_unsafe = true;
	} else {
		buf_addf(verdict->why, "%s. If it was, forget the old key with: ssh-keygen -f '%s' -R '%s'", buf_text(&message),
			 entry->file, name);
		error = -EACCES;
	}
	buf_release(&message);
	return error;
}

/* CheckHostIP: the address must not be known by another key. */
static int check_address(const struct verdict *verdict, bool *ret_unsafe)
{
	const struct sshconf *conf = verdict->keys->conf;
	const struct known_hosts_entry *found = NULL;
	struct known_hosts known = { 0 };
	struct buf name = BUF_INIT;
	int error = 0;

	if (!conf->checkhostip || conf->hostkeyalias || verdict->peer->local || !*verdict->peer->address)
		return 0;
	known_hosts_name(verdict->peer->address, conf->port, NULL, &name);
	error = buf_error(&name);
	if (!error)
		error = known_hosts_load(conf->userknownhosts, buf_text(&name), &known);
	if (!error)
		error = known_hosts_load(conf->globalknownhosts, buf_text(&name), &known);
	if (!error && known_hosts_check(&known, verdict->blob, verdict->len, &found) == KNOWN_HOSTS_CHANGED)
		error = decide_changed(verdict, found, ret_unsafe);
	known_hosts_release(&known);
	buf_release(&name);
	return error;
}

static int decide(const struct verdict *verdict, bool *ret_unsafe)
{
	const struct known_hosts_entry *entry = NULL;

	switch (known_hosts_check(&verdict->keys->known, verdict->blob, verdict->len, &entry)) {
	case KNOWN_HOSTS_OK:
		return check_address(verdict, ret_unsafe);
	case KNOWN_HOSTS_NEW:
		return decide_new(verdict);
	case KNOWN_HOSTS_CHANGED:
		return decide_changed(verdict, entry, ret_unsafe);
	case KNOWN_HOSTS_REVOKED:
		return decide_revoked(verdict, entry, ret_unsafe);
	}
	return -EACCES;
}

int ssh_hostkeys_verify(const struct ssh_hostkeys *keys, const void *blob, size_t len, const struct ssh_hostkey_peer *peer,
			struct ssh_prompt *prompt, struct ssh_limit *limit, bool *ret_unsafe, struct buf *why)
{
	struct verdict verdict = {
		.keys = keys, .peer = peer, .blob = blob, .len = len, .prompt = prompt, .limit = limit, .why = why,
	};
	char type[128];
	int bits, error;

	if (keys->conf->nohostauthenticationforlocalhost && peer->local && !keys->conf->hostkeyalias)
		return 0;
	if (!ssh_blob_type(blob, len, type, sizeof(type))) {
		buf_addf(why, "the server sent something that isn't a host key");
		return -EACCES;
	}
	bits = ssh_blob_rsa_bits(blob, len);
	if (bits && bits < keys->conf->requiredrsasize) {
		buf_addf(why, "the RSA host key of %s has %d bits, fewer than RequiredRSASize (%d)", buf_text(&keys->name), bits, keys->conf->requiredrsasize);
		return -EACCES;
	}
	name_kind(type, verdict.kind, sizeof(verdict.kind));
	ssh_fingerprint(blob, len, keys->conf->fingerprinthash, &verdict.print);
	error = buf_error(&verdict.print);
	if (!error)
		error = decide(&verdict, ret_unsafe);
	buf_release(&verdict.print);
	return error;
}
