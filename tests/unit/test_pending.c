// Writes in a cluster that wait for the log: what others see meanwhile, who may go on, and what
// each is told when the log is written, or fails, or belongs to another writer by then.
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "disk/cluster_gate.h"
#include "disk/cluster_store.h"
#include "disk/env_fault.h"
#include "ns_util.h"

#define OTHERS 3

// ------------------------------------------------------------------------------- the engine

static struct cluster_store store;
static struct lsm *db;

static void open_db(void)
{
    struct lsm_options options;
    lsm_options_init(&options);
    options.env = store.env;
    ck_assert_int_eq(lsm_open(CLUSTER_STORE_PATH, &options, &db), 0);
}

static void setup_db(void)
{
    cluster_store_init(&store, 1);
    open_db();
}

static void teardown_db(void)
{
    (void)!lsm_close(db);
    cluster_store_release(&store);
}

static struct lsm_pending put_pending(const char *key)
{
    struct lsm_pending pending = {0};
    const struct lsm_write_options later = {.pending = &pending};
    ck_assert_int_eq(lsm_put(db, &later, key, 1, "v", 1), 0);
    return pending;
}

static int get(const char *key)
{
    size_t size;
    return lsm_get_range(db, NULL, key, 1, 0, NULL, 0, &size, NULL);
}

// The process dies, and another opens the store.
static void die(void)
{
    fake_process_kill(store.process);
    (void)!lsm_close(db);
    cluster_store_end(&store);
    cluster_store_start(&store);
    open_db();
}

// The process dies, and its successor has "a" and "b".
static void expect_both(void)
{
    die();
    ck_assert_int_eq(get("a"), 0);
    ck_assert_int_eq(get("b"), 0);
}

START_TEST(test_seen_before_it_is_logged)
{
    struct lsm_pending pending = put_pending("a");
    ck_assert_ptr_nonnull(pending.log);
    ck_assert_int_eq(get("a"), 0);
    ck_assert_int_eq(lsm_write_end(db, &pending), 0);
    ck_assert_ptr_null(pending.log);
    ck_assert_int_eq(lsm_write_end(db, &pending), 0); // nothing is pending
    die();
    ck_assert_int_eq(get("a"), 0);
}
END_TEST

// Whoever has been told that it is written has all that was written before it: a dead process can
// end that.
START_TEST(test_ends_all_before)
{
    struct lsm_pending first = put_pending("a"), second = put_pending("b");
    switch (_i) {
    case 0:
        ck_assert_int_eq(lsm_put(db, NULL, "c", 1, "v", 1), 0);
        break;
    case 1:
        ck_assert_int_eq(lsm_sync(db), 0);
        break;
    default:
        ck_assert_int_eq(lsm_write_end(db, &second), 0);
    }
    fake_process_kill(store.process);
    ck_assert_int_eq(lsm_write_end(db, &first), 0);
    ck_assert_int_eq(lsm_write_end(db, &second), 0);
    expect_both();
}
END_TEST

// One place for several writes: the last of them stands for all.
START_TEST(test_one_place)
{
    struct lsm_pending pending = {0};
    const struct lsm_write_options later = {.pending = &pending};
    ck_assert_int_eq(lsm_put(db, &later, "a", 1, "v", 1), 0);
    if (_i)
        ck_assert_int_eq(lsm_flush(db), 0); // the second goes to another log
    ck_assert_int_eq(lsm_put(db, &later, "b", 1, "v", 1), 0);
    ck_assert_int_eq(lsm_write_end(db, &pending), 0);
    expect_both();
}
END_TEST

// What was pending when the process died was never acknowledged, and is not there; nor does it harm
// what was.
START_TEST(test_death)
{
    ck_assert_int_eq(lsm_put(db, NULL, "a", 1, "v", 1), 0);
    struct lsm_pending pending = put_pending("b");
    fake_process_kill(store.process);
    ck_assert_int_lt(lsm_write_end(db, &pending), 0);
    ck_assert_ptr_null(pending.log);
    die();
    ck_assert_int_eq(get("a"), 0);
    ck_assert_int_eq(get("b"), LSM_NOT_FOUND);
}
END_TEST

// A flush writes what is pending, and removes its log.
START_TEST(test_flushed)
{
    struct lsm_pending pending = put_pending("a");
    ck_assert_int_eq(lsm_flush(db), 0);
    ck_assert_int_eq(lsm_write_end(db, &pending), 0);
    die();
    ck_assert_int_eq(get("a"), 0);
}
END_TEST

// A full pool takes the log's records, but no more than a memtable of them.
START_TEST(test_full_pool)
{
    static char large[300 << 10];
    struct lsm_options options;
    ck_assert_int_eq(lsm_close(db), 0);
    lsm_options_init(&options);
    options.env = store.env;
    options.blob_min = 0;
    options.write_buffer_size = 1 << 20;
    ck_assert_int_eq(lsm_open(CLUSTER_STORE_PATH, &options, &db), 0);
    fake_cluster_fill(store.cluster, true);
    int rc = 0;
    for (char key = 'a'; key <= 'z' && !rc; key++)
        rc = lsm_put(db, NULL, &key, 1, large, sizeof large);
    ck_assert_int_eq(rc, LSM_NO_SPACE);
    ck_assert_int_eq(get("a"), 0);
    fake_cluster_fill(store.cluster, false);
    rc = LSM_NO_SPACE;
    for (int tries = 0; tries < 20000 && rc == LSM_NO_SPACE; tries++) { // when it finds out
        rc = lsm_put(db, NULL, "later", 5, "v", 1);
        if (rc)
            usleep(1000);
    }
    ck_assert_int_eq(rc, 0);
    die();
    ck_assert_int_eq(get("a"), 0);
}
END_TEST

// Elsewhere a write is in the log when the call returns.
START_TEST(test_not_in_a_directory)
{
    struct lsm_options options;
    struct lsm *local;
    struct lsm_pending pending = {0};
    struct env *env = env_fault_new();
    lsm_options_init(&options);
    options.env = env;
    ck_assert_int_eq(lsm_open("/db", &options, &local), 0);
    ck_assert_int_eq(
        lsm_put(local, &(struct lsm_write_options){.pending = &pending}, "a", 1, "v", 1), 0);
    ck_assert_ptr_null(pending.log);
    ck_assert_int_eq(lsm_write_end(local, &pending), 0);
    ck_assert_int_eq(lsm_close(local), 0);
    env_fault_free(env);
}
END_TEST

// ------------------------------------------------------------------------------- files

static struct fake_cluster *cluster;
static struct program {
    struct fake_process *process;
    struct env *env;
    struct ns *ns;
} owner;
static struct ns_inode *file;

static void program_open(struct program *p, cluster_open_fn *open)
{
    p->process = fake_process_new(cluster);
    p->env = env_rados_new(open, p->process, CLUSTER_STORE_STRIPE, false);
    struct ns_options options = ns_small_options(p->env);
    ck_assert_int_eq(ns_open(CLUSTER_STORE_PATH, &options, &p->ns), 0);
}

static int program_close(struct program *p)
{
    int rc = ns_close(p->ns);
    env_rados_free(p->env);
    fake_process_free(p->process);
    return rc;
}

static void setup_files(void)
{
    cluster = fake_cluster_new(1);
    program_open(&owner, open_gated);
    ck_assert_int_eq(ns_test_create(owner.ns, "/f"), 0);
    file = ns_test_get(owner.ns, "/f");
    ck_assert_int_eq(ns_write(owner.ns, file, "before ", 7, 0, 0, NULL), 7);
}

static void teardown_files(void)
{
    fake_cluster_free(cluster);
}

struct caller {
    pthread_t thread;
    ssize_t (*call)(void);
    ssize_t rc;
    atomic_bool ended;
};

static void *caller_run(void *arg)
{
    struct caller *c = arg;
    c->rc = c->call();
    atomic_store(&c->ended, true);
    return NULL;
}

static void start(struct caller *c, ssize_t (*call)(void))
{
    *c = (struct caller){.call = call};
    ck_assert_int_eq(pthread_create(&c->thread, NULL, caller_run, c), 0);
}

static void finish(struct caller *c)
{
    ck_assert_int_eq(pthread_join(c->thread, NULL), 0);
}

static ssize_t write_first(void)
{
    return ns_write(owner.ns, file, "first ", 6, 7, 0, NULL);
}

static ssize_t write_second(void)
{
    return ns_write(owner.ns, file, "second", 6, 13, 0, NULL);
}

static ssize_t make_another(void)
{
    return ns_test_create(owner.ns, "/another");
}

static ssize_t sync_all(void)
{
    return ns_sync(owner.ns);
}

static uint64_t size_of(void)
{
    struct ns_attr attr;
    ck_assert_int_eq(ns_getattr(owner.ns, file, &attr), 0);
    return attr.size;
}

// The log's write with the first one's record is held up; the second has written to the same file
// after it, and another file is made. Readers see all of it, but nobody has been told that anything
// is done. (If one had to wait for the first, the test would time out.)
static void begin(struct caller first[1], struct caller others[OTHERS])
{
    gate_hold("first ");
    start(first, write_first);
    gate_has();
    start(&others[0], write_second);
    while (size_of() < 19)
        usleep(100);
    start(&others[1], make_another);
    while (!ns_test_exists(owner.ns, "/another"))
        usleep(100);
    start(&others[2], sync_all);
    char data[32];
    ck_assert_int_eq(ns_read(owner.ns, file, data, sizeof data, 0), 19);
    ck_assert_mem_eq(data, "before first second", 19);
    ck_assert(!atomic_load(&first->ended));
    for (unsigned i = 0; i < OTHERS; i++)
        ck_assert(!atomic_load(&others[i].ended));
}

static void finish_all(struct caller first[1], struct caller others[OTHERS])
{
    finish(first);
    for (unsigned i = 0; i < OTHERS; i++)
        finish(&others[i]);
}

static void expect_failed(struct caller first[1], struct caller others[OTHERS])
{
    ck_assert_int_eq(first->rc, -EIO);
    ck_assert_int_eq(others[0].rc, -EIO);
    ck_assert_int_lt(others[1].rc, 0);
    ck_assert_int_lt(others[2].rc, 0);
    // Nothing is changed any more.
    ck_assert_int_eq(ns_write(owner.ns, file, "late", 4, 0, 0, NULL), -EROFS);
    ck_assert_int_lt(ns_sync(owner.ns), 0);
}

// What a program finds that opens the store anew.
static void expect_found(const char *text, bool another)
{
    struct program next;
    char data[64];
    program_open(&next, fake_process_open);
    struct ns_inode *inode = ns_test_get(next.ns, "/f");
    ssize_t n = ns_read(next.ns, inode, data, sizeof data, 0);
    ck_assert_int_eq(n, (ssize_t)strlen(text));
    ck_assert_mem_eq(data, text, strlen(text));
    ck_assert_int_eq(ns_test_exists(next.ns, "/another"), another);
    ns_inode_put(next.ns, inode, 1);
    ck_assert_int_eq(program_close(&next), 0);
}

START_TEST(test_one_file)
{
    struct caller first, others[OTHERS];
    begin(&first, others);
    gate_open(0);
    finish_all(&first, others);
    ck_assert_int_eq(first.rc, 6);
    ck_assert_int_eq(others[0].rc, 6);
    ck_assert_int_eq(others[1].rc, 0);
    ck_assert_int_eq(others[2].rc, 0);
    fake_process_kill(owner.process);
    ns_inode_put(owner.ns, file, 1);
    (void)program_close(&owner);
    expect_found("before first second", true);
}
END_TEST

// The log's write fails, and has been done or not: all who wait for it, or came behind it, are
// told.
START_TEST(test_log_fails)
{
    struct caller first, others[OTHERS];
    begin(&first, others);
    if (_i)
        gate_lose();
    else
        gate_open(-ETIMEDOUT);
    finish_all(&first, others);
    expect_failed(&first, others);
    ns_inode_put(owner.ns, file, 1);
    (void)program_close(&owner);
    expect_found(_i ? "before first " : "before ", false);
}
END_TEST

// Another program takes the store over meanwhile: it finds what was acknowledged, nothing else, and
// what is on its way then does not arrive.
START_TEST(test_taken_over)
{
    struct caller first, others[OTHERS];
    struct program next;
    if (_i)
        fake_cluster_forbid_blocking(cluster);
    begin(&first, others);
    program_open(&next, fake_process_open);
    ck_assert_int_eq(ns_test_write(next.ns, "/f", 7, 4, 'z'), 4);
    gate_open(0);
    finish_all(&first, others);
    expect_failed(&first, others);
    ns_inode_put(owner.ns, file, 1);
    (void)program_close(&owner);
    ck_assert_int_eq(program_close(&next), 0);
    expect_found("before zzzz", false);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pending");
    TCase *engine = tcase_create("engine"), *files = tcase_create("files");
    tcase_set_timeout(engine, 120);
    tcase_set_timeout(files, 120);
    tcase_add_checked_fixture(engine, setup_db, teardown_db);
    tcase_add_test(engine, test_seen_before_it_is_logged);
    tcase_add_loop_test(engine, test_ends_all_before, 0, 3);
    tcase_add_loop_test(engine, test_one_place, 0, 2);
    tcase_add_test(engine, test_death);
    tcase_add_test(engine, test_flushed);
    tcase_add_test(engine, test_full_pool);
    tcase_add_test(engine, test_not_in_a_directory);
    suite_add_tcase(suite, engine);
    tcase_add_checked_fixture(files, setup_files, teardown_files);
    tcase_add_test(files, test_one_file);
    tcase_add_loop_test(files, test_log_fails, 0, 2);
    tcase_add_loop_test(files, test_taken_over, 0, 2);
    suite_add_tcase(suite, files);
    return run_suite(suite);
}
