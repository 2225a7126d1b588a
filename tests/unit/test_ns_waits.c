// Who waits for whom: locks of inodes; that nobody who changes a file waits for somebody who reads
// from disk; and that nobody who only reads waits for a writer that cannot go on. A call that waits
// where it must not makes the test time out.
#include <linux/falloc.h>
#include <pthread.h>
#include <unistd.h>

#include "ns/inodes/inode_lock.h"
#include "ns_fixture.h"

// ------------------------------------------------------------------------------- locks

static struct inode_lock_table table;

struct asker {
    pthread_t thread;
    uint64_t ino;
    bool exclusive;
    _Atomic bool granted, leave;
};

static void *ask(void *arg)
{
    struct asker *asker = arg;
    struct inode_lock lock;
    inode_lock(&table, &lock, asker->ino, asker->exclusive);
    asker->granted = true;
    while (!asker->leave)
        usleep(100);
    inode_unlock(&table, &lock);
    return NULL;
}

// Who holds a lock or waits for one.
NOT_CHECKED static unsigned askers(void)
{
    unsigned count = 0;
    for (unsigned i = 0; i < INODE_LOCK_BUCKETS; i++) {
        pthread_mutex_lock(&table.buckets[i].mutex);
        for (struct inode_lock *lock = table.buckets[i].first; lock; lock = lock->next)
            count++;
        pthread_mutex_unlock(&table.buckets[i].mutex);
    }
    return count;
}

// Starts the asker; it is in the queue when this returns.
static void start(struct asker *asker, uint64_t ino, bool exclusive)
{
    unsigned before = askers();
    *asker = (struct asker){.ino = ino, .exclusive = exclusive};
    ck_assert_int_eq(pthread_create(&asker->thread, NULL, ask, asker), 0);
    while (askers() == before)
        usleep(100);
}

static void finish(struct asker *asker)
{
    asker->leave = true;
    ck_assert_int_eq(pthread_join(asker->thread, NULL), 0);
}

static void expect_granted(struct asker *asker)
{
    while (!asker->granted)
        usleep(100);
}

START_TEST(test_locks_exclude_in_the_order_asked)
{
    struct asker reader, second, writer, late;
    inode_lock_table_init(&table);
    start(&reader, 7, false);
    start(&second, 7, false);
    expect_granted(&reader);
    expect_granted(&second);
    start(&writer, 7, true);
    start(&late, 7, false);
    ck_assert(!writer.granted && !late.granted); // late waits behind the writer
    finish(&reader);
    ck_assert(!writer.granted);
    finish(&second);
    expect_granted(&writer);
    ck_assert(!late.granted);
    finish(&writer);
    expect_granted(&late);
    finish(&late);
    inode_lock_table_release(&table);
}
END_TEST

// With more numbers than buckets many share one; none waits for another.
START_TEST(test_locks_of_other_inodes_are_free)
{
    struct inode_lock locks[4 * INODE_LOCK_BUCKETS];
    inode_lock_table_init(&table);
    for (uint64_t i = 0; i < 4 * INODE_LOCK_BUCKETS; i++)
        inode_lock(&table, &locks[i], i * 1024, true);
    for (uint64_t i = 0; i < 4 * INODE_LOCK_BUCKETS; i += 3)
        inode_unlock(&table, &locks[i]);
    for (uint64_t i = 0; i < 4 * INODE_LOCK_BUCKETS; i += 3)
        inode_lock(&table, &locks[i], i * 1024, false);
    for (uint64_t i = 0; i < 4 * INODE_LOCK_BUCKETS; i++)
        inode_unlock(&table, &locks[i]);
    inode_lock_table_release(&table);
}
END_TEST

START_TEST(test_lock_sets)
{
    struct inode_locks locks = {0};
    struct asker other;
    inode_lock_table_init(&table);
    inode_locks_add(&locks, 9, false);
    inode_locks_add(&locks, 3, true);
    inode_locks_add(&locks, 9, true); // the stronger one wins
    inode_locks_add(&locks, 3, false);
    ck_assert_uint_eq(locks.count, 2);
    inode_locks_take(&table, &locks);
    start(&other, 9, false);
    ck_assert(!other.granted);
    inode_locks_drop(&table, &locks);
    expect_granted(&other);
    finish(&other);
    inode_lock_table_release(&table);
}
END_TEST

// ------------------------------------------------------------------------------- a slow disk

#define SIZE (256u << 10)

static struct ns_inode *file;

struct reading {
    pthread_t thread;
    uint8_t *data;
    ssize_t got;
};

static void *read_file(void *arg)
{
    struct reading *reading = arg;
    reading->got = ns_read(ns, file, reading->data, SIZE, 0);
    return NULL;
}

static void expect_held(unsigned count)
{
    while (env_fault_held(env) != count)
        usleep(100);
}

static void setup(void)
{
    ns_setup();
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/f"), 0);
    file = ns_test_get(ns, "/d/f");
    ck_assert_int_eq(ns_test_write(ns, "/d/f", 0, SIZE, 'a'), SIZE);
}

static void teardown(void)
{
    ns_inode_put(ns, file, 1);
    ns_teardown();
}

static bool all_are(const uint8_t *data, size_t size, int byte)
{
    for (size_t i = 0; i < size; i++)
        if (data[i] != byte)
            return false;
    return true;
}

// A reader of /d/f waits for the disk.
static void reading_begin(struct reading *reading)
{
    reading->data = malloc(SIZE);
    env_fault_hold(env, ".blob");
    ck_assert_int_eq(pthread_create(&reading->thread, NULL, read_file, reading), 0);
    expect_held(1);
}

// It sees the file as it was when it began.
static void reading_end(struct reading *reading)
{
    env_fault_hold(env, NULL);
    ck_assert_int_eq(pthread_join(reading->thread, NULL), 0);
    ck_assert_int_eq(reading->got, SIZE);
    ck_assert(all_are(reading->data, SIZE, 'a'));
    free(reading->data);
}

START_TEST(test_changes_do_not_wait_for_a_read)
{
    struct reading reading;
    struct ns_attr attr = {.mode = 0600, .size = 100};
    reading_begin(&reading);
    ck_assert_int_eq(ns_test_write(ns, "/d/f", 0, SIZE, 'b'), SIZE);
    ck_assert_int_eq(ns_setxattr(ns, file, "user.a", "1", 1, 0), 0);
    ck_assert_int_eq(
        ns_fallocate_with(ns, file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 65536, 0, NULL),
        0);
    ck_assert_int_eq(ns_setattr(ns, file, &attr, NS_SET_MODE | NS_SET_SIZE, NULL), 0);
    ck_assert_int_eq(ns_test_rename(ns, "/d/f", "/d/g", 0), 0);
    ck_assert_int_eq(ns_test_create(ns, "/d/other"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/g", "/d/h"), 0);
    ck_assert_int_eq(ns_test_unlink(ns, "/d/g"), 0);
    ck_assert_int_eq(ns_getattr(ns, file, &attr), 0);
    ck_assert_uint_eq(attr.size, 100);
    ck_assert_uint_eq(attr.nlink, 1);
    ck_assert_int_eq(ns_test_unlink(ns, "/d/h"), 0);
    ck_assert_uint_eq(env_fault_held(env), 1);
    reading_end(&reading);
}
END_TEST

static void *copy_file(void *arg)
{
    struct reading *reading = arg;
    struct ns_inode *to = ns_test_get(ns, "/d/copy");
    // Pieces too short to be shared are read and copied.
    reading->got = ns_test_copy_range(ns, file, 10, to, 0, 500);
    ns_inode_put(ns, to, 1);
    return NULL;
}

START_TEST(test_the_source_of_a_copy_is_free)
{
    struct reading copying;
    ck_assert_int_eq(ns_test_create(ns, "/d/copy"), 0);
    env_fault_hold(env, ".blob");
    ck_assert_int_eq(pthread_create(&copying.thread, NULL, copy_file, &copying), 0);
    expect_held(1);
    ck_assert_int_eq(ns_test_write(ns, "/d/f", 0, SIZE, 'b'), SIZE);
    ck_assert_uint_eq(env_fault_held(env), 1);
    env_fault_hold(env, NULL);
    ck_assert_int_eq(pthread_join(copying.thread, NULL), 0);
    ck_assert_int_eq(copying.got, 500);
    uint8_t data[500];
    struct ns_inode *copy = ns_test_get(ns, "/d/copy");
    ck_assert_int_eq(ns_read(ns, copy, data, sizeof data, 0), 500);
    ck_assert(all_are(data, sizeof data, 'a'));
    ns_inode_put(ns, copy, 1);
}
END_TEST

static void *wait_idle(void *arg)
{
    (void)arg;
    ck_assert_int_eq(ns_wait_idle(ns), 0);
    return NULL;
}

// A cell that is written to while it is being merged keeps what was written.
START_TEST(test_writes_do_not_wait_for_defrag)
{
    pthread_t thread;
    uint8_t *data = malloc(SIZE);
    for (unsigned i = 0; i < SIZE / 4096; i++) // backwards, so that none continues another
        ck_assert_int_eq(ns_test_write(ns, "/d/f", SIZE - (i + 1) * 4096, 4096, 'b'), 4096);
    for (unsigned i = 0; i < SIZE / 4096; i++) // the 64th note counts
        ck_assert_int_eq(ns_test_write(ns, "/d/f", SIZE - (i + 1) * 4096, 4096, 'c'), 4096);
    env_fault_hold(env, ".blob");
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_idle, NULL), 0);
    expect_held(1);
    ck_assert_int_eq(ns_test_write(ns, "/d/f", 8192, 4096, 'd'), 4096);
    ck_assert_uint_eq(env_fault_held(env), 1);
    env_fault_hold(env, NULL);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(ns_read(ns, file, data, SIZE, 0), SIZE);
    ck_assert(all_are(data, 8192, 'c'));
    ck_assert(all_are(data + 8192, 4096, 'd'));
    ck_assert(all_are(data + 12288, SIZE - 12288, 'c'));
    free(data);
}
END_TEST

// ------------------------------------------------------------------------------- stalled writers

#define WRITERS 5u

static pthread_t writers[WRITERS];
static _Atomic bool writers_stop;

static uint64_t engine_number(const char *name)
{
    uint64_t value;
    ck_assert_msg(lsm_property_uint(ns_engine(ns), name, &value), "%s", name);
    return value;
}

static void *do_create(void *arg)
{
    (void)arg;
    char path[32];
    for (unsigned i = 0; i == 0 || !writers_stop; i++) {
        snprintf(path, sizeof path, "/new/%u", i);
        ck_assert_int_eq(ns_test_create(ns, path), 0);
    }
    return NULL;
}

static void *do_write(void *arg)
{
    (void)arg;
    ck_assert_int_eq(ns_write(ns, file, "b", 1, 0, 0, NULL), 1);
    return NULL;
}

static void *do_unlink(void *arg)
{
    (void)arg;
    ck_assert_int_eq(ns_test_unlink(ns, "/d/going"), 0);
    return NULL;
}

static void *do_rename(void *arg)
{
    (void)arg;
    ck_assert_int_eq(ns_test_rename(ns, "/e/from", "/e/to", 0), 0);
    return NULL;
}

static void *do_chmod(void *arg)
{
    (void)arg;
    struct ns_inode *link = ns_test_get(ns, "/d/link");
    const struct ns_attr attr = {.mode = 0700};
    ck_assert_int_eq(ns_setattr(ns, link, &attr, NS_SET_MODE, NULL), 0);
    ns_inode_put(ns, link, 1);
    return NULL;
}

static void stall_setup(bool full_memtable)
{
    env = env_fault_new();
    struct ns_options small = ns_small_options(env);
    small.engine.wal_mode = LSM_WAL_WRITTEN;
    small.engine.max_write_buffers = 2;
    ck_assert_int_eq(ns_open("/fs", &small, &ns), 0);
    static const char *const files[] = {"/d/f", "/d/going", "/e/from", "/d/link", "/d/cold"};
    ck_assert_int_eq(ns_test_mkdir(ns, "/d"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/e"), 0);
    ck_assert_int_eq(ns_test_mkdir(ns, "/new"), 0);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        ck_assert_int_eq(ns_test_create(ns, files[i]), 0);
        ck_assert_int_eq(ns_test_write(ns, files[i], 0, i ? 100 : SIZE, 'a'), i ? 100 : SIZE);
    }
    ck_assert_int_eq(ns_test_symlink(ns, "target", "/d/symlink"), 0);
    ck_assert_int_eq(ns_test_link(ns, "/d/link", "/d/link2"), 0);
    file = ns_test_get(ns, "/d/f");
    ck_assert_int_eq(ns_setxattr(ns, file, "user.a", "1", 1, 0), 0);
    env_fault_freeze(env, full_memtable ? ".sst" : ".log");
}

static void start_writer(unsigned i, void *(*run)(void *arg))
{
    ck_assert_int_eq(pthread_create(&writers[i], NULL, run, NULL), 0);
    while (engine_number("writers-waiting") < i + 1)
        usleep(100);
}

// All writers are in the queue, and the one that leads cannot go on.
static void stall_begin(bool full_memtable)
{
    writers_stop = !full_memtable;
    ck_assert_int_eq(pthread_create(&writers[0], NULL, do_create, NULL), 0);
    while (full_memtable && !engine_number("stalled"))
        usleep(100);
    while (engine_number("writers-waiting") < 1)
        usleep(100);
    writers_stop = true;
    start_writer(1, do_write);
    start_writer(2, do_unlink);
    start_writer(3, do_rename);
    start_writer(4, do_chmod);
}

static void stall_end(void)
{
    ck_assert_uint_ge(engine_number("writers-waiting"), WRITERS); // and a time of access, perhaps
    env_fault_freeze(env, NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_join(writers[i], NULL), 0);
    ck_assert_int_eq(ns_test_exists(ns, "/d/going"), 0);
    ck_assert_int_eq(ns_test_exists(ns, "/e/to"), 1);
}

static int count_names(void *arg, const struct ns_dirent *entry)
{
    ++*(unsigned *)arg;
    if (entry->inode)
        ns_inode_put(ns, entry->inode, 1);
    return 0;
}

static void list(const char *path, bool plus, unsigned expected)
{
    struct ns_inode *inode = ns_test_get(ns, path);
    unsigned names = 0;
    ck_assert_int_eq(ns_list(ns, inode, 0, plus, count_names, &names), 0);
    ck_assert(expected ? names == expected : names >= 2);
    ns_inode_put(ns, inode, 1);
}

static void read_one(const char *path, size_t size)
{
    struct ns_inode *inode, *again;
    struct ns_attr attr;
    uint8_t *data = malloc(SIZE);
    const char *name;
    struct ns_inode *dir = ns_test_dir_of(ns, path, &name);
    ck_assert_int_eq(ns_lookup(ns, dir, name, strlen(name), &inode, &attr), 0);
    ck_assert_uint_eq(attr.size, size);
    ck_assert_int_eq(ns_getattr(ns, inode, &attr), 0);
    ck_assert_int_eq(ns_read(ns, inode, data, SIZE, 0), (ssize_t)size);
    ck_assert(all_are(data, size, 'a'));
    ck_assert_int_eq(ns_seek(ns, inode, 0, SEEK_HOLE), (int64_t)size);
    ck_assert_int_eq(ns_listxattr(ns, inode, NULL, 0), inode == file ? 7 : 0);
    ck_assert_int_eq(ns_resolve_read(ns, path, data, SIZE, &again, NULL), (ssize_t)size);
    ck_assert_ptr_eq(again, inode);
    ck_assert_ptr_eq(ns_inode_find(ns, ns_inode_ino(inode)), inode);
    ns_inode_put(ns, inode, 3);
    ns_inode_put(ns, dir, 1);
    free(data);
}

static void read_everything(void)
{
    struct statvfs st;
    struct ns_attr attr;
    char target[16];
    const struct lsm_snapshot *snapshot;
    ck_assert_int_eq(ns_statfs(ns, &st), 0);
    ck_assert_uint_ge(st.f_files - st.f_ffree, 8);
    read_one("/d/f", SIZE);
    read_one("/d/cold", 100);
    read_one("/d/going", 100);
    read_one("/e/from", 100);
    read_one("/d/link", 100);
    read_one("/d/link2", 100);
    ck_assert_int_eq(ns_test_exists(ns, "/e/to"), 0);
    ck_assert_int_eq(ns_getxattr(ns, file, "user.a", target, sizeof target), 1);
    struct ns_inode *symlink = ns_test_get(ns, "/d/symlink"), *parent;
    ck_assert_int_eq(ns_readlink(ns, symlink, target, sizeof target), 6);
    ns_inode_put(ns, symlink, 1);
    struct ns_inode *dir = ns_test_get(ns, "/d");
    ck_assert_int_eq(ns_parent(ns, dir, &parent), 0);
    ck_assert_int_eq(ns_getattr(ns, parent, &attr), 0);
    ns_inode_put(ns, parent, 1);
    ns_inode_put(ns, dir, 1);
    list("/d", false, 8);
    list("/d", true, 8);
    list("/e", true, 3);
    list("/new", true, 0);
    ck_assert_uint_ge(ns_live_inodes(ns), 2);
    ck_assert_int_eq(ns_inode_opened(ns, file), 0);
    ns_inode_closed(ns, file);
    ck_assert_int_eq(ns_accessed(ns, file, NS_ACCESS_ALWAYS), 1);
    ck_assert_int_eq(lsm_snapshot_new(ns_engine(ns), &snapshot), 0);
    lsm_snapshot_free(ns_engine(ns), snapshot);
    char *stats = lsm_property(ns_engine(ns), "stats");
    ck_assert_ptr_nonnull(stats);
    free(stats);
}

// _i: 0: the log cannot be written; 1: the memtable is full and its flush cannot be.
START_TEST(test_readers_wait_for_no_writer)
{
    stall_setup(_i);
    stall_begin(_i);
    read_everything();
    stall_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ns_waits");
    TCase *t = tcase_create("locks");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, test_locks_exclude_in_the_order_asked);
    tcase_add_test(t, test_locks_of_other_inodes_are_free);
    tcase_add_test(t, test_lock_sets);
    suite_add_tcase(s, t);
    t = tcase_create("disk");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, test_changes_do_not_wait_for_a_read);
    tcase_add_test(t, test_the_source_of_a_copy_is_free);
    tcase_add_test(t, test_writes_do_not_wait_for_defrag);
    suite_add_tcase(s, t);
    t = tcase_create("stalls");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, NULL, teardown);
    tcase_add_loop_test(t, test_readers_wait_for_no_writer, 0, 2);
    suite_add_tcase(s, t);
    return run_suite(s);
}
