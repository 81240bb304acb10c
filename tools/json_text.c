/*
 * json_text: see json_text.h.
 */
#include "tools/json_text.h"

#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

void json_text_add(cJSON *object, const char *name, const char *bytes)
{
	size_t len = strlen(bytes), at, step;
	struct buf text = BUF_INIT;

	for (at = 0; at < len; at += step ? step : 1) {
		step = utf8_sequence(bytes + at, len - at);
		if (step)
			buf_add(&text, bytes + at, step);
		else
			buf_addf(&text, "%%%02X", (unsigned char)bytes[at]);
	}
	cJSON_AddStringToObject(object, name, buf_text(&text));
	buf_release(&text);
}
