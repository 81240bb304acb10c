/*
 * layout: names below .claimfs/. Reading is strict (one spelling of every name), so that two names never mean one thing.
 */
#include "queue/layout.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct hash128 layout_unit(const char *name, bool with_stat, uint64_t size, int64_t mtime)
{
	size_t len = strlen(name);
	char small[512], *text = small;
	struct hash128 hash;
	int tail;

	if (!with_stat)
		return hash128_of(name, len);
	/* NAME NUL SIZE NUL MTIME: no name holds a NUL, so no two inputs share the text. Very long names hash in two steps. */
	if (len + 64 > sizeof(small)) {
		hash = hash128_of(name, len);
		small[0] = '\0';
		memcpy(small + 1, hash.bytes, sizeof(hash.bytes));
		len = 1 + sizeof(hash.bytes);
	} else {
		memcpy(small, name, len);
	}
	small[len++] = '\0';
	tail = snprintf(text + len, sizeof(small) - len, "%llu", (unsigned long long)size);
	len += (size_t)tail + 1;
	tail = snprintf(text + len, sizeof(small) - len, "%lld", (long long)mtime);
	return hash128_of(text, len + (size_t)tail);
}

static bool host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

void layout_node(const char *host, uint32_t incarnation, char ret_node[LAYOUT_MAX_NODE + 1])
{
	size_t len = 0;

	for (; host && host[len] && len < LAYOUT_MAX_HOST; len++)
		ret_node[len] = host_byte(host[len]) && !(len == 0 && host[len] == '.') ? host[len] : '_';
	if (len == 0)
		ret_node[len++] = '_';
	snprintf(ret_node + len, LAYOUT_MAX_NODE + 1 - len, ".%08x", (unsigned int)incarnation);
}

void layout_claim(char ret_path[LAYOUT_PATH], const struct layout_claim *claim)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(&claim->unit, hex);
	snprintf(ret_path, LAYOUT_PATH, "%s/%s.%u.%u", LAYOUT_CLAIMS, hex, claim->generation, claim->number);
}

void layout_marker(char ret_path[LAYOUT_PATH], const struct hash128 *key, uint32_t generation)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(key, hex);
	snprintf(ret_path, LAYOUT_PATH, "%s/%.2s/%s.%u", LAYOUT_DONE, hex, hex, generation);
}

void layout_marker_dir(char ret_path[LAYOUT_PATH], const struct hash128 *key)
{
	snprintf(ret_path, LAYOUT_PATH, "%s/%02x", LAYOUT_DONE, key->bytes[0]);
}

void layout_failed(char ret_path[LAYOUT_PATH], const struct hash128 *unit, uint32_t generation)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(unit, hex);
	snprintf(ret_path, LAYOUT_PATH, "%s/%s.%u", LAYOUT_FAILED, hex, generation);
}

void layout_redo(char ret_path[LAYOUT_PATH], const struct hash128 *unit, uint32_t generation)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(unit, hex);
	snprintf(ret_path, LAYOUT_PATH, "%s/%s.%u", LAYOUT_REDO, hex, generation);
}

void layout_heartbeat(char ret_path[LAYOUT_PATH], const char *node, uint32_t file)
{
	if (file)
		snprintf(ret_path, LAYOUT_PATH, "%s/%s.%u", LAYOUT_NODES, node, file);
	else
		snprintf(ret_path, LAYOUT_PATH, "%s/%s", LAYOUT_NODES, node);
}

void layout_given_back(char ret_path[LAYOUT_PATH], const char *node, bool lost, uint32_t file)
{
	const char *kind = lost ? "lost" : "free";

	if (file)
		snprintf(ret_path, LAYOUT_PATH, "%s/%s.%s.%u", LAYOUT_NODES, node, kind, file);
	else
		snprintf(ret_path, LAYOUT_PATH, "%s/%s.%s", LAYOUT_NODES, node, kind);
}

void layout_log(char ret_path[LAYOUT_PATH], const char *log)
{
	snprintf(ret_path, LAYOUT_PATH, "%s/%s", LAYOUT_LOG, log);
}

void layout_log_name(char ret_log[LAYOUT_MAX_LOG + 1], const char *node, uint32_t number)
{
	if (number)
		snprintf(ret_log, LAYOUT_MAX_LOG + 1, "%s.%u", node, number % (LAYOUT_MAX_LOG_NUMBER + 1));
	else
		snprintf(ret_log, LAYOUT_MAX_LOG + 1, "%s", node);
}

void layout_tmp(char ret_path[LAYOUT_PATH], const char *node)
{
	snprintf(ret_path, LAYOUT_PATH, "%s/%s", LAYOUT_TMP, node);
}

void layout_staged(char ret_path[LAYOUT_PATH], const char *node, const struct layout_claim *claim)
{
	char hex[HASH_HEX_LEN + 1];

	hash128_hex(&claim->unit, hex);
	snprintf(ret_path, LAYOUT_PATH, "%s/%s/%s.%u.%u", LAYOUT_TMP, node, hex, claim->generation, claim->number);
}

void layout_once(char ret_path[LAYOUT_PATH], const char *node, const char *kind, uint64_t number)
{
	snprintf(ret_path, LAYOUT_PATH, "%s/%s/%s-%llu", LAYOUT_TMP, node, kind, (unsigned long long)number);
}

/* A decimal number without leading zeros at *at, of at most nine digits. 0 or -EINVAL. */
static int parse_number(const char *text, size_t len, size_t *at, uint32_t *ret_number)
{
	size_t begin = *at, i = begin;
	uint32_t number = 0;

	while (i < len && i - begin < 9 && text[i] >= '0' && text[i] <= '9')
		number = number * 10 + (uint32_t)(text[i++] - '0');
	if (i == begin || (text[begin] == '0' && i - begin > 1))
		return -EINVAL;
	*at = i;
	*ret_number = number;
	return 0;
}

int layout_parse_claim(const char *name, size_t len, struct layout_claim *ret_claim)
{
	struct layout_claim claim;
	size_t at = HASH_HEX_LEN + 1;

	if (len < HASH_HEX_LEN + 4 || name[HASH_HEX_LEN] != '.' || hash128_parse(name, &claim.unit) < 0)
		return -EINVAL;
	if (parse_number(name, len, &at, &claim.generation) < 0 || at >= len || name[at] != '.')
		return -EINVAL;
	at++;
	if (parse_number(name, len, &at, &claim.number) < 0 || at != len)
		return -EINVAL;
	*ret_claim = claim;
	return 0;
}

int layout_parse_marker(const char *name, size_t len, struct hash128 *ret_hash, uint32_t *ret_generation)
{
	size_t at = HASH_HEX_LEN + 1;
	struct hash128 hash;
	uint32_t generation;

	if (len < HASH_HEX_LEN + 2 || name[HASH_HEX_LEN] != '.' || hash128_parse(name, &hash) < 0)
		return -EINVAL;
	if (parse_number(name, len, &at, &generation) < 0 || at != len)
		return -EINVAL;
	*ret_hash = hash;
	*ret_generation = generation;
	return 0;
}

/* HOST.IIIIIIII: a host of allowed bytes that does not begin with a dot, then eight hex digits. */
bool layout_node_good(const char *name, size_t len)
{
	size_t i;

	if (len < 10 || len > LAYOUT_MAX_NODE || name[len - 9] != '.' || name[0] == '.')
		return false;
	for (i = 0; i < len - 9; i++)
		if (!host_byte(name[i]))
			return false;
	for (i = len - 8; i < len; i++)
		if (!((name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'f')))
			return false;
	return true;
}

int layout_parse_log(const char *name, size_t len, size_t *ret_len, uint32_t *ret_number)
{
	const char *dot = memrchr(name, '.', len);
	uint32_t number = 0;
	size_t at;

	/* A last component of fewer digits than an incarnation has is K. */
	if (dot && !layout_node_good(name, len)) {
		at = (size_t)(dot - name) + 1;
		if (parse_number(name, len, &at, &number) < 0 || at != len || number == 0 || number > LAYOUT_MAX_LOG_NUMBER)
			return -EINVAL;
		len = (size_t)(dot - name);
	}
	if (!layout_node_good(name, len))
		return -EINVAL;
	*ret_len = len;
	*ret_number = number;
	return 0;
}

static bool ends_with(const char *name, size_t len, const char *tail)
{
	size_t tail_len = strlen(tail);

	return len > tail_len && memcmp(name + len - tail_len, tail, tail_len) == 0;
}

int layout_parse_node_file(const char *name, size_t len, size_t *ret_len, enum layout_node_file *ret_kind)
{
	enum layout_node_file kind = LAYOUT_HEARTBEAT;
	const char *dot = memrchr(name, '.', len);
	uint32_t number;
	size_t at;

	/* A last component of fewer digits than an incarnation has is K. */
	if (dot && !layout_node_good(name, len)) {
		at = (size_t)(dot - name) + 1;
		if (parse_number(name, len, &at, &number) == 0 && at == len && number > 0)
			len = (size_t)(dot - name);
	}
	if (ends_with(name, len, ".free"))
		kind = LAYOUT_FREE;
	else if (ends_with(name, len, ".lost"))
		kind = LAYOUT_LOST;
	if (kind != LAYOUT_HEARTBEAT)
		len -= 5;
	if (!layout_node_good(name, len))
		return -EINVAL;
	*ret_len = len;
	*ret_kind = kind;
	return 0;
}
