/*
 * test_node: names, lives and paths of nodes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tree/tree.h"

static int freed;	/* nodes that came to their end */

static void count_free(struct node *node)
{
	(void)node;
	freed++;
}

static const struct node_ops kind_a = { .real = true, .free = count_free };
static const struct node_ops kind_b = { .free = count_free };

static int setup(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	pthread_mutex_init(&tree->lock, NULL);
	map_init(&tree->names);
	map_init(&tree->strays);
	tree->root_path = strdup("/srv/data");
	tree->root = node_new_root(&kind_a);
	freed = 0;
	*state = tree;
	return tree->root ? 0 : -1;
}

static int teardown(void **state)
{
	struct tree *tree = *state;

	node_free_all(tree);
	pthread_mutex_destroy(&tree->lock);
	free(tree->root_path);
	free(tree);
	return 0;
}

static void expect_path(struct tree *tree, struct node *node, const char *name, const char *expected)
{
	struct buf path = BUF_INIT;

	assert_int_equal(node_path(tree, node, name, &path), 0);
	assert_string_equal(buf_text(&path), expected);
	buf_release(&path);
}

static void expect_no_path(struct tree *tree, struct node *node)
{
	struct buf path = BUF_INIT;

	assert_int_equal(node_path(tree, node, NULL, &path), -ESTALE);
	buf_release(&path);
}

static void test_paths(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);
	struct node *b = node_get(tree, a, "b c\n", &kind_a);
	struct buf path = BUF_INIT;

	expect_path(tree, tree->root, NULL, "/srv/data");
	expect_path(tree, tree->root, "x", "/srv/data/x");
	expect_path(tree, b, NULL, "/srv/data/a/b c\n");
	expect_path(tree, b, "d", "/srv/data/a/b c\n/d");
	assert_int_equal(node_path_below(tree, a, b, "d", &path), 0);
	assert_string_equal(buf_text(&path), "b c\n/d");
	buf_reset(&path);
	buf_adds(&path, "before:");
	assert_int_equal(node_path_below(tree, a, b, NULL, &path), 0);
	assert_string_equal(buf_text(&path), "before:b c\n");
	assert_int_equal(node_path_below(tree, b, a, NULL, &path), -ESTALE);
	buf_reset(&path);
	assert_int_equal(node_path_below(tree, a, a, NULL, &path), 0);
	assert_string_equal(buf_text(&path), "");
	buf_release(&path);
	assert_int_equal(node_depth(tree, tree->root), 0);
	assert_int_equal(node_depth(tree, b), 2);
	node_unref(tree, a);
	node_unref(tree, b);
	assert_int_equal(freed, 2);
}

static void test_root_is_slash(void **state)
{
	struct tree *tree = *state;

	tree->root_path[0] = '\0';
	expect_path(tree, tree->root, NULL, "/");
	expect_path(tree, tree->root, "x", "/x");
}

static void test_life(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);
	struct node *b = node_get(tree, a, "b", &kind_a);

	assert_ptr_equal(node_get(tree, tree->root, "a", &kind_a), a);
	node_unref(tree, a);
	node_looked_up(tree, b);
	node_looked_up(tree, b);
	node_unref(tree, b);
	node_unref(tree, a);		/* its child still holds it */
	assert_int_equal(freed, 0);
	assert_ptr_equal(node_find(tree, tree->root, "a"), a);
	node_unref(tree, a);
	node_forget(tree, b, 1);
	assert_int_equal(freed, 0);
	node_forget(tree, b, 1);	/* the last; a goes with it */
	assert_int_equal(freed, 2);
	assert_null(node_find(tree, tree->root, "a"));
	node_forget(tree, tree->root, 1);	/* the root stays */
	expect_path(tree, tree->root, NULL, "/srv/data");
}

static void test_forget_too_much(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);

	node_looked_up(tree, a);
	node_forget(tree, a, 1000);
	assert_int_equal(freed, 0);
	node_unref(tree, a);
	assert_int_equal(freed, 1);
}

static void test_removed(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a), *other;
	uint64_t ino = a->ino;

	node_removed(tree, tree->root, "a");
	node_removed(tree, tree->root, "a");	/* nothing there any more */
	expect_no_path(tree, a);
	other = node_get(tree, tree->root, "a", &kind_a);
	assert_ptr_not_equal(other, a);
	assert_int_not_equal(other->ino, ino);	/* both are alive: two files */
	expect_path(tree, other, NULL, "/srv/data/a");
	node_unref(tree, a);
	assert_int_equal(freed, 1);
	node_unref(tree, other);
	assert_int_equal(freed, 2);
}

static void test_ino_is_of_the_place(void **state)
{
	struct tree *tree = *state;
	struct node *dir = node_get(tree, tree->root, "dir", &kind_a);
	struct node *a = node_get(tree, dir, "a", &kind_a);
	uint64_t ino = a->ino;

	assert_int_equal(node_ino(tree, dir, "a"), ino);
	assert_int_not_equal(node_ino(tree, tree->root, "a"), ino);
	node_unref(tree, a);
	assert_int_equal(node_ino(tree, dir, "a"), ino);	/* git's index keeps it over a remount */
	a = node_get(tree, dir, "a", &kind_a);
	assert_int_equal(a->ino, ino);
	node_unref(tree, a);
	node_unref(tree, dir);
}

static void test_moved(void **state)
{
	struct tree *tree = *state;
	struct node *dir = node_get(tree, tree->root, "dir", &kind_a);
	struct node *a = node_get(tree, tree->root, "a", &kind_a), *again;
	struct node *below = node_get(tree, a, "x", &kind_a);
	uint64_t ino = a->ino;

	assert_int_equal(node_moved(tree, tree->root, "a", dir, "b"), 0);
	expect_path(tree, a, NULL, "/srv/data/dir/b");
	expect_path(tree, below, NULL, "/srv/data/dir/b/x");
	assert_int_equal(a->ino, ino);
	again = node_get(tree, tree->root, "a", &kind_a);
	assert_int_not_equal(again->ino, ino);		/* the number went with the first */
	assert_int_equal(node_moved(tree, tree->root, "no such", dir, "c"), 0);
	node_unref(tree, again);
	node_unref(tree, below);
	node_unref(tree, dir);		/* held by its child */
	assert_int_equal(freed, 2);
	node_unref(tree, a);
	assert_int_equal(freed, 4);
	assert_int_equal(tree->names.count, 0);
	assert_int_equal(tree->strays.count, 0);
}

static void test_moved_over(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);
	struct node *b = node_get(tree, tree->root, "b", &kind_a);

	assert_int_equal(node_moved(tree, tree->root, "a", tree->root, "a"), 0);
	expect_path(tree, a, NULL, "/srv/data/a");
	assert_int_equal(node_moved(tree, tree->root, "a", tree->root, "b"), 0);
	expect_path(tree, a, NULL, "/srv/data/b");
	expect_no_path(tree, b);
	assert_int_equal(node_moved(tree, tree->root, "gone", tree->root, "b"), 0);	/* unknown, but the target is another now */
	expect_no_path(tree, a);
	node_unref(tree, a);
	node_unref(tree, b);
	assert_int_equal(freed, 2);
	assert_int_equal(tree->strays.count, 0);
}

static void test_linked(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);
	struct node *b = node_get(tree, tree->root, "b", &kind_a), *c;
	uint64_t ino = a->ino;

	node_linked(tree, b, a);
	assert_int_equal(b->ino, ino);
	node_removed(tree, tree->root, "a");
	node_unref(tree, a);
	assert_int_equal(freed, 0);	/* its number is still in use */
	c = node_get(tree, tree->root, "c", &kind_a);
	node_linked(tree, c, b);	/* a link of a link */
	assert_int_equal(c->ino, ino);
	a = node_get(tree, tree->root, "a", &kind_a);
	assert_int_not_equal(a->ino, ino);	/* or `cp a b` would take them for one file */
	node_removed(tree, tree->root, "b");
	node_unref(tree, b);
	assert_int_equal(c->ino, ino);
	node_unref(tree, c);
	node_unref(tree, a);
	assert_int_equal(freed, 4);
	assert_int_equal(tree->strays.count, 0);
	assert_int_equal(tree->names.count, 0);
}

static void test_kinds(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a);
	struct node *b = node_get(tree, tree->root, "a", &kind_b);

	assert_ptr_not_equal(a, b);
	expect_no_path(tree, a);
	expect_path(tree, b, NULL, "/srv/data/a");
	node_unref(tree, a);
	node_unref(tree, b);
	assert_int_equal(freed, 2);
}

static void test_types(void **state)
{
	struct tree *tree = *state;
	struct node *a = node_get(tree, tree->root, "a", &kind_a), *dir;

	assert_ptr_equal(node_typed(tree, a, S_IFREG | 0644), a);
	assert_ptr_equal(node_typed(tree, a, S_IFREG | 0600), a);
	assert_ptr_equal(node_typed(tree, a, 0), a);
	node_ref(tree, a);
	dir = node_typed(tree, a, S_IFDIR | 0755);	/* takes one of the two refs */
	assert_ptr_not_equal(dir, a);
	expect_no_path(tree, a);
	expect_path(tree, dir, NULL, "/srv/data/a");
	node_unref(tree, a);
	assert_int_equal(freed, 1);
	node_unref(tree, dir);
	assert_int_equal(freed, 2);
	assert_ptr_equal(node_typed(tree, tree->root, S_IFREG), tree->root);
}

static void test_long_names(void **state)
{
	struct tree *tree = *state;
	char name[300];
	struct node *node;

	memset(name, 'n', sizeof(name));
	name[255] = '\0';
	node = node_get(tree, tree->root, name, &kind_a);
	assert_non_null(node);
	node_unref(tree, node);
	name[255] = 'n';
	name[256] = '\0';
	assert_null(node_get(tree, tree->root, name, &kind_a));
	assert_null(node_find(tree, tree->root, name));
}

#define MANY 20000

static void test_many(void **state)
{
	struct tree *tree = *state;
	static struct node *nodes[MANY];
	char name[32];
	int i;

	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "%d", i);
		nodes[i] = node_get(tree, i ? nodes[i / 2] : tree->root, name, &kind_a);
		assert_non_null(nodes[i]);
	}
	for (i = 0; i < MANY; i += 3) {
		snprintf(name, sizeof(name), "%d", i);
		node_removed(tree, i ? nodes[i / 2] : tree->root, name);
	}
	for (i = 0; i < MANY; i++)
		node_unref(tree, nodes[i]);
	assert_int_equal(freed, MANY);
	assert_int_equal(tree->names.count, 0);
	assert_int_equal(tree->strays.count, 0);
	assert_int_equal(tree->root->refs, 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_paths), T(test_root_is_slash), T(test_life), T(test_forget_too_much), T(test_removed), T(test_ino_is_of_the_place),
		T(test_moved), T(test_moved_over), T(test_linked), T(test_kinds), T(test_types), T(test_long_names), T(test_many),
	};

	return cmocka_run_group_tests_name("node", tests, NULL, NULL);
}
