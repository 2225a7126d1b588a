// The log: all modes, what recovery makes of every kind of damage, failures. Syncs: test_wal_sync.
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "wal/wal_format.h"
#include "wal_fixture.h"

// A held log is written by a sync, or when much has gathered.
START_TEST(test_held)
{
    struct wal_writer *wal = open_wal(LSM_WAL_HELD, 0, 7, NULL);
    uint64_t size;
    uint64_t next = 1;
    struct env_stat st;
    append_many(wal, next, 100);
    next = 100;
    expect_count(7, 1, 0);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    expect_count(7, 1, 99);
    size = wal_end(wal);
    do {
        append_many(wal, next, next + 100);
        next += 100;
        ck_assert_int_eq(env->ops->stat(env, PATH, &st), 0);
    } while (st.size == size && next < 1000000);
    ck_assert_uint_gt(st.size, size);
    ck_assert_uint_lt(st.size, wal_end(wal));
    ck_assert_uint_eq(wal_durable(wal), size); // written, not synced
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    ck_assert_uint_eq(wal_durable(wal), wal_end(wal));
    expect_count(7, 1, next - 1);
    append_many(wal, next, next + 10);
    wal_writer_free(wal, false);
    expect_count(7, 1, next - 1);
}
END_TEST

// What was acknowledged cannot be written: nothing is acknowledged any more.
START_TEST(test_held_write_failure)
{
    struct wal_writer *wal = open_wal(LSM_WAL_HELD, 0, 7, NULL);
    append_many(wal, 1, 10);
    env_fault_fail_at(env, 1, LSM_NO_SPACE, false);
    ck_assert_int_ne(wal_sync(wal, wal_end(wal)), 0);
    ck_assert_uint_eq(wal_durable(wal), WAL_HEADER_SIZE);
    ck_assert_int_ne(wal_sync(wal, wal_end(wal)), 0);
    ck_assert_int_ne(append(wal, 10), 0);
    wal_writer_free(wal, false);
}
END_TEST

static void set_file(const char *path, const uint8_t *data, size_t size)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file), 0);
    ck_assert_int_eq(env_pwrite(file, data, size, 0), 0);
    ck_assert_int_eq(env_close(file), 0);
}

static uint8_t *get_file(const char *path, size_t *ret_size)
{
    char *data;
    ck_assert_int_eq(env_read_file(env, path, 1 << 28, &data, ret_size), 0);
    return (uint8_t *)data;
}

START_TEST(test_round_trip)
{
    enum lsm_wal_mode mode = modes[_i];
    struct wal_read_result result;
    uint64_t count;
    struct wal_writer *wal = open_wal(mode, 16384, 7, NULL);
    ck_assert_uint_eq(wal_end(wal), WAL_HEADER_SIZE);
    append_many(wal, 1, 500);
    uint64_t end = wal_end(wal);
    ck_assert_uint_eq(wal_durable(wal), WAL_HEADER_SIZE);
    // Also while it is open: what a process that is killed leaves.
    expect_count(7, 1, 499);
    ck_assert_int_eq(wal_sync(wal, end), 0);
    ck_assert_uint_eq(wal_durable(wal), end);
    append_many(wal, 500, 510);
    uint64_t last = wal_end(wal);
    wal_writer_free(wal, true);
    ck_assert_int_eq(replay(7, 1, &count, &result), 0);
    ck_assert_uint_eq(count, 509);
    ck_assert_uint_eq(result.records, 509);
    ck_assert_uint_eq(result.end, last);
    ck_assert_uint_eq(result.max_durable, end);
    ck_assert(!result.torn);
    struct env_stat st;
    ck_assert_int_eq(env->ops->stat(env, PATH, &st), 0);
    ck_assert_uint_eq(st.size, last);
    // Under another number it is a log that was never used.
    ck_assert_int_eq(replay(8, 1, &count, &result), 0);
    ck_assert_uint_eq(count, 0);
    ck_assert(result.torn);
}
END_TEST

static int add_up(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    (void)offset;
    for (size_t i = 0; i < payload.size; i++) {
        if (payload.data[i] != 0x5a)
            return LSM_CORRUPTION;
    }
    *(uint64_t *)arg += sequence * 100 + payload.size;
    return sequence == 3 ? 42 : 0;
}

START_TEST(test_group_and_large_records)
{
    enum lsm_wal_mode mode = modes[_i];
    size_t large = 3 << 20;
    uint8_t *data = malloc(large);
    ck_assert_ptr_nonnull(data);
    memset(data, 0x5a, large);
    struct wal_writer *wal = open_wal(mode, 8192, 7, NULL);
    struct wal_record records[3] = {
        {1, slice_of(data, 5)}, {2, slice_of(data, large)}, {3, slice_of(data, 0)}};
    uint64_t end;
    ck_assert_int_eq(wal_append(wal, records, 3, &end), 0);
    ck_assert_uint_eq(end, 64 + 32 + 24 + large + 24);
    struct wal_read_result result;
    uint64_t sum = 0;
    ck_assert_int_eq(wal_read(env, PATH, 7, add_up, &sum, &result), 42);
    ck_assert_uint_eq(sum, 600 + 5 + large);
    wal_writer_free(wal, false);
    free(data);
}
END_TEST

START_TEST(test_golden_bytes)
{
    // From an independent implementation.
    static const uint8_t header_bytes[64] = {'t',  'l',  's',  'm',  'W',  'A',  'L',  '1',
                                             0x01, 0x00, 0x00, 0x00, 0x01, 0x0e, 0x79, 0x27,
                                             0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
                                             0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11};
    static const uint8_t record_bytes[32] = {0x03, 0x00, 0x00, 0x00, 0x9e, 0x99, 0x77, 0xb4, 0x85,
                                             0x56, 0x5b, 0xb7, 0x08, 0x00, 0x00, 0x00, 0x2a, 0x00,
                                             0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 'a',  'b',  'c'};
    struct wal_header header = {0x0102030405060708u, 0x1112131415161718u}, back;
    uint8_t data[64], record[32];
    wal_header_encode(data, &header);
    for (unsigned i = 0; i < 64; i++)
        ck_assert_msg(data[i] == header_bytes[i], "header byte %u is %02x", i, data[i]);
    ck_assert_int_eq(wal_header_decode(data, &back), WAL_HEADER_VALID);
    ck_assert_uint_eq(back.number, header.number);
    ck_assert_uint_eq(back.salt, header.salt);
    ck_assert_uint_eq(wal_tag(&header), (uint32_t)hash64(data + 16, 16));
    memset(record, 0xff, sizeof(record));
    wal_record_encode(record, wal_tag(&header), 64, 42, slice_str("abc"));
    for (unsigned i = 0; i < 32; i++)
        ck_assert_msg(record[i] == record_bytes[i], "record byte %u is %02x", i, record[i]);
    struct wal_record_head head = wal_record_decode(record);
    ck_assert(wal_record_verify(record, &head));
    ck_assert_uint_eq(head.durable, 64);
    ck_assert_uint_eq(head.sequence, 42);
    data[8] = 2;
    ck_assert_int_eq(wal_header_decode(data, &back), WAL_HEADER_DAMAGED);
}
END_TEST

START_TEST(test_newer_format)
{
    uint8_t data[64], rest[60];
    struct wal_header header = {7, 1};
    uint64_t count;
    wal_header_encode(data, &header);
    data[8] = 2;
    memcpy(rest, data, 12);
    memcpy(rest + 12, data + 16, 48);
    put_fixed32(data + 12, crc32_of(rest, 60));
    set_file(PATH, data, 64);
    ck_assert_int_eq(replay(7, 1, &count, NULL), LSM_NEWER_FORMAT);
}
END_TEST

START_TEST(test_recycling)
{
    enum lsm_wal_mode mode = modes[_i];
    struct wal_writer *wal = open_wal(mode, 16384, 7, NULL);
    append_many(wal, 1, 100);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    append_many(wal, 100, 200);
    wal_writer_free(wal, false);
    ck_assert_int_eq(env->ops->rename(env, PATH, "/db/old"), 0);
    wal = open_wal(mode, 16384, 9, "/db/old");
    expect_count(9, 1000, 0);
    append_many(wal, 1000, 1040);
    struct wal_read_result result;
    uint64_t count;
    ck_assert_int_eq(replay(9, 1000, &count, &result), 0);
    ck_assert_uint_eq(count, 40);
    ck_assert(!result.torn);
    wal_writer_free(wal, false);
    // The same number again: only the salt tells the lives apart.
    ck_assert_int_eq(env->ops->rename(env, PATH, "/db/old"), 0);
    wal = open_wal(mode, 16384, 9, "/db/old");
    append_many(wal, 2000, 2010);
    expect_count(9, 2000, 10);
    wal_writer_free(wal, false);
    // An existing log is not overwritten.
    struct wal_options options = {.env = env, .mode = mode, .capacity = 16384};
    set_file("/db/other", (const uint8_t *)"x", 1);
    ck_assert_int_eq(wal_writer_new(&options, PATH, 10, "/db/other", &wal), LSM_EXISTS);
    ck_assert_int_eq(wal_writer_new(&options, PATH, 10, NULL, &wal), LSM_EXISTS);
    expect_count(9, 2000, 10);
}
END_TEST

// A recycled log at every moment of its creation: old content never shows.
START_TEST(test_recycling_cut)
{
    for (uint64_t at = 1; at < 12; at++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            teardown();
            setup();
            struct wal_writer *wal = open_wal(modes[_i], 16384, 7, NULL);
            append_many(wal, 1, 100);
            ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
            wal_writer_free(wal, false);
            ck_assert_int_eq(env->ops->rename(env, PATH, "/db/old"), 0);
            ck_assert_int_eq(env->ops->sync_dir(env, "/db"), 0);
            env_fault_cut_at(env, at);
            struct wal_options options = {.env = env, .mode = modes[_i], .capacity = 16384};
            wal = NULL;
            int rc = wal_writer_new(&options, PATH, 9, "/db/old", &wal);
            if (!rc && append(wal, 1000) == 0)
                (void)!wal_sync(wal, wal_end(wal));
            wal_writer_free(wal, false);
            env_fault_power_cut(env, seed);
            uint64_t count;
            rc = replay(9, 1000, &count, NULL);
            ck_assert_msg(rc == 0 || rc == LSM_NOT_FOUND, "%s", lsm_error_detail());
        }
    }
}
END_TEST

// A piece of another log, of the same number and claiming to be synced far beyond, stored as data.
START_TEST(test_log_in_log)
{
    struct wal_writer *wal = open_wal(LSM_WAL_WRITTEN, 0, 7, NULL);
    append_many(wal, 1, 50);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    append_many(wal, 50, 90);
    wal_writer_free(wal, false);
    size_t size;
    uint8_t *inner = get_file(PATH, &size);
    ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
    wal = open_wal(LSM_WAL_WRITTEN, 0, 7, NULL);
    append_many(wal, 1, 3);
    uint64_t torn_at = wal_end(wal), end;
    struct wal_record record = {3, {inner, size}};
    ck_assert_int_eq(wal_append(wal, &record, 1, &end), 0);
    wal_writer_free(wal, false);
    ck_assert_int_eq(env_fault_flip(env, PATH, torn_at + 30, 0), 0);
    struct wal_read_result result;
    uint64_t count;
    ck_assert_int_eq(replay(7, 1, &count, &result), 0);
    ck_assert_uint_eq(count, 2);
    ck_assert(result.torn);
    free(inner);
}
END_TEST

START_TEST(test_every_truncation)
{
    struct wal_writer *wal = open_wal(modes[_i], 4096, 7, NULL);
    append_many(wal, 1, 12);
    uint64_t end = wal_end(wal);
    wal_writer_free(wal, false);
    size_t size;
    uint8_t *data = get_file(PATH, &size);
    uint64_t before = 0;
    for (size_t cut = 0; cut <= end; cut++) {
        struct wal_read_result result;
        uint64_t count;
        set_file(PATH, data, cut);
        ck_assert_int_eq(replay(7, 1, &count, &result), 0);
        ck_assert_uint_ge(count, before);
        ck_assert_uint_le(result.end, cut + 7);
        // The padding of the last record may be gone.
        ck_assert(cut < 64 || result.torn == (result.end < cut));
        before = count;
    }
    ck_assert_uint_eq(before, 11);
    free(data);
}
END_TEST

// Every bit of a log whose first part was synced: an error or a shorter log, never other records.
START_TEST(test_every_bit)
{
    struct wal_writer *wal = open_wal(LSM_WAL_WRITTEN, 0, 7, NULL);
    append_many(wal, 1, 5);
    uint64_t synced = wal_end(wal);
    ck_assert_int_eq(wal_sync(wal, synced), 0);
    append_many(wal, 5, 8);
    uint64_t end = wal_end(wal);
    wal_writer_free(wal, true);
    for (uint64_t at = 0; at < end; at++) {
        uint64_t count;
        unsigned bit = (unsigned)(at * 5 % 8);
        ck_assert_int_eq(env_fault_flip(env, PATH, at, bit), 0);
        int rc = replay(7, 1, &count, NULL);
        if (rc == 0 && count == 7) {
            // Only padding does not matter.
            ck_assert_uint_ge(at, 64 + 24);
        } else if (at < synced) {
            ck_assert_int_eq(rc, LSM_CORRUPTION);
            ck_assert_ptr_nonnull(strstr(lsm_error_detail(), PATH));
        } else {
            ck_assert_int_eq(rc, 0);
            ck_assert_uint_lt(count, 7);
        }
        ck_assert_int_eq(env_fault_flip(env, PATH, at, bit), 0);
    }
    expect_count(7, 1, 7);
}
END_TEST

// A log that was never used is empty; one whose header was lost after use is corrupt.
START_TEST(test_missing_header)
{
    uint8_t zeros[4096] = {0};
    uint64_t count;
    struct wal_read_result result;
    ck_assert_int_eq(replay(7, 1, &count, NULL), LSM_NOT_FOUND);
    set_file(PATH, zeros, 0);
    ck_assert_int_eq(replay(7, 1, &count, &result), 0);
    ck_assert(result.torn);
    set_file(PATH, zeros, sizeof(zeros));
    ck_assert_int_eq(replay(7, 1, &count, &result), 0);
    ck_assert(result.torn);
    ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
    struct wal_writer *wal = open_wal(LSM_WAL_MAPPED, 8192, 7, NULL);
    append_many(wal, 1, 5);
    wal_writer_free(wal, false);
    size_t size;
    uint8_t *data = get_file(PATH, &size);
    memset(data, 0, 64);
    set_file(PATH, data, size);
    ck_assert_int_eq(replay(7, 1, &count, NULL), LSM_CORRUPTION);
    ck_assert_uint_eq(count, 0);
    free(data);
}
END_TEST

// What was synced survives a cut at any call, with any pages lost; nothing is invented.
// The writer gives back what is allocated behind the records, once, when the file is first read.
static void cut_at_read(void *arg, const char *what, const char *path)
{
    const uint64_t *size = arg;
    struct env_file *file;
    if (strcmp(what, "read") != 0)
        return;
    env_fault_on_call(env, NULL, NULL);
    ck_assert_int_eq(env->ops->open(env, path, ENV_WRITE, &file), 0);
    ck_assert_int_eq(file->ops->truncate(file, *size), 0);
    file->ops->close(file);
}

START_TEST(test_cut_while_read)
{
    uint64_t count, end;
    struct wal_writer *wal = open_wal(LSM_WAL_MAPPED, 65536, 7, NULL);
    append_many(wal, 1, 5);
    end = wal_end(wal);
    env_fault_on_call(env, cut_at_read, &end);
    ck_assert_int_eq(replay(7, 1, &count, NULL), LSM_TRY_AGAIN);
    expect_count(7, 1, 4);
    wal_writer_free(wal, true);
}
END_TEST

START_TEST(test_power_cuts)
{
    for (uint64_t seed = 0; seed < 120; seed++) {
        teardown();
        setup();
        struct wal_writer *wal = open_wal(modes[_i], 4096, 7, NULL);
        uint64_t synced = 0, next = 1;
        env_fault_cut_at(env, 1 + seed % 23);
        for (;;) {
            int rc = 0;
            for (unsigned k = 0; !rc && k < 1 + seed % 9; k++) {
                rc = append(wal, next);
                next += rc == 0;
            }
            if (rc || wal_sync(wal, wal_end(wal)))
                break;
            synced = next - 1;
        }
        wal_writer_free(wal, true);
        env_fault_power_cut(env, seed);
        uint64_t count;
        int rc = replay(7, 1, &count, NULL);
        ck_assert_msg(rc == 0, "seed %d: %s", (int)seed, lsm_error_detail());
        ck_assert_uint_ge(count, synced);
        ck_assert_uint_le(count, next); // the append that failed may be there in part of a group
    }
}
END_TEST

START_TEST(test_disk_full)
{
    env_fault_limit(env, 64 << 10);
    struct wal_writer *wal = open_wal(modes[_i], 16 << 10, 7, NULL);
    uint64_t next = 1;
    while (append(wal, next) == 0)
        next++;
    ck_assert_uint_gt(wal_end(wal), 60 << 10);
    uint64_t end = wal_end(wal);
    uint8_t big[8192] = {1};
    struct wal_record record = {next, {big, sizeof(big)}};
    uint64_t ret_end = 77;
    ck_assert_int_eq(wal_append(wal, &record, 1, &ret_end), LSM_NO_SPACE);
    ck_assert_uint_eq(ret_end, 77);
    ck_assert_uint_eq(wal_end(wal), end);
    expect_count(7, 1, next - 1);
    // Not final: there is room again.
    env_fault_limit(env, 0);
    append_many(wal, next, next + 50);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    expect_count(7, 1, next + 49);
    wal_writer_free(wal, false);
    // No room for a log at all leaves nothing behind.
    env_fault_limit(env, 1);
    ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
    struct wal_options options = {.env = env, .mode = modes[_i], .capacity = 16384};
    ck_assert_int_eq(wal_writer_new(&options, PATH, 8, NULL, &wal), LSM_NO_SPACE);
    struct env_stat st;
    ck_assert_int_eq(env->ops->stat(env, PATH, &st), LSM_NOT_FOUND);
}
END_TEST

static uint64_t free_bytes(void)
{
    uint64_t bytes, total;
    ck_assert_int_eq(env->ops->space(env, "/db", &bytes, &total), 0);
    return bytes;
}

// What is allocated ahead goes back to the disk, all but the page of the end, and is allocated
// again when there is room.
START_TEST(test_give_back)
{
    bool mapped = modes[_i] == LSM_WAL_MAPPED;
    env_fault_limit(env, 512 << 10);
    struct wal_writer *wal = open_wal(modes[_i], 256 << 10, 7, NULL);
    append_many(wal, 1, 100);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    uint64_t before = free_bytes(), end = wal_end(wal);
    ck_assert_int_eq(wal_give_back(wal), mapped);
    ck_assert_uint_eq(free_bytes() - before, mapped ? (256 << 10) - (end / 4096 + 1) * 4096 : 0);
    ck_assert(!wal_give_back(wal)); // there is nothing more
    ck_assert_uint_eq(wal_end(wal), end);
    expect_count(7, 1, 99);

    // Nobody else takes it: appending goes on, over many pages. Then somebody does.
    append_many(wal, 100, 800);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    (void)wal_give_back(wal);
    env_fault_limit(env, (512 << 10) - free_bytes());
    uint64_t next = 800;
    while (append(wal, next) == 0)
        next++;
    env_fault_power_cut(env, 3);
    wal_writer_free(wal, false);
    uint64_t count;
    ck_assert_int_eq(replay(7, 1, &count, NULL), 0);
    ck_assert_uint_ge(count, 799);
    ck_assert_uint_le(count, next);
}
END_TEST

START_TEST(test_failed_write_is_undone)
{
    struct wal_writer *wal = open_wal(LSM_WAL_WRITTEN, 0, 7, NULL);
    append_many(wal, 1, 5);
    uint8_t data[400] = {0};
    struct wal_record records[20];
    for (unsigned i = 0; i < 20; i++)
        records[i] = (struct wal_record){5 + i, {data, sizeof(data)}};
    uint64_t end;
    env_fault_seed(env, 3);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, false);
    ck_assert_int_eq(wal_append(wal, records, 20, &end), LSM_IO_ERROR);
    expect_count(7, 1, 4);
    append_many(wal, 5, 6);
    expect_count(7, 1, 5);
    // If it cannot be undone the log is finished.
    env_fault_fail_at(env, 1, LSM_IO_ERROR, true);
    ck_assert_int_eq(wal_append(wal, records, 20, &end), LSM_IO_ERROR);
    env_fault_fail_at(env, 0, 0, false);
    ck_assert_int_eq(append(wal, 6), LSM_IO_ERROR);
    wal_writer_free(wal, false);
}
END_TEST

// Creation fails at each call: nothing is left behind, nothing leaks.
START_TEST(test_creation_failures)
{
    for (uint64_t at = 1; at < 8; at++) {
        struct wal_options options = {.env = env, .mode = modes[_i], .capacity = 8192};
        struct wal_writer *wal = NULL;
        env_fault_fail_at(env, at, LSM_IO_ERROR, false);
        int rc = wal_writer_new(&options, PATH, 7, NULL, &wal);
        env_fault_fail_at(env, 0, 0, false);
        struct env_stat st;
        if (rc) {
            ck_assert_ptr_null(wal);
            ck_assert_int_eq(env->ops->stat(env, PATH, &st), LSM_NOT_FOUND);
        } else {
            wal_writer_free(wal, false);
            ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
        }
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_round_trip, 0, 2);
    tcase_add_loop_test(tc, test_group_and_large_records, 0, 2);
    tcase_add_test(tc, test_held);
    tcase_add_test(tc, test_held_write_failure);
    tcase_add_test(tc, test_golden_bytes);
    tcase_add_test(tc, test_newer_format);
    tcase_add_loop_test(tc, test_recycling, 0, 2);
    tcase_add_loop_test(tc, test_recycling_cut, 0, 2);
    tcase_add_test(tc, test_log_in_log);
    tcase_add_loop_test(tc, test_every_truncation, 0, 2);
    tcase_add_test(tc, test_every_bit);
    tcase_add_test(tc, test_missing_header);
    tcase_add_test(tc, test_cut_while_read);
    tcase_add_loop_test(tc, test_power_cuts, 0, 3);
    tcase_add_loop_test(tc, test_disk_full, 0, 2);
    tcase_add_loop_test(tc, test_give_back, 0, 3);
    tcase_add_test(tc, test_failed_write_is_undone);
    tcase_add_loop_test(tc, test_creation_failures, 0, 2);
    return run_case("wal", tc, 120);
}
