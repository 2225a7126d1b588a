// Tables: written, opened, searched and walked beside a model; the options; the bytes.
#include "unit/sst_util.h"

#include <pthread.h>
#include <stdio.h>

#include "base/coding.h"
#include "base/status.h"
#include "sstable/sst_format.h"
#include "sstable/sst_index.h"

static uint64_t seed = 1;
static struct env *env;
static struct block_cache *cache;

static void setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    ck_assert_int_eq(block_cache_new(1 << 20, &cache), 0);
}

static void teardown(void)
{
    epoch_barrier();
    block_cache_free(cache);
    env_fault_free(env);
}

static struct sst_reader *open_table(uint64_t number, uint64_t size, enum lsm_checksums checksums)
{
    struct sst_reader *reader;
    // Every other table is read through its mapping even where it is compressed.
    static struct sst_map_budget budget;
    static unsigned opened;
    atomic_store(&budget.left, opened++ % 2 ? 1u << 30 : 0);
    struct sst_read_options options = {
        .checksums = checksums, .cache = cache, .map_budget = &budget};
    int status = sst_open(env, TABLE_PATH, number, size, &options, &reader);
    ck_assert_msg(status == 0, "%s", lsm_error_detail());
    return reader;
}

static void check_get(struct sst_reader *reader, const struct model *m, struct slice key,
                      uint64_t sequence, bool fill_cache)
{
    uint8_t scratch[8192];
    struct sst_lookup lookup = {.key = key,
                                .hash = hash64(key.data, key.size),
                                .sequence = sequence,
                                .fill_cache = fill_cache,
                                .scratch = scratch,
                                .scratch_size = key.size % 2 ? sizeof scratch : 0,
                                .tag = 77};
    size_t i = model_seek(m, key, sequence << 8 | 0xff);
    epoch_pin();
    int status = sst_get(reader, &lookup);
    if (i < m->count && slice_equal(m->entries[i].key, key)) {
        ck_assert_int_eq(status, 0);
        ck_assert_uint_eq(lookup.tag, m->entries[i].tag);
        ck_assert(slice_equal(lookup.value, m->entries[i].value));
    } else {
        ck_assert_int_eq(status, LSM_NOT_FOUND);
        ck_assert_uint_eq(lookup.tag, 77);
    }
    epoch_unpin();
}

static void check_gets(struct sst_reader *reader, const struct model *m, struct random *r)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        check_get(reader, m, e->key, SEQUENCE_MAX, i % 2);
        check_get(reader, m, e->key, tag_sequence(e->tag), true);
        if (tag_sequence(e->tag))
            check_get(reader, m, e->key, tag_sequence(e->tag) - 1, true);
        uint8_t key[512];
        struct slice other = slice_of(key, random_key(r, key, true));
        check_get(reader, m, other, random_below(r, 1000), i % 3);
    }
}

static void check_position(const struct iter *it, const struct model *m, size_t at)
{
    ck_assert_int_eq(it->status, 0);
    ck_assert_int_eq(it->valid, at < m->count);
    if (it->valid)
        assert_entry(&it->entry, &m->entries[at]);
}

// The whole table both ways, then moves at random.
static void check_iter(struct sst_reader *reader, const struct model *m, struct random *r,
                       const struct sst_iter_options *options)
{
    struct iter *it;
    ck_assert_int_eq(sst_iter_new(reader, options, &it), 0);
    ck_assert(!it->valid);
    size_t at = 0;
    for (iter_seek_first(it); it->valid; iter_next(it))
        check_position(it, m, at++);
    ck_assert_uint_eq(at, m->count);
    for (iter_seek_last(it); it->valid; iter_prev(it))
        check_position(it, m, --at);
    ck_assert_uint_eq(at, 0);
    ck_assert_int_eq(it->status, 0);
    for (int step = 0; step < 400; step++) {
        uint64_t move = random_below(r, it->valid ? 12 : 3);
        if (move == 0) {
            iter_seek_first(it);
            at = 0;
        } else if (move == 1) {
            iter_seek_last(it);
            at = m->count - 1;
        } else if (move == 2) {
            uint8_t key[512];
            struct slice target = slice_of(key, random_key(r, key, true));
            uint64_t tag = random_below(r, 2) ? TAG_MAX : random_below(r, 1000) << 8;
            if (random_below(r, 2)) {
                const struct entry *e = &m->entries[random_below(r, m->count)];
                target = e->key;
                tag = e->tag + random_below(r, 3) - 1;
            } else if (it->valid && random_below(r, 4) == 0) {
                target = it->entry.key;
            }
            at = model_seek(m, target, tag);
            if (random_below(r, 2)) {
                at = at ? at - 1 : m->count;
                iter_seek_before(it, target, tag);
            } else {
                iter_seek(it, target, tag);
            }
        } else if (move < 8) {
            iter_next(it);
            at++;
        } else {
            iter_prev(it);
            at = at ? at - 1 : m->count;
        }
        check_position(it, m, at);
    }
    iter_seek(it, slice_of(NULL, 0), TAG_MAX);
    check_position(it, m, 0);
    iter_free(it);
}

static void check_info(const struct sst_info *info, const struct model *m,
                       struct sst_reader *reader)
{
    uint64_t deletes = 0, raw = 0, min = SEQUENCE_MAX, max = 0;
    for (size_t i = 0; i < m->count; i++) {
        const struct entry *e = &m->entries[i];
        deletes += tag_type(e->tag) == ENTRY_DELETE;
        raw += e->key.size + e->value.size;
        min = tag_sequence(e->tag) < min ? tag_sequence(e->tag) : min;
        max = tag_sequence(e->tag) > max ? tag_sequence(e->tag) : max;
    }
    const struct entry *first = &m->entries[0], *last = &m->entries[m->count - 1];
    ck_assert(slice_equal(buf_slice(&info->smallest_key), first->key));
    ck_assert(slice_equal(buf_slice(&info->largest_key), last->key));
    ck_assert_uint_eq(info->smallest_tag, first->tag);
    ck_assert_uint_eq(info->largest_tag, last->tag);
    struct sst_properties p;
    sst_reader_properties(reader, &p);
    ck_assert_uint_eq(info->entries, m->count);
    ck_assert_uint_eq(p.entries, m->count);
    ck_assert_uint_eq(info->deletes, deletes);
    ck_assert_uint_eq(p.deletes, deletes);
    ck_assert_uint_eq(info->raw_bytes, raw);
    ck_assert_uint_eq(p.raw_bytes, raw);
    ck_assert_uint_eq(info->min_sequence, min);
    ck_assert_uint_eq(p.min_sequence, min);
    ck_assert_uint_eq(info->max_sequence, max);
    ck_assert_uint_eq(p.max_sequence, max);
    ck_assert_uint_le(p.data_bytes + p.index_bytes + p.filter_bytes, info->file_size);
}

static void check_table(const struct model *m, struct random *r,
                        const struct sst_build_options *options)
{
    struct sst_info info;
    uint64_t number = random_next(r);
    build_table(env, m, number, options, &info);
    for (enum lsm_checksums c = LSM_CHECKSUMS_ONCE; c <= LSM_CHECKSUMS_NEVER; c++) {
        struct sst_reader *reader = open_table(number, info.file_size, c);
        check_info(&info, m, reader);
        check_gets(reader, m, r);
        const size_t readaheads[] = {0, 1, 100000, SIZE_MAX};
        struct sst_iter_options it = {c != LSM_CHECKSUMS_ALWAYS, readaheads[random_below(r, 4)]};
        check_iter(reader, m, r, &it);
        int status = sst_verify(reader);
        ck_assert_msg(status == 0, "%s", lsm_error_detail());
        block_cache_forget_file(cache, number);
        sst_reader_unref(reader);
    }
    sst_info_release(&info);
}

START_TEST(test_random_tables)
{
    struct random r = {seed};
    static const size_t block_sizes[] = {512, 700, 4096, 1 << 20};
    for (int round = 0; round < 60; round++) {
        struct model m =
            model_random(&r, 1 + random_below(&r, 1500), random_below(&r, 200), round % 2);
        struct sst_build_options options = {
            .block_size = block_sizes[random_below(&r, 4)],
            .restart_interval = 1 + (unsigned)random_below(&r, 20),
            .bloom_bits_per_key = (unsigned)random_below(&r, 3) * 7,
            .compression = (enum lsm_compression)(round % 3),
        };
        check_table(&m, &r, &options);
        model_free(&m);
    }
}
END_TEST

// One key with more versions than fit a block, between others.
START_TEST(test_versions_across_blocks)
{
    struct random r = {seed};
    struct model m = {malloc(3002 * sizeof(struct entry)), 0};
    m.entries[m.count++] =
        (struct entry){copy_slice("a", 1), tag_make(9, ENTRY_PUT), copy_slice("first", 5)};
    for (uint64_t s = 3000; s > 0; s--)
        m.entries[m.count++] =
            (struct entry){copy_slice("key", 3), tag_make(s, s % 3 ? ENTRY_PUT : ENTRY_DELETE),
                           copy_slice(&s, s % 3 ? 8 : 0)};
    m.entries[m.count++] =
        (struct entry){copy_slice("key\0", 4), tag_make(5, ENTRY_PUT), copy_slice("last", 4)};
    for (int c = 0; c < 3; c++) {
        struct sst_build_options options = {512, 16, 10, (enum lsm_compression)c};
        check_table(&m, &r, &options);
    }
    model_free(&m);
}
END_TEST

START_TEST(test_sizes)
{
    struct random r = {seed};
    static const size_t sizes[] = {0, 1, 4000, 5000, 1 << 20, 9 << 20, (16 << 20) + 1, 3};
    for (int c = 0; c < 3; c++) {
        struct model m = {malloc(9 * sizeof(struct entry)), 0};
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            uint8_t key[4] = {'k', (uint8_t)i};
            uint8_t *value = malloc(sizes[i] + 1);
            memset(value, 'x', sizes[i]);
            for (size_t j = 0; j < sizes[i]; j += 100)
                value[j] = (uint8_t)random_next(&r);
            m.entries[m.count++] =
                (struct entry){copy_slice(key, 1 + i % 3 + (i > 0)), tag_make(i, ENTRY_PUT),
                               copy_slice(value, sizes[i])};
            free(value);
        }
        qsort(m.entries, m.count, sizeof(struct entry), compare_entries);
        uint8_t *longest = malloc(LSM_MAX_KEY);
        memset(longest, 0xff, LSM_MAX_KEY);
        m.entries[m.count++] = (struct entry){slice_of(longest, LSM_MAX_KEY), 1, copy_slice("", 0)};
        struct sst_build_options options = {4096, 16, 10, (enum lsm_compression)c};
        struct sst_info info;
        build_table(env, &m, 1, &options, &info);
        struct sst_reader *reader = open_table(1, info.file_size, LSM_CHECKSUMS_ONCE);
        check_gets(reader, &m, &r);
        check_iter(reader, &m, &r, &(struct sst_iter_options){false, 0});
        ck_assert_int_eq(sst_verify(reader), 0);
        // What is compressed got smaller; what is larger than may be compressed did not.
        ck_assert_uint_gt(info.file_size, 16 << 20);
        if (c)
            ck_assert_uint_lt(info.file_size, 20 << 20);
        block_cache_forget_file(cache, 1);
        sst_reader_unref(reader);
        sst_info_release(&info);
        model_free(&m);
    }
}
END_TEST

START_TEST(test_builder_refuses)
{
    struct env_file *file;
    struct sst_builder *b;
    struct sst_info info;
    struct sst_build_options options = {4096, 16, 10, LSM_COMPRESSION_NONE};
    struct slice key = slice_str("key"), value = slice_str("v");
    uint8_t *long_key = calloc(1, LSM_MAX_KEY + 1);
    const struct {
        struct slice key;
        uint64_t tag;
    } bad[] = {
        {key, 256},
        {key, 257},
        {slice_str("kez"), 0}, // fine; the ones below are not
        {slice_str("ke"), 0},
        {slice_of(long_key, LSM_MAX_KEY + 1), 0},
        {slice_of(long_key, 0), 0},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(env_open(env, TABLE_PATH, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file),
                         0);
        ck_assert_int_eq(sst_builder_new(file, 1, &options, &b), 0);
        ck_assert_int_eq(sst_builder_add(b, key, 256, value), 0);
        int want = i == 2 ? 0 : LSM_INVALID;
        ck_assert_int_eq(sst_builder_add(b, bad[i].key, bad[i].tag, value), want);
        ck_assert_int_eq(sst_builder_add(b, slice_str("z"), 0, value), want); // sticky
        ck_assert_int_eq(sst_builder_finish(b, &info), want);
        if (!want)
            sst_info_release(&info);
        ck_assert_int_eq(sst_builder_finish(b, &info), LSM_INVALID);
        sst_builder_free(b);
        ck_assert_int_eq(env_close(file), 0);
    }
    ck_assert_int_eq(env_open(env, TABLE_PATH, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file), 0);
    ck_assert_int_eq(sst_builder_new(file, 1, &options, &b), 0);
    ck_assert_int_eq(sst_builder_finish(b, &info), LSM_INVALID); // nothing in it
    sst_builder_free(b);
    options.restart_interval = 0;
    ck_assert_int_eq(sst_builder_new(file, 1, &options, &b), LSM_INVALID);
    ck_assert_int_eq(env_close(file), 0);
    sst_builder_free(NULL);
    free(long_key);
}
END_TEST

// Every system call of writing and of reading fails once.
START_TEST(test_failing_calls)
{
    struct random r = {seed};
    struct model m = model_random(&r, 3000, 400, false);
    struct sst_build_options options = {4096, 16, 10, LSM_COMPRESSION_LZ4};
    struct env_file *file;
    bool done = false;
    for (uint64_t call = 1; !done; call++) {
        struct sst_builder *b;
        struct sst_info info;
        ck_assert_int_eq(env_open(env, TABLE_PATH, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file),
                         0);
        ck_assert_int_eq(sst_builder_new(file, 1, &options, &b), 0);
        env_fault_fail_at(env, call, LSM_NO_SPACE, false);
        int status = 0;
        for (size_t i = 0; i < m.count && !status; i++)
            status = sst_builder_add(b, m.entries[i].key, m.entries[i].tag, m.entries[i].value);
        int finished = sst_builder_finish(b, &info);
        env_fault_fail_at(env, 0, 0, false);
        if (finished) {
            ck_assert_int_eq(finished, LSM_NO_SPACE);
        } else {
            ck_assert_int_eq(status, 0);
            sst_info_release(&info);
            done = true;
        }
        sst_builder_free(b);
        ck_assert_int_eq(env_close(file), 0);
    }
    struct env_stat st;
    ck_assert_int_eq(env->ops->stat(env, TABLE_PATH, &st), 0);
    done = false;
    for (uint64_t call = 1; !done; call++) {
        struct sst_read_options read = {.checksums = LSM_CHECKSUMS_ONCE, .cache = cache};
        struct sst_reader *reader;
        env_fault_fail_at(env, call, LSM_IO_ERROR, false);
        int status = sst_open(env, TABLE_PATH, 1, st.size, &read, &reader);
        if (status) {
            ck_assert_int_eq(status, LSM_IO_ERROR);
            continue;
        }
        struct iter *it;
        size_t count = 0;
        ck_assert_int_eq(sst_iter_new(reader, &(struct sst_iter_options){false, 0}, &it), 0);
        for (iter_seek_first(it); it->valid; iter_next(it))
            assert_entry(&it->entry, &m.entries[count++]);
        if (it->status)
            ck_assert_int_eq(it->status, LSM_IO_ERROR);
        else
            done = count == m.count && call > 200;
        iter_free(it);
        env_fault_fail_at(env, 0, 0, false);
        sst_reader_unref(reader);
    }
    model_free(&m);
}
END_TEST

START_TEST(test_separator)
{
    struct random r = {seed};
    struct buf s = {0};
    static const char *const cases[][3] = {
        {"abc", "abd", "abc"},
        {"abc", "abe", "abd"},
        {"abcdef", "abzz", "abz"},
        {"ab", "abc", "ab"},
        {"abc", "b", "ac"},
        {"a\xff\xff", "b", "a\xff\xff"},
        {"a\xff\x01x", "b", "a\xff\x02"},
        {"k1", "k2zzz", "k2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_int_eq(sst_separator(slice_str(cases[i][0]), slice_str(cases[i][1]), &s), 0);
        ck_assert(slice_equal(buf_slice(&s), slice_str(cases[i][2])));
    }
    for (int i = 0; i < 100000; i++) {
        uint8_t x[512], y[512];
        struct slice a = slice_of(x, random_key(&r, x, false));
        struct slice b = slice_of(y, random_key(&r, y, false));
        int c = slice_compare(a, b);
        if (c == 0)
            continue;
        struct slice low = c < 0 ? a : b, high = c < 0 ? b : a;
        ck_assert_int_eq(sst_separator(low, high, &s), 0);
        ck_assert_int_le(slice_compare(low, buf_slice(&s)), 0);
        ck_assert_int_lt(slice_compare(buf_slice(&s), high), 0);
        ck_assert_uint_le(s.size, low.size);
    }
    buf_release(&s);
}
END_TEST

struct worker {
    struct sst_reader *reader;
    const struct model *model;
    uint64_t seed;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct random r = {w->seed};
    check_gets(w->reader, w->model, &r);
    check_iter(w->reader, w->model, &r, &(struct sst_iter_options){w->seed % 2, 0});
    sst_reader_unref(w->reader);
    return NULL;
}

START_TEST(test_threads)
{
    struct random r = {seed};
    struct model m = model_random(&r, 4000, 100, false);
    for (int c = 0; c < 2; c++) {
        struct sst_build_options options = {512, 8, 10, (enum lsm_compression)c};
        struct sst_info info;
        build_table(env, &m, 3, &options, &info);
        struct sst_reader *reader = open_table(3, info.file_size, LSM_CHECKSUMS_ONCE);
        pthread_t threads[4];
        struct worker workers[4];
        for (size_t i = 0; i < 4; i++) {
            workers[i] = (struct worker){reader, &m, seed + i};
            sst_reader_ref(reader);
            ck_assert_int_eq(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
        }
        sst_reader_unref(reader); // the last thread closes it
        for (size_t i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        sst_info_release(&info);
        block_cache_forget_file(cache, 3);
    }
    model_free(&m);
}
END_TEST

// A table that is read at random takes its size from the budget if all of it is left, and gives it
// back at the end; one that is only walked through from end to end takes nothing.
START_TEST(test_map_budget)
{
    struct random r = {seed};
    struct model m = model_random(&r, 500, 100, false);
    struct sst_build_options build = {512, 8, 10, LSM_COMPRESSION_LZ4};
    struct sst_info info;
    build_table(env, &m, 3, &build, &info);
    struct sst_map_budget budget;
    atomic_init(&budget.left, info.file_size + 10);
    struct sst_read_options options = {
        .checksums = LSM_CHECKSUMS_ONCE, .cache = cache, .map_budget = &budget};
    struct sst_reader *first, *second;
    ck_assert_int_eq(sst_open(env, TABLE_PATH, 3, info.file_size, &options, &first), 0);
    ck_assert_int_eq(sst_open(env, TABLE_PATH, 3, info.file_size, &options, &second), 0);
    struct iter *it;
    size_t count = 0;
    ck_assert_int_eq(sst_iter_new(first, &(struct sst_iter_options){false, SIZE_MAX}, &it), 0);
    for (iter_seek_first(it); it->valid; iter_next(it))
        count++;
    iter_free(it);
    ck_assert_uint_eq(count, m.count);
    ck_assert_uint_eq(atomic_load(&budget.left), info.file_size + 10);
    check_gets(first, &m, &r);
    ck_assert_uint_eq(atomic_load(&budget.left), 10);
    check_gets(second, &m, &r);
    sst_reader_unref(second);
    ck_assert_uint_eq(atomic_load(&budget.left), 10);
    check_gets(first, &m, &r);
    sst_reader_unref(first);
    ck_assert_uint_eq(atomic_load(&budget.left), info.file_size + 10);
    sst_info_release(&info);
    block_cache_forget_file(cache, 3);
    model_free(&m);
}
END_TEST

int main(int argc, char **argv)
{
    if (argc > 1)
        seed = strtoull(argv[1], NULL, 0);
    printf("seed %llu\n", (unsigned long long)seed);
    Suite *suite = suite_create("sst");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_random_tables);
    tcase_add_test(tc, test_versions_across_blocks);
    tcase_add_test(tc, test_sizes);
    tcase_add_test(tc, test_builder_refuses);
    tcase_add_test(tc, test_failing_calls);
    tcase_add_test(tc, test_separator);
    tcase_add_test(tc, test_threads);
    tcase_add_test(tc, test_map_budget);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
