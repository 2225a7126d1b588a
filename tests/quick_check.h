// check, with assertions that cost nothing while they hold.
//
// check's own write a line to a file for each assertion that holds, so that a test that crashes can
// be reported with the last line it reached. Tests that look at a million things spend most of
// their time on that. Here only a test's start is noted; a debugger or a sanitizer tells the line.
#ifndef TESTS_QUICK_CHECK_H
#define TESTS_QUICK_CHECK_H

#include <check.h>

#define _mark_point(file, line) ((void)0)

// Runs the suite as check's environment variables say, and frees it: the status for main().
static inline int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

// The same for a suite that is one test case. `timeout_s`: of each test in it; 0: none.
static inline int run_case(const char *suite_name, TCase *tc, double timeout_s)
{
    Suite *suite = suite_create(suite_name);
    tcase_set_timeout(tc, timeout_s);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}

#endif
