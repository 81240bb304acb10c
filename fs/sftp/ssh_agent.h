/*
 * ssh_agent: the agent's protocol (draft-miller-ssh-agent), spoken by ourselves: libssh2 1.10's can't ask for RSA
 * signatures with SHA-2, and its calls block.
 *
 *   uint32 length, byte type, …
 *   11 REQUEST_IDENTITIES → 12 IDENTITIES_ANSWER uint32 n, n × (string blob, string comment)
 *   13 SIGN_REQUEST string blob, string data, uint32 flags → 14 SIGN_RESPONSE string signature
 */
#ifndef CLAIMFS_SFTP_SSH_AGENT_H
#define CLAIMFS_SFTP_SSH_AGENT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "sftp/ssh_tcp.h"

#define SSH_AGENT_RSA_SHA2_256 2
#define SSH_AGENT_RSA_SHA2_512 4

struct ssh_agent_key {
	char *blob;
	size_t blob_len;
	char *comment;
};

struct ssh_agent {
	int fd;
	struct ssh_agent_key *keys;
	size_t count;
};

/* Connects to the socket and lists the keys. 0 or -errno (-EPROTO: it talks nonsense). */
int ssh_agent_open(const char *path, const struct ssh_limit *limit, struct ssh_agent *ret_agent);
void ssh_agent_close(struct ssh_agent *agent);

/* The signature as it goes over the wire: string algorithm, string signature. 0; -EACCES: the agent refused; -errno. */
int ssh_agent_sign(struct ssh_agent *agent, const struct ssh_agent_key *key, const void *data, size_t len, uint32_t flags,
		   const struct ssh_limit *limit, struct buf *ret_signature);

#endif
