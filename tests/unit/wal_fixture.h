// A log on a simulated disk, whose records say by their numbers what is in them. setup() and
// teardown() are the fixture.
#ifndef LSM_TESTS_WAL_FIXTURE_H
#define LSM_TESTS_WAL_FIXTURE_H

#include "quick_check.h"

#include "base/status.h"
#include "disk/env_fault.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

#define PATH "/db/7.log"

static struct env *env;
static const enum lsm_wal_mode modes[] = {LSM_WAL_MAPPED, LSM_WAL_WRITTEN, LSM_WAL_HELD};

static inline void setup(void)
{
    env = env_fault_new();
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/"), 0);
}

static inline void teardown(void)
{
    env_fault_free(env);
}

static inline struct wal_writer *open_wal(enum lsm_wal_mode mode, size_t capacity, uint64_t number,
                                          const char *recycle)
{
    struct wal_options options = {.env = env, .mode = mode, .capacity = capacity};
    struct wal_writer *wal;
    int rc = wal_writer_new(&options, PATH, number, recycle, &wal);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
    return wal;
}

// Payload of record `sequence`: its size and bytes follow from the number.
static inline size_t payload_of(uint64_t sequence, uint8_t *data)
{
    size_t size = (size_t)(sequence * 37 % 301);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(sequence * 7 + i);
    return size;
}

static inline int append(struct wal_writer *wal, uint64_t sequence)
{
    uint8_t data[512];
    uint64_t end;
    struct wal_record record = {sequence, {data, payload_of(sequence, data)}};
    int rc = wal_append(wal, &record, 1, &end);
    if (!rc)
        ck_assert_uint_eq(end, wal_end(wal));
    return rc;
}

static inline void append_many(struct wal_writer *wal, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++)
        ck_assert_int_eq(append(wal, i), 0);
}

struct seen {
    uint64_t next; // sequence expected
    uint64_t offset;
};

static inline int check_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    struct seen *seen = arg;
    uint8_t data[512];
    size_t size = payload_of(sequence, data);
    ck_assert_uint_eq(sequence, seen->next);
    ck_assert_uint_eq(payload.size, size);
    if (size)
        ck_assert_mem_eq(payload.data, data, size);
    ck_assert_uint_ge(offset, seen->offset);
    seen->next++;
    seen->offset = offset;
    return 0;
}

static inline int replay(uint64_t number, uint64_t first, uint64_t *ret_count,
                         struct wal_read_result *result)
{
    struct seen seen = {first, 0};
    struct wal_read_result ignored;
    int rc = wal_read(env, PATH, number, check_record, &seen, result ? result : &ignored);
    *ret_count = seen.next - first;
    return rc;
}

static inline void expect_count(uint64_t number, uint64_t first, uint64_t count)
{
    uint64_t got;
    int rc = replay(number, first, &got, NULL);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    ck_assert_uint_eq(got, count);
}

#endif
