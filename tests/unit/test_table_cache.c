// The table cache over real tables: hits and misses, eviction at capacity, errors, and threads that
// read, evict and forget at once.
#include <pthread.h>

#include "base/hash.h"
#include "base/status.h"
#include "cache/block_cache.h"
#include "disk/env_fault.h"
#include "memtable/epoch.h"
#include "sstable/sst_builder.h"
#include "version/table_cache.h"
#include "version_util.h"

#define DIR    ""
#define TABLES 40

static struct env *env;
static struct block_cache *blocks;
static struct sst_read_options read_options;
static struct file_meta *files[TABLES];

// Table n holds the key n with the value n, as 8 big-endian bytes.
static struct file_meta *write_table(uint64_t n)
{
    static const struct sst_build_options options = {
        .block_size = 4096, .restart_interval = 16, .bloom_bits_per_key = 10};
    char name[STORE_NAME_MAX];
    struct env_file *out;
    struct sst_builder *builder;
    struct sst_info info;
    uint8_t key[8];
    put_big64(key, n);
    store_file_name(name, STORE_TABLE, n);
    ck_assert_int_eq(env_open(env, name, ENV_WRITE | ENV_CREATE, &out), 0);
    ck_assert_int_eq(sst_builder_new(out, n, &options, &builder), 0);
    ck_assert_int_eq(
        sst_builder_add(builder, slice_of(key, 8), tag_make(n, ENTRY_PUT), slice_of(key, 8)), 0);
    ck_assert_int_eq(sst_builder_finish(builder, &info), 0);
    sst_builder_free(builder);
    ck_assert_int_eq(env_close(out), 0);
    struct file_meta *file = make_file(n, n, n, info.file_size, n);
    sst_info_release(&info);
    return file;
}

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    ck_assert_int_eq(block_cache_new(1 << 20, &blocks), 0);
    read_options = (struct sst_read_options){.cache = blocks};
    for (unsigned i = 0; i < TABLES; i++)
        files[i] = write_table(i + 1);
}

static void teardown(void)
{
    for (unsigned i = 0; i < TABLES; i++)
        file_meta_unref(files[i]);
    epoch_barrier();
    block_cache_free(blocks);
    env_fault_free(env);
}

static struct table_cache *new_cache(unsigned capacity)
{
    struct table_cache *cache;
    ck_assert_int_eq(table_cache_new(env, capacity, &read_options, &cache), 0);
    return cache;
}

static void forget_all(struct table_cache *cache)
{
    for (unsigned i = 0; i < TABLES; i++)
        table_cache_forget(cache, files[i]);
    ck_assert_uint_eq(table_cache_open_tables(cache), 0);
    ck_assert_uint_eq(table_cache_memory(cache), 0);
    table_cache_free(cache);
}

// Reads table i's key through the cache; false if anything is not as it should be.
static bool read_table(struct table_cache *cache, unsigned i)
{
    struct sst_reader *reader;
    uint8_t key[8];
    put_big64(key, i + 1);
    struct sst_lookup lookup = {.key = slice_of(key, 8),
                                .hash = hash64(key, 8),
                                .sequence = SEQUENCE_MAX,
                                .fill_cache = true};
    epoch_pin();
    int rc = table_cache_get(cache, files[i], &reader);
    if (!rc)
        rc = sst_get(reader, &lookup);
    bool good = !rc && tag_sequence(lookup.tag) == i + 1 && slice_equal(lookup.value, lookup.key);
    epoch_unpin();
    return good;
}

START_TEST(test_opens_once_and_stays_within_capacity)
{
    struct table_cache *cache = new_cache(16);
    size_t memory = 0;
    for (unsigned i = 0; i < TABLES; i++) {
        ck_assert(read_table(cache, i));
        ck_assert_uint_eq(table_cache_open_tables(cache), i < 16 ? i + 1 : 16);
        if (i < 16)
            ck_assert_uint_gt(table_cache_memory(cache), memory);
        memory = table_cache_memory(cache);
    }
    uint64_t calls = env_fault_calls(env);
    for (unsigned i = 0; i < TABLES; i++)
        if (atomic_load(&files[i]->reader))
            ck_assert(read_table(cache, i));
    ck_assert_uint_eq(env_fault_calls(env), calls); // hits touch no file
    forget_all(cache);
}
END_TEST

START_TEST(test_second_chance)
{
    struct table_cache *cache = new_cache(4);
    for (unsigned i = 0; i < 5; i++) // the fifth clears all marks and takes the first's place
        ck_assert(read_table(cache, i));
    ck_assert_ptr_null(atomic_load(&files[0]->reader));
    for (unsigned i = 5; i < TABLES; i++) {
        ck_assert(read_table(cache, 2)); // in use all the time
        ck_assert(read_table(cache, i));
        ck_assert_ptr_nonnull(atomic_load(&files[2]->reader));
        ck_assert_uint_eq(table_cache_open_tables(cache), 4);
    }
    forget_all(cache);
}
END_TEST

START_TEST(test_forget)
{
    struct table_cache *cache = new_cache(8);
    for (unsigned i = 0; i < 8; i++)
        ck_assert(read_table(cache, i));
    table_cache_forget(cache, files[7]);
    table_cache_forget(cache, files[0]);
    table_cache_forget(cache, files[0]); // not open: nothing happens
    table_cache_forget(cache, files[30]);
    ck_assert_uint_eq(table_cache_open_tables(cache), 6);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < TABLES; i += 3) {
            ck_assert(read_table(cache, i));
            if (i % 2)
                table_cache_forget(cache, files[i]);
        }
    forget_all(cache);
}
END_TEST

START_TEST(test_a_reader_outlives_its_eviction)
{
    struct table_cache *cache = new_cache(1);
    struct sst_reader *reader;
    struct sst_properties properties;
    epoch_pin();
    ck_assert_int_eq(table_cache_get(cache, files[0], &reader), 0);
    sst_reader_ref(reader);
    epoch_unpin();
    ck_assert(read_table(cache, 1));
    ck_assert_ptr_null(atomic_load(&files[0]->reader));
    epoch_barrier();
    sst_reader_properties(reader, &properties);
    ck_assert_uint_eq(properties.entries, 1);
    sst_reader_unref(reader);
    forget_all(cache);
}
END_TEST

// Who found a reader while pinned may take a reference even if it was evicted in between.
START_TEST(test_a_reference_after_the_eviction)
{
    struct table_cache *cache = new_cache(1);
    struct sst_reader *reader, *other;
    struct sst_properties properties;
    epoch_pin();
    ck_assert_int_eq(table_cache_get(cache, files[0], &reader), 0);
    ck_assert_int_eq(table_cache_get(cache, files[1], &other), 0);
    ck_assert_ptr_null(atomic_load(&files[0]->reader));
    sst_reader_ref(reader);
    epoch_unpin();
    epoch_barrier();
    sst_reader_properties(reader, &properties);
    ck_assert_uint_eq(properties.entries, 1);
    sst_reader_unref(reader);
    epoch_barrier();
    forget_all(cache);
}
END_TEST

START_TEST(test_errors)
{
    struct table_cache *cache = new_cache(4);
    struct sst_reader *reader = NULL;
    epoch_pin();
    ck_assert_int_eq(env->ops->unlink(env, DIR "/000001.sst"), 0);
    ck_assert_int_eq(table_cache_get(cache, files[0], &reader), LSM_CORRUPTION);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "000001.sst"));
    files[1]->size++; // as if the file had been cut
    ck_assert_int_eq(table_cache_get(cache, files[1], &reader), LSM_CORRUPTION);
    files[1]->size--;
    uint64_t call = 1;
    for (int rc = LSM_IO_ERROR; rc; call++) {
        env_fault_fail_at(env, call, LSM_IO_ERROR, false);
        rc = table_cache_get(cache, files[2], &reader);
        ck_assert(rc == 0 || (rc == LSM_IO_ERROR && !reader));
    }
    ck_assert_uint_gt(call, 2);
    env_fault_fail_at(env, 0, 0, false);
    ck_assert_uint_eq(table_cache_open_tables(cache), 1);
    epoch_unpin();
    forget_all(cache);
}
END_TEST

// --------------------------------------------------------------------------------------- threads

struct worker {
    struct table_cache *cache;
    uint64_t seed;
    bool forgets;
    unsigned bad;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    for (unsigned i = 0; i < 3000; i++) {
        unsigned table = (unsigned)random_below(&worker->seed, TABLES);
        if (worker->forgets && random_below(&worker->seed, 4) == 0) {
            table_cache_forget(worker->cache, files[table]);
            (void)table_cache_memory(worker->cache);
        } else if (!read_table(worker->cache, table)) {
            worker->bad++;
        }
    }
    return NULL;
}

START_TEST(test_threads)
{
    uint64_t seed = test_seed("table_cache threads", 8);
    for (unsigned capacity = 1; capacity <= 50; capacity += 7) {
        struct worker workers[4];
        pthread_t threads[4];
        struct table_cache *cache = new_cache(capacity);
        for (unsigned i = 0; i < 4; i++) {
            workers[i] =
                (struct worker){.cache = cache, .seed = random_next(&seed), .forgets = i == 3};
            ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < 4; i++) {
            pthread_join(threads[i], NULL);
            ck_assert_uint_eq(workers[i].bad, 0);
        }
        ck_assert_uint_le(table_cache_open_tables(cache), capacity);
        forget_all(cache);
    }
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_opens_once_and_stays_within_capacity);
    tcase_add_test(tc, test_second_chance);
    tcase_add_test(tc, test_forget);
    tcase_add_test(tc, test_a_reader_outlives_its_eviction);
    tcase_add_test(tc, test_a_reference_after_the_eviction);
    tcase_add_test(tc, test_errors);
    tcase_add_test(tc, test_threads);
    return run_case("table_cache", tc, 300);
}
