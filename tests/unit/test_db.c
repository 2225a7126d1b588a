// The store through its public interface, on a simulated disk.
#include "store_util.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static void setup(void)
{
    store_setup();
    options.block_size = 1024;
}

static void put(const char *key, const char *value)
{
    int rc = lsm_put(db, NULL, key, strlen(key), value, strlen(value));
    ck_assert_msg(rc == 0, "put: %s", lsm_error_detail());
}

static void expect_at(const struct lsm_snapshot *snapshot, const char *key, const char *value)
{
    struct lsm_buf got = {0};
    struct lsm_read_options ro = {.snapshot = snapshot};
    int rc = lsm_get(db, &ro, key, strlen(key), &got);
    if (value) {
        ck_assert_msg(rc == 0, "get %s: %d %s", key, rc, lsm_error_detail());
        ck_assert_uint_eq(got.size, strlen(value));
        ck_assert_mem_eq(got.data, value, got.size);
    } else {
        ck_assert_int_eq(rc, LSM_NOT_FOUND);
    }
    lsm_buf_release(&got);
}

static void expect(const char *key, const char *value)
{
    expect_at(NULL, key, value);
}

static void fill(int from, int to, const char *mark)
{
    for (int i = from; i < to; i++) {
        char key[32], value[200];
        snprintf(key, sizeof key, "key%08d", i);
        snprintf(value, sizeof value, "%s-%d-%0100d", mark, i, i);
        put(key, value);
    }
}

static void expect_filled(int from, int to, const char *mark)
{
    for (int i = from; i < to; i++) {
        char key[32], value[200];
        snprintf(key, sizeof key, "key%08d", i);
        snprintf(value, sizeof value, "%s-%d-%0100d", mark, i, i);
        expect(key, value);
    }
}

// A write that is going to be synced at once begins to go to the disk; others do not, and those
// that are synced anyway have no use for it.
START_TEST(test_sync_soon)
{
    const struct lsm_write_options soon = {.sync_soon = true},
                                   both = {.sync_soon = true, .sync = true};
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_put(db, &both, "b", 1, "2", 1), 0);
    ck_assert_uint_eq(env_fault_written_out(env), 0);
    ck_assert_int_eq(lsm_put(db, &soon, "c", 1, "3", 1), 0);
    uint64_t before = env_fault_written_out(env);
    ck_assert_uint_gt(before, 0);
    ck_assert_int_eq(lsm_sync(db), 0);
    ck_assert_uint_eq(env_fault_written_out(env), before);
    env_fault_power_cut(env, 0);
    (void)!lsm_close(db);
    open_db();
    expect("a", "1");
    expect("b", "2");
    expect("c", "3");
}
END_TEST

START_TEST(test_put_get_delete)
{
    open_db();
    put("a", "1");
    put("b", "");
    expect("a", "1");
    expect("b", "");
    expect("c", NULL);
    put("a", "2");
    expect("a", "2");
    ck_assert_int_eq(lsm_delete(db, NULL, "a", 1), 0);
    ck_assert_int_eq(lsm_delete(db, NULL, "nothing", 7), 0);
    expect("a", NULL);
    reopen_db();
    expect("a", NULL);
    expect("b", "");
    ck_assert_int_eq(lsm_put(db, NULL, "", 0, "x", 1), LSM_INVALID);
    struct lsm_buf got = {0};
    ck_assert_int_eq(lsm_get(db, NULL, "", 0, &got), LSM_INVALID);
}
END_TEST

START_TEST(test_batch_is_applied_in_order)
{
    open_db();
    struct lsm_batch *batch;
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "k", 1, "first", 5), 0);
    ck_assert_int_eq(lsm_batch_delete(batch, "k", 1), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "k", 1, "last", 4), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "gone", 4, "x", 1), 0);
    ck_assert_int_eq(lsm_batch_delete(batch, "gone", 4), 0);
    ck_assert_uint_eq(lsm_batch_count(batch), 5);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    lsm_batch_clear(batch);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0); // an empty one is fine
    lsm_batch_free(batch);
    expect("k", "last");
    expect("gone", NULL);
    ck_assert_int_eq(lsm_flush(db), 0);
    expect("k", "last");
    expect("gone", NULL);
}
END_TEST

START_TEST(test_slices)
{
    open_db();
    put("src", "0123456789");
    struct lsm_batch *batch;
    ck_assert_int_eq(lsm_batch_new(&batch), 0);
    ck_assert_int_eq(lsm_batch_put_part(batch, "left", 4, "src", 3, 0, 4), 0);
    ck_assert_int_eq(lsm_batch_put_part(batch, "right", 5, "src", 3, 6, 4), 0);
    ck_assert_int_eq(lsm_batch_put_part(batch, "none", 4, "src", 3, 10, 0), 0);
    ck_assert_int_eq(lsm_batch_put(batch, "src", 3, "new", 3), 0);
    ck_assert_int_eq(lsm_batch_put_part(batch, "self", 4, "src", 3, 2, 3), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), 0);
    expect("left", "0123");
    expect("right", "6789");
    expect("none", "");
    expect("src", "new");
    expect("self", "234"); // of the value before the batch
    lsm_batch_clear(batch);
    ck_assert_int_eq(lsm_batch_put(batch, "other", 5, "x", 1), 0);
    ck_assert_int_eq(lsm_batch_put_part(batch, "bad", 3, "src", 3, 1, 3), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), LSM_INVALID);
    expect("other", NULL);
    lsm_batch_clear(batch);
    ck_assert_int_eq(lsm_batch_put_part(batch, "bad", 3, "absent", 6, 0, 0), 0);
    ck_assert_int_eq(lsm_write(db, NULL, batch), LSM_NOT_FOUND);
    lsm_batch_free(batch);
}
END_TEST

START_TEST(test_flush_compact_reopen)
{
    open_db();
    fill(0, 4000, "a");
    expect_filled(0, 4000, "a");
    fill(1000, 3000, "b");
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_gt(number("flushes"), 3);
    expect_filled(0, 1000, "a");
    expect_filled(1000, 3000, "b");
    reopen_db();
    expect_filled(3000, 4000, "a");
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_uint_eq(number("num-tables-at-level0"), 0);
    static const char *const no_levels[] = {
        "", "x", "1x", "-1", " 1", "7", "-18446744073709551615", "18446744073709551617"};
    for (size_t i = 0; i < sizeof no_levels / sizeof *no_levels; i++) {
        char name[64];
        uint64_t tables;
        snprintf(name, sizeof name, "num-tables-at-level%s", no_levels[i]);
        ck_assert_msg(!lsm_property_uint(db, name, &tables), "%s", name);
    }
    ck_assert_uint_eq(number("entries"), 4000);
    expect_filled(0, 1000, "a");
    expect_filled(1000, 3000, "b");
    expect_filled(3000, 4000, "a");
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(test_deletes_vanish_at_the_bottom)
{
    open_db();
    fill(0, 3000, "x");
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    for (int i = 0; i < 3000; i++) {
        char key[32];
        snprintf(key, sizeof key, "key%08d", i);
        ck_assert_int_eq(lsm_delete(db, NULL, key, strlen(key)), 0);
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_uint_eq(number("entries"), 0);
    ck_assert_uint_eq(number("num-tables"), 0);
    expect("key00000001", NULL);
}
END_TEST

START_TEST(test_snapshots_survive_compaction)
{
    open_db();
    const struct lsm_snapshot *one, *two;
    put("k", "1");
    put("d", "1");
    ck_assert_int_eq(lsm_snapshot_new(db, &one), 0);
    put("k", "2");
    ck_assert_int_eq(lsm_delete(db, NULL, "d", 1), 0);
    ck_assert_int_eq(lsm_snapshot_new(db, &two), 0);
    put("k", "3");
    put("d", "3");
    for (int round = 0; round < 3; round++) {
        expect_at(one, "k", "1");
        expect_at(one, "d", "1");
        expect_at(two, "k", "2");
        expect_at(two, "d", NULL);
        expect("k", "3");
        expect("d", "3");
        ck_assert_int_eq(round == 0 ? lsm_flush(db) : lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    }
    ck_assert_uint_eq(number("snapshots"), 2);
    lsm_snapshot_free(db, one);
    lsm_snapshot_free(db, two);
    ck_assert_uint_eq(number("snapshots"), 0);
}
END_TEST

static void expect_list(struct lsm_iter *it, bool forward, const char *keys)
{
    char seen[256] = "";
    for (; lsm_iter_valid(it); forward ? lsm_iter_next(it) : lsm_iter_prev(it)) {
        size_t size;
        const char *key = lsm_iter_key(it, &size);
        strncat(seen, key, size);
    }
    ck_assert_int_eq(lsm_iter_status(it), 0);
    ck_assert_str_eq(seen, keys);
}

START_TEST(test_iterators)
{
    open_db();
    for (const char *k = "acegikmoq"; *k; k++) {
        char key[2] = {*k, 0};
        put(key, key);
        if (*k == 'e')
            ck_assert_int_eq(lsm_flush(db), 0);
        if (*k == 'i')
            ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    }
    ck_assert_int_eq(lsm_delete(db, NULL, "g", 1), 0);
    put("c", "new");
    struct lsm_iter *it;
    ck_assert_int_eq(lsm_iter_new(db, NULL, &it), 0);
    put("b", "after the iterator was made");
    lsm_iter_seek_first(it);
    expect_list(it, true, "aceikmoq");
    lsm_iter_seek_last(it);
    expect_list(it, false, "qomkieca");
    lsm_iter_seek(it, "f", 1);
    expect_list(it, true, "ikmoq");
    lsm_iter_seek(it, "g", 1);
    expect_list(it, true, "ikmoq");
    lsm_iter_seek_prev(it, "g", 1);
    expect_list(it, false, "eca");
    lsm_iter_seek_prev(it, "e", 1);
    expect_list(it, false, "eca");
    lsm_iter_seek(it, "z", 1);
    ck_assert(!lsm_iter_valid(it));
    lsm_iter_seek_prev(it, "A", 1);
    ck_assert(!lsm_iter_valid(it));
    lsm_iter_seek(it, "i", 1); // back and forth
    size_t size;
    lsm_iter_prev(it);
    ck_assert_int_eq(*(const char *)lsm_iter_key(it, &size), 'e');
    lsm_iter_next(it);
    ck_assert_int_eq(*(const char *)lsm_iter_key(it, &size), 'i');
    lsm_iter_prev(it);
    lsm_iter_prev(it);
    ck_assert_int_eq(*(const char *)lsm_iter_key(it, &size), 'c');
    ck_assert_mem_eq(lsm_iter_value(it, &size), "new", 3);
    lsm_iter_free(it);

    struct lsm_iter_options bounds = {.lower = "c", .lower_size = 1, .upper = "k", .upper_size = 1};
    ck_assert_int_eq(lsm_iter_new(db, &bounds, &it), 0);
    lsm_iter_seek_first(it);
    expect_list(it, true, "cei");
    lsm_iter_seek_last(it);
    expect_list(it, false, "iec");
    lsm_iter_seek(it, "a", 1);
    expect_list(it, true, "cei");
    lsm_iter_seek_prev(it, "z", 1);
    expect_list(it, false, "iec");
    lsm_iter_free(it);
}
END_TEST

static void expect_prefix(const char *prefix, size_t size, const char *lower, const char *keys)
{
    struct lsm_iter *it;
    struct lsm_iter_options bounds = {.prefix = prefix,
                                      .prefix_size = size,
                                      .lower = lower,
                                      .lower_size = lower ? strlen(lower) : 0};
    ck_assert_int_eq(lsm_iter_new(db, &bounds, &it), 0);
    lsm_iter_seek_first(it);
    expect_list(it, true, keys);
    lsm_iter_seek_last(it);
    size_t count = 0;
    for (; lsm_iter_valid(it); lsm_iter_prev(it))
        count++;
    ck_assert_int_eq(lsm_iter_status(it), 0);
    lsm_iter_seek_first(it);
    for (; lsm_iter_valid(it); lsm_iter_next(it))
        count--;
    ck_assert_uint_eq(count, 0);
    lsm_iter_free(it);
}

START_TEST(test_prefix_iterators)
{
    open_db();
    put("a", "");
    put("b", "");
    put("ba", "");
    put("bb", "");
    put("c", "");
    put("\xff", "");
    put("\xff\xff", "");
    put("\xff\xffz", "");
    expect_prefix("b", 1, NULL, "bbabb");
    expect_prefix("bb", 2, NULL, "bb");
    expect_prefix("bc", 2, NULL, "");
    expect_prefix("", 0, "c", "c\xff\xff\xff\xff\xffz");
    expect_prefix("\xff", 1, NULL, "\xff\xff\xff\xff\xffz");
    expect_prefix("\xff\xff", 2, NULL, "\xff\xff\xff\xffz");
    expect_prefix("b", 1, "bab", "bb");
    expect_prefix("b", 1, "a", "bbabb");
}
END_TEST

START_TEST(test_latencies)
{
    open_db();
    fill(0, 1000, "x");
    expect_filled(0, 1000, "x");
    ck_assert_int_eq(lsm_sync(db), 0);
    ck_assert_uint_ge(number("write-timed"), 10);
    ck_assert_uint_ge(number("get-timed"), 10);
    ck_assert_uint_ge(number("sync-timed"), 1);
    ck_assert_uint_eq(number("seek-timed"), 0);
    ck_assert_uint_gt(number("get-p50-ns"), 0);
    ck_assert_uint_le(number("get-p50-ns"), number("get-p99-ns"));
    ck_assert_uint_le(number("get-p99-ns"), number("get-p999-ns"));
    ck_assert_uint_le(number("get-p999-ns"), number("get-max-ns") * 9 / 8 + 1);
    uint64_t value;
    ck_assert(!lsm_property_uint(db, "get-p98-ns", &value));
    char *text = lsm_property(db, "latency");
    ck_assert_ptr_nonnull(strstr(text, "\nget "));
    free(text);
}
END_TEST

START_TEST(test_big_values_and_ranges)
{
    open_db();
    size_t size = 3 << 20, got;
    uint64_t whole;
    char *big = malloc(size), small[10];
    for (size_t i = 0; i < size; i++)
        big[i] = (char)(i * 2654435761u >> 13);
    ck_assert_int_eq(lsm_put(db, NULL, "big", 3, big, size), 0);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(
            lsm_get_range(db, NULL, "big", 3, size - 5, small, sizeof small, &got, &whole), 0);
        ck_assert_uint_eq(got, 5);
        ck_assert_uint_eq(whole, size);
        ck_assert_mem_eq(small, big + size - 5, 5);
        ck_assert_int_eq(lsm_get_range(db, NULL, "big", 3, size + 5, small, 1, &got, NULL), 0);
        ck_assert_uint_eq(got, 0);
        if (round == 0)
            ck_assert_int_eq(lsm_flush(db), 0);
        else
            reopen_db();
    }
    free(big);
}
END_TEST

START_TEST(test_refusals)
{
    struct lsm *other;
    struct lsm_options bad = options;
    bad.block_size = 1;
    ck_assert_int_eq(lsm_open("/db", &bad, &other), LSM_INVALID);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "block_size"));
    bad = options;
    bad.create_if_missing = false;
    ck_assert_int_eq(lsm_open("/db", &bad, &other), LSM_NOT_A_STORE);
    open_db();
    ck_assert_int_eq(lsm_open("/db", &options, &other), LSM_BUSY);
    ck_assert_int_eq(lsm_destroy("/db", &options), LSM_BUSY);
    put("a", "1");
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    bad = options;
    bad.error_if_exists = true;
    ck_assert_int_eq(lsm_open("/db", &bad, &other), LSM_EXISTS);
    struct env_file *file;
    ck_assert_int_eq(env->ops->mkdir(env, "/full"), 0);
    ck_assert_int_eq(env_open(env, "/full/readme", ENV_WRITE | ENV_CREATE, &file), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(lsm_open("/full", &options, &other), LSM_NOT_A_STORE);
    ck_assert_int_eq(lsm_open("/full/readme", &options, &other), LSM_NOT_A_STORE);
    ck_assert_int_eq(lsm_destroy("/full", &options), LSM_NOT_A_STORE);
    ck_assert_int_eq(lsm_repair("/full", &options), LSM_NOT_A_STORE);
    struct env_stat stat;
    ck_assert_int_eq(env->ops->stat(env, "/full/LOCK", &stat), LSM_NOT_FOUND);

    bad = options;
    bad.read_only = true;
    ck_assert_int_eq(lsm_open("/db", &bad, &db), 0);
    expect("a", "1");
    ck_assert_int_eq(lsm_put(db, NULL, "b", 1, "", 0), LSM_READ_ONLY);
    ck_assert_int_eq(lsm_flush(db), LSM_READ_ONLY);
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    ck_assert_int_eq(lsm_destroy("/db", &options), 0);
    ck_assert_int_eq(env->ops->stat(env, "/db", &stat), LSM_NOT_FOUND);
}
END_TEST

START_TEST(test_checkpoint_and_repair)
{
    open_db();
    fill(0, 2000, "a");
    ck_assert_int_eq(lsm_checkpoint(db, "/copy"), 0);
    ck_assert_int_eq(lsm_checkpoint(db, "/copy"), LSM_EXISTS);
    fill(0, 500, "b");
    ck_assert_int_eq(lsm_delete(db, NULL, "key00000600", 11), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    ck_assert_int_eq(lsm_open("/copy", &options, &db), 0);
    expect_filled(0, 2000, "a");
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;

    ck_assert_int_eq(env->ops->unlink(env, "/db/CURRENT"), 0);
    struct lsm *other;
    ck_assert_int_eq(lsm_open("/db", &options, &other), LSM_CORRUPTION);
    ck_assert_int_eq(lsm_repair("/db", &options), 0);
    open_db();
    expect_filled(0, 500, "b");
    expect_filled(700, 2000, "a");
    expect("key00000600", NULL);
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}
END_TEST

START_TEST(test_sticky_failure)
{
    open_db();
    put("a", "1");
    env_fault_fail_at(env, 1, LSM_IO_ERROR, true);
    struct lsm_write_options sync = {.sync = true};
    ck_assert_int_eq(lsm_put(db, &sync, "b", 1, "2", 1), LSM_IO_ERROR);
    env_fault_fail_at(env, 0, 0, false);
    ck_assert_int_eq(lsm_put(db, NULL, "c", 1, "3", 1), LSM_READ_ONLY);
    ck_assert_int_eq(lsm_flush(db), LSM_READ_ONLY);
    expect("a", "1");
    char *text = lsm_property(db, "background-error");
    ck_assert_uint_gt(strlen(text), 0);
    free(text);
    ck_assert_int_ne(lsm_close(db), 0);
    db = NULL;
    open_db();
    expect("a", "1");
    put("c", "3");
}
END_TEST

START_TEST(test_full_disk)
{
    open_db();
    fill(0, 500, "a");
    env_fault_limit(env, 1 << 20);
    int rc = 0, i;
    char key[32], value[1000];
    memset(value, 'v', sizeof value);
    for (i = 0; i < 100000 && !rc; i++) {
        snprintf(key, sizeof key, "more%08d", i);
        for (size_t k = 0; k < sizeof value; k++)
            value[k] = (char)rand();
        rc = lsm_put(db, NULL, key, strlen(key), value, sizeof value);
    }
    ck_assert_int_eq(rc, LSM_NO_SPACE);
    expect_filled(0, 500, "a");
    expect("more00000000x", NULL);
    env_fault_limit(env, 0);
    for (int tries = 0; tries < 1200; tries++) {
        rc = lsm_put(db, NULL, "again", 5, "1", 1);
        if (!rc)
            break;
        ck_assert_int_eq(rc, LSM_NO_SPACE);
        ck_assert_int_eq(usleep(50000), 0);
    }
    expect("again", "1");
    reopen_db();
    expect_filled(0, 500, "a");
    expect("again", "1");
}
END_TEST

struct worker {
    pthread_t thread;
    int id;
};
static _Atomic bool stop_reading;

static void *write_worker(void *arg)
{
    struct worker *w = arg;
    struct lsm_write_options sync = {.sync = true};
    for (int i = 0; i < 2000; i++) {
        char key[32], value[64];
        snprintf(key, sizeof key, "w%d-%06d", w->id, i);
        snprintf(value, sizeof value, "%d", i);
        ck_assert_int_eq(
            lsm_put(db, i % 50 == 0 ? &sync : NULL, key, strlen(key), value, strlen(value)), 0);
    }
    return NULL;
}

static void *read_worker(void *arg)
{
    struct lsm_buf got = {0};
    unsigned seed = 7;
    (void)arg;
    while (!atomic_load(&stop_reading)) {
        char key[32], value[64];
        int i = rand_r(&seed) % 2000;
        snprintf(key, sizeof key, "w%d-%06d", rand_r(&seed) % 4, i);
        snprintf(value, sizeof value, "%d", i);
        int rc = lsm_get(db, NULL, key, strlen(key), &got);
        ck_assert(rc == LSM_NOT_FOUND ||
                  (rc == 0 && got.size == strlen(value) && !memcmp(got.data, value, got.size)));
        if (i % 100 == 0) {
            struct lsm_iter *it;
            ck_assert_int_eq(lsm_iter_new(db, NULL, &it), 0);
            lsm_iter_seek(it, key, strlen(key));
            for (int n = 0; n < 20 && lsm_iter_valid(it); n++)
                lsm_iter_next(it);
            ck_assert_int_eq(lsm_iter_status(it), 0);
            lsm_iter_free(it);
        }
    }
    lsm_buf_release(&got);
    return NULL;
}

START_TEST(test_threads)
{
    open_db();
    struct worker workers[6];
    atomic_store(&stop_reading, false);
    for (int i = 0; i < 6; i++) {
        workers[i].id = i;
        pthread_create(&workers[i].thread, NULL, i < 4 ? write_worker : read_worker, &workers[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(workers[i].thread, NULL);
    atomic_store(&stop_reading, true);
    for (int i = 4; i < 6; i++)
        pthread_join(workers[i].thread, NULL);
    for (int w = 0; w < 4; w++) {
        for (int i = 0; i < 2000; i++) {
            char key[32], value[64];
            snprintf(key, sizeof key, "w%d-%06d", w, i);
            snprintf(value, sizeof value, "%d", i);
            expect(key, value);
        }
    }
}
END_TEST

static void *say_note(void *arg)
{
    (void)arg;
    lsm_lock_note(db, "another note");
    return NULL;
}

// Whoever writes to LOCK may wait for the disk; nobody waits for him.
START_TEST(test_lock_note_holds_nobody_up)
{
    pthread_t sayer;
    open_db();
    env_fault_freeze(env, "LOCK");
    ck_assert_int_eq(pthread_create(&sayer, NULL, say_note, NULL), 0);
    while (env_fault_held(env) == 0)
        sched_yield();
    put("a", "1");
    const struct lsm_snapshot *snapshot;
    ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    ck_assert_int_eq(lsm_flush(db), 0);
    expect_at(snapshot, "a", "1");
    lsm_snapshot_free(db, snapshot);
    ck_assert_uint_eq(env_fault_held(env), 1);
    env_fault_freeze(env, NULL);
    ck_assert_int_eq(pthread_join(sayer, NULL), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("db");
    TCase *tc = tcase_create("db");
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_sync_soon);
    tcase_add_test(tc, test_put_get_delete);
    tcase_add_test(tc, test_batch_is_applied_in_order);
    tcase_add_test(tc, test_slices);
    tcase_add_test(tc, test_flush_compact_reopen);
    tcase_add_test(tc, test_deletes_vanish_at_the_bottom);
    tcase_add_test(tc, test_snapshots_survive_compaction);
    tcase_add_test(tc, test_iterators);
    tcase_add_test(tc, test_prefix_iterators);
    tcase_add_test(tc, test_latencies);
    tcase_add_test(tc, test_big_values_and_ranges);
    tcase_add_test(tc, test_refusals);
    tcase_add_test(tc, test_checkpoint_and_repair);
    tcase_add_test(tc, test_sticky_failure);
    tcase_add_test(tc, test_full_disk);
    tcase_add_test(tc, test_threads);
    suite_add_tcase(suite, tc);
    TCase *frozen = tcase_create("frozen disk"); // what holds somebody up is seen as a timeout
    tcase_set_timeout(frozen, 60);
    tcase_add_checked_fixture(frozen, setup, teardown);
    tcase_add_test(frozen, test_lock_note_holds_nobody_up);
    suite_add_tcase(suite, frozen);
    return run_suite(suite);
}
