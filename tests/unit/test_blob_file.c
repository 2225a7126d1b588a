// Blob files below the store: the bytes on disk, records and their partial reads, damage, the
// registry with its references, syncs, and which files are drained.
#include "quick_check.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/status.h"
#include "blob/blob_record.h"
#include "blob/blob_store.h"
#include "disk/env_fault.h"

#define NUMBER UINT64_C(7)

static struct env *env, *directory; // the disk; what the store is in
static struct env_file *file;
static struct blob_store *store;
static uint64_t next_number;

static uint64_t new_number(void *arg)
{
    (void)arg;
    return __atomic_add_fetch(&next_number, 1, __ATOMIC_RELAXED);
}

static void name_of(uint64_t number, char name[BLOB_NAME_MAX])
{
    snprintf(name, BLOB_NAME_MAX, "%06llu.blob", (unsigned long long)number);
}

static void setup(void)
{
    env = env_fault_new();
    ck_assert_int_eq(env->ops->mkdir(env, "/d"), 0);
    ck_assert_int_eq(env->ops->sync_dir(env, "/"), 0);
    ck_assert_int_eq(env->ops->open_dir(env, "/d", &directory), 0);
    ck_assert_int_eq(env_open(env, "/d/file", ENV_WRITE | ENV_CREATE, &file), 0);
    struct blob_store_options options = {.env = directory,
                                         .name = name_of,
                                         .compression = LSM_COMPRESSION_LZ4,
                                         .file_size = 64 << 10,
                                         .handles_max = 512,
                                         .new_number = new_number};
    next_number = 100;
    ck_assert_int_eq(blob_store_new(&options, &store), 0);
    blob_store_hold(store, false);
}

static void teardown(void)
{
    blob_store_free(store);
    (void)!env_close(file);
    env->ops->close_dir(directory);
    env_fault_free(env);
}

static void fill(uint8_t *data, size_t size, unsigned mark)
{
    uint64_t x = mark * UINT64_C(0x9E3779B97F4A7C15) + 1;
    for (size_t i = 0; i < size; i++) {
        if (mark % 2 || i % 16 == 0)
            x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        data[i] = (uint8_t)(x >> 56);
    }
}

static struct blob_pointer write_record(struct slice value, enum lsm_compression codec,
                                        uint64_t offset)
{
    struct blob_record record;
    ck_assert_int_eq(blob_record_init(&record, value, codec), 0);
    ck_assert_int_eq(blob_record_write(&record, file, NUMBER, offset), 0);
    struct blob_pointer pointer = {.file = NUMBER,
                                   .offset = offset,
                                   .value_size = record.head.value_size,
                                   .stored_size = record.head.stored_size,
                                   .length = record.head.value_size,
                                   .codec = record.head.codec};
    ck_assert_uint_eq(blob_record_size(&record), blob_pointer_bytes(&pointer));
    blob_record_release(&record);
    return pointer;
}

static size_t read_file(uint64_t offset, uint8_t *data, size_t size)
{
    size_t got;
    ck_assert_int_eq(env_pread(file, data, size, offset, &got), 0);
    return got;
}

// ------------------------------------------------------------------------------------ the bytes

START_TEST(test_golden_header)
{
    static const uint8_t expected[BLOB_FILE_HEADER] = {
        't', 'l', 's', 'm', 'B', 'L', 'O', 'B', 1, 0, 0, 0, 0xaf, 0x72, 0x22, 0x75, 7};
    uint8_t header[BLOB_FILE_HEADER];
    blob_file_header_encode(NUMBER, header);
    ck_assert_mem_eq(header, expected, sizeof header);
    ck_assert_int_eq(blob_file_header_decode(header, NUMBER, "f"), 0);
    ck_assert_int_eq(blob_file_header_decode(header, NUMBER + 1, "f"), LSM_CORRUPTION);
    for (unsigned bit = 0; bit < 8 * sizeof header; bit++) {
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(blob_file_header_decode(header, NUMBER, "f"), LSM_CORRUPTION);
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}
END_TEST

// A record of 5000 bytes at offset 32: head, a whole page, a short one.
START_TEST(test_golden_record)
{
    uint8_t value[5000], bytes[6000];
    fill(value, sizeof value, 1);
    struct blob_pointer pointer = write_record(slice_of(value, sizeof value), 0, 32);
    size_t size = read_file(32, bytes, sizeof bytes);
    ck_assert_uint_eq(size, 16 + 5000 + 2 * 4);
    static const uint8_t head[] = {0x88, 0x13, 0, 0, 0x88, 0x13, 0, 0, 0, 0, 0, 0};
    ck_assert_mem_eq(bytes + 4, head, sizeof head);
    ck_assert_mem_eq(bytes + 16, value, 4096);
    ck_assert_mem_eq(bytes + 16 + 4096 + 4, value + 4096, 904);
    uint64_t seed = NUMBER * UINT64_C(0x9E3779B97F4A7C15);
    uint32_t sums[3];
    memcpy(&sums[0], bytes, 4);
    memcpy(&sums[1], bytes + 16 + 4096, 4);
    memcpy(&sums[2], bytes + size - 4, 4);
    ck_assert_uint_eq(sums[0], checksum32(bytes + 4, 12, seed ^ 32));
    ck_assert_uint_eq(sums[1], checksum32(value, 4096, seed ^ (32 + 16)));
    ck_assert_uint_eq(sums[2], checksum32(value + 4096, 904, seed ^ (32 + 16 + 4100)));
    ck_assert_uint_eq(blob_pointer_bytes(&pointer), size);
}
END_TEST

START_TEST(test_golden_pointer)
{
    static const uint8_t plain[] = {0, 7, 32, 0x88, 0x27, 100, 0xd0, 0x0f};
    static const uint8_t packed[] = {1, 7, 32, 0x88, 0x27, 0x90, 0x4e - 0x40, 100, 0xd0, 0x0f};
    struct blob_pointer p = {.file = 7,
                             .offset = 32,
                             .value_size = 5000,
                             .stored_size = 5000,
                             .start = 100,
                             .length = 2000};
    struct blob_pointer q;
    uint8_t bytes[BLOB_POINTER_MAX];
    ck_assert_uint_eq(blob_pointer_encode(&p, bytes), sizeof plain);
    ck_assert_mem_eq(bytes, plain, sizeof plain);
    ck_assert_int_eq(blob_pointer_decode(slice_of(plain, sizeof plain), &q), 0);
    ck_assert(q.file == 7 && q.offset == 32 && q.value_size == 5000 && q.stored_size == 5000 &&
              q.start == 100 && q.length == 2000 && q.codec == 0);
    p.codec = LSM_COMPRESSION_LZ4;
    p.stored_size = 0x710;
    ck_assert_uint_eq(blob_pointer_encode(&p, bytes), sizeof packed);
    ck_assert_mem_eq(bytes, packed, sizeof packed);
    for (size_t n = 0; n < sizeof plain; n++)
        ck_assert_int_eq(blob_pointer_decode(slice_of(plain, n), &q), LSM_CORRUPTION);
    // Ranges that do not lie in the value, impossible sizes, an unknown codec.
    static const uint8_t bad[][8] = {{0, 7, 32, 50, 10, 41},   {0, 7, 32, 50, 51, 0},
                                     {0, 7, 32, 50, 10, 0},    {0, 0, 32, 50, 0, 50},
                                     {0, 7, 31, 50, 0, 50},    {3, 7, 32, 50, 40, 0, 50},
                                     {1, 7, 32, 50, 51, 0, 50}};
    static const uint8_t sizes[] = {6, 6, 6, 6, 6, 7, 7};
    for (size_t i = 0; i < sizeof sizes; i++)
        ck_assert_int_eq(blob_pointer_decode(slice_of(bad[i], sizes[i]), &q), LSM_CORRUPTION);
}
END_TEST

// ---------------------------------------------------------------------------------------- records

static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 65535, 65536, 65537, 200000, 2200000};

START_TEST(test_reads)
{
    size_t size = sizes[_i % 10];
    enum lsm_compression codec = (enum lsm_compression)(_i / 10 % 3);
    unsigned mark = (unsigned)(_i / 30);
    uint8_t *value = malloc(size), *data = malloc(size);
    fill(value, size, mark);
    struct blob_pointer pointer = write_record(slice_of(value, size), codec, 1000003);
    ck_assert_int_eq(blob_record_verify(file, &pointer), 0);
    ck_assert_int_eq(blob_record_read(file, &pointer, 0, data, size), 0);
    ck_assert_mem_eq(data, value, size);
    uint64_t x = 3;
    for (int i = 0; i < 60; i++) { // ranges of ranges
        x = x * UINT64_C(6364136223846793005) + 1;
        struct blob_pointer part = pointer;
        part.start = (uint32_t)((x >> 33) % size);
        part.length = (uint32_t)(1 + (x >> 13) % (size - part.start));
        uint32_t from = (uint32_t)((x >> 23) % part.length);
        size_t n = 1 + (x >> 3) % (part.length - from);
        if (n > 20000)
            n %= 20000;
        memset(data, 0, n);
        ck_assert_int_eq(blob_record_read(file, &part, from, data, n), 0);
        ck_assert_mem_eq(data, value + part.start + from, n);
        ck_assert_uint_le(blob_pointer_bytes(&part), blob_pointer_bytes(&pointer));
    }
    free(value);
    free(data);
}
END_TEST

START_TEST(test_small_reads_read_little)
{
    uint8_t *value = malloc(1 << 20), page[4096];
    fill(value, 1 << 20, 1);
    struct blob_pointer pointer = write_record(slice_of(value, 1 << 20), 0, 32);
    // Damage elsewhere is not met.
    ck_assert_int_eq(env_fault_flip(env, "/d/file", 500000, 1), 0);
    uint64_t before = env_fault_calls(env);
    ck_assert_int_eq(blob_record_read(file, &pointer, 100 * 4096, page, sizeof page), 0);
    ck_assert_uint_eq(env_fault_calls(env) - before, 1);
    ck_assert_mem_eq(page, value + 100 * 4096, sizeof page);
    ck_assert_int_eq(blob_record_verify(file, &pointer), LSM_CORRUPTION);
    before = env_fault_calls(env);
    ck_assert_int_eq(blob_record_read(file, &pointer, 0, value, 1 << 20), LSM_CORRUPTION);
    ck_assert_uint_eq(env_fault_calls(env) - before, 1); // one call for a megabyte
    free(value);
}
END_TEST

// Every flipped bit is found, in the head and in the pages; a record does not verify elsewhere.
START_TEST(test_damage)
{
    uint8_t value[9000], data[9000];
    fill(value, sizeof value, 2);
    struct blob_pointer pointer =
        write_record(slice_of(value, sizeof value), (enum lsm_compression)_i, 32);
    uint64_t end = 32 + blob_pointer_bytes(&pointer);
    ck_assert(_i == 0 || pointer.stored_size < 8000);
    for (uint64_t at = 32; at < end; at += at < 100 ? 1 : 7) {
        ck_assert_int_eq(env_fault_flip(env, "/d/file", at, at % 8), 0);
        ck_assert_int_eq(blob_record_verify(file, &pointer), LSM_CORRUPTION);
        int rc = blob_record_read(file, &pointer, 0, data, sizeof data);
        ck_assert(rc == LSM_CORRUPTION || (rc == 0 && !memcmp(data, value, sizeof data)));
        ck_assert_int_eq(env_fault_flip(env, "/d/file", at, at % 8), 0);
    }
    ck_assert_int_eq(blob_record_verify(file, &pointer), 0);
    pointer.file++;
    ck_assert_int_eq(blob_record_read(file, &pointer, 0, data, sizeof data), LSM_CORRUPTION);
    pointer.file--;
    ck_assert_int_eq(file->ops->truncate(file, end - 1), 0);
    ck_assert_int_eq(blob_record_read(file, &pointer, 0, data, sizeof data), LSM_CORRUPTION);
}
END_TEST

START_TEST(test_probe)
{
    uint8_t data[70000];
    fill(data, sizeof data, 1);
    ck_assert(!blob_probe(slice_of(data, sizeof data)));
    struct blob_record record;
    ck_assert_int_eq(blob_record_init(&record, slice_of(data, sizeof data), LSM_COMPRESSION_LZ4),
                     0);
    ck_assert_int_eq(record.head.codec, LSM_COMPRESSION_NONE); // it did not pay
    blob_record_release(&record);
    fill(data, sizeof data, 2);
    ck_assert(blob_probe(slice_of(data, sizeof data)));
}
END_TEST

// -------------------------------------------------------------------------------------- the store

static struct blob_file *append(size_t size, unsigned mark, struct blob_pointer *ret_pointer)
{
    uint8_t *value = malloc(size);
    struct blob_file *blob;
    fill(value, size, mark);
    int rc = blob_store_append(store, BLOB_WRITES, slice_of(value, size), ret_pointer, &blob);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    free(value);
    blob_file_add_mem(blob, -(int64_t)blob_pointer_bytes(ret_pointer)); // the test counts itself
    return blob;
}

static void expect_value(struct blob_file *blob, const struct blob_pointer *pointer, unsigned mark)
{
    uint8_t *value = malloc(pointer->length), *data = malloc(pointer->length);
    fill(value, pointer->length, mark);
    int rc = blob_file_read(blob, pointer, 0, data, pointer->length);
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
    ck_assert_mem_eq(data, value, pointer->length);
    free(value);
    free(data);
}

static unsigned blob_files(void)
{
    struct blob_stats stats;
    blob_store_stats(store, &stats);
    return (unsigned)stats.files;
}

START_TEST(test_rolling_and_removal)
{
    struct blob_pointer pointers[40];
    struct blob_file *blobs[40];
    for (unsigned i = 0; i < 40; i++)
        blobs[i] = append(10000, 2 * i + 1, &pointers[i]);
    ck_assert_uint_ge(blob_files(), 40 * 10000 / 65536 + 1);
    for (unsigned i = 0; i < 40; i++)
        expect_value(blobs[i], &pointers[i], 2 * i + 1);
    struct blob_pointer large;
    struct blob_file *blob = append(300000, 5, &large); // larger than a file
    expect_value(blob, &large, 5);
    blob_file_unref(blob);
    blob_store_remove_unused(store, UINT64_MAX);
    unsigned before = blob_files();
    for (unsigned i = 0; i < 30; i++)
        blob_file_unref(blobs[i]);
    blob_store_hold(store, true);
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_eq(blob_files(), before); // held
    blob_store_hold(store, false);
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_lt(blob_files(), before - 3);
    for (unsigned i = 30; i < 40; i++) {
        expect_value(blobs[i], &pointers[i], 2 * i + 1);
        blob_file_unref(blobs[i]);
    }
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_le(blob_files(), 1); // the current one
}
END_TEST

START_TEST(test_sync)
{
    struct blob_pointer first, second;
    ck_assert_int_eq(blob_store_sync(store), 0);
    struct blob_file *a = append(5000, 1, &first);
    uint64_t before = env_fault_calls(env);
    ck_assert_int_eq(blob_store_sync(store), 0);
    ck_assert_uint_eq(env_fault_calls(env) - before, 1);
    ck_assert_int_eq(blob_store_sync(store), 0); // nothing is outstanding
    ck_assert_uint_eq(env_fault_calls(env) - before, 1);
    struct blob_file *b = append(5000, 3, &second);
    env_fault_power_cut(env, 0);
    uint8_t data[5000];
    ck_assert_int_ne(blob_file_read(a, &first, 0, data, 5000), 0); // a dead handle
    blob_file_unref(a);
    blob_file_unref(b);
    blob_store_free(store);
    struct blob_store_options options = {.env = directory,
                                         .name = name_of,
                                         .file_size = 64 << 10,
                                         .handles_max = 512,
                                         .new_number = new_number};
    ck_assert_int_eq(blob_store_new(&options, &store), 0);
    ck_assert_int_eq(blob_store_get(store, first.file, &a), 0);
    expect_value(a, &first, 1);
    ck_assert_int_eq(blob_file_verify(a, &first), 0);
    ck_assert_int_eq(blob_file_verify(a, &second), LSM_CORRUPTION);
    blob_file_unref(a);
}
END_TEST

START_TEST(test_failed_sync_is_final)
{
    struct blob_pointer pointer;
    struct blob_file *blob = append(5000, 1, &pointer);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, false);
    ck_assert_int_eq(blob_store_sync(store), LSM_IO_ERROR);
    ck_assert_int_eq(blob_store_sync(store), LSM_IO_ERROR);
    expect_value(blob, &pointer, 1);
    blob_file_unref(blob);
}
END_TEST

// A failed append leaves nothing behind that counts; a full disk does not use up the file.
START_TEST(test_failed_append)
{
    struct blob_pointer pointer;
    struct blob_file *blob = append(5000, 1, &pointer), *none;
    struct blob_stats stats;
    uint8_t value[5000];
    fill(value, sizeof value, 3);
    for (int i = 0; i < 2; i++) {
        env_fault_fail_at(env, 1, i ? LSM_IO_ERROR : LSM_NO_SPACE, false);
        ck_assert_int_eq(
            blob_store_append(store, BLOB_WRITES, slice_of(value, sizeof value), &pointer, &none),
            i ? LSM_IO_ERROR : LSM_NO_SPACE);
        blob_store_stats(store, &stats);
        ck_assert_uint_eq(stats.files, 1);
        ck_assert_uint_lt(stats.bytes, 6000);
    }
    blob_file_unref(blob);
    blob = append(5000, 1, &pointer); // in a new file
    ck_assert_uint_eq(pointer.offset, 32);
    expect_value(blob, &pointer, 1);
    blob_file_unref(blob);
}
END_TEST

// ------------------------------------------------------------------------- behind a file's end

static uint64_t space_used(void)
{
    uint64_t free_bytes, total;
    ck_assert_int_eq(env->ops->space(env, "/", &free_bytes, &total), 0);
    return total - free_bytes;
}

// What has to be on disk for the files that there are, in pages.
static uint64_t space_needed(void)
{
    struct blob_stats stats;
    blob_store_stats(store, &stats);
    return stats.bytes + stats.files * 4096;
}

// A file that is complete is cut at its length once it is synced; its handle stays open meanwhile.
START_TEST(test_trim)
{
    struct blob_pointer pointers[10];
    struct blob_file *blobs[10]; // each value is larger than a file is to be
    env_fault_allocate_behind(env);
    for (unsigned i = 0; i < 10; i++)
        blobs[i] = append(200000, 2 * i + 1, &pointers[i]);
    ck_assert_uint_gt(space_used(), space_needed() * 3 / 2);
    uint64_t calls = env_fault_calls(env);
    blob_store_trim(store); // cutting what is not synced would write it out
    ck_assert_uint_eq(env_fault_calls(env), calls);
    ck_assert_int_eq(blob_store_sync(store), 0);
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_gt(space_used(), space_needed() * 3 / 2);
    blob_store_trim(store);
    ck_assert_uint_le(space_used(), space_needed() + 200704); // all but the current file
    calls = env_fault_calls(env);
    blob_store_trim(store); // once
    ck_assert_uint_eq(env_fault_calls(env), calls);
    for (unsigned i = 0; i < 10; i++) {
        expect_value(blobs[i], &pointers[i], 2 * i + 1);
        blob_file_unref(blobs[i]);
    }
}
END_TEST

// A file that cannot be cut is used all the same.
START_TEST(test_trim_failed)
{
    struct blob_pointer pointers[10];
    struct blob_file *blobs[10];
    env_fault_allocate_behind(env);
    for (unsigned i = 0; i < 10; i++)
        blobs[i] = append(200000, 2 * i + 1, &pointers[i]);
    ck_assert_int_eq(blob_store_sync(store), 0);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, true);
    blob_store_trim(store);
    env_fault_fail_at(env, 0, 0, false);
    for (unsigned i = 0; i < 10; i++) {
        expect_value(blobs[i], &pointers[i], 2 * i + 1);
        blob_file_unref(blobs[i]);
    }
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_le(blob_files(), 1);
}
END_TEST

// When space is low everything is given back, of the current file too if it is much.
START_TEST(test_give_back)
{
    struct blob_pointer first, second, third;
    env_fault_allocate_behind(env);
    struct blob_file *a = append(1 << 20, 1, &first); // larger than a file is to be
    ck_assert_uint_gt(space_used(), 2 << 20);
    ck_assert(blob_store_give_back(store));
    ck_assert_uint_le(space_used(), space_needed());
    ck_assert(!blob_store_give_back(store));
    struct blob_file *b = append(20000, 3, &second), *c = append(20000, 3, &third);
    ck_assert(!blob_store_give_back(store)); // not worth another file
    ck_assert(b != a && c == b);
    expect_value(a, &first, 1);
    blob_file_unref(a);
    blob_file_unref(b);
    blob_file_unref(c);
}
END_TEST

// The disk freezes when the head of the file is written, and the record is about to be.
static void freeze_second_write(void *arg, const char *what, const char *path)
{
    (void)path;
    if (!strcmp(what, "write") && ++*(unsigned *)arg == 2)
        env_fault_freeze(env, ".blob");
}

static void *append_frozen(void *arg)
{
    struct blob_pointer pointer;
    (void)arg;
    blob_file_unref(append(2 << 20, 1, &pointer));
    return NULL;
}

static void *give_back(void *arg)
{
    *(bool *)arg = blob_store_give_back(store);
    return NULL;
}

// It waits for the last write to a file that was ended: what is free is known only then.
START_TEST(test_give_back_waits)
{
    pthread_t writer, giver;
    bool found = false;
    unsigned writes = 0;
    env_fault_allocate_behind(env);
    env_fault_on_call(env, freeze_second_write, &writes);
    ck_assert_int_eq(pthread_create(&writer, NULL, append_frozen, NULL), 0);
    while (env_fault_held(env) == 0)
        sched_yield();
    blob_store_seal(store);
    ck_assert_int_eq(pthread_create(&giver, NULL, give_back, &found), 0);
    env_fault_freeze(env, NULL);
    ck_assert_int_eq(pthread_join(writer, NULL), 0);
    ck_assert_int_eq(pthread_join(giver, NULL), 0);
    ck_assert(!blob_store_give_back(store)); // nothing is left to find
    ck_assert_uint_le(space_used(), space_needed());
}
END_TEST

// A full disk keeps nothing of a record that did not fit.
START_TEST(test_failed_append_is_cut)
{
    static uint8_t value[1 << 20];
    struct blob_pointer pointer;
    struct blob_file *blob = append(5000, 1, &pointer), *none;
    uint64_t used = space_used();
    fill(value, sizeof value, 3);
    env_fault_limit(env, used + (512 << 10));
    ck_assert_int_eq(
        blob_store_append(store, BLOB_WRITES, slice_of(value, sizeof value), &pointer, &none),
        LSM_NO_SPACE);
    ck_assert_uint_le(space_used(), used + 4096); // that of a new file
    struct blob_file *next = append(5000, 3, &pointer);
    expect_value(next, &pointer, 3);
    blob_file_unref(next);
    blob_file_unref(blob);
}
END_TEST

START_TEST(test_drain)
{
    struct blob_pointer pointers[60];
    struct blob_file *blobs[60];
    for (unsigned i = 0; i < 60; i++) {
        blobs[i] = append(10000, 2 * i + 1, &pointers[i]);
        blob_file_add_live(blobs[i], (int64_t)blob_pointer_bytes(&pointers[i]));
    }
    ck_assert(!blob_store_choose_drain(store, 20)); // no garbage
    for (unsigned i = 0; i < 12; i++)               // two files, nearly all of them garbage
        if (i % 6)
            blob_file_add_live(blobs[i], -(int64_t)blob_pointer_bytes(&pointers[i]));
    ck_assert(!blob_store_wants_drain(store, 20)); // too little
    ck_assert(!blob_store_choose_drain(store, 20));
    ck_assert(blob_store_wants_drain(store, 10));
    for (unsigned i = 0; i < 60; i++)
        ck_assert(!blob_file_draining(blobs[i])); // it was only asked
    ck_assert(blob_store_choose_drain(store, 10));
    unsigned draining = 0;
    for (unsigned i = 0; i < 60; i += 6)
        draining += blob_file_draining(blobs[i]);
    ck_assert_uint_ge(draining, 1);
    ck_assert(blob_file_draining(blobs[0]) || blob_file_draining(blobs[6]));
    ck_assert(!blob_file_draining(blobs[30]));
    ck_assert(blob_store_wants_drain(store, 90)); // the round goes on whatever is asked for
    ck_assert(blob_store_choose_drain(store, 90));
    for (unsigned i = 0; i < 12; i += 6)
        blob_file_add_live(blobs[i], -(int64_t)blob_pointer_bytes(&pointers[i]));
    ck_assert(!blob_store_wants_drain(store, 90)); // nothing is live there now
    ck_assert(!blob_store_choose_drain(store, 90));
    struct blob_ref refs[2] = {{.number = 1, .bytes = 5, .file = blobs[30]},
                               {.number = 2, .bytes = 7, .file = blobs[draining == 2 ? 0 : 6]}};
    if (blob_file_draining(refs[1].file))
        ck_assert_uint_eq(blob_refs_draining(refs, 2), 7);
    for (unsigned i = 0; i < 60; i++)
        blob_file_unref(blobs[i]);
}
END_TEST

// A file that is still written to is ended when it is chosen, and not when that is only asked
// about.
START_TEST(test_drain_of_current)
{
    struct blob_pointer pointers[5];
    struct blob_file *blobs[5];
    for (unsigned i = 0; i < 3; i++)
        blobs[i] = append(10000, 2 * i + 1, &pointers[i]);
    blob_file_add_live(blobs[0],
                       (int64_t)blob_pointer_bytes(&pointers[0])); // of the others nothing
    ck_assert(blob_store_wants_drain(store, 20));
    blobs[3] = append(100, 1, &pointers[3]);
    ck_assert_uint_eq(pointers[3].file, pointers[0].file);
    ck_assert(blob_store_choose_drain(store, 20));
    ck_assert(blob_file_draining(blobs[0]));
    blobs[4] = append(100, 1, &pointers[4]);
    ck_assert_uint_ne(pointers[4].file, pointers[0].file);
    for (unsigned i = 0; i < 5; i++)
        blob_file_unref(blobs[i]);
}
END_TEST

// A file that is drained but for what a memtable refers to keeps no other from being chosen, and is
// told apart in the figures.
START_TEST(test_drained_file_waits)
{
    struct blob_pointer pointers[60];
    struct blob_file *blobs[60];
    struct blob_stats stats;
    for (unsigned i = 0; i < 60; i++) {
        blobs[i] = append(10000, 2 * i + 1, &pointers[i]);
        blob_file_add_live(blobs[i], (int64_t)blob_pointer_bytes(&pointers[i]));
    }
    const unsigned first = 0, second = 6; // the first values of two files
    int64_t bytes = (int64_t)blob_pointer_bytes(&pointers[first]);
    ck_assert_ptr_ne(blobs[first], blobs[second]);
    for (unsigned i = first + 1; i < second; i++)
        blob_file_add_live(blobs[i], -(int64_t)blob_pointer_bytes(&pointers[i]));
    ck_assert(blob_store_choose_drain(store, 5));
    ck_assert(blob_file_draining(blobs[first]));
    ck_assert(!blob_file_draining(blobs[second]));

    blob_file_add_mem(blobs[first], bytes / 2); // a slice
    blob_file_add_live(blobs[first], -bytes);
    for (unsigned i = second + 1; i < second + 6; i++)
        blob_file_add_live(blobs[i], -(int64_t)blob_pointer_bytes(&pointers[i]));
    blob_store_stats(store, &stats);
    ck_assert_uint_gt(stats.waiting, 50000);
    ck_assert_uint_lt(stats.waiting, 70000);
    ck_assert_uint_eq(stats.in_use, stats.bytes);
    ck_assert(blob_store_choose_drain(store, 5));
    ck_assert(blob_file_draining(blobs[second]));

    blob_file_add_mem(blobs[first], -(bytes / 2)); // only its readers are left
    blob_store_stats(store, &stats);
    ck_assert_uint_eq(stats.waiting, 0);
    ck_assert_uint_lt(stats.in_use, stats.bytes - 50000);

    uint64_t before = stats.unsettled; // what is live, but in level 0 only
    blob_file_add_level0(blobs[59], (int64_t)blob_pointer_bytes(&pointers[59]));
    blob_store_stats(store, &stats);
    ck_assert_uint_eq(stats.unsettled, before + blob_pointer_bytes(&pointers[59]));
    for (unsigned i = 0; i < 60; i++)
        blob_file_unref(blobs[i]);
}
END_TEST

START_TEST(test_refs)
{
    struct blob_refs set = {0};
    struct blob_ref *ref;
    static const uint64_t numbers[] = {5, 3, 9, 5, 3, 1, 100, 2, 5, 50, 60, 70, 80, 90};
    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ck_assert_int_eq(blob_refs_add(&set, numbers[i], i + 1, &ref), 0);
        ck_assert_uint_eq(ref->number, numbers[i]);
    }
    ck_assert_uint_eq(set.count, 11);
    for (size_t i = 1; i < set.count; i++)
        ck_assert_uint_lt(set.refs[i - 1].number, set.refs[i].number);
    uint64_t bytes = 0;
    for (size_t i = 0; i < set.count; i++)
        bytes += set.refs[i].bytes;
    ck_assert_uint_eq(bytes, 14 * 15 / 2);
    ck_assert_uint_eq(set.refs[3].bytes, 1 + 4 + 9);
    blob_refs_release(&set);
}
END_TEST

static void *appender(void *arg)
{
    unsigned id = *(unsigned *)arg;
    for (unsigned i = 0; i < 60; i++) {
        struct blob_pointer pointer;
        unsigned mark = id * 1000 + i;
        struct blob_file *blob = append(1000 + 97 * i, mark, &pointer);
        if (i % 7 == 0)
            ck_assert_int_eq(blob_store_sync(store), 0);
        expect_value(blob, &pointer, mark);
        blob_file_unref(blob);
        if (i % 10 == 0)
            blob_store_remove_unused(store, UINT64_MAX);
    }
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t threads[4];
    unsigned ids[4];
    for (unsigned i = 0; i < 4; i++) {
        ids[i] = i;
        pthread_create(&threads[i], NULL, appender, &ids[i]);
    }
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    blob_store_remove_unused(store, UINT64_MAX);
    ck_assert_uint_le(blob_files(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blob file");
    TCase *tc = tcase_create("blob file");
    tcase_set_timeout(tc, 600);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_golden_header);
    tcase_add_test(tc, test_golden_record);
    tcase_add_test(tc, test_golden_pointer);
    tcase_add_loop_test(tc, test_reads, 0, 60);
    tcase_add_test(tc, test_small_reads_read_little);
    tcase_add_loop_test(tc, test_damage, 0, 3);
    tcase_add_test(tc, test_probe);
    tcase_add_test(tc, test_rolling_and_removal);
    tcase_add_test(tc, test_sync);
    tcase_add_test(tc, test_failed_sync_is_final);
    tcase_add_test(tc, test_failed_append);
    tcase_add_test(tc, test_trim);
    tcase_add_test(tc, test_trim_failed);
    tcase_add_test(tc, test_give_back);
    tcase_add_test(tc, test_give_back_waits);
    tcase_add_test(tc, test_failed_append_is_cut);
    tcase_add_test(tc, test_drain);
    tcase_add_test(tc, test_drain_of_current);
    tcase_add_test(tc, test_drained_file_waits);
    tcase_add_test(tc, test_refs);
    tcase_add_test(tc, test_threads);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
