// Slices, growable buffers, and the statuses and messages that go with failures.
#include "quick_check.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/slice.h"
#include "base/status.h"
#include "env/logger.h"

START_TEST(test_compare)
{
    static const char *const sorted[] = {"", "a", "aa", "ab", "b", "\xff"};
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 6; j++) {
            int c = slice_compare(slice_str(sorted[i]), slice_str(sorted[j]));
            ck_assert_int_eq((c > 0) - (c < 0), (i > j) - (i < j));
            ck_assert_int_eq(slice_equal(slice_str(sorted[i]), slice_str(sorted[j])), i == j);
        }
    }
    struct slice none = {NULL, 0};
    ck_assert(slice_equal(none, slice_str("")));
    ck_assert_int_eq(slice_compare(none, slice_str("")), 0);
    ck_assert_int_lt(slice_compare(none, slice_of("\0", 1)), 0);
}
END_TEST

START_TEST(test_buf)
{
    struct buf buf = {0};
    ck_assert_int_eq(buf_append(&buf, NULL, 0), 0);
    ck_assert_ptr_null(buf.data);
    for (unsigned i = 0; i < 10000; i++) {
        uint8_t byte = (uint8_t)i;
        ck_assert_int_eq(buf_append(&buf, &byte, 1), 0);
    }
    ck_assert_uint_eq(buf.size, 10000);
    for (unsigned i = 0; i < 10000; i++)
        ck_assert_uint_eq(buf.data[i], (uint8_t)i);
    struct buf before = buf;
    ck_assert_int_eq(buf_reserve(&buf, SIZE_MAX), LSM_NO_MEMORY);
    ck_assert_mem_eq(&before, &buf, sizeof(buf));
    ck_assert_int_eq(buf_assign(&buf, buf.data + 5, 3), 0);
    ck_assert_uint_eq(buf_slice(&buf).size, 3);
    ck_assert_mem_eq(buf.data, "\5\6\7", 3);
    ck_assert_int_eq(buf_assign(&buf, NULL, 0), 0);
    ck_assert_uint_eq(buf.size, 0);
    buf_release(&buf);
    ck_assert_ptr_null(buf.data);
    ck_assert_int_eq(buf_assign(&buf, "hello", 5), 0);
    ck_assert_mem_eq(buf.data, "hello", 5);
    buf_release(&buf);
}
END_TEST

static void *other_thread(void *arg)
{
    ck_assert_str_eq(lsm_error_detail(), "");
    ck_assert_int_eq(status_fail(LSM_BUSY, "%s", "other"), LSM_BUSY);
    return arg;
}

START_TEST(test_status)
{
    static const struct {
        int error, status;
    } map[] = {{ENOSPC, LSM_NO_SPACE},   {EDQUOT, LSM_NO_SPACE},  {ENOENT, LSM_NOT_FOUND},
               {EACCES, LSM_PERMISSION}, {EPERM, LSM_PERMISSION}, {EROFS, LSM_READ_ONLY},
               {ENOMEM, LSM_NO_MEMORY},  {EEXIST, LSM_EXISTS},    {EIO, LSM_IO_ERROR}};
    for (size_t i = 0; i < sizeof(map) / sizeof(*map); i++)
        ck_assert_int_eq(status_from_errno(map[i].error, "open", "/x"), map[i].status);
    ck_assert_str_eq(lsm_error_detail(), "open /x: Input/output error");
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, NULL);
    ck_assert_str_eq(lsm_error_detail(), "open /x: Input/output error");
    // The present detail may be an argument of the next.
    ck_assert_int_eq(status_fail(LSM_INVALID, "a: %s", lsm_error_detail()), LSM_INVALID);
    ck_assert_str_eq(lsm_error_detail(), "a: open /x: Input/output error");
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    ck_assert_int_eq(status_fail(LSM_INVALID, "%s", text), LSM_INVALID);
    ck_assert_uint_eq(strlen(lsm_error_detail()), STATUS_DETAIL_MAX - 1);
    for (int status = 0; status >= LSM_CLOSED; status--)
        ck_assert_str_ne(lsm_strerror(status), "unknown status");
    ck_assert_str_eq(lsm_strerror(-99), "unknown status");
}
END_TEST

static void keep_message(void *arg, enum lsm_log_level level, const char *message)
{
    ck_assert_int_eq(level, LSM_LOG_WARN);
    strcpy(arg, message);
}

START_TEST(test_logger)
{
    char text[2000] = "";
    struct logger logger = {keep_message, text}, none = {NULL, NULL};
    logger_log(&logger, LSM_LOG_WARN, "%d %s", 5, "bottles");
    ck_assert_str_eq(text, "5 bottles");
    logger_log(&none, LSM_LOG_WARN, "nobody listens");
    logger_log(NULL, LSM_LOG_WARN, "nobody listens");
    ck_assert_str_eq(text, "5 bottles");
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_compare);
    tcase_add_test(tc, test_buf);
    tcase_add_test(tc, test_status);
    tcase_add_test(tc, test_logger);
    return run_case("slice", tc, 120);
}
