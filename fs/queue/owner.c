/*
 * owner: the text of heartbeat files. Other nodes write them, so every byte is checked.
 */
#include "queue/owner.h"

#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "base/pct.h"

static const char *const kinds[] = { "live", "free", "lost" };

void owner_format(const struct owner *owner, const char *host, struct buf *to)
{
	buf_addf(to, "claimfs 1\nnode %s\nkind %s\nhost ", owner->node, kinds[owner->kind]);
	pct_encode(to, host, strlen(host));
	buf_addf(to, "\npid %lld\nstart %lld\n", (long long)owner->pid, (long long)owner->start);
}

static int parse_field(const char *line, size_t len, struct owner *owner)
{
	char text[32];
	size_t i;

	if (len > 5 && memcmp(line, "node ", 5) == 0) {
		if (!layout_node_good(line + 5, len - 5))
			return -EINVAL;
		memcpy(owner->node, line + 5, len - 5);
		owner->node[len - 5] = '\0';
	} else if (len > 5 && memcmp(line, "kind ", 5) == 0) {
		for (i = 0; i < 3; i++)
			if (len == 9 && memcmp(line + 5, kinds[i], 4) == 0)
				break;
		if (i == 3)
			return -EINVAL;
		owner->kind = (enum owner_kind)i;
	} else if (len > 4 && len < sizeof(text) && memcmp(line, "pid ", 4) == 0) {
		memcpy(text, line + 4, len - 4);
		text[len - 4] = '\0';
		if (conf_parse_number(text, 0, INT32_MAX, &owner->pid) < 0)
			return -EINVAL;
	} else if (len > 6 && len < sizeof(text) && memcmp(line, "start ", 6) == 0) {
		memcpy(text, line + 6, len - 6);
		text[len - 6] = '\0';
		if (conf_parse_number(text, INT64_MIN, INT64_MAX, &owner->start) < 0)
			return -EINVAL;
	}
	return 0;
}

int owner_parse(const char *text, size_t len, struct owner *ret_owner)
{
	static const char head[] = "claimfs 1\n";
	struct owner owner = { .kind = OWNER_LIVE };
	const char *end, *newline;

	if (len > OWNER_MAX_BYTES)
		len = OWNER_MAX_BYTES;
	if (len < sizeof(head) - 1 || memcmp(text, head, sizeof(head) - 1) != 0)
		return -EINVAL;
	for (end = text + len, text += sizeof(head) - 1; text < end; text = newline + 1) {
		newline = memchr(text, '\n', (size_t)(end - text));
		if (!newline)
			break;
		if (parse_field(text, (size_t)(newline - text), &owner) < 0)
			return -EINVAL;
	}
	if (!owner.node[0])
		return -EINVAL;
	*ret_owner = owner;
	return 0;
}
