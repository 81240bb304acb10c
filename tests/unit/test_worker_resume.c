/*
 * What unfinished attempts leave: names from tickets, and the moves between stage/ and .claimfs/tmp/resume.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "tests/fake/worker/queue.h"
#include "worker/pool.h"
#include "worker/resume.h"
#include "worker/unit.h"

#define UNIT "00112233445566778899aabbccddeeff"

static void assert_name(const char *ticket, int error, const char *want)
{
	struct buf name = BUF_INIT;

	assert_int_equal(resume_name(ticket, &name), error);
	assert_string_equal(buf_text(&name), want);
	buf_release(&name);
}

static void names_are_taken_from_tickets_and_are_nothing_but_names(void **state)
{
	(void)state;
	assert_name("unit: x\nclaim: " UNIT ".0.1\nsince: now\n", 0, UNIT ".0");
	assert_name("claim: " UNIT ".12.345", 0, UNIT ".12");
	assert_name("unit: x claim: " UNIT ".0.1\nstate: claimed\n", -ENOENT, "");
	assert_name("", -ENOENT, "");
	assert_name("claim: \n", -EBADMSG, "");
	assert_name("claim: ../../../../../../../../etc/passwd.0.1\n", -EBADMSG, "");
	assert_name("claim: " UNIT "..1\n", -EBADMSG, "");
	assert_name("claim: " UNIT ".1/../2.1\n", -EBADMSG, "");
	assert_name("claim: " UNIT ".0\n", -EBADMSG, "");
}

static void make_file(struct fake *fake, const char *name, const char *text)
{
	char path[256];
	char *slash;

	snprintf(path, sizeof(path), "%s/%s", fake->dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(io_mkdirs(path, 0700), 0);
	put_file(fake->dir, name, text);
}

static struct unit *claimed_unit(struct pool *pool, struct fake *fake)
{
	struct unit *unit;

	assert_int_equal(unit_new(pool, &fake->place, "u0.in", &unit), 0);
	return unit;
}

static void what_is_kept_is_found_by_the_next_attempt_until_it_is_dropped(void **state)
{
	struct pool pool = { 0 };
	struct unit *unit;
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	pool.place = &fake.place;
	list_init(&pool.units);
	make_file(&fake, "claims/u0.in", "unit: u0.in\nclaim: " UNIT ".3.1\n");
	unit = claimed_unit(&pool, &fake);
	resume_find(unit);
	assert_false(unit->resumable);
	assert_int_equal(resume_keep(unit), 0);			/* nothing is staged */
	make_file(&fake, "stage/u0.out/step", "1");		/* a directory, and a fuller one over it */
	assert_int_equal(resume_keep(unit), 0);
	assert_false(has_file(&fake, "stage/u0.out"));
	make_file(&fake, "stage/u0.out/step2", "2");
	assert_int_equal(resume_keep(unit), 0);
	assert_false(has_file(&fake, ".claimfs/tmp/resume/" UNIT ".3/step"));
	unit_free(unit);
	unit = claimed_unit(&pool, &fake);
	resume_find(unit);
	assert_true(unit->resumable);
	assert_true(has_file(&fake, ".claimfs/tmp/resume/" UNIT ".3/step2"));
	assert_non_null(strstr(unit->resume, "/.claimfs/tmp/resume/" UNIT ".3"));
	resume_drop(unit);
	resume_find(unit);
	assert_false(unit->resumable);
	unit_free(unit);
	fake_end(&fake);
}

static void without_a_ticket_nothing_is_moved(void **state)
{
	struct pool pool = { 0 };
	struct unit *unit;
	struct fake fake;

	(void)state;
	fake_begin(&fake, 1);
	pool.place = &fake.place;
	list_init(&pool.units);
	make_file(&fake, "stage/u0.out", "1");
	unit = claimed_unit(&pool, &fake);
	resume_find(unit);
	assert_false(unit->resumable);
	assert_int_equal(resume_keep(unit), -ENOENT);
	assert_true(has_file(&fake, "stage/u0.out"));
	unit_free(unit);
	fake_end(&fake);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_taken_from_tickets_and_are_nothing_but_names),
		cmocka_unit_test(what_is_kept_is_found_by_the_next_attempt_until_it_is_dropped),
		cmocka_unit_test(without_a_ticket_nothing_is_moved),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
