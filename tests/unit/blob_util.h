// A store with large values on a simulated disk, for tests of blobs: setup() and store_util.h's
// teardown() are the fixture, values follow from a mark and a size.
#ifndef LSM_TESTS_BLOB_UTIL_H
#define LSM_TESTS_BLOB_UTIL_H

#include <stdio.h>

#include "store_util.h"

#define BIG 5000

static inline void setup(void)
{
    store_setup();
    options.blob_min = 1024;
    options.blob_file_size = 64 << 10;
}

// Bytes that depend on the mark and the position; even marks compress, odd ones do not.
static inline void fill(uint8_t *data, size_t size, unsigned mark)
{
    uint64_t x = mark * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < size; i++) {
        if (mark % 2 || i % 16 == 0)
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(x >> 56);
    }
}

static inline void put_sized(const char *key, unsigned mark, size_t size)
{
    uint8_t *data = malloc(size + 1);
    fill(data, size, mark);
    int rc = lsm_put(db, NULL, key, strlen(key), data, size);
    ck_assert_msg(rc == 0, "put: %s", lsm_error_detail());
    free(data);
}

static inline void expect_range(const struct lsm_snapshot *snapshot, const char *key, unsigned mark,
                                size_t value_size, size_t from, size_t size)
{
    struct lsm_buf got = {0};
    struct lsm_read_options ro = {.snapshot = snapshot};
    uint8_t *data = malloc(value_size + 1);
    fill(data, value_size, mark);
    int rc = lsm_get(db, &ro, key, strlen(key), &got);
    ck_assert_msg(rc == 0, "get %s: %d %s", key, rc, lsm_error_detail());
    ck_assert_uint_eq(got.size, size);
    ck_assert_mem_eq(got.data, data + from, size);
    lsm_buf_release(&got);
    free(data);
}

static inline void expect_sized(const char *key, unsigned mark, size_t size)
{
    expect_range(NULL, key, mark, size, 0, size);
}

static inline void expect_none(const char *key)
{
    struct lsm_buf got = {0};
    ck_assert_int_eq(lsm_get(db, NULL, key, strlen(key), &got), LSM_NOT_FOUND);
}

static inline void expect_sound(void)
{
    int rc = lsm_check(db, NULL, NULL, NULL);
    ck_assert_msg(rc == 0, "check: %s", lsm_error_detail());
}

#endif
