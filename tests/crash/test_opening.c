// Opening, removing and copying stores while others do the same, and while the power goes.
//
// Each of two parties does one thing to the directory /db. At each call that the first one makes of
// the system, in turn, the second one does its thing from beginning to end, as another process may.
// Whatever was acknowledged has to be there in the end, unless a party has removed the store.
#include "quick_check.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/env_fault.h"

static struct env *env;

static void options_set(struct lsm_options *options)
{
    lsm_options_init(options);
    options->env = env;
    options->write_buffer_size = 64 << 10;
    options->block_cache_size = 0;
}

static bool has_key(struct lsm *db, const char *key)
{
    struct lsm_buf value = {0};
    int rc = lsm_get(db, NULL, key, strlen(key), &value);
    lsm_buf_release(&value);
    ck_assert(rc == LSM_OK || rc == LSM_NOT_FOUND);
    return rc == LSM_OK;
}

static int put_keys(const char *path, const char *const *keys, unsigned count)
{
    struct lsm_options options;
    struct lsm_write_options sync = {.sync = true};
    struct lsm *db;
    options_set(&options);
    int rc = lsm_open(path, &options, &db);
    if (rc)
        return rc;
    for (unsigned i = 0; i < count && !rc; i++)
        rc = lsm_put(db, &sync, keys[i], strlen(keys[i]), "value", 5);
    int closed = lsm_close(db);
    return rc ? rc : closed;
}

// ------------------------------------------------------------------------------------- parties

enum act { CREATE, DISCARD, READ, REPAIR, CHECKPOINT, DESTROY, ACTS };
static const char *const act_names[] = {"create", "discard",    "read",
                                        "repair", "checkpoint", "destroy"};

static int act_open(bool read_only, int (*end)(struct lsm *db))
{
    struct lsm_options options;
    struct lsm *db;
    options_set(&options);
    options.read_only = read_only;
    int rc = lsm_open("/db", &options, &db);
    return rc ? rc : end(db);
}

static int act_checkpoint(const char *key)
{
    struct lsm_options options;
    struct lsm *db;
    options_set(&options);
    char source[32];
    snprintf(source, sizeof source, "/source-%s", key);
    int rc = lsm_open(source, &options, &db);
    ck_assert_int_eq(rc, LSM_OK);
    rc = lsm_checkpoint(db, "/db");
    ck_assert_int_eq(lsm_close(db), LSM_OK);
    return rc;
}

// What it acknowledges is `key` in /db, if it writes.
static int perform(enum act act, const char *key)
{
    struct lsm_options options;
    options_set(&options);
    switch (act) {
    case CREATE:
        return put_keys("/db", &key, 1);
    case DISCARD:
        return act_open(false, lsm_discard);
    case READ:
        return act_open(true, lsm_close);
    case REPAIR:
        return lsm_repair("/db", &options);
    case CHECKPOINT:
        return act_checkpoint(key);
    default:
        return lsm_destroy("/db", &options);
    }
}

static bool writes(enum act act)
{
    return act == CREATE || act == CHECKPOINT;
}

// ------------------------------------------------------------------------------------- races

struct race {
    enum act other;
    pthread_t first;   // its calls are counted
    uint64_t at, seen; // the call at which the other comes
    bool came;
    int status; // of the other
};

static void *run_other(void *arg)
{
    struct race *race = arg;
    race->status = perform(race->other, "b");
    return NULL;
}

static void on_call(void *arg, const char *what, const char *path)
{
    struct race *race = arg;
    pthread_t thread;
    (void)what, (void)path;
    if (!pthread_equal(pthread_self(), race->first) || race->came || ++race->seen != race->at)
        return;
    race->came = true;
    ck_assert_int_eq(pthread_create(&thread, NULL, run_other, race), 0);
    pthread_join(thread, NULL);
}

enum start { NOTHING, EMPTY, STORE, STARTS };

static void set_up(enum start start)
{
    static const char *const old = "old", *const a = "a", *const b = "b";
    env = env_fault_new();
    ck_assert_int_eq(put_keys("/source-a", &a, 1), LSM_OK);
    ck_assert_int_eq(put_keys("/source-b", &b, 1), LSM_OK);
    if (start == EMPTY)
        ck_assert_int_eq(env->ops->mkdir(env, "/db"), LSM_OK);
    if (start == STORE)
        ck_assert_int_eq(put_keys("/db", &old, 1), LSM_OK);
}

// The end of a race. `removed`: a party has removed a store, so anything may be gone.
static void judge(enum start start, enum act first, int first_status, const struct race *race)
{
    struct lsm_options options;
    struct lsm *db;
    options_set(&options);
    bool removed = (first == DESTROY && !first_status) ||
                   (race->came && race->other == DESTROY && !race->status);
    int rc = lsm_open("/db", &options, &db);
    if (rc)
        ck_abort_msg("%s, %s at call %lu: cannot be opened: %s", act_names[first],
                     act_names[race->other], (unsigned long)race->at, lsm_error_detail());
    if (removed) { // what is there is there as a whole
        ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), LSM_OK);
    } else {
        if (start == STORE && !has_key(db, "old"))
            ck_abort_msg("%s, %s at call %lu: the old store is gone", act_names[first],
                         act_names[race->other], (unsigned long)race->at);
        if (writes(first) && !first_status && !has_key(db, "a"))
            ck_abort_msg("%s, %s at call %lu: lost what the first has written", act_names[first],
                         act_names[race->other], (unsigned long)race->at);
        if (race->came && writes(race->other) && !race->status && !has_key(db, "b"))
            ck_abort_msg("%s, %s at call %lu: lost what the second has written", act_names[first],
                         act_names[race->other], (unsigned long)race->at);
    }
    ck_assert_int_eq(lsm_close(db), LSM_OK);
}

// Returns whether the other's turn came.
static bool race_once(enum start start, enum act first, enum act other, uint64_t at)
{
    struct race race = {.other = other, .first = pthread_self(), .at = at};
    set_up(start);
    env_fault_on_call(env, on_call, &race);
    int status = perform(first, "a");
    env_fault_on_call(env, NULL, NULL);
    judge(start, first, status, &race);
    env_fault_free(env);
    return race.came;
}

START_TEST(test_races)
{
    static const enum act others[] = {CREATE, DISCARD, CHECKPOINT, DESTROY};
    enum act first = (enum act)_i;
    for (enum start start = NOTHING; start < STARTS; start++)
        for (size_t i = 0; i < sizeof others / sizeof *others; i++)
            for (uint64_t at = 1; race_once(start, first, others[i], at); at++)
                ;
}
END_TEST

// -------------------------------------------------------------------------------------
// interruptions

static const char *const keys[] = {"one", "two", "three"};

// A store of several files.
static void make_store(const char *path)
{
    struct lsm_options options;
    struct lsm *db;
    options_set(&options);
    options.blob_min = 1000;
    ck_assert_int_eq(lsm_open(path, &options, &db), LSM_OK);
    static char value[3000];
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_int_eq(lsm_put(db, NULL, keys[i], strlen(keys[i]), value, 500 + 1000 * i), 0);
        if (i < 2)
            ck_assert_int_eq(lsm_flush(db), LSM_OK);
    }
    ck_assert_int_eq(lsm_close(db), LSM_OK);
}

// All of the store at /db, or none of it.
static void must_be_whole(struct lsm *db)
{
    for (unsigned i = 0; i < 3; i++)
        ck_assert(has_key(db, keys[i]));
    ck_assert_int_eq(lsm_check(db, NULL, NULL, NULL), LSM_OK);
}

// What an interruption has left opens whole or not at all, and can be removed.
static void judge_rest(void)
{
    struct lsm_options options;
    struct lsm *db;
    struct env_stat stat;
    options_set(&options);
    options.create_if_missing = false;
    int rc = lsm_open("/db", &options, &db);
    if (!rc) {
        must_be_whole(db);
        ck_assert_int_eq(lsm_close(db), LSM_OK);
    } else {
        ck_assert_int_eq(rc, LSM_NOT_A_STORE);
        const char *words = lsm_error_detail();
        bool empty = strstr(words, "not exist") || strstr(words, "empty");
        if (!empty) {
            ck_assert_msg(strstr(words, "destroy") != NULL, "says %s", words);
            rc = lsm_repair("/db", &options);
            ck_assert_int_eq(rc, LSM_NOT_A_STORE);
            ck_assert_int_eq(lsm_destroy("/db", &options), LSM_OK);
        }
    }
    if (!rc || rc == LSM_NOT_A_STORE)
        (void)!lsm_destroy("/db", &options);
    if (env->ops->stat(env, "/db", &stat) == LSM_OK) { // empty then
        ck_assert_int_eq(env->ops->rmdir(env, "/db"), LSM_OK);
    }
}

enum end { CUT, CUT_TORN, KILL, ENDS };

// Runs `act` up to its n-th call. Returns whether it got that far.
static bool interrupt(int (*act)(void), uint64_t n, enum end end)
{
    if (end == KILL)
        env_fault_fail_at(env, n, LSM_IO_ERROR, true);
    else
        env_fault_cut_at(env, n);
    uint64_t before = env_fault_calls(env);
    (void)!act();
    bool reached = env_fault_calls(env) - before >= n;
    if (end == KILL)
        env_fault_kill(env);
    else
        env_fault_power_cut(env, end == CUT_TORN ? n : 0);
    return reached;
}

static int do_destroy(void)
{
    struct lsm_options options;
    options_set(&options);
    return lsm_destroy("/db", &options);
}

static int do_checkpoint(void)
{
    struct lsm_options options;
    struct lsm *db;
    options_set(&options);
    int rc = lsm_open("/source", &options, &db);
    if (rc)
        return rc;
    rc = lsm_checkpoint(db, "/db");
    (void)!lsm_close(db);
    return rc;
}

START_TEST(test_interrupted_destroy)
{
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        env = env_fault_new();
        make_store("/db");
        reached = interrupt(do_destroy, n, (enum end)_i);
        judge_rest();
        env_fault_free(env);
    }
}
END_TEST

START_TEST(test_interrupted_checkpoint)
{
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        env = env_fault_new();
        make_store("/source");
        reached = interrupt(do_checkpoint, n, (enum end)_i);
        judge_rest();
        struct lsm_options options;
        struct lsm *db;
        options_set(&options);
        ck_assert_int_eq(lsm_open("/source", &options, &db), LSM_OK);
        must_be_whole(db);
        ck_assert_int_eq(lsm_close(db), LSM_OK);
        env_fault_free(env);
    }
}
END_TEST

// ------------------------------------------------------------------------------------- refusals

static void make_file(const char *path, const char *text)
{
    struct env_file *file;
    ck_assert_int_eq(env_open(env, path, ENV_WRITE | ENV_CREATE, &file), LSM_OK);
    ck_assert_int_eq(env_pwrite(file, text, strlen(text), 0), LSM_OK);
    ck_assert_int_eq(env_close(file), LSM_OK);
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned names_in(const char *path)
{
    unsigned count = 0;
    ck_assert_int_eq(env->ops->list(env, path, count_name, &count), LSM_OK);
    return count;
}

// LevelDB and its descendants name their files as we do.
START_TEST(test_destroy_of_another_engine)
{
    struct lsm_options options;
    struct lsm *db;
    env = env_fault_new();
    options_set(&options);
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), LSM_OK);
    make_file("/db/MANIFEST-000001", "leveldb");
    make_file("/db/000003.log", "a record");
    make_file("/db/000005.sst", "a table of another kind");
    ck_assert_int_eq(lsm_destroy("/db", &options), LSM_NOT_A_STORE);
    ck_assert_uint_eq(names_in("/db"), 3);
    make_file("/db/CURRENT", "MANIFEST-000001\n");
    ck_assert_int_eq(lsm_destroy("/db", &options), LSM_NOT_A_STORE);
    ck_assert_uint_eq(names_in("/db"), 4);
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_NOT_A_STORE);
    env_fault_free(env);
}
END_TEST

// A store that has lost CURRENT can be removed as well as repaired; so can what a creation left.
START_TEST(test_destroy_of_remains)
{
    struct lsm_options options;
    env = env_fault_new();
    options_set(&options);
    make_store("/db");
    ck_assert_int_eq(env->ops->unlink(env, "/db/CURRENT"), LSM_OK);
    ck_assert_int_eq(lsm_destroy("/db", &options), LSM_OK);
    ck_assert_uint_eq(names_in("/"), 0);
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), LSM_OK);
    make_file("/db/LOCK", "1\n\n");
    make_file("/db/MANIFEST-000001", "");
    ck_assert_int_eq(lsm_destroy("/db", &options), LSM_OK);
    ck_assert_uint_eq(names_in("/"), 0);
    env_fault_free(env);
}
END_TEST

// A failed opening leaves nothing of a store that it was to make, and everything of others.
START_TEST(test_failed_creation)
{
    struct lsm_options options;
    struct lsm *db;
    uint64_t n = 1;
    for (int rc = -1; rc; n++) {
        env = env_fault_new();
        options_set(&options);
        env_fault_fail_at(env, n, LSM_IO_ERROR, false);
        rc = lsm_open("/db", &options, &db);
        env_fault_fail_at(env, 0, 0, false);
        if (rc)
            ck_assert_uint_eq(names_in("/"), 0);
        else
            ck_assert_int_eq(lsm_close(db), LSM_OK);
        env_fault_free(env);
        ck_assert_uint_lt(n, 1000);
    }
    ck_assert_uint_gt(n, 10);
}
END_TEST

START_TEST(test_discard)
{
    struct lsm_options options;
    struct lsm *db;
    env = env_fault_new();
    options_set(&options);
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_OK);
    ck_assert_int_eq(lsm_put(db, NULL, "k", 1, "v", 1), LSM_OK);
    ck_assert_int_eq(lsm_discard(db), LSM_OK);
    ck_assert_uint_eq(names_in("/"), 0);
    ck_assert_int_eq(env->ops->mkdir(env, "/db"), LSM_OK);
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_OK);
    ck_assert_int_eq(lsm_discard(db), LSM_OK);
    ck_assert_uint_eq(names_in("/"), 1); // the directory was there
    ck_assert_uint_eq(names_in("/db"), 0);
    make_store("/db");
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_OK);
    ck_assert_int_eq(lsm_discard(db), LSM_OK);
    ck_assert_int_eq(lsm_open("/db", &options, &db), LSM_OK);
    must_be_whole(db);
    ck_assert_int_eq(lsm_close(db), LSM_OK);
    env_fault_free(env);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("opening");
    tcase_add_loop_test(tc, test_races, 0, ACTS);
    tcase_add_loop_test(tc, test_interrupted_destroy, 0, ENDS);
    tcase_add_loop_test(tc, test_interrupted_checkpoint, 0, ENDS);
    tcase_add_test(tc, test_destroy_of_another_engine);
    tcase_add_test(tc, test_destroy_of_remains);
    tcase_add_test(tc, test_failed_creation);
    tcase_add_test(tc, test_discard);
    return run_case("opening", tc, 120);
}
