/*
 * ctl_line: what was written to ctl, cut into lines; a line carries its command once it was parsed, and its answer once it was run.
 */
#ifndef CLAIMFS_QUEUE_CTL_LINE_H
#define CLAIMFS_QUEUE_CTL_LINE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/list.h"
#include "queue/ctl_parse.h"
#include "queue/queue.h"

#define CTL_ANSWER_ROOM 64

struct ctl_line {			/* a command: as it was written, what it says once parsed, and its answer */
	struct list link;
	char *text;
	size_t len;
	struct queue_output output;	/* of a put: what follows the text's NUL */
	struct ctl_command command;
	struct buf answer;	/* room for CTL_ANSWER_ROOM bytes from the start, so that an error can always be said */
	bool eof;		/* the answer is an end of file */
	size_t taken;		/* bytes of it that were read */
	struct buf names;	/* of a take: what it names, NUL-terminated each; dropped once the first byte was read */
};

void ctl_line_free(struct ctl_line *line);	/* NULL is fine */
void ctl_lines_free(struct list *lines);
size_t ctl_line_bytes(const struct ctl_line *line);	/* the memory it takes, about, without its answer */

/*
 * Cuts `data` into lines, with the data behind each put; they are the caller's, on an error too. *ret_used is how much of it whole ones took. 0,
 * -EMSGSIZE, -EINVAL (ctl_write), -ENOMEM.
 */
int ctl_split(const char *data, size_t len, struct list *ret_lines, size_t *ret_used);

#endif
