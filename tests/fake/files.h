/*
 * files: a tree over the peer of the tests, replies that wait, and blocking shorthands for open files.
 *
 * A reply of its own for every operation, so that many can be under way: files_ask() is given to it, files_wait() is its answer, which must
 * come once.
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
#include "tests/fake/rig.h"
#include "tree/file.h"
#include "tree/file_state.h"
#include "tree/real.h"

#define MIB (1024u * 1024)

struct files_answer {
	struct reply reply;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int answers;
	int error;
	size_t count;		/* written */
	struct stat st;
	double ttl;
	struct node *node;
	struct tree_opened opened;
	uint8_t *data;
	size_t len;
};

struct files_tested {
	struct rig rig;
	struct tree *tree;
	struct tree_options options;
	int connections;
};

extern struct files_tested files;

struct files_answer *files_ask(void);
int files_wait(struct files_answer *heard);
bool files_is_answered(struct files_answer *heard);
void files_done_with(struct files_answer *heard);
int files_end(struct files_answer *heard);
struct node *files_look_up(const char *name);
void files_forget(struct node *node);
int files_open_node(struct node *node, int flags, struct handle **ret_handle, bool *ret_keep);
struct handle *files_open(const char *name, int flags);
int files_try_create(const char *name, mode_t mode, int flags, struct handle **ret_handle, struct stat *ret_st);
struct handle *files_create(const char *name);
struct files_answer *files_begin_write(struct handle *handle, uint64_t offset, const void *data, size_t len);
int files_write(struct handle *handle, uint64_t offset, const void *data, size_t len);
struct files_answer *files_begin_read(struct handle *handle, uint64_t offset, size_t len);
void files_expect_read(struct handle *handle, uint64_t offset, size_t len, const void *expected, size_t expected_len);
void files_release_held(void);
int files_flush(struct handle *handle);
int files_fsync(struct handle *handle);
void files_release(struct handle *handle);
void files_close(struct handle *handle);
int files_get_attr(struct node *node, struct stat *ret_st, double *ret_ttl);
struct files_answer *files_begin_truncate(struct node *node, off_t size);
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
