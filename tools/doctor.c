/*
 * doctor: the list of findings.
 */
#include "tools/doctor.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static struct finding *next(struct findings *findings)
{
	size_t cap = findings->cap ? 2 * findings->cap : 32;
	struct finding *list;

	if (findings->count == findings->cap) {
		list = reallocarray(findings->list, cap, sizeof(*list));
		if (!list)
			return NULL;
		findings->list = list;
		findings->cap = cap;
	}
	return &findings->list[findings->count];
}

void findings_add(struct findings *findings, const char *section, const char *name, const char *advice, const char *format, ...)
{
	struct finding *finding = next(findings);
	struct buf text = BUF_INIT;
	va_list args;

	va_start(args, format);
	buf_vaddf(&text, format, args);
	va_end(args);
	if (finding && !buf_error(&text)) {
		*finding = (struct finding){ .section = section, .name = name, .text = buf_detach(&text), .advice = advice ? strdup(advice) : NULL };
		if (finding->text && (finding->advice || !advice)) {
			findings->count++;
			return;
		}
		free(finding->text);
		free(finding->advice);
	}
	buf_release(&text);
	findings->failed = true;
}

size_t findings_warnings(const struct findings *findings)
{
	size_t i, count = 0;

	for (i = 0; i < findings->count; i++)
		count += findings->list[i].advice != NULL;
	return count;
}

void findings_release(struct findings *findings)
{
	size_t i;

	for (i = 0; i < findings->count; i++) {
		free(findings->list[i].text);
		free(findings->list[i].advice);
	}
	free(findings->list);
	*findings = (struct findings){ 0 };
}
