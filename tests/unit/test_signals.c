// The handler of signals that end a lsmfsctl command: it leaves errno as it was, whatever fails in
// it.
#include "quick_check.h"
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ctl/signals.c" // belongs to the program, not to a library

START_TEST(test_errno_is_kept)
{
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    // Both calls for the one at the other end fail.
    ck_assert_int_lt(shutdown(ends[1], SHUT_WR), 0);
    ck_assert_int_eq(errno, ENOTSOCK);
    signals_start(true);
    signals_tell(ends[1]);
    errno = EAGAIN;
    raise(SIGTERM);
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_int_eq(signals_seen(), SIGTERM);
    close(ends[0]);
    close(ends[1]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("signals");
    TCase *tc = tcase_create("signals");
    tcase_add_test(tc, test_errno_is_kept);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
