/*
 * doctor: findings about a queue and this node. doctor_look measures, doctor_queue and doctor_node judge (pure: facts in, findings out), and
 * cmd_doctor asks and prints.
 */
#ifndef CLAIMFS_TOOLS_DOCTOR_H
#define CLAIMFS_TOOLS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/progress_read.h"

struct finding {
	const char *section;		/* "queue", "time", "node" */
	const char *name;		/* a word or two */
	char *text;			/* what was found, with the figures */
	char *advice;			/* what to do; NULL: nothing is in the way */
};

struct findings {
	struct finding *list;
	size_t count, cap;
	bool failed;			/* for want of memory some are missing */
};

/* `advice` is copied, NULL where all is well; the text is made of the format. */
void findings_add(struct findings *findings, const char *section, const char *name, const char *advice, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
size_t findings_warnings(const struct findings *findings);
void findings_release(struct findings *findings);

/* What was measured of the node; < 0: not known. Seconds, bytes, bytes a second. */
struct doctor_node {
	double cores;			/* those this process may use */
	double slots;			/* that a worker is to have */
	double load;			/* of a minute */
	double memory_total, memory_available;
	int group_error;		/* claim-worker's --memory, as of cgroup_own(); 0: by a cgroup a job */
	double files_soft, files_hard;	/* open files; HUGE_VAL: no limit */
	bool local;			/* the mount is of a directory of this machine: no network in between */
	bool has_stats;			/* the next four are known */
	double connections_up, connections;
	double reconnects;
	double rtt;			/* < 0: nothing was asked of the server yet */
	double write_rate, read_rate;	/* of the mount */
	int transfer_error;		/* -errno: they could not be measured */
	bool transferred;		/* it was tried */
	double aes_rate, chacha_rate;	/* of one core: AES-128-GCM, ChaCha20-Poly1305 */
	double clock_offset;		/* this node's clock less the server's */
	bool clock_known;
};

/* Measures. `queue` is a directory on a mount; `transfer`: writes and reads a file there, for about two seconds. */
void doctor_look(const char *queue, bool transfer, struct doctor_node *ret_node);
/* Part of it, in doctor_link.c and doctor_cipher.c: what lies between here and the server, and what encrypting costs a core. */
void doctor_look_link(const char *queue, bool transfer, struct doctor_node *node);
void doctor_look_cipher(struct doctor_node *node);

void doctor_queue(const struct progress_facts *facts, const struct doctor_node *node, struct findings *findings);
void doctor_node(const struct doctor_node *node, const char *limit, struct findings *findings);

/* Open files that a worker of so many slots may come to. */
double doctor_files_needed(double slots);

#endif
