/*
 * json_text: see json_text.h.
 */
#include "tools/json_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Characters as they are; for another byte %XX (`escape`) or U+FFFD. */
static void add_text(cJSON *object, const char *name, const char *bytes, size_t len, bool escape)
{
	struct buf text = BUF_INIT;
	size_t at, step;

	for (at = 0; at < len; at += step ? step : 1) {
		step = bytes[at] ? utf8_sequence(bytes + at, len - at) : 0;
		if (step)
			buf_add(&text, bytes + at, step);
		else if (escape)
			buf_addf(&text, "%%%02X", (unsigned char)bytes[at]);
		else
			buf_adds(&text, "\xef\xbf\xbd");
	}
	cJSON_AddStringToObject(object, name, buf_text(&text));
	buf_release(&text);
}

void json_text_add(cJSON *object, const char *name, const char *bytes)
{
	add_text(object, name, bytes, strlen(bytes), true);
}

void json_text_add_output(cJSON *object, const char *name, const struct buf *bytes)
{
	add_text(object, name, buf_text(bytes), bytes->len, false);
}

int json_text_print(cJSON *root, bool one_line)
{
	char *text = one_line ? cJSON_PrintUnformatted(root) : cJSON_Print(root);
	int error = !text ? -ENOMEM : puts(text) < 0 ? -EIO : 0;

	cJSON_free(text);
	cJSON_Delete(root);
	return error;
}
