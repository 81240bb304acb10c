/*
 * node: see node.h. One map, (parent's address, name) → node, and one of the inode numbers that renamed nodes took with them.
 */
#include "tree/node.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "sftp/client.h"
#include "tree/file.h"
#include "tree/tree.h"

#define NODE_MAX_NAME 255
#define NODE_MAX_KEY (sizeof(void *) + NODE_MAX_NAME)
#define NODE_ROOT_INO 1

struct node_key {
	char bytes[NODE_MAX_KEY];
	size_t len;
};

/* false: no node can have such a name. */
static bool make_key(struct node_key *key, const struct node *dir, const char *name)
{
	size_t len = strlen(name);

	if (len > NODE_MAX_NAME)
		return false;
	memcpy(key->bytes, &dir, sizeof(dir));
	memcpy(key->bytes + sizeof(dir), name, len);
	key->len = sizeof(dir) + len;
	return true;
}

struct node *node_new_root(const struct node_ops *ops)
{
	struct node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->name = strdup("");
	if (!node->name) {
		free(node);
		return NULL;
	}
	node->ops = ops;
	node->ino = NODE_ROOT_INO;
	node->type = S_IFDIR;
	node->refs = 1;
	return node;
}

/* ---- life ---- */

static void destroy(struct node *node)
{
	if (node->ops->free)
		node->ops->free(node);
	free(node->name);
	free(node->anchor);
	free(node);
}

/* Takes the node's name out of the table; its ref on the parent stays with the caller. */
static struct node *unname_locked(struct tree *tree, struct node *node)
{
	struct node *parent = node->parent;
	struct node_key key;

	if (!parent)
		return NULL;
	if (make_key(&key, parent, node->name))
		map_remove(&tree->names, key.bytes, key.len);
	node->parent = NULL;
	return parent;
}

/* Gives up a ref. Nodes that die of it are chained by their `parent`, for destroy_chain() once the lock is free. */
static void unref_locked(struct tree *tree, struct node *node, struct node **chain)
{
	while (node) {
		struct node *parent;

		node->refs--;
		if (node->refs || node->lookups || node == tree->root)
			return;
		parent = unname_locked(tree, node);
		if (node->stray)
			map_remove(&tree->strays, &node->ino, sizeof(node->ino));
		if (node->twin)		/* has none itself: this goes no deeper */
			unref_locked(tree, node->twin, chain);
		node->parent = *chain;
		*chain = node;
		node = parent;
	}
}

static void destroy_chain(struct node *chain)
{
	while (chain) {
		struct node *next = chain->parent;

		chain->parent = NULL;
		destroy(chain);
		chain = next;
	}
}

static unsigned long long digest(uint64_t size, int64_t mtime)
{
	uint64_t both[] = { size, (uint64_t)mtime };

	return hash64_of(both, sizeof(both), 0) | 1;
}

void node_told(struct node *node, const struct stat *st, double ttl)
{
	atomic_store(&node->told, ttl > 0 ? digest((uint64_t)st->st_size, st->st_mtime) : 0);
}

bool node_told_other(const struct node *node, const struct sftp_attrs *attrs)
{
	unsigned long long told = atomic_load(&node->told);

	return told && (!attrs || told != digest(attrs->size, attrs->mtime));
}

void node_ref(struct tree *tree, struct node *node)
{
	pthread_mutex_lock(&tree->lock);
	node->refs++;
	pthread_mutex_unlock(&tree->lock);
}

void node_unref(struct tree *tree, struct node *node)
{
	struct node *chain = NULL;

	if (!node)
		return;
	pthread_mutex_lock(&tree->lock);
	unref_locked(tree, node, &chain);
	pthread_mutex_unlock(&tree->lock);
	destroy_chain(chain);
}

void node_looked_up(struct tree *tree, struct node *node)
{
	pthread_mutex_lock(&tree->lock);
	node->lookups++;
	pthread_mutex_unlock(&tree->lock);
}

void node_forget(struct tree *tree, struct node *node, uint64_t count)
{
	struct node *chain = NULL;

	pthread_mutex_lock(&tree->lock);
	node->refs++;
	node->lookups -= count < node->lookups ? count : node->lookups;
	if (!node->lookups)
		tree->forgot_ns = clock_now();
	unref_locked(tree, node, &chain);
	pthread_mutex_unlock(&tree->lock);
	destroy_chain(chain);
}

void node_free_all(struct tree *tree)
{
	size_t cursor = 0;
	struct node *node;

	/* Nodes with a name are in both tables: those without one go first, while all of them can still be asked. */
	while ((node = map_next(&tree->strays, &cursor, NULL, NULL)))
		if (!node->parent)
			destroy(node);
	cursor = 0;
	while ((node = map_next(&tree->names, &cursor, NULL, NULL)))
		destroy(node);
	map_release(&tree->names);
	map_release(&tree->strays);
	if (tree->root)
		destroy(tree->root);
	tree->root = NULL;
}

/* ---- names ---- */

static struct node *find_locked(struct tree *tree, struct node *dir, const char *name)
{
	struct node_key key;

	return make_key(&key, dir, name) ? map_get(&tree->names, key.bytes, key.len) : NULL;
}

/* Where a node is first seen decides its number, unless one that was renamed away still has it. */
static uint64_t choose_ino(const struct tree *tree, const struct node *dir, const char *name)
{
	uint64_t ino = hash64_of(name, strlen(name), dir->ino);

	while (ino <= NODE_ROOT_INO || map_get(&tree->strays, &ino, sizeof(ino)))
		ino = hash64_of(&ino, sizeof(ino), dir->ino);
	return ino;
}

/* A node whose number no longer follows from its name: later nodes must not get the same. */
static int make_stray_locked(struct tree *tree, struct node *node)
{
	int error;

	if (node->stray || node->twin || node == tree->root)
		return 0;
	error = map_set(&tree->strays, &node->ino, sizeof(node->ino), node, NULL);
	if (!error)
		node->stray = true;
	return error;
}

static struct node *new_locked(struct tree *tree, struct node *dir, const char *name, const struct node_ops *ops)
{
	struct node *node = calloc(1, sizeof(*node));
	struct node_key key;

	if (!node)
		return NULL;
	node->name = strdup(name);
	node->ops = ops;
	node->refs = 1;
	node->ino = choose_ino(tree, dir, name);
	if (!node->name || !make_key(&key, dir, name) || map_set(&tree->names, key.bytes, key.len, node, NULL)) {
		free(node->name);
		free(node);
		return NULL;
	}
	node->parent = dir;
	dir->refs++;
	return node;
}

/* The name goes; the node stays for those who hold it, and keeps its number. */
static void lose_name_locked(struct tree *tree, struct node *node, struct node **chain)
{
	struct node *parent;

	make_stray_locked(tree, node);	/* out of memory: a number might be seen twice, which harms nobody */
	tree->forgot_ns = clock_now();
	free(node->anchor);
	node->anchor = NULL;
	node->refs++;
	parent = unname_locked(tree, node);
	if (parent)
		unref_locked(tree, parent, chain);
	unref_locked(tree, node, chain);
}

struct node *node_get(struct tree *tree, struct node *dir, const char *name, const struct node_ops *ops)
{
	struct node *chain = NULL, *node;

	pthread_mutex_lock(&tree->lock);
	node = find_locked(tree, dir, name);
	if (node && node->ops != ops) {
		dir->refs++;
		lose_name_locked(tree, node, &chain);
		dir->refs--;
		node = NULL;
	}
	if (node)
		node->refs++;
	else
		node = new_locked(tree, dir, name, ops);
	pthread_mutex_unlock(&tree->lock);
	destroy_chain(chain);
	return node;
}

struct node *node_find(struct tree *tree, struct node *dir, const char *name)
{
	struct node *node;

	pthread_mutex_lock(&tree->lock);
	node = find_locked(tree, dir, name);
	if (node)
		node->refs++;
	pthread_mutex_unlock(&tree->lock);
	return node;
}

bool node_is_new(struct tree *tree, struct node *dir, const char *name, int64_t since_ns)
{
	bool is;

	pthread_mutex_lock(&tree->lock);
	is = tree->forgot_ns < since_ns && !find_locked(tree, dir, name);
	pthread_mutex_unlock(&tree->lock);
	return is;
}

uint64_t node_ino(struct tree *tree, struct node *dir, const char *name)
{
	const struct node *node;
	uint64_t ino;

	pthread_mutex_lock(&tree->lock);
	node = find_locked(tree, dir, name);
	ino = node ? node->ino : choose_ino(tree, dir, name);
	pthread_mutex_unlock(&tree->lock);
	return ino;
}

bool node_is_virtual(struct tree *tree, struct node *dir, const char *name)
{
	const struct node *node;
	bool is_virtual;

	pthread_mutex_lock(&tree->lock);
	node = find_locked(tree, dir, name);
	is_virtual = node && !node->ops->real;
	pthread_mutex_unlock(&tree->lock);
	return is_virtual;
}

unsigned int node_depth(struct tree *tree, struct node *node)
{
	unsigned int depth = 0;
	const struct node *at;

	pthread_mutex_lock(&tree->lock);
	for (at = node; at->parent; at = at->parent)
		depth++;
	pthread_mutex_unlock(&tree->lock);
	return depth;
}

struct node *node_typed(struct tree *tree, struct node *node, mode_t mode)
{
	struct node *chain = NULL, *dir, *other;
	mode_t type = mode & S_IFMT;

	pthread_mutex_lock(&tree->lock);
	if (!node->type)
		node->type = type;
	if (!type || node->type == type || !node->parent) {
		pthread_mutex_unlock(&tree->lock);
		return node;
	}
	dir = node->parent;
	dir->refs++;
	lose_name_locked(tree, node, &chain);
	other = new_locked(tree, dir, node->name, node->ops);
	if (other)
		other->type = type;
	unref_locked(tree, dir, &chain);
	unref_locked(tree, node, &chain);
	pthread_mutex_unlock(&tree->lock);
	destroy_chain(chain);
	return other;
}

void node_removed(struct tree *tree, struct node *dir, const char *name)
{
	struct node *chain = NULL, *node;

	pthread_mutex_lock(&tree->lock);
	node = find_locked(tree, dir, name);
	if (node)
		lose_name_locked(tree, node, &chain);
	pthread_mutex_unlock(&tree->lock);
	destroy_chain(chain);
}

bool node_is_removed(struct tree *tree, const struct node *node)
{
	bool removed;

	pthread_mutex_lock(&tree->lock);
	removed = !node->parent && !node->twin && node != tree->root;
	pthread_mutex_unlock(&tree->lock);
	return removed;
}

static int move_locked(struct tree *tree, struct node *node, struct node *new_dir, char *new_name, struct node **chain)
{
	struct node_key key;
	struct node *parent;
	int error;

	error = make_stray_locked(tree, node);
	if (error)
		return error;
	if (!make_key(&key, new_dir, new_name))
		return -ENAMETOOLONG;
	error = map_set(&tree->names, key.bytes, key.len, node, NULL);
	if (error)
		return error;
	parent = unname_locked(tree, node);
	free(node->name);
	node->name = new_name;
	node->parent = new_dir;
	new_dir->refs++;
	unref_locked(tree, parent, chain);
	return 0;
}

static bool is_below_locked(const struct node *node, const struct node *above)
{
	while (node && node != above)
		node = node->parent;
	return node != NULL;
}

int node_opened(struct tree *tree, struct node *top, struct node ***ret_nodes)
{
	struct node **nodes = NULL, *node;
	size_t cursor = 0, count = 0, room = 0;

	pthread_mutex_lock(&tree->lock);
	while ((node = map_next(&tree->names, &cursor, NULL, NULL))) {
		if (!node->ops->real || !node->data || !is_below_locked(node, top))
			continue;
		if (count == room) {
			struct node **more = realloc(nodes, (room + 16) * 2 * sizeof(*nodes));

			if (!more)
				break;
			nodes = more;
			room = (room + 16) * 2;
		}
		node->refs++;
		nodes[count++] = node;
	}
	pthread_mutex_unlock(&tree->lock);
	*ret_nodes = nodes;
	return (int)count;
}

/* Open files at or below a renamed node learn where they are now. */
static void tell_open_files(struct tree *tree, struct node *top)
{
	struct node **nodes;
	int count, i;

	if (S_ISREG(top->type)) {
		if (top->data)
			file_moved(tree, top);
		return;
	}
	count = node_opened(tree, top, &nodes);
	for (i = 0; i < count; i++) {
		file_moved(tree, nodes[i]);
		node_unref(tree, nodes[i]);
	}
	free(nodes);
}

int node_moved(struct tree *tree, struct node *dir, const char *name, struct node *new_dir, const char *new_name)
{
	struct node *chain = NULL, *node, *old;
	char *copy = strdup(new_name), *anchor = NULL;
	int error = 0;

	pthread_mutex_lock(&tree->lock);
	tree->forgot_ns = clock_now();
	node = find_locked(tree, dir, name);
	old = find_locked(tree, new_dir, new_name);
	if (node == old) {
		pthread_mutex_unlock(&tree->lock);
		free(copy);
		return 0;
	}
	new_dir->refs++;	/* until its new child holds it */
	if (old) {		/* where it was kept is where the new one is now */
		anchor = old->anchor;
		old->anchor = NULL;
		lose_name_locked(tree, old, &chain);
	}
	if (node) {
		free(node->anchor);
		node->anchor = anchor;
		anchor = NULL;
		node->refs++;
		error = copy ? move_locked(tree, node, new_dir, copy, &chain) : -ENOMEM;
		if (error)
			lose_name_locked(tree, node, &chain);
		else
			copy = NULL;
	}
	unref_locked(tree, new_dir, &chain);
	pthread_mutex_unlock(&tree->lock);
	if (node && !error && node->ops->real)
		tell_open_files(tree, node);
	if (node)
		node_unref(tree, node);
	destroy_chain(chain);
	free(copy);
	free(anchor);
	return error;
}

void node_linked(struct tree *tree, struct node *node, struct node *source)
{
	pthread_mutex_lock(&tree->lock);
	if (source->twin)
		source = source->twin;
	if (node != source && !node->twin && !node->stray && !make_stray_locked(tree, source)) {
		node->twin = source;
		node->ino = source->ino;
		source->refs++;
	}
	pthread_mutex_unlock(&tree->lock);
}

int node_set_anchor(struct tree *tree, struct node *node, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -ENOMEM;
	pthread_mutex_lock(&tree->lock);
	free(node->anchor);
	node->anchor = copy;
	pthread_mutex_unlock(&tree->lock);
	return 0;
}

bool node_has_anchor(struct tree *tree, struct node *node, const char *path)
{
	bool same;

	pthread_mutex_lock(&tree->lock);
	same = node->anchor && strcmp(node->anchor, path) == 0;
	pthread_mutex_unlock(&tree->lock);
	return same;
}

/* ---- paths ---- */

/* Appends the names from below `stop` down to `node`, each after a '/', then `name` (may be NULL). */
static int add_names_locked(const struct node *stop, const struct node *node, const char *name, struct buf *path)
{
	const struct node *at;
	size_t total = 0, len;
	char *end;

	for (at = node; at != stop; at = at->parent)
		total += 1 + strlen(at->name);
	if (name)
		total += 1 + strlen(name);
	if (buf_reserve(path, total + 1))
		return buf_error(path);
	end = path->data + path->len + total;
	*end = '\0';
	if (name) {
		len = strlen(name);
		end -= len + 1;
		end[0] = '/';
		memcpy(end + 1, name, len);
	}
	for (at = node; at != stop; at = at->parent) {
		len = strlen(at->name);
		end -= len + 1;
		end[0] = '/';
		memcpy(end + 1, at->name, len);
	}
	path->len += total;
	return 0;
}

int node_path(struct tree *tree, struct node *node, const char *name, struct buf *ret_path)
{
	struct node *child;
	const struct node *at;
	size_t before = ret_path->len;
	int error;

	pthread_mutex_lock(&tree->lock);
	child = name ? find_locked(tree, node, name) : NULL;
	if (child && child->anchor) {
		node = child;
		name = NULL;
	}
	for (at = node; at && !at->anchor && at != tree->root; at = at->parent)
		;
	if (!at) {
		error = -ESTALE;
	} else {
		buf_adds(ret_path, at == tree->root ? tree->root_path : at->anchor);
		error = add_names_locked(at, node, name, ret_path);
	}
	pthread_mutex_unlock(&tree->lock);
	if (!error && ret_path->len == before)
		buf_addch(ret_path, '/');
	return error ? error : buf_error(ret_path);
}

int node_path_below(struct tree *tree, struct node *above, struct node *node, const char *name, struct buf *ret_path)
{
	const struct node *at;
	size_t before = ret_path->len;
	int error;

	pthread_mutex_lock(&tree->lock);
	for (at = node; at && at != above; at = at->parent)
		;
	error = at ? add_names_locked(above, node, name, ret_path) : -ESTALE;
	pthread_mutex_unlock(&tree->lock);
	if (error || ret_path->len == before)
		return error;
	memmove(ret_path->data + before, ret_path->data + before + 1, ret_path->len - before);	/* the leading '/'; the NUL moves too */
	ret_path->len--;
	return 0;
}
