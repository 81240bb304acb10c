/*
 * ctl_parse: what a line written to ctl says. The commands are listed in ctl.h.
 */
#ifndef CLAIMFS_QUEUE_CTL_PARSE_H
#define CLAIMFS_QUEUE_CTL_PARSE_H

#include <stdbool.h>

#include "base/buf.h"

#define CTL_MAX_TAKE 100000
#define CTL_MAX_PUT (1u << 20)	/* bytes of an output in ctl */

enum ctl_verb { CTL_TAKE, CTL_CLAIM, CTL_HEDGE, CTL_CHECK, CTL_DONE, CTL_PUT, CTL_FAIL, CTL_RELEASE };

struct ctl_command {
	enum ctl_verb verb;
	bool takes;		/* take, claim, hedge */
	int count;		/* take */
	bool wait;
	bool attempt;		/* take: say each unit's attempt too */
	unsigned int mode;	/* put: permission bits */
	const char *name;	/* of all but take: decoded; NULL: hedge, of whichever unit */
	const char *values;	/* done, put, fail: "k=v k=v", still encoded; "" when none */
};

/* Is a unit of this name the session's? Settles where a name with spaces ends and its values begin. */
typedef bool ctl_holds(void *arg, const char *name);

/*
 * Reads a line without its newline. It is changed, and the command points into it. 0, or -EINVAL with the reason, for the answer, in
 * `why` (one line).
 *
 * A name may hold spaces, and words that look like k=v. Of all ways to split the line the one that leaves the longest name that the session holds is
 * taken; if it holds none of them, every trailing k=v is a value. Who wants to be sure writes spaces as %20.
 */
int ctl_parse(char *line, ctl_holds *holds, void *arg, struct ctl_command *ret_command, struct buf *why);

/*
 * How many bytes of data follow the newline of this line, of `len` bytes: none but after `put`. 0; -EINVAL when that can't be told, so that what
 * follows must not be taken for lines; -EMSGSIZE for more than CTL_MAX_PUT.
 */
int ctl_payload(const char *line, size_t len, size_t *ret_bytes);

/* The answer line for a -errno or STORE_…: "error ENAME text\n", appended. */
void ctl_say_error(struct buf *to, int error);

#endif
