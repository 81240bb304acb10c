/*
 * layout: the names below .claimfs/, built and read strictly. claimfs-queue(7) lists them:
 *
 *   nodes/NODE[.K]  nodes/NODE.free[.K]  nodes/NODE.lost[.K]
 *   claims/UNIT.G.N   claims/UNIT.G.0   done/KK/KEY.G   failed/UNIT.G   redo/UNIT.G   log/NODE[.K]   tmp/NODE/…   tmp/resume/UNIT.G   listing (share.h)
 *
 * UNIT.G.0 is a hedge: a second attempt beside the claims 1 … N (hedge.c).
 *
 * UNIT and KEY are 32 lower-case hex digits; G, N and K are decimal without leading zeros, of at most nine digits; NODE is
 * host.incarnation, the incarnation eight hex digits. Any other name in these directories is somebody else's and is left alone.
 * All functions are pure.
 */
#ifndef CLAIMFS_QUEUE_LAYOUT_H
#define CLAIMFS_QUEUE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"

#define LAYOUT_DIR ".claimfs"
#define LAYOUT_CLAIMS LAYOUT_DIR "/claims"
#define LAYOUT_DONE LAYOUT_DIR "/done"
#define LAYOUT_FAILED LAYOUT_DIR "/failed"
#define LAYOUT_REDO LAYOUT_DIR "/redo"
#define LAYOUT_NODES LAYOUT_DIR "/nodes"
#define LAYOUT_LOG LAYOUT_DIR "/log"
#define LAYOUT_TMP LAYOUT_DIR "/tmp"
#define LAYOUT_RESUME LAYOUT_TMP "/resume"	/* UNIT.G: what unfinished attempts left for the next one; the worker's */
#define LAYOUT_PROBE "clock-"		/* in tmp/: files that live for a moment, to learn the server's time */

#define LAYOUT_MAX_NUMBER 999999999u
#define LAYOUT_HEDGE 0			/* the number of a claim that is a hedge */
#define LAYOUT_MAX_HOST 100
#define LAYOUT_MAX_NODE (LAYOUT_MAX_HOST + 1 + 8)
#define LAYOUT_MAX_LOG_NUMBER 9999999u	/* seven digits: an incarnation has eight */
#define LAYOUT_MAX_LOG (LAYOUT_MAX_NODE + 8)
#define LAYOUT_PATH 256			/* room for any path built here */

struct layout_claim {
	struct hash128 unit;
	uint32_t generation;		/* from 0 */
	uint32_t number;		/* from 1; LAYOUT_HEDGE: a second attempt */
};

/* UNIT of an input: of its name, and (`with_stat`: key = stat and content) of size and mtime too. */
struct hash128 layout_unit(const char *name, bool with_stat, uint64_t size, int64_t mtime);

/* NODE from a host's name; bytes other than letters, digits, '-', '_' and '.' become '_'. */
void layout_node(const char *host, uint32_t incarnation, char ret_node[LAYOUT_MAX_NODE + 1]);

void layout_claim(char ret_path[LAYOUT_PATH], const struct layout_claim *claim);
void layout_marker(char ret_path[LAYOUT_PATH], const struct hash128 *key, uint32_t generation);
void layout_marker_dir(char ret_path[LAYOUT_PATH], const struct hash128 *key);
void layout_failed(char ret_path[LAYOUT_PATH], const struct hash128 *unit, uint32_t generation);
void layout_redo(char ret_path[LAYOUT_PATH], const struct hash128 *unit, uint32_t generation);
void layout_heartbeat(char ret_path[LAYOUT_PATH], const char *node, uint32_t file);
void layout_given_back(char ret_path[LAYOUT_PATH], const char *node, bool lost, uint32_t file);
void layout_log(char ret_path[LAYOUT_PATH], const char *log);	/* log: NODE or NODE.K */
void layout_log_name(char ret_log[LAYOUT_MAX_LOG + 1], const char *node, uint32_t number);
void layout_tmp(char ret_path[LAYOUT_PATH], const char *node);
/* tmp/NODE/UNIT.G.N: what this claim stages. */
void layout_staged(char ret_path[LAYOUT_PATH], const char *node, const struct layout_claim *claim);
/* tmp/NODE/KIND-NUMBER: a name used once. */
void layout_once(char ret_path[LAYOUT_PATH], const char *node, const char *kind, uint64_t number);

/* A name read from a directory: 0, or -EINVAL for any other. */
int layout_parse_claim(const char *name, size_t len, struct layout_claim *ret_claim);
int layout_parse_marker(const char *name, size_t len, struct hash128 *ret_hash, uint32_t *ret_generation);
bool layout_node_good(const char *name, size_t len);
/* A name in log/: the node's part of it is its first *ret_len bytes, *ret_number is K (0: none). */
int layout_parse_log(const char *name, size_t len, size_t *ret_len, uint32_t *ret_number);

enum layout_node_file { LAYOUT_HEARTBEAT, LAYOUT_FREE, LAYOUT_LOST };

/* A name in nodes/: the node's part of it is its first *ret_len bytes. */
int layout_parse_node_file(const char *name, size_t len, size_t *ret_len, enum layout_node_file *ret_kind);

#endif
