/*
 * record: writing and reading the lines of a queue's logs. The format is drawn in record.h. Lines come from other nodes: nothing in
 * them is trusted, every field is checked before it is believed, and a line is taken whole or not at all.
 */
#include "queue/record.h"

#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "base/pct.h"

#define RECORD_VERSION "1"
#define RECORD_MAX_COMPONENT 255

static const char *const record_words[RECORD_WHATS] = {
	[RECORD_DONE] = "done",
	[RECORD_FAILED] = "failed",
	[RECORD_LOST] = "lost",
	[RECORD_REDO] = "redo",
};

static bool is_component(const char *text, size_t len)
{
	if (len == 0 || len > RECORD_MAX_COMPONENT)
		return false;
	return !(len == 1 && text[0] == '.') && !(len == 2 && text[0] == '.' && text[1] == '.');
}

bool record_name_good(const char *name)
{
	const char *start = name;
	size_t len;

	if (strnlen(name, RECORD_MAX_NAME + 1) > RECORD_MAX_NAME)
		return false;
	for (;;) {
		len = strcspn(start, "/");
		if (!is_component(start, len))
			return false;
		if (start[len] == '\0')
			return true;
		start += len + 1;
	}
}

/* ---- values ---- */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') || (c >= 'a' && c <= 'f');
}

/* The length of "k" in a "k=v" of `len` bytes; 0: it is none. */
static size_t value_name_len(const char *text, size_t len)
{
	size_t i;

	if (len == 0 || text[0] < 'a' || text[0] > 'z')
		return 0;
	for (i = 1; i < len; i++)
		if (!((text[i] >= 'a' && text[i] <= 'z') || (text[i] >= '0' && text[i] <= '9') || text[i] == '_'))
			break;
	return i < len && text[i] == '=' ? i : 0;
}

static bool value_bytes_good(const char *text, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if ((unsigned char)text[i] <= 0x20 || text[i] == 0x7f)
			return false;
		if (text[i] != '%')
			continue;
		if (len - i < 3 || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))
			return false;
		if (text[i + 1] == '0' && text[i + 2] == '0')
			return false;
	}
	return true;
}

bool record_values_good(const char *values)
{
	size_t len;

	if (!values || values[0] == '\0')
		return true;
	if (strnlen(values, RECORD_MAX_VALUES + 1) > RECORD_MAX_VALUES)
		return false;
	for (;; values += len + 1) {
		len = strcspn(values, " ");
		if (value_name_len(values, len) == 0 || !value_bytes_good(values, len))
			return false;
		if (values[len] == '\0')
			return true;
	}
}

static int add_decoded(struct buf *to, const char *text, size_t len)
{
	struct buf copy = BUF_INIT;
	int decoded, error;

	buf_add(&copy, text, len);
	error = buf_error(&copy);
	if (!error && len > 0) {
		decoded = pct_decode(copy.data);
		if (decoded < 0)
			error = decoded;
		else
			buf_add(to, copy.data, (size_t)decoded);
	}
	buf_release(&copy);
	return error ? error : buf_error(to);
}

const char *record_find_value(const char *values, const char *name, size_t *ret_len)
{
	size_t len, name_len = strlen(name);

	for (; values && values[0] != '\0'; values += len + (values[len] == ' ')) {
		len = strcspn(values, " ");
		if (len > name_len && values[name_len] == '=' && memcmp(values, name, name_len) == 0) {
			*ret_len = len - name_len - 1;
			return values + name_len + 1;
		}
	}
	return NULL;
}

int record_value(const char *values, const char *name, struct buf *ret_value)
{
	const char *value;
	size_t len;

	value = record_find_value(values, name, &len);
	return value ? add_decoded(ret_value, value, len) : -ENOENT;
}

/* ---- lines ---- */

static bool record_good(const struct record *record)
{
	return (unsigned int)record->what < RECORD_WHATS && record->time >= 0 && record_name_good(record->name) &&
	       record_values_good(record->values);
}

int record_format(const struct record *record, struct buf *to)
{
	char unit[HASH_HEX_LEN + 1], key[HASH_HEX_LEN + 1];

	if (!record_good(record))
		return -EINVAL;
	hash128_hex(&record->unit, unit);
	hash128_hex(&record->key, key);
	buf_addf(to, RECORD_VERSION " %s %s %u %lld %u %s ", record_words[record->what], unit, record->generation,
		 (long long)record->time, record->attempt, hash128_equal(&record->unit, &record->key) ? "-" : key);
	pct_encode_value(to, record->name, strlen(record->name));
	if (record->values && record->values[0] != '\0') {
		buf_addch(to, ' ');
		buf_adds(to, record->values);
	}
	buf_addch(to, '\n');
	return buf_error(to);
}

/* Cuts the next field off at its space; "" once there is none left, which no fixed field may be. */
static char *next_field(char **rest)
{
	char *field = *rest;
	size_t len = strcspn(field, " ");

	*rest = field + len + (field[len] == ' ');
	field[len] = '\0';
	return field;
}

static int parse_what(const char *text, enum record_what *ret_what)
{
	int what;

	for (what = 0; what < RECORD_WHATS; what++)
		if (strcmp(text, record_words[what]) == 0) {
			*ret_what = (enum record_what)what;
			return 0;
		}
	return -EINVAL;
}

static int parse_hash(const char *text, struct hash128 *ret_hash)
{
	return strlen(text) == HASH_HEX_LEN ? hash128_parse(text, ret_hash) : -EINVAL;
}

/* Digits only: conf_parse_number alone would take signs and blanks as well. */
static int parse_number(const char *text, int64_t max, int64_t *ret_number)
{
	if (text[0] == '\0' || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	return conf_parse_number(text, 0, max, ret_number) < 0 ? -EINVAL : 0;
}

static int parse_u32(const char *text, uint32_t *ret_number)
{
	int64_t number;

	if (parse_number(text, UINT32_MAX, &number) < 0)
		return -EINVAL;
	*ret_number = (uint32_t)number;
	return 0;
}

static int parse_name(char *text, const char **ret_name)
{
	if (pct_decode(text) < 0 || !record_name_good(text))
		return -EINVAL;
	*ret_name = text;
	return 0;
}

int record_parse(char *line, size_t len, struct record *ret_record)
{
	struct record record = { 0 };
	const char *key;
	char *rest = line;

	if (len == 0)
		return -ENODATA;
	if (len >= RECORD_MAX_LINE || memchr(line, '\0', len) || line[len - 1] == ' ')
		return -EINVAL;
	line[len] = '\0';
	if (strcmp(next_field(&rest), RECORD_VERSION) != 0 || parse_what(next_field(&rest), &record.what) < 0 ||
	    parse_hash(next_field(&rest), &record.unit) < 0 || parse_u32(next_field(&rest), &record.generation) < 0 ||
	    parse_number(next_field(&rest), INT64_MAX, &record.time) < 0 || parse_u32(next_field(&rest), &record.attempt) < 0)
		return -EINVAL;
	key = next_field(&rest);
	if (strcmp(key, "-") == 0)
		record.key = record.unit;
	else if (parse_hash(key, &record.key) < 0)
		return -EINVAL;
	if (parse_name(next_field(&rest), &record.name) < 0)
		return -EINVAL;
	record.values = rest;
	if (!record_values_good(record.values))
		return -EINVAL;
	*ret_record = record;
	return 0;
}
