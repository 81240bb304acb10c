/*
 * files: a tree over the peer of the tests, replies that wait, and blocking shorthands for open files.
 *
 * A reply of its own for every operation, so that many can be under way: files_ask() makes one, files_end() waits for
 * its answer and does away with it.
 */
#ifndef CLAIMFS_TESTS_FAKE_FILES_H
#define CLAIMFS_TESTS_FAKE_FILES_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "tests/fake/awaited.h"
#include "tests/fake/rig.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/real.h"

#define MIB (1024u * 1024)

struct files_tested {
	struct rig rig;
	struct tree *tree;
	struct tree_options options;
	int connections;
};

extern struct files_tested files;

struct awaited *files_ask(void);
void files_done_with(struct awaited *heard);
int files_end(struct awaited *heard);
struct node *files_look_up(const char *name);
void files_forget(struct node *node);
int files_open_node(struct node *node, int flags, struct handle **ret_handle, bool *ret_keep);
struct handle *files_open(const char *name, int flags);
int files_try_create(const char *name, mode_t mode, int flags, struct handle **ret_handle, struct stat *ret_st);
struct handle *files_create(const char *name);
struct awaited *files_begin_write(struct handle *handle, uint64_t offset, const void *data, size_t len);
int files_write(struct handle *handle, uint64_t offset, const void *data, size_t len);
struct awaited *files_begin_read(struct handle *handle, uint64_t offset, size_t len);
void files_expect_read(struct handle *handle, uint64_t offset, size_t len, const void *expected, size_t expected_len);
void files_await_rules(void);	/* until each has hit as often as it was to */
void files_release_held(void);
int files_flush(struct handle *handle);
int files_fsync(struct handle *handle);
void files_release(struct handle *handle);
void files_close(struct handle *handle);
int files_get_attr(struct node *node, struct stat *ret_st, double *ret_ttl);
struct awaited *files_begin_truncate(struct node *node, off_t size);
void files_expect_content(const char *name, const void *data, size_t len);
void files_pattern(uint8_t *data, size_t len, uint32_t seed);
int files_set_up(void **state);
int files_set_up_small_buffer(void **state);
int files_set_up_sync(void **state);
int files_set_up_one_connection(void **state);
int files_tear_down(void **state);

#define FILES_TEST(name) cmocka_unit_test_setup_teardown(name, files_set_up, files_tear_down)
#define FILES_TEST_WITH(name, set) cmocka_unit_test_setup_teardown(name, set, files_tear_down)

#endif
