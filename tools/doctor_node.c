/*
 * doctor_node: what was measured of this node, judged. What is slow but not in the way of anything is no warning.
 */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/cgroup.h"
#include "base/log.h"
#include "tools/doctor.h"
#include "tools/html.h"

#define FAR_S 0.1		/* a round trip that everybody notices */
#define NOT_NEAR_S 0.005	/* one that matters to those who wait for round trips */
#define CIPHER_MARGIN 1.5	/* a cipher less faster than the link than this is what limits it */
#define CLEARLY_FASTER 1.5	/* of two ciphers: short measurements differ by less */
#define MANY_RECONNECTS 5
#define CLOCK_WRONG_S 10
#define FILES_BASE 64		/* of a worker: its own, libraries', those of logs */
#define FILES_SLOT 8		/* pipes to and from a job, its input and output, its log */
#define MEMORY_SHARE 0.05
#define MEMORY_LEAST (256.0 * 1024 * 1024)

double doctor_files_needed(double slots)
{
	return FILES_BASE + FILES_SLOT * slots;
}

static void judge_machine(const struct doctor_node *node, struct findings *to)
{
	const char *advice = NULL;
	struct buf text = BUF_INIT;

	if (node->load > 2 * node->cores && node->load > 2 * node->slots)
		advice = "something else runs here: fewer slots (-j), or claim-worker --load";
	findings_add(to, "node", "cores", advice, "%.0f, load %.2f, %.0f slots", node->cores, node->load, node->slots);
	if (node->memory_total > 0) {
		html_bytes(&text, fmax(node->memory_available, 0));
		buf_adds(&text, " free of ");
		html_bytes(&text, node->memory_total);
		advice = node->memory_available < MEMORY_SHARE * node->memory_total || node->memory_available < MEMORY_LEAST ?
			"fewer slots, or claim-worker --mem-free and --memory" : NULL;
		findings_add(to, "node", "memory", advice, "%s", buf_text(&text));
		buf_release(&text);
	}
}

static void judge_limit(const struct doctor_node *node, struct findings *to)
{
	if (node->group_error)
		findings_add(to, "node", "--memory", NULL, "holds for each process by itself, here and now: %s", cgroup_why(node->group_error));
	else
		findings_add(to, "node", "--memory", NULL, "holds for each job as a whole, by a cgroup");
}

static void judge_files(const struct doctor_node *node, struct findings *to)
{
	double needed = doctor_files_needed(node->slots);
	struct buf advice = BUF_INIT;

	if (node->files_soft < 0)
		return;
	if (node->files_soft == HUGE_VAL) {
		findings_add(to, "node", "open files", NULL, "no limit; %.0f slots may need %.0f", node->slots, needed);
		return;
	}
	if (node->files_soft < needed && node->files_hard >= needed)
		buf_addf(&advice, "ulimit -n %.0f before claim-worker", needed);
	else if (node->files_soft < needed)
		buf_addf(&advice, "raise the hard limit (LimitNOFILE= of systemd, limits.conf) to %.0f, or use fewer slots", needed);
	findings_add(to, "node", "open files", advice.len ? buf_text(&advice) : NULL, "limit %.0f; %.0f slots may need %.0f", node->files_soft,
		     node->slots, needed);
	buf_release(&advice);
}

static void judge_latency(const struct doctor_node *node, const char *limit, struct findings *to)
{
	bool waits = !strcmp(limit, "latency") || !strcmp(limit, "claiming");
	const char *advice = NULL;
	struct buf text = BUF_INIT;

	if (!node->has_stats) {
		findings_add(to, "node", "connection", NULL, "the mount does not tell its statistics");
		return;
	}
	if (node->connections_up < 1)
		advice = "the server was not reached: see the mount's log, and `ssh HOST'";
	else if (node->reconnects >= MANY_RECONNECTS)
		advice = "the line is bad: see the mount's log; -o ServerAliveInterval= decides when it is given up";
	findings_add(to, "node", "connection", advice, "%.0f of %.0f up, broken %.0f times since the mount", node->connections_up, node->connections,
		     node->reconnects);
	if (node->rtt < 0)
		return;
	html_seconds(&text, node->rtt);
	if (node->rtt < 0.001) {
		buf_reset(&text);
		buf_addf(&text, "%.2f ms", node->rtt * 1000);
	}
	advice = node->rtt >= FAR_S || (waits && node->rtt >= NOT_NEAR_S) ? "raise --ahead, use more slots, or a nearer disk" : NULL;
	findings_add(to, "node", "latency", advice, "%s a round trip to the server", buf_text(&text));
	buf_release(&text);
}

static void judge_rate(const struct doctor_node *node, struct findings *to)
{
	struct buf text = BUF_INIT;

	if (!node->transferred) {
		findings_add(to, "node", "link rate", NULL, "not measured (--no-transfer)");
		return;
	}
	if (node->transfer_error) {
		findings_add(to, "node", "link rate", "outputs can't be written either: see rights and space on the server",
			     "a file could not be written and read: %s", log_strerror(node->transfer_error));
		return;
	}
	html_bytes(&text, node->write_rate);
	buf_adds(&text, "/s written, ");
	html_bytes(&text, node->read_rate);
	buf_adds(&text, "/s read, of one file");
	findings_add(to, "node", "link rate", NULL, "%s", buf_text(&text));
	buf_release(&text);
}

static void judge_cipher(const struct doctor_node *node, struct findings *to)
{
	double best = fmax(node->aes_rate, node->chacha_rate), link = node->transferred ? fmax(node->write_rate, node->read_rate) : 0;
	const char *advice = NULL;
	struct buf text = BUF_INIT;

	if (node->local) {
		findings_add(to, "node", "cipher", NULL, "none: the mount is of a directory of this machine");
		return;
	}
	if (best <= 0)
		return;
	buf_adds(&text, "AES-128-GCM ");
	html_bytes(&text, fmax(node->aes_rate, 0));
	buf_adds(&text, "/s, ChaCha20-Poly1305 ");
	html_bytes(&text, fmax(node->chacha_rate, 0));
	buf_adds(&text, "/s on one core");
	if (node->chacha_rate > CLEARLY_FASTER * node->aes_rate)
		advice = "no fast AES here: mount with -o Ciphers=chacha20-poly1305@openssh.com";
	else if (link > 0 && best < CIPHER_MARGIN * link)
		advice = "encryption takes most of a core: mount with more -o connections=";
	findings_add(to, "node", "cipher", advice, "%s", buf_text(&text));
	buf_release(&text);
}

static void judge_clock(const struct doctor_node *node, struct findings *to)
{
	bool wrong = fabs(node->clock_offset) > CLOCK_WRONG_S;

	if (!node->clock_known)
		return;
	if (!wrong && fabs(node->clock_offset) < 2)	/* the server's seconds are whole, and a look at the queue may be a second old */
		findings_add(to, "node", "clock", NULL, "as the server's, within 2 s");
	else
		findings_add(to, "node", "clock", wrong ? "set one of them (NTP): claims go by the server's, but what compares times of files goes wrong" : NULL,
			     "%.0f s %s the server's", fabs(node->clock_offset), node->clock_offset > 0 ? "ahead of" : "behind");
}

void doctor_node(const struct doctor_node *node, const char *limit, struct findings *findings)
{
	judge_machine(node, findings);
	judge_limit(node, findings);
	judge_files(node, findings);
	judge_latency(node, limit, findings);
	judge_rate(node, findings);
	judge_cipher(node, findings);
	judge_clock(node, findings);
}
