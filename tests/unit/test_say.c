// Messages: one line, one write, whatever is in it.
#include "quick_check.h"
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/say.h"

static char line[1 << 17];

// What one write of the message holds; the socket keeps writes apart.
static size_t said(const char *program, const char *text)
{
    int ends[2], saved = dup(STDERR_FILENO);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    ck_assert_int_ge(dup2(ends[1], STDERR_FILENO), 0);
    say(program, "%s", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[1]);
    ssize_t n = recv(ends[0], line, sizeof line - 1, 0);
    ck_assert_int_ge(n, 0);
    line[n] = 0;
    char more;
    ck_assert_int_eq(recv(ends[0], &more, 1, 0), 0);
    close(ends[0]);
    return (size_t)n;
}

START_TEST(test_line)
{
    said("lsmfs", "a store is in use");
    ck_assert_str_eq(line, "lsmfs: a store is in use\n");
    said("lsmfsctl ls", "");
    ck_assert_str_eq(line, "lsmfsctl ls: \n");
}
END_TEST

START_TEST(test_control_characters)
{
    said("lsmfs", "a\nb\tc\x7f\xc3\xa4\\");
    ck_assert_str_eq(line, "lsmfs: a\\x0ab\\x09c\\x7f\xc3\xa4\\\n");
}
END_TEST

START_TEST(test_long_line)
{
    static char text[20000];
    memset(text, '\n', sizeof text - 1);
    ck_assert_uint_eq(said("lsmfs", text), 7 + 4 * (sizeof text - 1) + 1);
    ck_assert_ptr_eq(strchr(line, '\n'), line + strlen(line) - 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("say");
    TCase *tc = tcase_create("say");
    tcase_add_test(tc, test_line);
    tcase_add_test(tc, test_control_characters);
    tcase_add_test(tc, test_long_line);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
