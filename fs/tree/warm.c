/* warm: see warm.h. */
#include "tree/warm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "tree/tree.h"

#define LATELY_NS (30 * NS_PER_S)	/* so long it is worth looking at what was used, together with what is above it */

#define TICK_NS (10 * NS_PER_MS)	/* of the kernel's clock for that */

struct warm_dir {
	struct node *node;		/* held; NULL: free */
	struct sftp_attrs attrs;
	int64_t seen_ns;		/* when they were asked for; or when the directory was first used, and `seen` is false */
	int64_t used_ns;
	int64_t told_until_ns;		/* the kernel need not ask before */
	bool seen;
	bool asked;			/* an LSTAT is under way */
};

struct warm {
	struct tree *tree;
	pthread_mutex_t lock;		/* guards what follows */
	struct warm_dir dirs[WARM_DIRS];
	bool stopped;
};

struct look {
	struct warm *warm;
	struct node *node;		/* held */
};

int warm_new(struct tree *tree, struct warm **ret_warm)
{
	struct warm *warm = calloc(1, sizeof(*warm));

	if (!warm)
		return -ENOMEM;
	warm->tree = tree;
	pthread_mutex_init(&warm->lock, NULL);
	*ret_warm = warm;
	return 0;
}

void warm_stop(struct warm *warm)
{
	struct node *nodes[WARM_DIRS];
	int i;

	if (!warm)
		return;
	pthread_mutex_lock(&warm->lock);
	warm->stopped = true;
	for (i = 0; i < WARM_DIRS; i++) {
		nodes[i] = warm->dirs[i].node;
		warm->dirs[i].node = NULL;
	}
	pthread_mutex_unlock(&warm->lock);
	for (i = 0; i < WARM_DIRS; i++)
		node_unref(warm->tree, nodes[i]);
}

void warm_free(struct warm *warm)
{
	if (!warm)
		return;
	pthread_mutex_destroy(&warm->lock);
	free(warm);
}

static int64_t lifetime(const struct warm *warm)
{
	return (int64_t)(warm->tree->options.entry_ttl * NS_PER_S);
}

/* ---- the directories ---- */

static struct warm_dir *find_locked(struct warm *warm, const struct node *node)
{
	int i;

	for (i = 0; i < WARM_DIRS; i++)
		if (warm->dirs[i].node == node)
			return &warm->dirs[i];
	return NULL;
}

/* The one of the node, made in place of the one that was not used for longest. `ret_old`: to be let go, or NULL. */
static struct warm_dir *get_locked(struct warm *warm, struct node *node, int64_t now, struct node **ret_old)
{
	struct warm_dir *dir = find_locked(warm, node);
	int i;

	*ret_old = NULL;
	if (!dir) {
		dir = &warm->dirs[0];
		for (i = 1; i < WARM_DIRS && dir->node; i++)
			if (!warm->dirs[i].node || warm->dirs[i].used_ns < dir->used_ns)
				dir = &warm->dirs[i];
		*ret_old = dir->node;
		*dir = (struct warm_dir){ .node = node, .seen_ns = now };
		node_ref(warm->tree, node);
	}
	dir->used_ns = now;
	return dir;
}

/* ---- looking ---- */

static void looked(void *arg, const struct sftp_reply *answer)
{
	struct look *look = arg;
	struct warm *warm = look->warm;
	struct node *old = NULL;
	struct warm_dir *dir;

	pthread_mutex_lock(&warm->lock);
	dir = find_locked(warm, look->node);
	if (dir && !answer->error && S_ISDIR(answer->attrs.mode)) {
		dir->asked = false;
		dir->seen = true;
		dir->seen_ns = answer->attrs.asked_ns;
		dir->attrs = answer->attrs;
	} else if (dir) {
		old = dir->node;
		dir->node = NULL;
	}
	pthread_mutex_unlock(&warm->lock);
	node_unref(warm->tree, old);
	node_unref(warm->tree, look->node);
	free(look);
}

/* `node` is marked as asked, and held: the ref goes to the look. */
static void look_at(struct warm *warm, struct node *node)
{
	struct look *look = malloc(sizeof(*look));
	struct sftp *sftp = warm->tree->sftp;
	struct sftp_reply failed = { 0 };
	struct buf path = BUF_INIT;

	if (!look) {
		pthread_mutex_lock(&warm->lock);
		if (find_locked(warm, node))
			find_locked(warm, node)->asked = false;
		pthread_mutex_unlock(&warm->lock);
		node_unref(warm->tree, node);
		return;
	}
	look->warm = warm;
	look->node = node;
	failed.error = node_path(warm->tree, node, NULL, &path);
	if (!failed.error && warm->tree->options.follow_symlinks)
		failed.error = sftp_stat(sftp, SFTP_CONTROL, path.data, looked, look);
	else if (!failed.error)
		failed.error = sftp_lstat(sftp, SFTP_CONTROL, path.data, looked, look);
	buf_release(&path);
	if (failed.error)
		looked(look, &failed);
}

/* Shall it be looked at? Marks it so, and holds the node. */
static bool take_locked(struct warm *warm, struct warm_dir *dir, int64_t older_than)
{
	if (dir->asked || dir->seen_ns > older_than)
		return false;
	dir->asked = true;
	node_ref(warm->tree, dir->node);
	return true;
}

/* ---- from outside ---- */

/* The node's parent with a ref; NULL for what has none, and for the root. */
static struct node *parent_below_root(struct tree *tree, struct node *node)
{
	struct node *parent;

	pthread_mutex_lock(&tree->lock);
	parent = node->parent;
	if (parent && parent->parent && parent->ops == &real_ops)
		parent->refs++;
	else
		parent = NULL;
	pthread_mutex_unlock(&tree->lock);
	return parent;
}

static bool is_directory(struct tree *tree, const struct node *node)
{
	bool is;

	pthread_mutex_lock(&tree->lock);
	is = node->ops == &real_ops && S_ISDIR(node->type);
	pthread_mutex_unlock(&tree->lock);
	return is;
}

/* One of the path. True: it is to be looked at, and was given a ref for that. */
static bool use(struct warm *warm, struct node *node)
{
	int64_t now = clock_now();
	struct node *old = NULL;
	bool take = false;

	pthread_mutex_lock(&warm->lock);
	if (!warm->stopped)
		take = take_locked(warm, get_locked(warm, node, now, &old), now - lifetime(warm) / 2);
	pthread_mutex_unlock(&warm->lock);
	node_unref(warm->tree, old);
	return take;
}

void warm_used(struct warm *warm, struct node *dir)
{
	struct node *node = dir, *parent;
	int most = WARM_DIRS / 2;

	if (!warm || lifetime(warm) <= 0 || dir == warm->tree->root || !is_directory(warm->tree, dir))
		return;
	node_ref(warm->tree, node);
	while (node && most--) {
		if (use(warm, node))
			look_at(warm, node);
		parent = parent_below_root(warm->tree, node);
		node_unref(warm->tree, node);
		node = parent;
	}
	node_unref(warm->tree, node);
}

void warm_saw(struct warm *warm, struct node *node, const struct sftp_attrs *attrs)
{
	struct warm_dir *dir;

	if (!warm || !S_ISDIR(attrs->mode) || !attrs->asked_ns)
		return;
	pthread_mutex_lock(&warm->lock);
	dir = find_locked(warm, node);
	if (dir && (!dir->seen || dir->seen_ns < attrs->asked_ns)) {
		dir->seen = true;
		dir->seen_ns = attrs->asked_ns;
		dir->told_until_ns = clock_now() + lifetime(warm);
		dir->attrs = *attrs;
	}
	pthread_mutex_unlock(&warm->lock);
}

/* Before the kernel has to, it asks only if a wrong answer would do harm: before a mkdir, for one, which may be somebody's lock. */
static bool is_good_enough(const struct warm *warm, const struct warm_dir *dir, int64_t now)
{
	return dir->seen && now - dir->seen_ns < lifetime(warm) && now > dir->told_until_ns - TICK_NS;
}

static bool is_below(struct tree *tree, const struct node *node, const struct node *above)
{
	pthread_mutex_lock(&tree->lock);
	while (node && node != above)
		node = node->parent;
	pthread_mutex_unlock(&tree->lock);
	return node;
}

/* `above` is being asked for after a pause: the kernel will go on to one of these. */
static int collect_below_locked(struct warm *warm, const struct node *above, int64_t now, struct node *ret_nodes[WARM_DIRS])
{
	int i, count = 0;

	for (i = 0; i < WARM_DIRS; i++) {
		struct warm_dir *dir = &warm->dirs[i];

		if (dir->node && dir->node != above && now - dir->used_ns < LATELY_NS && is_below(warm->tree, dir->node, above) &&
		    take_locked(warm, dir, now - lifetime(warm) / 2))
			ret_nodes[count++] = dir->node;
	}
	return count;
}

bool warm_lookup(struct warm *warm, struct node *dir, const char *name, struct sftp_attrs *ret_attrs, double *ret_age)
{
	struct node *node = warm ? node_find(warm->tree, dir, name) : NULL, *below[WARM_DIRS];
	int64_t now = clock_now();
	struct warm_dir *known;
	bool fresh = false;
	int count = 0, i;

	if (!node)
		return false;
	pthread_mutex_lock(&warm->lock);
	known = find_locked(warm, node);
	if (known && is_good_enough(warm, known, now)) {
		known->told_until_ns = known->seen_ns + lifetime(warm);
		*ret_attrs = known->attrs;
		*ret_age = (double)(now - known->seen_ns) / NS_PER_S;
		fresh = true;
	} else if (known) {
		count = collect_below_locked(warm, node, now, below);
	}
	pthread_mutex_unlock(&warm->lock);
	for (i = 0; i < count; i++)
		look_at(warm, below[i]);
	node_unref(warm->tree, node);
	return fresh;
}
