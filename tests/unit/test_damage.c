/* damage: what is staged with a hole in it is known by its path, moves with it, and is mended by being begun anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tree/damage.h"

#define TMP "/disk/q/.claimfs/tmp/n1.11111111/"

static struct damage *damage;

static int setup(void **state)
{
	(void)state;
	return damage_new(&damage);
}

static int teardown(void **state)
{
	(void)state;
	damage_free(damage);
	return 0;
}

static void is_kept_until_mended(void **state)
{
	(void)state;
	damage_note(damage, TMP "a.0.1", -ENOSPC);
	assert_int_equal(damage_at(damage, TMP "a.0.1"), -ENOSPC);
	assert_int_equal(damage_at(damage, TMP "a.0.2"), 0);
	damage_mend(damage, TMP "a.0.1");
	assert_int_equal(damage_at(damage, TMP "a.0.1"), 0);
}

static void elsewhere_is_not_kept(void **state)
{
	(void)state;
	damage_note(damage, "/disk/q/outputs/a", -ENOSPC);
	assert_int_equal(damage_at(damage, "/disk/q/outputs/a"), 0);
	assert_int_equal(damage_at(NULL, TMP "a.0.1"), 0);
}

static void moves_with_a_file_and_with_a_directory(void **state)
{
	(void)state;
	damage_note(damage, TMP "a.0.1/x/part", -EDQUOT);
	damage_note(damage, TMP "a.0.1/xy", -EIO);
	damage_move(damage, TMP "a.0.1/x", TMP "a.0.1/z");
	assert_int_equal(damage_at(damage, TMP "a.0.1/x/part"), 0);
	assert_int_equal(damage_at(damage, TMP "a.0.1/z/part"), -EDQUOT);
	assert_int_equal(damage_at(damage, TMP "a.0.1/xy"), -EIO);
	damage_move(damage, TMP "a.0.1/z/part", TMP "a.0.1/whole");
	assert_int_equal(damage_at(damage, TMP "a.0.1/whole"), -EDQUOT);
}

static void is_replaced_by_what_is_renamed_over_it(void **state)
{
	(void)state;
	damage_note(damage, TMP "a.0.1", -ENOSPC);
	damage_move(damage, "/disk/new", TMP "a.0.1");
	assert_int_equal(damage_at(damage, TMP "a.0.1"), 0);
	damage_note(damage, TMP "a.0.1", -ENOSPC);
	damage_move(damage, TMP "a.0.1", "/disk/elsewhere");
	assert_int_equal(damage_at(damage, TMP "a.0.1"), 0);
	assert_int_equal(damage_at(damage, "/disk/elsewhere"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(is_kept_until_mended, setup, teardown),
		cmocka_unit_test_setup_teardown(elsewhere_is_not_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(moves_with_a_file_and_with_a_directory, setup, teardown),
		cmocka_unit_test_setup_teardown(is_replaced_by_what_is_renamed_over_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
