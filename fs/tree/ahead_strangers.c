/* ahead_strangers: see ahead_strangers.h. */
#include "tree/ahead_strangers.h"

#include <stddef.h>
#include <string.h>

#include "tree/node.h"

#define DUE 2			/* files opened of a directory that was not listed make it worth listing; if that did not help, twice as many */
#define DUE_MOST 4096

static struct stranger *find(struct strangers *strangers, struct tree *tree, struct node *node, struct node **ret_old)
{
	struct stranger *stranger;
	unsigned int i;

	for (i = 0; i < STRANGERS_MAX; i++)
		if (strangers->known[i].node == node)
			return &strangers->known[i];
	stranger = &strangers->known[strangers->next];
	strangers->next = (strangers->next + 1) % STRANGERS_MAX;
	*ret_old = stranger->node;
	node_ref(tree, node);
	*stranger = (struct stranger){ .node = node, .due = DUE };
	return stranger;
}

bool strangers_opened(struct strangers *strangers, struct tree *tree, struct node *node, struct node **ret_old)
{
	struct stranger *stranger;

	*ret_old = NULL;
	stranger = find(strangers, tree, node, ret_old);
	if (++stranger->opened < stranger->due)
		return false;
	stranger->opened = 0;
	if (stranger->due < DUE_MOST)
		stranger->due *= 2;
	return true;
}

void strangers_clear(struct strangers *strangers, struct strangers *ret_old)
{
	*ret_old = *strangers;
	memset(strangers, 0, sizeof(*strangers));
}

void strangers_release(struct strangers *strangers, struct tree *tree)
{
	unsigned int i;

	for (i = 0; i < STRANGERS_MAX; i++)
		node_unref(tree, strangers->known[i].node);
}
