// Named snapshots: what they show, their names, the manifest's format, and power cuts and failures
// at every call that makes, renames or deletes one. Random histories: test_snapshot_model.
#include "store_util.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/coding.h"

static void put(const char *key, const char *value)
{
    ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), value, strlen(value)), 0);
}

static void check_value(const struct lsm_snapshot *snapshot, const char *key, const char *want)
{
    struct lsm_buf buf = {0};
    struct lsm_read_options ro = {.snapshot = snapshot};
    int rc = lsm_get(db, &ro, key, strlen(key), &buf);
    if (!want) {
        ck_assert_int_eq(rc, LSM_NOT_FOUND);
    } else {
        ck_assert_int_eq(rc, 0);
        ck_assert_uint_eq(buf.size, strlen(want));
        ck_assert_mem_eq(buf.data, want, buf.size);
    }
    lsm_buf_release(&buf);
}

static void check_named(const char *name, const char *key, const char *want)
{
    const struct lsm_snapshot *snapshot;
    ck_assert_int_eq(lsm_snapshot_open(db, name, &snapshot), 0);
    check_value(snapshot, key, want);
    lsm_snapshot_free(db, snapshot);
}

static int append_name(void *arg, const struct lsm_snapshot_info *info)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s=%u ", info->name, (unsigned)info->id);
    return 0;
}

static void check_list(const char *want)
{
    char text[512] = "";
    ck_assert_int_eq(lsm_snapshot_list(db, append_name, text), 0);
    ck_assert_str_eq(text, want);
}

START_TEST(test_stays)
{
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "first"), 0);
    put("a", "2");
    put("b", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "second"), 0);
    ck_assert_int_eq(lsm_delete(db, NULL, "a", 1), 0);
    reopen_db();
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    reopen_db();
    check_list("first=1 second=2 ");
    check_named("first", "a", "1");
    check_named("first", "b", NULL);
    check_named("second", "a", "2");
    check_named("second", "b", "1");
    check_value(NULL, "a", NULL);
    ck_assert_int_eq(lsm_snapshot_rename(db, "first", "old"), 0);
    ck_assert_int_eq(lsm_snapshot_delete(db, "second"), 0);
    ck_assert_int_eq(lsm_snapshot_create(db, "third"), 0); // its number is a new one
    reopen_db();
    check_list("old=1 third=3 ");
    check_named("old", "a", "1");
    ck_assert_int_eq(lsm_snapshot_delete(db, "third"), 0);
    reopen_db();
    ck_assert_int_eq(lsm_snapshot_create(db, "fourth"), 0); // also after the newest was deleted
    check_list("old=1 fourth=4 ");
}
END_TEST

START_TEST(test_opened_outlives_its_name)
{
    const struct lsm_snapshot *snapshot;
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "s"), 0);
    ck_assert_int_eq(lsm_snapshot_open(db, "s", &snapshot), 0);
    put("a", "2");
    ck_assert_int_eq(lsm_snapshot_delete(db, "s"), 0);
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    check_value(snapshot, "a", "1");
    lsm_snapshot_free(db, snapshot);
}
END_TEST

START_TEST(test_names)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "a\nb", "\x7f", "\t"};
    char name[LSM_SNAPSHOT_NAME_MAX + 2];
    const struct lsm_snapshot *snapshot;
    open_db();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(lsm_snapshot_create(db, bad[i]), LSM_INVALID);
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    ck_assert_int_eq(lsm_snapshot_create(db, name), LSM_INVALID);
    name[sizeof name - 2] = '\0';
    ck_assert_int_eq(lsm_snapshot_create(db, name), 0);
    ck_assert_int_eq(lsm_snapshot_create(db, name), LSM_EXISTS);
    ck_assert_int_eq(lsm_snapshot_rename(db, name, "a/b"), LSM_INVALID);
    ck_assert_int_eq(lsm_snapshot_rename(db, "absent", "b"), LSM_NOT_FOUND);
    ck_assert_int_eq(lsm_snapshot_open(db, "absent", &snapshot), LSM_NOT_FOUND);
    ck_assert_int_eq(lsm_snapshot_rename(db, name, ".a b\xc3\xa4"), 0);
    check_list(".a b\xc3\xa4=1 ");
}
END_TEST

static int note_identity(void *arg, const struct lsm_snapshot_info *info)
{
    struct lsm_snapshot_info *wanted = arg;
    if (strcmp(info->name, wanted->name) == 0) {
        wanted->created_us = info->created_us;
        memcpy(wanted->identity, info->identity, sizeof wanted->identity);
    }
    return 0;
}

static struct lsm_snapshot_info identity_of(const char *name)
{
    struct lsm_snapshot_info info = {.name = name};
    ck_assert_int_eq(lsm_snapshot_list(db, note_identity, &info), 0);
    return info;
}

// It stays with the snapshot, and goes with the copies of it; another one has another.
START_TEST(test_identity)
{
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "first"), 0);
    ck_assert_int_eq(lsm_snapshot_create(db, "second"), 0);
    const struct lsm_snapshot_info first = identity_of("first"), second = identity_of("second");
    ck_assert_mem_ne(first.identity, second.identity, LSM_SNAPSHOT_IDENTITY);
    ck_assert_int_eq(lsm_snapshot_rename(db, "first", "renamed"), 0);
    ck_assert_mem_eq(identity_of("renamed").identity, first.identity, LSM_SNAPSHOT_IDENTITY);
    for (int i = 0; i < 3; i++) { // from edits, then from the first record of a manifest
        reopen_db();
        ck_assert_mem_eq(identity_of("renamed").identity, first.identity, LSM_SNAPSHOT_IDENTITY);
        ck_assert_mem_eq(identity_of("second").identity, second.identity, LSM_SNAPSHOT_IDENTITY);
    }
    ck_assert_int_eq(lsm_checkpoint(db, "/copy"), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    ck_assert_int_eq(lsm_open("/copy", &options, &db), 0);
    ck_assert_mem_eq(identity_of("second").identity, second.identity, LSM_SNAPSHOT_IDENTITY);
    ck_assert_int_eq(lsm_close(db), 0);

    ck_assert_int_eq(lsm_open("/other", &options, &db), 0);
    ck_assert_int_eq(lsm_snapshot_create_as(db, "as second", &second), 0);
    ck_assert_int_eq(lsm_close(db), 0);
    ck_assert_int_eq(lsm_open("/other", &options, &db), 0);
    const struct lsm_snapshot_info again = identity_of("as second");
    ck_assert_mem_eq(again.identity, second.identity, LSM_SNAPSHOT_IDENTITY);
    ck_assert_uint_eq(again.created_us, second.created_us);
}
END_TEST

START_TEST(test_read_only)
{
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "s"), 0);
    put("a", "2");
    options.read_only = true;
    reopen_db();
    check_named("s", "a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "t"), LSM_READ_ONLY);
    ck_assert_int_eq(lsm_snapshot_delete(db, "s"), LSM_READ_ONLY);
    ck_assert_int_eq(lsm_snapshot_rename(db, "s", "t"), LSM_READ_ONLY);
}
END_TEST

// The format of the manifest that CURRENT names.
static uint32_t manifest_format(void)
{
    char *text, *header, path[64];
    size_t size;
    ck_assert_int_eq(env_read_file(env, "/db/CURRENT", 4096, &text, &size), 0);
    snprintf(path, sizeof path, "/db/%.15s", strstr(text, "MANIFEST"));
    ck_assert_int_eq(env_read_file(env, path, 1 << 20, &header, &size), 0);
    uint32_t format = get_fixed32((const uint8_t *)header + 8);
    free(header);
    free(text);
    return format;
}

// An older program refuses a store with snapshots, and opens it when they are gone.
START_TEST(test_manifest_format)
{
    open_db();
    put("a", "1");
    ck_assert_uint_eq(manifest_format(), 1);
    ck_assert_int_eq(lsm_snapshot_create(db, "s"), 0);
    ck_assert_uint_eq(manifest_format(), 2);
    reopen_db();
    ck_assert_uint_eq(manifest_format(), 2);
    ck_assert_int_eq(lsm_snapshot_delete(db, "s"), 0);
    reopen_db();
    ck_assert_uint_eq(manifest_format(), 1);
}
END_TEST

static _Thread_local unsigned syncs_counted; // of this thread: background work makes some as well

static void count_syncs(void *arg, const char *what, const char *path)
{
    (void)arg;
    (void)path;
    if (strstr(what, "sync"))
        syncs_counted++;
}

// Also the first one of a store: the log, and the manifest.
START_TEST(test_two_syncs)
{
    static const char *const names[] = {"one", "two"};
    open_db();
    for (int i = 0; i < 2; i++) {
        put("a", names[i]);
        ck_assert_int_eq(lsm_wait_idle(db), 0);
        syncs_counted = 0;
        env_fault_on_call(env, count_syncs, NULL);
        ck_assert_int_eq(lsm_snapshot_create(db, names[i]), 0);
        env_fault_on_call(env, NULL, NULL);
        ck_assert_uint_eq(syncs_counted, 2);
    }
}
END_TEST

static _Atomic unsigned synced_behind; // begun by the sync thread

static void count_synced_behind(void *arg, const char *what, const char *path)
{
    char name[16];
    (void)arg;
    (void)path;
    if (!pthread_getname_np(pthread_self(), name, sizeof name) && !strcmp(name, "lsm-sync") &&
        !strcmp(what, "sync"))
        synced_behind++;
}

static void put_many(unsigned from, unsigned to, const char *value)
{
    char key[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "%u", i);
        put(key, value);
    }
}

// After much was written it is durable, though nobody has asked for it; with little it is not. When
// the thread begins with the second sync the first has ended.
START_TEST(test_synced_behind)
{
    enum { LITTLE = 100, MUCH = 2000 };
    char value[1000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    options.write_buffer_size = 64u << 20; // a flush would make it durable
    for (unsigned much = 0; much < 2; much++) {
        open_db();
        synced_behind = 0;
        env_fault_on_call(env, count_synced_behind, NULL);
        put_many(0, LITTLE, value);
        for (unsigned round = 1; much && round <= 2; round++) {
            put_many(LITTLE + (round - 1) * MUCH, LITTLE + round * MUCH, value);
            for (int tries = 0; tries < 10000 && synced_behind < round; tries++)
                usleep(1000);
        }
        ck_assert_uint_ge(synced_behind, 2 * much);
        env_fault_on_call(env, NULL, NULL);
        env_fault_power_cut(env, 0);
        (void)!lsm_close(db);
        open_db();
        check_value(NULL, "0", much ? value : NULL);
        ck_assert_int_eq(lsm_close(db), 0);
    }
    open_db(); // for the fixture
}
END_TEST

static int append_usage(void *arg, const struct lsm_snapshot_info *info, uint64_t refers,
                        uint64_t own)
{
    char *text = arg;
    sprintf(text + strlen(text), "%s:%u,%u ", info->name, (unsigned)refers, (unsigned)own);
    return 0;
}

static void check_usage(const char *want)
{
    char text[512] = "";
    ck_assert_int_eq(lsm_snapshot_usage(db, append_usage, NULL, text), 0);
    ck_assert_str_eq(text, want);
}

// Keys and values are of these many bytes: a 1+3, b 1+9, c 1+99.
START_TEST(test_usage)
{
    char hundred[100];
    memset(hundred, 'x', 99);
    hundred[99] = '\0';
    open_db();
    check_usage("");
    put("a", "111");
    put("b", "123456789");
    ck_assert_int_eq(lsm_snapshot_create(db, "one"), 0);
    ck_assert_int_eq(lsm_snapshot_create(db, "two"), 0);
    check_usage("one:14,0 two:14,0 ");
    put("a", "222");
    put("c", hundred);
    check_usage("one:14,0 two:14,0 "); // both see the old a
    ck_assert_int_eq(lsm_snapshot_create(db, "three"), 0);
    ck_assert_int_eq(lsm_delete(db, NULL, "c", 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        check_usage("one:14,0 two:14,0 three:114,100 ");
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    }
    ck_assert_int_eq(lsm_snapshot_delete(db, "two"), 0);
    check_usage("one:14,4 three:114,100 ");
}
END_TEST

// ---------------------------------------------------------------------------------- space

#define KEYS 400

static void write_all(unsigned generation, size_t size)
{
    uint8_t value[4096];
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        for (size_t k = 0; k < size; k += 4) // not to be compressed
            put_fixed32(value + k, (uint32_t)((i * 7919 + generation * 104729 + k) * 2654435761u));
        snprintf(key, sizeof key, "key%05u", i * 37 % KEYS);
        ck_assert_int_eq(lsm_put(db, NULL, key, strlen(key), value, size), 0);
    }
    ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
}

// A file goes when the last reader that may have it is done: at the latest when the store is
// closed.
static uint64_t bytes_held(void)
{
    reopen_db();
    return number("table-bytes") + number("blob-bytes");
}

// Four generations, of which the snapshots keep three; with each that goes, so does its space.
static void check_space(size_t value_size)
{
    static const char *const names[] = {"first", "second", "third"};
    open_db();
    write_all(0, value_size);
    uint64_t one = bytes_held();
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(lsm_snapshot_create(db, names[i]), 0);
        write_all(i + 1, value_size);
    }
    ck_assert_uint_ge(bytes_held(), one * 39 / 10); // reopened: what is kept for whom is on disk
    static const unsigned order[] = {1, 0, 2};
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(lsm_snapshot_delete(db, names[order[i]]), 0);
        ck_assert_int_eq(lsm_wait_idle(db), 0);
        uint64_t held = bytes_held(), most = one * (3 - i) + one / 2;
        ck_assert_msg(held <= most, "%u of three deleted: %lu bytes, one generation is %lu", i + 1,
                      (unsigned long)held, (unsigned long)one);
    }
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
}

START_TEST(test_space_of_small_values)
{
    check_space(1000);
}
END_TEST

START_TEST(test_space_of_blobs)
{
    options.blob_min = 1024;
    options.blob_file_size = 64 << 10;
    options.blob_garbage_ratio = 5;
    check_space(4096);
}
END_TEST

// What a snapshot in memory has kept goes with it, too.
START_TEST(test_space_of_unnamed)
{
    const struct lsm_snapshot *snapshot;
    open_db();
    write_all(0, 1000);
    uint64_t one = bytes_held();
    ck_assert_int_eq(lsm_snapshot_new(db, &snapshot), 0);
    write_all(1, 1000);
    ck_assert_uint_ge(number("table-bytes"), one * 19 / 10);
    lsm_snapshot_free(db, snapshot);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
    ck_assert_uint_le(bytes_held(), one * 3 / 2);
}
END_TEST

// ---------------------------------------------------------------------------------- failures

// Three changes of the snapshots; returns how many were acknowledged.
static int change_snapshots(void)
{
    int done = 0;
    if (lsm_snapshot_create(db, "two"))
        return done;
    done++;
    if (lsm_snapshot_rename(db, "one", "uno"))
        return done;
    done++;
    if (lsm_snapshot_delete(db, "two"))
        return done;
    return done + 1;
}

static void prepare(void)
{
    store_setup();
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_snapshot_create(db, "one"), 0);
    put("a", "2");
    ck_assert_int_eq(lsm_wait_idle(db), 0);
}

static void check_state(int acknowledged)
{
    static const char *const listed[] = {"one=1 ", "one=1 two=2 ", "uno=1 two=2 ", "uno=1 "};
    char text[512] = "";
    int at = 0;
    ck_assert_int_eq(lsm_snapshot_list(db, append_name, text), 0);
    while (at < 4 && strcmp(text, listed[at]))
        at++;
    // The next change may have become durable without being acknowledged.
    ck_assert_msg(at == acknowledged || at == acknowledged + 1, "%s after %d", text, acknowledged);
    check_named(at < 2 ? "one" : "uno", "a", "1");
    if (at == 1 || at == 2)
        check_named("two", "a", "2");
}

START_TEST(test_power_cuts)
{
    teardown();
    for (uint64_t seed = 0; seed < 3; seed++) {
        for (uint64_t call = 1;; call++) {
            prepare();
            env_fault_cut_at(env, call);
            int done = change_snapshots();
            env_fault_power_cut(env, seed);
            (void)!lsm_close(db);
            open_db();
            check_state(done);
            teardown();
            if (done == 3)
                break;
        }
    }
    store_setup(); // for the fixture
}
END_TEST

static void prepare_first(void)
{
    store_setup();
    open_db();
    put("a", "1");
    ck_assert_int_eq(lsm_wait_idle(db), 0);
}

// The first snapshot of a store is there or not, and an older program sees that it cannot go on
// with a store that has one.
static void check_first(bool acknowledged)
{
    char text[512] = "";
    if (acknowledged)
        ck_assert_uint_eq(manifest_format(), 2);
    open_db();
    ck_assert_int_eq(lsm_snapshot_list(db, append_name, text), 0);
    ck_assert(strcmp(text, "one=1 ") == 0 || (!*text && !acknowledged));
    if (*text)
        check_named("one", "a", "1");
    ck_assert_uint_eq(manifest_format(), *text ? 2 : 1);
}

START_TEST(test_first_power_cuts)
{
    teardown();
    for (uint64_t seed = 0; seed < 8; seed++) {
        int rc = -1;
        for (uint64_t call = 1; rc; call++) {
            prepare_first();
            env_fault_cut_at(env, call);
            rc = lsm_snapshot_create(db, "one");
            env_fault_power_cut(env, seed);
            (void)!lsm_close(db);
            check_first(rc == 0);
            teardown();
        }
    }
    store_setup(); // for the fixture
}
END_TEST

START_TEST(test_first_failing_calls)
{
    static const int failures[] = {LSM_NO_SPACE, LSM_IO_ERROR};
    teardown();
    for (int kind = 0; kind < 2; kind++) {
        for (uint64_t call = 1; call < 20; call++) {
            prepare_first();
            env_fault_fail_at(env, call, failures[kind], false);
            int rc = lsm_snapshot_create(db, "one");
            env_fault_fail_at(env, 0, 0, false);
            if (rc == LSM_NO_SPACE) {
                rc = lsm_snapshot_create(db, "one");
                ck_assert_int_eq(rc, 0);
            }
            (void)!lsm_close(db);
            check_first(rc == 0);
            teardown();
        }
    }
    store_setup(); // for the fixture
}
END_TEST

// A failure changes nothing that was acknowledged; after a full disk all goes on.
START_TEST(test_failing_calls)
{
    static const int failures[] = {LSM_NO_SPACE, LSM_IO_ERROR};
    teardown();
    for (int kind = 0; kind < 2; kind++) {
        for (uint64_t call = 1;; call++) {
            prepare();
            env_fault_fail_at(env, call, failures[kind], false);
            int done = change_snapshots();
            env_fault_fail_at(env, 0, 0, false);
            (void)!lsm_close(db);
            open_db();
            check_state(done);
            if (done == 1)
                (void)!lsm_snapshot_delete(db, "two");
            teardown();
            if (done == 3 && call > 20)
                break;
        }
    }
    store_setup(); // for the fixture
}
END_TEST

static bool keep_b(void *arg, const void *key, size_t size)
{
    (void)arg;
    return size == 1 && memcmp(key, "b", 1) == 0;
}

static void prepare_rollback(void)
{
    store_setup();
    options.blob_min = 1024;
    char large[4000];
    memset(large, 'L', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    open_db();
    put("a", "1");
    put("b", "1");
    put("large", large);
    ck_assert_int_eq(lsm_snapshot_create(db, "one"), 0);
    put("a", "2");
    put("b", "2");
    put("new", "2");
    put("large", "now small");
    ck_assert_int_eq(lsm_sync(db), 0);
    ck_assert_int_eq(lsm_wait_idle(db), 0);
}

// Whole or not at all, at each call; and what comes after it is found again.
START_TEST(test_rollback)
{
    teardown();
    for (uint64_t call = 1, done = false; !done; call++) {
        prepare_rollback();
        env_fault_cut_at(env, call);
        done = lsm_snapshot_rollback(db, "one", keep_b, NULL) == 0;
        env_fault_power_cut(env, call % 3);
        (void)!lsm_close(db);
        open_db();
        struct lsm_buf buf = {0};
        ck_assert_int_eq(lsm_get(db, NULL, "a", 1, &buf), 0);
        bool rolled = *(const char *)buf.data == '1';
        ck_assert(rolled || !done);
        check_value(NULL, "b", "2");
        check_value(NULL, "new", rolled ? NULL : "2");
        ck_assert_int_eq(lsm_get(db, NULL, "large", 5, &buf), 0);
        ck_assert_uint_eq(buf.size, rolled ? 3999 : 9);
        lsm_buf_release(&buf);
        check_named("one", "a", "1");
        put("a", "3");
        ck_assert_int_eq(lsm_compact_range(db, NULL, 0, NULL, 0), 0);
        reopen_db();
        check_value(NULL, "a", "3");
        check_named("one", "a", "1");
        ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), 0);
        teardown();
    }
    store_setup(); // for the fixture
}
END_TEST

static void *take_snapshot(void *arg)
{
    const struct lsm_snapshot **ret_snapshot = arg;
    ck_assert_int_eq(lsm_snapshot_new(db, ret_snapshot), 0);
    return NULL;
}

// Between entering and leaving at most one snapshot comes in; the next sees what was written before
// the leaving, whatever the threads' order.
START_TEST(test_entered)
{
    open_db();
    for (unsigned round = 0; round < 200; round++) {
        const struct lsm_snapshot *first, *second = NULL;
        pthread_t thread;
        char value[8];
        sprintf(value, "%u", round);
        uint64_t entered = lsm_snapshots_enter(db);
        ck_assert_uint_eq(lsm_snapshots_taken(db), entered);
        ck_assert_int_eq(lsm_snapshot_new(db, &first), 0);
        ck_assert_uint_eq(lsm_snapshots_taken(db), entered + 1);
        ck_assert_int_eq(pthread_create(&thread, NULL, take_snapshot, &second), 0);
        lsm_snapshots_leave(db, lsm_snapshots_enter(db)); // of the next, which nobody waits for
        put("a", value);
        lsm_snapshots_leave(db, entered);
        pthread_join(thread, NULL);
        check_value(second, "a", value);
        lsm_snapshot_free(db, first);
        lsm_snapshot_free(db, second);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("snapshots");
    TCase *tc = tcase_create("snapshots");
    tcase_add_checked_fixture(tc, store_setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, test_stays);
    tcase_add_test(tc, test_opened_outlives_its_name);
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_identity);
    tcase_add_test(tc, test_read_only);
    tcase_add_test(tc, test_manifest_format);
    tcase_add_test(tc, test_two_syncs);
    tcase_add_test(tc, test_synced_behind);
    tcase_add_test(tc, test_usage);
    tcase_add_test(tc, test_space_of_small_values);
    tcase_add_test(tc, test_space_of_blobs);
    tcase_add_test(tc, test_space_of_unnamed);
    tcase_add_test(tc, test_rollback);
    tcase_add_test(tc, test_entered);
    tcase_add_test(tc, test_first_power_cuts);
    tcase_add_test(tc, test_first_failing_calls);
    tcase_add_test(tc, test_power_cuts);
    tcase_add_test(tc, test_failing_calls);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
