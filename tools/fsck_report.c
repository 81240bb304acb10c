/*
 * fsck_report: what `claimctl fsck` prints: a line a finding (with --json an object a line), counts at the end. Names are
 * percent-encoded as in ctl.
 */
#include "tools/fsck.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/pct.h"
#include "base/utf8.h"

static const struct kind {
	const char *name;		/* for programs */
	const char *text;
	const char *mended;
} kinds[FSCK_KINDS] = {
	[FSCK_CONF] = { "conf", "not the settings of a queue", "" },
	[FSCK_DIR] = { "directory", "missing", "made" },
	[FSCK_NAME] = { "name", "not a name that belongs there", "" },
	[FSCK_GAP] = { "gap", "missing before a later claim, so nobody can claim the unit", "filled with a released claim" },
	[FSCK_OVER] = { "over", "left of a generation that is over", "removed" },
	[FSCK_UNRECORDED] = { "unrecorded", "a done marker that no log tells of", "recorded" },
	[FSCK_STRAY] = { "stray", "a done marker that no log tells of, and whose input is not there", "" },
	[FSCK_UNMARKED] = { "unmarked", "recorded as done, but without a marker, so it is not", "to be done again" },
	[FSCK_BOTH] = { "both", "set aside, but done as well: done counts", "" },
	[FSCK_REDO] = { "redo", "missing, though this generation or a later one has begun", "made" },
	[FSCK_NODE] = { "node", "of a node long gone", "removed" },
	[FSCK_TMP] = { "tmp", "left by a node long gone", "removed" },
	[FSCK_RESUME] = { "resume", "kept for another attempt at a unit that needs none any more", "removed" },
	[FSCK_OUTPUT] = { "output", "missing, though its unit is done", "to be done again" },
	[FSCK_LINE] = { "line", "lines that are no records are left out", "" },
	[FSCK_TORN] = { "torn", "its last line has no end and is left out", "" },
};

static const char *const outcomes[FSCK_OUTCOMES] = {
	[FSCK_NOTE] = "note", [FSCK_PROBLEM] = "problem", [FSCK_MENDED] = "mended", [FSCK_FAILED] = "failed",
};

/* "name":"value", the value percent-encoded, what is no UTF-8 as well. */
static void add_json(struct buf *to, const char *name, const char *value)
{
	struct buf text = BUF_INIT;
	const char *at;
	size_t len;

	pct_encode(&text, value, strlen(value));
	buf_addf(to, "\"%s\":\"", name);
	for (at = buf_text(&text); *at; at += len ? len : 1) {
		len = utf8_sequence(at, strlen(at));
		if (!len)
			buf_addf(to, "%%%02X", (unsigned char)*at);
		else if (*at == '"' || *at == '\\')
			buf_addf(to, "\\%c", *at);
		else
			buf_add(to, at, len);
	}
	buf_addch(to, '"');
	buf_release(&text);
}

static void add_text(struct buf *to, const char *value)
{
	pct_encode(to, value, strlen(value));
}

static void print_json(const struct kind *kind, const char *outcome, const char *path, const char *unit, const char *detail)
{
	struct buf line = BUF_INIT;

	buf_addch(&line, '{');
	add_json(&line, "kind", kind->name);
	buf_addch(&line, ',');
	add_json(&line, "outcome", outcome);
	buf_addch(&line, ',');
	add_json(&line, "path", path);
	if (unit) {
		buf_addch(&line, ',');
		add_json(&line, "unit", unit);
	}
	buf_addch(&line, ',');
	add_json(&line, "text", kind->text);
	if (detail) {
		buf_addch(&line, ',');
		add_json(&line, "detail", detail);
	}
	printf("%s}\n", buf_text(&line));
	buf_release(&line);
}

static void print_line(const struct kind *kind, const char *outcome, const char *path, const char *unit, const char *detail)
{
	struct buf line = BUF_INIT;

	add_text(&line, path);
	if (unit) {
		buf_adds(&line, " (");
		add_text(&line, unit);
		buf_addch(&line, ')');
	}
	buf_addf(&line, ": %s", kind->text);
	if (detail)
		buf_addf(&line, " (%s)", detail);
	if (outcome[0])
		buf_addf(&line, ": %s", outcome);
	printf("%s\n", buf_text(&line));
	buf_release(&line);
}

void fsck_report(struct fsck *fsck, enum fsck_kind kind, enum fsck_outcome outcome, int error, const char *path, const char *unit,
		 const char *detail)
{
	char said[200] = "";

	fsck->counts[outcome]++;
	fsck->outputs_missing |= kind == FSCK_OUTPUT && outcome == FSCK_PROBLEM;
	if (fsck->options->json) {
		print_json(&kinds[kind], outcome == FSCK_MENDED && fsck->options->dry_run ? "would be mended" : outcomes[outcome], path, unit,
			   outcome == FSCK_FAILED ? log_strerror(error) : detail);
		return;
	}
	if (outcome == FSCK_MENDED)
		snprintf(said, sizeof(said), "%s%s", fsck->options->dry_run ? "would be " : "", kinds[kind].mended);
	else if (outcome == FSCK_FAILED)
		snprintf(said, sizeof(said), "can't be %s: %s", kinds[kind].mended, log_strerror(error));
	print_line(&kinds[kind], said, path, unit, detail);
}

void fsck_report_mend(struct fsck *fsck, enum fsck_kind kind, int error, const char *path, const char *unit)
{
	fsck_report(fsck, kind, error ? FSCK_FAILED : FSCK_MENDED, error, path, unit, NULL);
}

void fsck_report_end(const struct fsck *fsck, size_t inputs, size_t done, size_t failed)
{
	const size_t *counts = fsck->counts;
	struct buf line = BUF_INIT;

	if (fsck->options->json) {
		buf_addch(&line, '{');
		add_json(&line, "queue", fsck->dir);
		buf_addf(&line, ",\"dry_run\":%s,\"inputs\":%zu,\"done\":%zu,\"failed_units\":%zu,\"mended\":%zu,\"problems\":%zu,",
			 fsck->options->dry_run ? "true" : "false", inputs, done, failed, counts[FSCK_MENDED], counts[FSCK_PROBLEM]);
		buf_addf(&line, "\"not_mended\":%zu,\"notes\":%zu}", counts[FSCK_FAILED], counts[FSCK_NOTE]);
	} else {
		if (fsck->outputs_missing)
			buf_adds(&line, "--redo-missing has units whose output is missing done again; --no-outputs is for jobs that leave none\n");
		buf_addf(&line, "%zu input%s, %zu done, %zu failed: ", inputs, inputs == 1 ? "" : "s", done, failed);
		if (!counts[FSCK_MENDED] && !counts[FSCK_PROBLEM] && !counts[FSCK_FAILED])
			buf_adds(&line, "clean");
		else
			buf_addf(&line, "%zu %s, %zu problem%s left", counts[FSCK_MENDED],
				 fsck->options->dry_run ? "would be mended" : "mended", counts[FSCK_PROBLEM] + counts[FSCK_FAILED],
				 counts[FSCK_PROBLEM] + counts[FSCK_FAILED] == 1 ? "" : "s");
		if (counts[FSCK_NOTE])
			buf_addf(&line, ", %zu note%s", counts[FSCK_NOTE], counts[FSCK_NOTE] == 1 ? "" : "s");
	}
	printf("%s\n", buf_text(&line));
	buf_release(&line);
}
