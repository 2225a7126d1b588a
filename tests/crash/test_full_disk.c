// A disk that fills up, by the store itself or by others, on a simulated disk of a few megabytes:
// what is there stays readable, the store can be closed, killed and opened, deleting works and
// makes room, and then writing works. What is kept for that follows what is in memory. Opening and
// repair take what there is, and leave as much as there was if it does not do. LSM_SEED seeds the
// values' sizes and the order of deletion.
#include <unistd.h>

#include "engine_util.h"

#define KEYS_MAX 200000

struct test {
    struct env *env;
    struct lsm_options options;
    struct lsm *db;
    struct random random;
    uint32_t sizes[KEYS_MAX];
    bool deleted[KEYS_MAX];
    int count;      // keys written
    bool scattered; // keys are not in the order in which they are written
    uint32_t small; // what size_small() says
};

static size_t key_of(const struct test *t, char *key, int i)
{
    if (t->scattered)
        return (size_t)sprintf(key, "%08x", (uint32_t)i * 2654435761u);
    return (size_t)sprintf(key, "key%08d", i);
}

static int put(struct test *t, int i)
{
    static uint8_t data[100000];
    char key[32];
    struct value v = {.seed = (uint64_t)i * 2 + 1, .size = t->sizes[i]};
    value_bytes(&v, data);
    return lsm_put(t->db, NULL, key, key_of(t, key, i), data, v.size);
}

static void expect_all(struct test *t)
{
    struct lsm_buf buf = {0};
    for (int i = 0; i < t->count; i++) {
        char key[32];
        struct value v = {.seed = (uint64_t)i * 2 + 1, .size = t->sizes[i]};
        int rc = lsm_get(t->db, NULL, key, key_of(t, key, i), &buf);
        EXPECT(rc == (t->deleted[i] ? LSM_NOT_FOUND : 0), "key %d: %d %s", i, rc,
               lsm_error_detail());
        EXPECT(rc || value_equal(&v, buf.data, buf.size), "wrong bytes of key %d", i);
    }
    lsm_buf_release(&buf);
}

// Writes values of sizes that `size_of` draws until the disk is full, and stays so.
static void fill_with(struct test *t, uint32_t (*size_of)(struct test *t))
{
    for (int refused = 0; refused < 20;) {
        EXPECT(t->count < KEYS_MAX, "the disk does not fill up");
        t->sizes[t->count] = size_of(t);
        int rc = put(t, t->count);
        EXPECT(rc == 0 || rc == LSM_NO_SPACE, "put: %d %s", rc, lsm_error_detail());
        refused += rc != 0;
        t->count += rc == 0;
        if (rc)
            usleep(5000);
    }
}

static uint32_t size_mixed(struct test *t)
{
    return 1 + random_below(&t->random, one_in(&t->random, 10) ? 20000 : 1500);
}

static uint32_t size_large(struct test *t)
{
    return 3000 + random_below(&t->random, 30000);
}

static uint32_t size_huge(struct test *t)
{
    return 30000 + random_below(&t->random, 60000);
}

static uint32_t size_small(struct test *t)
{
    return t->small;
}

static void delete_one(struct test *t, int i)
{
    struct lsm_write_options wo = {.use_reserve = true};
    char key[32];
    int rc = lsm_delete(t->db, &wo, key, key_of(t, key, i));
    EXPECT(rc == 0, "delete %d of %d: %d %s\n%s", i, t->count, rc, lsm_error_detail(),
           lsm_property(t->db, "stats"));
    t->deleted[i] = true;
}

// Most of the first `count` keys.
static void delete_most(struct test *t, int count)
{
    for (int i = 0; i < count; i++)
        if (!t->deleted[i] && !one_in(&t->random, 20))
            delete_one(t, i);
}

static void expect_writable(struct test *t)
{
    int rc = LSM_NO_SPACE;
    for (int tries = 0; tries < 2000 && rc == LSM_NO_SPACE; tries++) {
        t->sizes[t->count] = 1000;
        rc = put(t, t->count);
        if (rc)
            usleep(10000);
    }
    EXPECT(rc == 0, "no room after deleting: %d %s", rc, lsm_error_detail());
    t->count++;
}

static void open_store(struct test *t)
{
    int rc = lsm_open("/db", &t->options, &t->db);
    EXPECT(rc == 0, "open: %d %s", rc, lsm_error_detail());
}

static struct test *test_new(enum lsm_wal_mode mode, size_t blob_min, uint64_t disk)
{
    uint64_t seed = seed_from_env();
    struct test *t = calloc(1, sizeof *t);
    t->random.state = seed;
    t->env = env_fault_new();
    lsm_options_init(&t->options);
    t->options.env = t->env;
    t->options.wal_mode = mode;
    t->options.write_buffer_size = 256 << 10;
    t->options.table_size = 64 << 10;
    t->options.level_base_size = 512 << 10;
    t->options.blob_min = blob_min;
    t->options.blob_file_size = 256 << 10;
    printf("mode %d, blob_min %zu, seed %" PRIu64 ": ", mode, blob_min, seed);
    env_fault_limit(t->env, disk);
    return t;
}

static void test_end(struct test *t)
{
    EXPECT(lsm_check(t->db, NULL, NULL, NULL) == 0, "check: %s", lsm_error_detail());
    EXPECT(lsm_close(t->db) == 0, "close: %s", lsm_error_detail());
    env_fault_free(t->env);
    free(t);
}

static void run(enum lsm_wal_mode mode, size_t blob_min, int ending)
{
    uint64_t full;
    struct test *t = test_new(mode, blob_min, 6 << 20);
    open_store(t);
    fill_with(t, size_mixed);
    printf("%d keys fit, ending %d\n", t->count, ending);
    expect_all(t);
    if (ending) {
        if (ending == 2)
            env_fault_kill(t->env);
        (void)!lsm_close(t->db);
        open_store(t);
        expect_all(t);
    }
    delete_most(t, t->count);
    expect_all(t);
    expect_writable(t);
    EXPECT(lsm_property_uint(t->db, "disk-full", &full) && !full, "still full");
    expect_all(t);
    fill_with(t, size_mixed); // and once more
    delete_most(t, t->count);
    expect_writable(t);
    expect_all(t);
    test_end(t);
}

START_TEST(test_full_disk)
{
    run(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, _i / 2 % 2 ? 4096 : 0, _i / 4);
}
END_TEST

// A disk that allocates as much again behind the end of a file that grows: most of it is for
// values all the same, and readers keep none of it back.
START_TEST(test_allocated_behind)
{
    enum { SIZE = 64 << 20 };
    uint64_t bytes = 0;
    struct test *t = test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, 4096, SIZE);
    env_fault_allocate_behind(t->env);
    t->options.blob_file_size = (4 << 20) + random_below(&t->random, 12 << 20);
    t->options.write_buffer_size = 1 << 20;
    open_store(t);
    fill_with(t, size_huge);
    for (int i = 0; i < t->count; i++)
        bytes += t->sizes[i];
    printf("%" PRIu64 " of %d KiB are values\n", bytes >> 10, SIZE >> 10);
    EXPECT(bytes > SIZE / 10 * 8, "refused after %" PRIu64 " bytes", bytes);
    expect_all(t);
    delete_most(t, t->count);
    expect_writable(t);
    expect_all(t);
    test_end(t);
}
END_TEST

static uint64_t space_used(struct test *t)
{
    uint64_t free_bytes, total;
    EXPECT(t->env->ops->space(t->env, "/", &free_bytes, &total) == 0, "%s", lsm_error_detail());
    return total - free_bytes;
}

// Small values written without end on a full disk may take a little of the reserve. If they replace
// each other they may go on for ever; if not they are refused at last. Deleting works afterwards.
START_TEST(test_small_changes)
{
    struct test *t =
        test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, _i / 2 % 2 ? 4096 : 0, 6 << 20);
    struct lsm_write_options wo = {.use_little = true};
    int first = 0, done = 0, refused = 0;
    open_store(t);
    fill_with(t, size_mixed);
    while (done + refused < 40000 && refused < 20) {
        static uint8_t data[1000];
        char key[32];
        int at = _i / 4 == 0 ? 0 : _i / 4 == 1 ? (int)random_below(&t->random, 500) : done;
        size_t key_size = (size_t)sprintf(key, "small%06d", at);
        value_bytes(&(struct value){.seed = (uint64_t)done, .size = sizeof data}, data);
        int rc = lsm_put(t->db, &wo, key, key_size, data, _i / 4 == 2 ? sizeof data : 100);
        EXPECT(rc == 0 || rc == LSM_NO_SPACE, "%d %s", rc, lsm_error_detail());
        first += rc == 0 && !refused;
        done += rc == 0;
        refused += rc != 0;
    }
    printf("%d small changes, %d before the first refusal\n", done, first);
    EXPECT(first > 100, "only %d small changes on a full disk", first);
    EXPECT(refused || _i / 4 < 2, "what grows is not refused");
    expect_all(t);
    delete_most(t, t->count);
    expect_all(t);
    expect_writable(t);
    test_end(t);
}
END_TEST

// Flushes that take long on a full disk do not refuse small changes.
START_TEST(test_small_changes_slow_disk)
{
    struct test *t = test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, 0, 6 << 20);
    struct lsm_write_options wo = {.use_little = true};
    open_store(t);
    fill_with(t, size_mixed);
    env_fault_freeze(t->env, ".sst");
    for (int i = 0; i < 100; i++) {
        int rc = lsm_put(t->db, &wo, "small", 5, &i, sizeof i);
        EXPECT(rc == 0, "change %d: %d %s", i, rc, lsm_error_detail());
    }
    env_fault_freeze(t->env, NULL);
    delete_most(t, t->count);
    expect_writable(t);
    expect_all(t);
    test_end(t);
}
END_TEST

// Values are of up to `usual` bytes, but for every tenth. Notes the most space that was used.
static void put_more(struct test *t, int count, uint32_t usual, uint64_t *peak)
{
    for (int i = 0; i < count; i++) {
        t->sizes[t->count] = 1 + random_below(&t->random, one_in(&t->random, 10) ? 20000 : usual);
        int rc = put(t, t->count++);
        EXPECT(rc == 0, "put: %d %s", rc, lsm_error_detail());
        if (i % 50 == 0 && space_used(t) > *peak)
            *peak = space_used(t);
    }
}

// A write buffer as large as the disk: what is in memory has to fit into tables all the same, or
// nothing that is deleted ever comes back.
START_TEST(test_large_buffer)
{
    struct test *t = test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, 0, 64 << 20);
    t->options.write_buffer_size = 64 << 20;
    open_store(t);
    fill_with(t, size_large);
    printf("%d keys fit\n", t->count);
    expect_all(t);
    delete_most(t, t->count);
    expect_writable(t);
    expect_all(t);
    test_end(t);
}
END_TEST

// Large values beside small ones, with blob files as large as the options have them: what is
// deleted leaves files half full, whose values have to be moved before there is room.
START_TEST(test_large_values)
{
    struct test *t = test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, 4096, 64 << 20);
    t->options.write_buffer_size = 2 << 20;
    t->options.table_size = 256 << 10;
    t->options.blob_file_size = 64 << 20;
    open_store(t);
    fill_with(t, size_large);
    printf("%d values fit\n", t->count);
    for (int round = 0; round < 3; round++) { // every file keeps some values, up to the last round
        for (int i = 0; i < t->count; i++)
            if (!t->deleted[i] && (uint32_t)i % 8 >= (uint32_t)(4 - round))
                delete_one(t, i);
        expect_writable(t);
        expect_all(t);
    }
    test_end(t);
}
END_TEST

// Another program takes all the space that is left.
static void fill_by_other(struct test *t)
{
    struct env_file *file;
    int rc = env_open(t->env, "/other", ENV_WRITE | ENV_CREATE, &file);
    EXPECT(rc == 0, "%s", lsm_error_detail());
    uint64_t end;
    EXPECT(file->ops->size(file, &end) == 0, "%s", lsm_error_detail());
    for (uint64_t piece = 1 << 20; piece >= 4096;) {
        if (file->ops->allocate(file, end, piece) == 0)
            end += piece;
        else
            piece /= 2;
    }
    EXPECT(env_close(file) == 0, "%s", lsm_error_detail());
}

static void give_some(struct test *t, uint64_t bytes)
{
    struct env_file *file;
    uint64_t size;
    EXPECT(env_open(t->env, "/other", ENV_WRITE, &file) == 0, "%s", lsm_error_detail());
    EXPECT(file->ops->size(file, &size) == 0, "%s", lsm_error_detail());
    EXPECT(file->ops->truncate(file, size - bytes) == 0, "%s", lsm_error_detail());
    EXPECT(env_close(file) == 0, "%s", lsm_error_detail());
}

// The disk is full from one moment to the next, and the memtable as large as it happens to be: it
// has to be flushed all the same for the deletes to make room.
START_TEST(test_filled_by_others)
{
    uint64_t peak = 0;
    struct test *t =
        test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, _i / 2 % 2 ? 4096 : 0, 96 << 20);
    t->options.write_buffer_size = 4 << 20;
    open_store(t);
    put_more(t, 9000, 3000, &peak);
    EXPECT(lsm_flush(t->db) == 0 && lsm_wait_idle(t->db) == 0, "%s", lsm_error_detail());
    if (one_in(&t->random, 2)) { // without logs kept for recycling
        EXPECT(lsm_close(t->db) == 0, "%s", lsm_error_detail());
        open_store(t);
    }
    int old = t->count;
    put_more(t, 1 + (int)random_below(&t->random, 1400), 3000, &peak);
    printf("%d in the memtable\n", t->count - old);
    // A job that met the full disk now would give the reserve back for the other to take.
    EXPECT(lsm_wait_idle(t->db) == 0, "%s", lsm_error_detail());
    fill_by_other(t);
    delete_most(t, old);
    expect_all(t);
    expect_writable(t);
    EXPECT(t->env->ops->unlink(t->env, "/other") == 0, "%s", lsm_error_detail());
    expect_writable(t);
    expect_all(t);
    test_end(t);
}
END_TEST

struct thief {
    struct test *t;
    _Atomic int logs; // that were to be made
};

// Takes all that is free whenever a log is to be made; gives it back for the twentieth.
static void steal(void *arg, const char *what, const char *path)
{
    struct thief *thief = arg;
    size_t size = strlen(path);
    if (strcmp(what, "open") || size < 4 || strcmp(path + size - 4, ".log"))
        return;
    int logs = ++thief->logs;
    if (logs < 20)
        fill_by_other(thief->t);
    else if (logs == 20)
        give_some(thief->t, 4 << 20);
}

// Deletes need another log just when somebody else has the last byte, as a compaction may for a
// moment: they wait.
START_TEST(test_log_finds_no_room)
{
    uint64_t peak = 0;
    struct test *t = test_new(_i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, 0, 32 << 20);
    struct thief thief = {t, 0};
    struct lsm_write_options wo = {.use_reserve = true};
    char key[1000];
    open_store(t);
    put_more(t, 500, 1500, &peak);
    fill_by_other(t);
    env_fault_on_call(t->env, steal, &thief);
    for (int i = 0; i < 2000 && thief.logs < 20; i++) {
        memset(key, 'a' + i % 26, sizeof key);
        int rc = lsm_delete(t->db, &wo, key, sizeof key);
        EXPECT(rc == 0, "delete %d, log %d: %s", i, thief.logs, lsm_error_detail());
    }
    env_fault_on_call(t->env, NULL, NULL);
    printf("%d logs were to be made\n", thief.logs);
    EXPECT(thief.logs >= 20, "no log was needed");
    delete_most(t, t->count);
    expect_writable(t);
    expect_all(t);
    test_end(t);
}
END_TEST

// Puts values until there are `count`, or one is refused.
static void put_until(struct test *t, int count)
{
    int rc = 0;
    while (t->count < count && !rc) {
        t->sizes[t->count] = t->small;
        rc = put(t, t->count);
        EXPECT(rc == 0 || rc == LSM_NO_SPACE, "put: %d %s", rc, lsm_error_detail());
        t->count += rc == 0;
    }
}

static uint64_t data_bytes(struct test *t)
{
    uint64_t tables, blobs;
    EXPECT(lsm_property_uint(t->db, "table-bytes", &tables) &&
               lsm_property_uint(t->db, "blob-bytes", &blobs),
           "no such property");
    return tables + blobs;
}

// Deletes keys [first, end) on a full disk, which another program has filled, or the store itself.
// What that frees comes back soon: to writers, or at first to the reserve.
static void delete_range(struct test *t, int first, int end, bool other)
{
    uint64_t bytes = 0;
    // A job that met the full disk now would give the reserve back for the other to take. It fails
    // where the store has filled the disk.
    (void)!lsm_flush(t->db);
    (void)!lsm_wait_idle(t->db);
    if (other)
        fill_by_other(t);
    uint64_t before = data_bytes(t);
    for (int i = first; i < end; i++) {
        bytes += t->sizes[i];
        delete_one(t, i);
    }
    if (!other) {
        expect_writable(t);
        return;
    }
    int count = t->count;
    for (int tries = 0; t->count == count && data_bytes(t) + bytes / 2 > before; tries++) {
        char *stats = tries < 2000 ? NULL : lsm_property(t->db, "stats");
        EXPECT(!stats, "%" PRIu64 " bytes were deleted, %" PRIu64 " became %" PRIu64 ":\n%s", bytes,
               before, data_bytes(t), stats);
        put_until(t, count + 1);
        usleep(10000);
    }
}

// Any store: default sizes that are cut to the disk, values in tables and in blob files, keys in
// order or not. Where a compaction of all that level 0 holds does not fit, what is deleted comes
// back all the same, a part at a time, and soon.
START_TEST(test_any_store)
{
    static const uint64_t disks[] = {16 << 20, 32 << 20, 100 << 20};
    uint64_t seed = seed_from_env() + (uint64_t)_i;
    struct test *t = calloc(1, sizeof *t);
    t->random.state = seed;
    t->env = env_fault_new();
    lsm_options_init(&t->options);
    t->options.env = t->env;
    t->options.compaction_threads = 1 + random_below(&t->random, 3);
    t->scattered = one_in(&t->random, 2);
    uint64_t disk = disks[random_below(&t->random, 3)];
    int large = (int)(disk / 90000 * (10 + random_below(&t->random, 30)) / 100);
    t->small = 1000 + random_below(&t->random, 3000);
    bool other = one_in(&t->random, 2);
    env_fault_limit(t->env, disk);
    open_store(t);
    for (int i = 0; i < large; i++) {
        t->sizes[t->count] = 90000;
        EXPECT(put(t, t->count++) == 0, "%s", lsm_error_detail());
    }
    if (other)
        put_until(t, large + (int)random_below(&t->random, (uint32_t)(disk / t->small)));
    else
        fill_with(t, size_small);
    printf("seed %" PRIu64 ": %" PRIu64 " MiB, %d large values, %d of %u bytes%s\n", seed,
           disk >> 20, large, t->count - large, t->small, other ? ", another program" : "");
    fflush(stdout);
    delete_range(t, 0, large, other);
    if (!other)
        fill_with(t, size_small);
    int end = large + (t->count - large) / (2 + (int)random_below(&t->random, 6));
    delete_range(t, large, end, other);
    expect_all(t);
    test_end(t);
}
END_TEST

// What a store that was emptied keeps for itself when it has nothing to do is little, and enough.
START_TEST(test_emptied)
{
    enum { STORES = 4, KEYS = 18000, KEPT = 100 };
    struct test *stores[STORES];
    uint64_t peak[STORES] = {0}, left[STORES];
    for (int i = 0; i < STORES; i++) {
        struct test *t =
            test_new(i % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, i / 2 ? 4096 : 0, 256 << 20);
        t->options.write_buffer_size = 1 << 20;
        open_store(t);
        put_more(t, KEYS, 8000, &peak[i]);
        for (int k = 0; k < KEYS - KEPT; k++) {
            char key[32];
            EXPECT(lsm_delete(t->db, NULL, key, key_of(t, key, k)) == 0, "%s", lsm_error_detail());
            t->deleted[k] = true;
        }
        stores[i] = t;
    }
    for (int tries = 0, small = 0; tries < 1200 && small < STORES; tries++) {
        usleep(100000);
        small = 0;
        for (int i = 0; i < STORES; i++) {
            left[i] = space_used(stores[i]);
            small += left[i] * 20 < peak[i];
        }
    }
    for (int i = 0; i < STORES; i++) {
        struct test *t = stores[i];
        printf("\n%" PRIu64 " KiB left of %" PRIu64, left[i] >> 10, peak[i] >> 10);
        char *stats = left[i] * 20 < peak[i] ? NULL : lsm_property(t->db, "stats");
        EXPECT(!stats, "too much is left: %s", stats);
        fill_by_other(t);
        delete_most(t, t->count);
        expect_all(t);
        EXPECT(t->env->ops->unlink(t->env, "/other") == 0, "%s", lsm_error_detail());
        expect_writable(t);
        test_end(t);
    }
    printf("\n");
}
END_TEST

// ---------------------------------------------------------------------------------- opening

// A store with tables, and some more in its log; closed or killed.
static struct test *small_store(unsigned variant, uint64_t disk, size_t write_buffer)
{
    uint64_t peak = 0;
    struct test *t =
        test_new(variant % 2 ? LSM_WAL_WRITTEN : LSM_WAL_MAPPED, variant / 2 % 2 ? 4096 : 0, disk);
    t->options.write_buffer_size = write_buffer;
    open_store(t);
    put_more(t, 60, 1500, &peak);
    EXPECT(lsm_flush(t->db) == 0, "%s", lsm_error_detail());
    put_more(t, 20, 1500, &peak);
    if (variant / 4 % 2)
        env_fault_kill(t->env);
    (void)!lsm_close(t->db);
    t->db = NULL;
    return t;
}

static uint64_t free_bytes(struct test *t)
{
    uint64_t bytes, total;
    EXPECT(t->env->ops->space(t->env, "/", &bytes, &total) == 0, "%s", lsm_error_detail());
    return bytes;
}

static void expect_whole(struct test *t)
{
    open_store(t);
    expect_all(t);
    test_end(t);
}

// One call of an opening, or of a repair, fails for lack of space, or all from it on. Either it
// gets by, or it leaves not a byte more than there was.
static bool fail_call(unsigned variant, bool repair, uint64_t call, bool sticky)
{
    struct test *t = small_store(variant, 64 << 20, 256 << 10);
    uint64_t used = space_used(t);
    uint64_t before = env_fault_space_calls(t->env);
    env_fault_full_at(t->env, call, sticky);
    int rc = repair ? lsm_repair("/db", &t->options) : lsm_open("/db", &t->options, &t->db);
    bool reached = env_fault_space_calls(t->env) >= before + call;
    env_fault_full_at(t->env, 0, false);
    printf("call %" PRIu64 ": %s\n", call, rc ? lsm_error_detail() : "works");
    if (rc) {
        EXPECT(rc == LSM_NO_SPACE || rc == LSM_IO_ERROR, "%d %s", rc, lsm_error_detail());
        EXPECT(space_used(t) <= used, "call %" PRIu64 "%s: %" PRIu64 " bytes are lost: %s", call,
               sticky ? " and on" : "", space_used(t) - used, lsm_error_detail());
    } else if (!repair) {
        delete_most(t, t->count);
        expect_all(t);
        EXPECT(lsm_close(t->db) == 0, "%s", lsm_error_detail());
    }
    expect_whole(t);
    return reached;
}

START_TEST(test_open_calls)
{
    for (int sticky = 0; sticky < 2; sticky++)
        for (uint64_t call = 1; fail_call((unsigned)_i % 8, _i >= 8, call, sticky); call++)
            ;
}
END_TEST

// Everything is taken by another program while nobody has the store open. It opens all the same,
// deletes, and closes, again and again. If it is small beside the write buffer, what it leaves
// behind suffices for a repair too, which writes all of it anew.
START_TEST(test_open_full)
{
    bool small = _i / 8;
    struct test *t = small_store((unsigned)_i % 8, 16 << 20, small ? 2 << 20 : 256 << 10);
    struct lsm_write_options wo = {.use_reserve = true};
    fill_by_other(t);
    uint64_t used = space_used(t);
    printf("\n");
    for (int i = 0; i < 10; i++) {
        char key[32];
        open_store(t);
        EXPECT(lsm_delete(t->db, &wo, key, key_of(t, key, i)) == 0, "%s", lsm_error_detail());
        t->deleted[i] = true;
        if (i == 5)
            env_fault_kill(t->env);
        (void)!lsm_close(t->db);
        EXPECT(space_used(t) <= used, "%" PRIu64 " bytes are lost", space_used(t) - used);
        if (i != 5) // then the reserve was spent, and nobody had the time to make another
            fill_by_other(t);
    }
    int rc = lsm_repair("/db", &t->options);
    EXPECT(rc == 0 || (rc == LSM_NO_SPACE && !small), "repair: %s", lsm_error_detail());
    expect_whole(t);
}
END_TEST

static int is_reserve(void *arg, const char *name)
{
    char path[300];
    struct test *t = arg;
    size_t size = strlen(name);
    if (size > 4 && !strcmp(name + size - 4, ".old")) {
        snprintf(path, sizeof path, "/db/%s", name);
        EXPECT(t->env->ops->unlink(t->env, path) == 0, "%s", lsm_error_detail());
    }
    return 0;
}

// A store without a reserve on a full disk: no try leaves less space than there was. With a few
// pages it opens, though the log's entries do not fit into a table; they stay in their logs,
// through kills and power cuts, until there is room.
START_TEST(test_open_without_reserve)
{
    struct test *t = small_store((unsigned)_i, 16 << 20, 256 << 10);
    struct lsm_write_options wo = {.sync = true, .use_reserve = true};
    EXPECT(t->env->ops->list(t->env, "/db", is_reserve, t) == 0, "%s", lsm_error_detail());
    fill_by_other(t);
    printf("\n");
    for (int i = 0; i < 6; i++) {
        char key[32];
        uint64_t used = space_used(t), lock = 4096; // who holds it is written into LOCK again
        int rc = LSM_NO_SPACE;
        for (int tries = 0; tries < 50 && rc; tries++) {
            rc = lsm_open("/db", &t->options, &t->db);
            EXPECT(rc == 0 || rc == LSM_NO_SPACE, "open: %d %s", rc, lsm_error_detail());
            EXPECT(rc == 0 || space_used(t) <= used + lock, "%" PRIu64 " bytes are lost",
                   space_used(t) - used);
            if (rc)
                give_some(t, 4096);
            used -= rc ? 4096 : 0;
        }
        EXPECT(rc == 0, "no way to open it: %s", lsm_error_detail());
        expect_all(t);
        EXPECT(lsm_delete(t->db, &wo, key, key_of(t, key, i)) == 0, "%s", lsm_error_detail());
        t->deleted[i] = true;
        if (i % 3 == 1)
            env_fault_kill(t->env);
        else if (i % 3 == 2)
            env_fault_power_cut(t->env, (uint64_t)i * 77);
        (void)!lsm_close(t->db);
        EXPECT(t->env->ops->list(t->env, "/db", is_reserve, t) == 0, "%s", lsm_error_detail());
        fill_by_other(t);
    }
    EXPECT(t->env->ops->unlink(t->env, "/other") == 0, "%s", lsm_error_detail());
    open_store(t);
    expect_all(t);
    expect_writable(t);
    EXPECT(lsm_flush(t->db) == 0, "%s", lsm_error_detail());
    EXPECT(lsm_close(t->db) == 0, "%s", lsm_error_detail());
    expect_whole(t);
}
END_TEST

// Where some space suffices to open a store, more does too.
START_TEST(test_open_any_space)
{
    for (uint64_t space = 128 << 10; space <= 640 << 10; space += 28 << 10) {
        struct test *t = small_store((unsigned)_i, 16 << 20, 256 << 10);
        EXPECT(t->env->ops->list(t->env, "/db", is_reserve, t) == 0, "%s", lsm_error_detail());
        fill_by_other(t);
        give_some(t, space);
        printf("%" PRIu64 " KiB\n", space >> 10);
        open_store(t);
        delete_most(t, t->count);
        test_end(t);
    }
}
END_TEST

// Of a reserve that is spent the store takes back what there is room for, and not only all at once:
// another program that fills the disk again and again leaves it what it needs to make room.
START_TEST(test_part_of_reserve)
{
    enum { GIVEN = 200 << 10 };
    struct test *t = small_store((unsigned)_i, 16 << 20, 1 << 20);
    EXPECT(t->env->ops->list(t->env, "/db", is_reserve, t) == 0, "%s", lsm_error_detail());
    fill_by_other(t);
    give_some(t, GIVEN);
    open_store(t);
    for (int tries = 0; free_bytes(t) >= 4096; tries++) {
        EXPECT(tries < 2000, "%" PRIu64 " bytes are left to others", free_bytes(t));
        usleep(10000);
    }
    fill_by_other(t);
    EXPECT(put(t, t->count) == LSM_NO_SPACE, "what is kept for deleting is used up");
    uint64_t before = data_bytes(t);
    delete_most(t, t->count);
    for (int tries = 0; data_bytes(t) > before / 2; tries++) {
        EXPECT(tries < 2000, "%" PRIu64 " bytes of %" PRIu64 " are left", data_bytes(t), before);
        usleep(10000);
    }
    expect_all(t);
    EXPECT(t->env->ops->unlink(t->env, "/other") == 0, "%s", lsm_error_detail());
    expect_writable(t);
    test_end(t);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("full disk");
    TCase *tc = tcase_create("full disk");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, test_full_disk, 0, 12);
    tcase_add_loop_test(tc, test_small_changes, 0, 12);
    tcase_add_loop_test(tc, test_small_changes_slow_disk, 0, 2);
    tcase_add_loop_test(tc, test_large_buffer, 0, 2);
    tcase_add_loop_test(tc, test_large_values, 0, 4);
    suite_add_tcase(suite, tc);
    tc = tcase_create("allocated behind");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, test_allocated_behind, 0, 2);
    suite_add_tcase(suite, tc);
    tc = tcase_create("filled by others");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, test_filled_by_others, 0, 12);
    tcase_add_loop_test(tc, test_log_finds_no_room, 0, 2);
    suite_add_tcase(suite, tc);
    tc = tcase_create("any store");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, test_any_store, 0, 8);
    suite_add_tcase(suite, tc);
    tc = tcase_create("opening");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, test_open_calls, 0, 16);
    tcase_add_loop_test(tc, test_open_full, 0, 16);
    tcase_add_loop_test(tc, test_open_without_reserve, 0, 8);
    tcase_add_loop_test(tc, test_open_any_space, 0, 8);
    tcase_add_loop_test(tc, test_part_of_reserve, 0, 4);
    suite_add_tcase(suite, tc);
    tc = tcase_create("emptied");
    tcase_set_timeout(tc, 600);
    tcase_add_test(tc, test_emptied);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
