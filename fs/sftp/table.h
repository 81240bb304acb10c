/*
 * table: the requests of one session that wait for an answer, by id.
 *
 * An id is a slot's index (low 16 bits) and how often the slot was used (high 16 bits), so that a late or invented answer does not
 * find another request. A request that gives up waiting leaves a grave: its id stays taken until the answer has come.
 * Belongs to one I/O thread.
 */
#ifndef CLAIMFS_SFTP_TABLE_H
#define CLAIMFS_SFTP_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sftp/request.h"

#define TABLE_MAX 65536u

struct table_entry;

struct table {
	struct table_entry *entries;
	uint32_t capacity;
	uint32_t fresh;			/* entries from here on were never used */
	int32_t free;			/* the last one that was given back, a chain; -1: none */
	uint32_t count;			/* waiting, graves included */
	uint32_t slow;			/* of these: with a slow operation */
};

enum table_found { TABLE_UNKNOWN, TABLE_REQUEST, TABLE_GRAVE };

void table_init(struct table *table);
void table_release(struct table *table);
void table_clear(struct table *table);	/* a new session: no id is taken */

bool table_full(const struct table *table);
int table_add(struct table *table, struct request *request, uint32_t *ret_id);	/* 0 or -ENOMEM */

/* Takes the id out. TABLE_REQUEST: *ret_request is set; both it and TABLE_GRAVE set *ret_op. */
enum table_found table_take(struct table *table, uint32_t id, struct request **ret_request, const struct op **ret_op);

void table_bury(struct table *table, uint32_t id);	/* its request has given up */

#endif
