// The env over a simulated cluster: names, bytes, locks, a full pool, and every write that fails.
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/status.h"
#include "disk/fake_cluster.h"
#include "disk/fake_objects.h"
#include "env_rados/env_rados.h"
#include "env_rados/env_rados_impl.h"
#include "quick_check.h"

#define PATH   "rados:pool/store"
#define STRIPE 64
#define MOST   1500

struct program {
    struct fake_process *process;
    struct env *base, *dir;
    struct env_lock *lock;
};

static int try_open(struct program *p, struct fake_cluster *cluster, bool shared, const char *note)
{
    *p = (struct program){.process = fake_process_new(cluster)};
    p->base = env_rados_new(fake_process_open, p->process, STRIPE, false);
    int rc = p->base->ops->open_dir(p->base, PATH, &p->dir);
    if (rc == LSM_NOT_FOUND && !shared) {
        rc = p->base->ops->mkdir(p->base, PATH);
        if (!rc)
            rc = p->base->ops->open_dir(p->base, PATH, &p->dir);
    }
    return rc ? rc : p->dir->ops->lock(p->dir, "LOCK", shared, note, &p->lock);
}

static void program_open(struct program *p, struct fake_cluster *cluster)
{
    int rc = try_open(p, cluster, false, "a test");
    ck_assert_msg(rc == 0, "%s", lsm_error_detail());
}

static void program_close(struct program *p)
{
    if (p->lock)
        p->dir->ops->unlock(p->dir, p->lock);
    p->base->ops->close_dir(p->dir);
    env_rados_free(p->base);
    fake_process_free(p->process);
}

static void program_kill(struct program *p)
{
    fake_process_kill(p->process);
    program_close(p);
}

static void put(struct env *dir, const char *name, const char *text)
{
    ck_assert_int_eq(env_write_file_atomic(dir, name, text, strlen(text)), 0);
}

static void expect(struct env *dir, const char *name, const char *text)
{
    char *data;
    size_t size;
    ck_assert_msg(env_read_file(dir, name, 10000, &data, &size) == 0, "%s: %s", name,
                  lsm_error_detail());
    ck_assert_str_eq(data, text);
    free(data);
}

static void expect_none(struct env *dir, const char *name)
{
    struct env_stat st;
    ck_assert_int_eq(dir->ops->stat(dir, name, &st), LSM_NOT_FOUND);
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned names_in(struct env *dir, const char *path)
{
    unsigned count = 0;
    ck_assert_int_eq(dir->ops->list(dir, path, count_name, &count), 0);
    return count;
}

static void tick(struct program *p)
{
    for (unsigned i = 0; i < 20; i++)
        env_rados_tick(p->dir);
}

START_TEST(test_names)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    struct env *lost;
    struct env_file *file;
    program_open(&p, cluster);
    put(p.dir, "a", "first");
    put(p.dir, "b", "second");
    ck_assert_int_eq(p.dir->ops->rename(p.dir, "a", "b"), 0);
    expect(p.dir, "b", "first");
    expect_none(p.dir, "a");
    ck_assert_int_eq(p.dir->ops->rename(p.dir, "a", "b"), LSM_NOT_FOUND);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "a"), LSM_NOT_FOUND);
    ck_assert_int_eq(env_open(p.dir, "b", ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), LSM_EXISTS);
    ck_assert_int_eq(env_open(p.dir, "c", ENV_READ, &file), LSM_NOT_FOUND);

    ck_assert_int_eq(p.dir->ops->mkdir(p.dir, "lost"), 0);
    ck_assert_int_eq(p.dir->ops->mkdir(p.dir, "lost"), LSM_EXISTS);
    ck_assert_int_eq(p.dir->ops->open_dir(p.dir, "lost", &lost), 0);
    ck_assert_int_eq(p.dir->ops->link(p.dir, "b", lost, "b"), 0);
    ck_assert_int_eq(p.dir->ops->link(p.dir, "b", lost, "b"), LSM_EXISTS);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "b"), 0);
    expect(lost, "b", "first");
    ck_assert_uint_eq(names_in(p.dir, ENV_HERE), 2); // LOCK, lost
    ck_assert_uint_eq(names_in(p.dir, "lost"), 1);
    ck_assert_int_ne(p.dir->ops->rmdir(p.dir, "lost"), 0);
    ck_assert_int_eq(lost->ops->unlink(lost, "b"), 0);
    lost->ops->close_dir(lost);
    ck_assert_int_eq(p.dir->ops->rmdir(p.dir, "lost"), 0);

    for (unsigned i = 0; i < 100; i++) { // several pages
        char name[32];
        snprintf(name, sizeof name, "file %u", i);
        put(p.dir, name, name);
    }
    program_close(&p);
    program_open(&p, cluster);
    ck_assert_uint_eq(names_in(p.dir, ENV_HERE), 101);
    expect(p.dir, "file 77", "file 77");
    program_close(&p);
    fake_cluster_free(cluster);
}
END_TEST

// Bytes against a model, over closings and deaths: what pwrite has returned for is there.
START_TEST(test_bytes)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fake_cluster *cluster = fake_cluster_new(seed);
        struct program p;
        struct env_file *file;
        uint8_t model[MOST] = {0}, data[MOST];
        size_t size = 0, got;
        uint64_t length;
        program_open(&p, cluster);
        ck_assert_int_eq(env_open(p.dir, "f", ENV_WRITE | ENV_CREATE, &file), 0);
        for (unsigned i = 0; i < 60; i++) {
            size_t at = fake_random(cluster, size + 200 < MOST ? size + 200 : MOST - 1);
            size_t n = fake_random(cluster, 400);
            n = at + n > MOST ? MOST - at : n;
            for (size_t k = 0; k < n; k++)
                data[k] = (uint8_t)fake_random(cluster, 256);
            struct iovec pieces[2] = {{data, n / 3}, {data + n / 3, n - n / 3}};
            switch (fake_random(cluster, 6)) {
            case 0: // cut
                ck_assert_int_eq(file->ops->truncate(file, at), 0);
                memset(model + at, 0, MOST - at);
                size = at;
                break;
            case 1: // reopened, perhaps by the next after a death
                if (fake_random(cluster, 2)) {
                    fake_process_kill(p.process);
                    (void)env_close(file);
                    program_close(&p);
                    program_open(&p, cluster);
                } else {
                    ck_assert_int_eq(env_close(file), 0);
                }
                ck_assert_int_eq(env_open(p.dir, "f", ENV_WRITE, &file), 0);
                // Zeros at the end are not told from what is not there, after a death.
                ck_assert_int_eq(file->ops->size(file, &length), 0);
                ck_assert_uint_le(length, size);
                for (size_t k = length; k < size; k++)
                    ck_assert_uint_eq(model[k], 0);
                size = length;
                break;
            default:
                ck_assert_msg(env_pwritev(file, pieces, 2, at) == 0, "%s", lsm_error_detail());
                memcpy(model + at, data, n);
                size = n && at + n > size ? at + n : size;
            }
            ck_assert_int_eq(file->ops->size(file, &length), 0);
            ck_assert_uint_eq(length, size);
            at = fake_random(cluster, MOST);
            ck_assert_int_eq(env_pread(file, data, MOST - at, at, &got), 0);
            ck_assert_uint_eq(got, at < size ? size - at : 0);
            ck_assert_msg(memcmp(data, model + at, got) == 0, "seed %" PRIu64, seed);
        }
        ck_assert_int_eq(env_close(file), 0);
        program_close(&p);
        fake_cluster_free(cluster);
    }
}
END_TEST

// Objects of files without a name go, also if the process dies in between.
START_TEST(test_removal)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    struct env_file *file;
    char text[STRIPE * 5 + 1];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    program_open(&p, cluster);
    size_t before = fake_cluster_objects(cluster);
    put(p.dir, "a", text);
    put(p.dir, "b", text);
    ck_assert_uint_eq(fake_cluster_objects(cluster), before + 10);
    ck_assert_int_eq(env_open(p.dir, "b", ENV_READ, &file), 0);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "a"), 0);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "b"), 0);
    tick(&p);
    ck_assert_uint_eq(fake_cluster_objects(cluster), before + 5); // b is open
    char byte;
    size_t got;
    ck_assert_int_eq(env_pread(file, &byte, 1, 300, &got), 0);
    ck_assert_int_eq(env_close(file), 0);
    fake_process_kill(p.process);
    program_close(&p);
    program_open(&p, cluster);
    tick(&p);
    ck_assert_uint_eq(fake_cluster_objects(cluster), before);
    program_close(&p);
    fake_cluster_free(cluster);
}
END_TEST

START_TEST(test_locks)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p, q, r;
    ck_assert_int_eq(try_open(&q, cluster, true, ""), LSM_NOT_FOUND); // nothing to be read
    env_rados_free(q.base);
    fake_process_free(q.process);
    program_open(&p, cluster);
    put(p.dir, "a", "text");
    // Nobody is seen to be alive: the simulated time passes, and the second takes over.
    program_open(&q, cluster);
    ck_assert_int_ne(p.dir->ops->unlink(p.dir, "a"), 0);
    ck_assert_msg(strstr(lsm_error_detail(), "another writer"), "%s", lsm_error_detail());
    expect(q.dir, "a", "text");
    ck_assert_int_eq(q.dir->ops->check_dir(q.dir), 0);
    program_close(&p);
    program_close(&q);
    ck_assert_int_eq(try_open(&p, cluster, true, ""), 0);
    ck_assert_int_eq(try_open(&q, cluster, true, ""), 0);
    expect(q.dir, "a", "text");
    struct env_file *file;
    ck_assert_int_eq(env_open(q.dir, "a", ENV_WRITE, &file), LSM_READ_ONLY);
    ck_assert_int_eq(q.dir->ops->unlink(q.dir, "a"), LSM_READ_ONLY);
    program_close(&q);
    program_kill(&p);
    program_open(&r, cluster); // after the dead reader's lease
    program_close(&r);
    fake_cluster_free(cluster);
}
END_TEST

// A store that its writer has left in the middle: a reader finds out how long its files are.
START_TEST(test_reader_after_death)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p, q;
    struct env_file *file;
    program_open(&p, cluster);
    ck_assert_int_eq(env_open(p.dir, "f", ENV_WRITE | ENV_CREATE, &file), 0);
    ck_assert_int_eq(env_pwrite(file, "some text", 9, 0), 0);
    fake_process_kill(p.process);
    (void)env_close(file);
    program_close(&p);
    ck_assert_int_eq(try_open(&q, cluster, true, ""), 0);
    expect(q.dir, "f", "some text");
    program_close(&q);
    fake_cluster_free(cluster);
}
END_TEST

// A beat of the lease at each reading of the index by who has just got it.
static struct {
    struct cluster_ops ops;
    int (*map)(struct cluster *cluster, const char *object, struct slice after, cluster_pair_fn *fn,
               void *arg, bool *ret_more);
    struct fake_process *process;
    struct env *dir;
    uint64_t writes; // before the lease was taken
    unsigned beats;
} beating;

static int beat_and_map(struct cluster *cluster, const char *object, struct slice after,
                        cluster_pair_fn *fn, void *arg, bool *ret_more)
{
    uint64_t writes = fake_process_writes(beating.process);
    if (beating.dir && writes > beating.writes) {
        env_rados_tick(beating.dir);
        beating.beats += fake_process_writes(beating.process) > writes;
    }
    return beating.map(cluster, object, after, fn, arg, ret_more);
}

static int open_beating(void *arg, const char *pool, const char *name, struct cluster **ret_cluster,
                        const char **ret_text)
{
    int rc = fake_process_open(arg, pool, name, ret_cluster, ret_text);
    beating.ops = *(*ret_cluster)->ops;
    beating.map = beating.ops.map;
    beating.ops.map = beat_and_map;
    (*ret_cluster)->ops = &beating.ops;
    return rc;
}

// However long the index is, reading it does not hold up the lease.
START_TEST(test_beats_while_loading)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    program_open(&p, cluster);
    put(p.dir, "a", "text");
    program_close(&p);
    p = (struct program){.process = fake_process_new(cluster)};
    beating.process = p.process;
    p.base = env_rados_new(open_beating, p.process, STRIPE, false);
    ck_assert_int_eq(p.base->ops->open_dir(p.base, PATH, &p.dir), 0);
    beating.dir = p.dir;
    beating.writes = fake_process_writes(p.process);
    ck_assert_int_eq(p.dir->ops->lock(p.dir, "LOCK", false, "", &p.lock), 0);
    ck_assert_uint_gt(beating.beats, 0);
    expect(p.dir, "a", "text");
    beating.dir = NULL;
    program_close(&p);
    fake_cluster_free(cluster);
}
END_TEST

// A cluster in which whoever takes the lease waits for a beat of its own thread, where it can be
// held up for long: in shutting the last writer out, and in reading the index.
static struct {
    struct cluster_ops ops;
    const struct cluster_ops *plain;
    pthread_t taker;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool taken;     // the mutex guards these
    unsigned beats; // writes of another thread than the taker
    unsigned waits;
} keeping = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void keeping_write(struct cluster *cluster, const struct cluster_write *write,
                          cluster_done_fn *done, void *arg)
{
    bool taker = pthread_equal(pthread_self(), keeping.taker);
    keeping.plain->write_begin(cluster, write, done, arg);
    pthread_mutex_lock(&keeping.mutex);
    keeping.taken = keeping.taken || taker;
    keeping.beats += !taker;
    pthread_cond_broadcast(&keeping.changed);
    pthread_mutex_unlock(&keeping.mutex);
}

static void wait_for_beat(void)
{
    struct timespec until;
    int error = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 120;
    pthread_mutex_lock(&keeping.mutex);
    unsigned before = keeping.beats;
    keeping.waits += keeping.taken;
    while (keeping.taken && keeping.beats == before && !error)
        error = pthread_cond_timedwait(&keeping.changed, &keeping.mutex, &until);
    pthread_mutex_unlock(&keeping.mutex);
    ck_assert_msg(!error, "the lease is taken, and nobody keeps it");
}

static int keeping_block(struct cluster *cluster, const char *address)
{
    wait_for_beat();
    return keeping.plain->block(cluster, address);
}

static int keeping_map(struct cluster *cluster, const char *object, struct slice after,
                       cluster_pair_fn *fn, void *arg, bool *ret_more)
{
    wait_for_beat();
    return keeping.plain->map(cluster, object, after, fn, arg, ret_more);
}

static int open_keeping(void *arg, const char *pool, const char *name, struct cluster **ret_cluster,
                        const char **ret_text)
{
    int rc = fake_process_open(arg, pool, name, ret_cluster, ret_text);
    keeping.plain = (*ret_cluster)->ops;
    keeping.ops = *keeping.plain;
    keeping.ops.write_begin = keeping_write;
    keeping.ops.block = keeping_block;
    keeping.ops.map = keeping_map;
    (*ret_cluster)->ops = &keeping.ops;
    return rc;
}

// The lease is kept from the moment on that it is taken: by a writer (0) whose predecessor has
// died, by a reader (1). Else others would find it unkept while monitors are away, and take it.
START_TEST(test_kept_from_the_start)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    bool reads = _i == 1;
    program_open(&p, cluster);
    put(p.dir, "a", "text");
    if (reads)
        program_close(&p);
    else
        program_kill(&p);
    p = (struct program){.process = fake_process_new(cluster)};
    keeping.taker = pthread_self();
    p.base = env_rados_new(open_keeping, p.process, STRIPE, true);
    ck_assert_int_eq(p.base->ops->open_dir(p.base, PATH, &p.dir), 0);
    ck_assert_int_eq(p.dir->ops->lock(p.dir, "LOCK", reads, "", &p.lock), 0);
    ck_assert_uint_ge(keeping.waits, reads ? 1 : 2); // it was there
    expect(p.dir, "a", "text");
    program_close(&p);
    fake_cluster_free(cluster);
}
END_TEST

// A cluster in which it takes long to remove an object.
static struct {
    struct cluster_ops ops;
    const struct cluster_ops *plain;
    struct fake_cluster *cluster;
    unsigned removals;
} slow;

static void slow_write(struct cluster *cluster, const struct cluster_write *write,
                       cluster_done_fn *done, void *arg)
{
    if (write->remove) {
        slow.removals++;
        fake_advance_us(slow.cluster, 300000);
    }
    slow.plain->write_begin(cluster, write, done, arg);
}

static int open_slow(void *arg, const char *pool, const char *name, struct cluster **ret_cluster,
                     const char **ret_text)
{
    int rc = fake_process_open(arg, pool, name, ret_cluster, ret_text);
    slow.plain = (*ret_cluster)->ops;
    slow.ops = *slow.plain;
    slow.ops.write_begin = slow_write;
    (*ret_cluster)->ops = &slow.ops;
    return rc;
}

// Removing objects does not hold up the beats.
START_TEST(test_slow_removal)
{
    struct program p = {0};
    struct env_file *file;
    uint8_t bytes[STRIPE * 50] = {0};
    slow.cluster = fake_cluster_new(1);
    p.process = fake_process_new(slow.cluster);
    p.base = env_rados_new(open_slow, p.process, STRIPE, false);
    ck_assert_int_eq(p.base->ops->mkdir(p.base, PATH), 0);
    ck_assert_int_eq(p.base->ops->open_dir(p.base, PATH, &p.dir), 0);
    ck_assert_int_eq(p.dir->ops->lock(p.dir, "LOCK", false, "", &p.lock), 0);
    ck_assert_int_eq(env_open(p.dir, "f", ENV_WRITE | ENV_CREATE, &file), 0);
    ck_assert_int_eq(env_pwrite(file, bytes, sizeof bytes, 0), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "f"), 0);
    for (unsigned before = 0; slow.removals < 50; before = slow.removals) {
        uint64_t start = fake_now_us(slow.cluster);
        env_rados_tick(p.dir);
        ck_assert_uint_gt(slow.removals, before);
        ck_assert_uint_lt(fake_now_us(slow.cluster) - start, 2000000); // of a lease of 5 s
    }
    program_close(&p);
    fake_cluster_free(slow.cluster);
}
END_TEST

START_TEST(test_full)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    struct env_file *file;
    uint64_t free_bytes, total;
    program_open(&p, cluster);
    put(p.dir, "a", "text");
    ck_assert_int_eq(env_open(p.dir, "b", ENV_WRITE | ENV_CREATE, &file), 0);
    fake_cluster_fill(cluster, true);
    static uint8_t large[(64 << 10) + 1];
    ck_assert_int_eq(env_pwrite(file, large, sizeof large, 0), LSM_NO_SPACE);
    ck_assert_int_eq(env_pwrite(file, "tex", 3, 0), 0); // a small one goes
    struct env_file *other;
    ck_assert_int_eq(env_open(p.dir, "c", ENV_WRITE | ENV_CREATE, &other), LSM_NO_SPACE);
    ck_assert_int_eq(p.dir->ops->space(p.dir, ENV_HERE, &free_bytes, &total), 0);
    ck_assert_uint_eq(free_bytes, 0);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "a"), 0);
    size_t before = fake_cluster_objects(cluster);
    tick(&p);
    ck_assert_uint_eq(fake_cluster_objects(cluster), before - 1);
    fake_cluster_fill(cluster, false);
    ck_assert_int_eq(env_pwrite(file, "text", 4, 0), 0);
    ck_assert_int_eq(env_close(file), 0);
    expect(p.dir, "b", "text");
    program_close(&p);
    fake_cluster_free(cluster);
}
END_TEST

// What the next two tests let fail.
static int story(struct env *dir)
{
    struct env_file *file;
    int rc = env_open(dir, "new", ENV_WRITE | ENV_CREATE, &file);
    if (!rc) {
        static const char text[] =
            "a text that does not fit into one object, but needs two of them";
        rc = env_pwrite(file, text, sizeof text, 0);
        if (!rc)
            rc = env_pwrite(file, "more", 4, sizeof text);
        if (!rc)
            rc = env_sync(file);
        int close_rc = env_close(file);
        rc = rc ? rc : close_rc;
    }
    if (!rc)
        rc = dir->ops->rename(dir, "new", "a");
    if (!rc)
        rc = dir->ops->unlink(dir, "b");
    return rc;
}

// Each write in turn fails, or is done without the client learning it. Then nothing is changed any
// more, and the next process finds what was there at some moment.
START_TEST(test_each_failure)
{
    for (unsigned n = 1;; n++) {
        bool failed = false;
        for (unsigned done = 0; done < 2; done++) {
            struct fake_cluster *cluster = fake_cluster_new(n);
            struct program p, q;
            struct env_stat st;
            program_open(&p, cluster);
            put(p.dir, "a", "old");
            put(p.dir, "b", "other");
            fake_process_fail_at(p.process, n, -ETIMEDOUT, done);
            int rc = story(p.dir);
            failed = rc != 0;
            if (failed) {
                ck_assert_int_eq(rc, LSM_IO_ERROR);
                ck_assert_int_eq(p.dir->ops->unlink(p.dir, "LOCK"), LSM_IO_ERROR);
            }
            program_close(&p);
            program_open(&q, cluster);
            bool renamed = q.dir->ops->stat(q.dir, "a", &st) == 0 && st.size > 10;
            bool removed = q.dir->ops->stat(q.dir, "b", &st) == LSM_NOT_FOUND;
            ck_assert(!removed || renamed);
            ck_assert(failed || removed);
            if (!renamed)
                expect(q.dir, "a", "old");
            program_close(&q);
            fake_cluster_free(cluster);
        }
        if (!failed)
            break;
    }
}
END_TEST

static void expect_entry(const struct fake_entry *entry, const char *key, const char *value,
                         size_t size)
{
    while (entry && !slice_equal(buf_slice(&entry->key), slice_str(key)))
        entry = entry->next;
    ck_assert_msg(entry, "no entry %s", key);
    ck_assert_uint_eq(entry->value.size, size);
    ck_assert_int_eq(memcmp(entry->value.data, value, size), 0);
}

#define ENTRY(list, key, value) expect_entry(list, key, value, sizeof value - 1)

// The bytes that docs/format.md shows.
START_TEST(test_golden)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct program p;
    program_open(&p, cluster);
    put(p.dir, "a", "0123456789012345678901234567890123456789\n");
    struct fake_object *index = fake_cluster_find(cluster, "index");
    ck_assert_ptr_nonnull(index);
    ENTRY(index->attributes, "format", "lsmfs 1");
    ENTRY(index->attributes, "epoch", "0000000000000001");
    ENTRY(index->map, "nLOCK", "\1\0\0\0\1\0\0\0\1\0\0\0\xfb\xed\x66\x94");
    ENTRY(index->map, "f0000000100000001", "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xc4\xda\xd3\x42");
    ENTRY(index->map, "f0000000100000002", "\1\0\0\0\1\0\0\0\x29\0\0\0\0\0\0\0\xd6\xef\x4f\x3f");
    struct fake_object *object = fake_cluster_find(cluster, "0000000100000002.00000000");
    ck_assert_ptr_nonnull(object);
    ENTRY(object->attributes, "epoch", "0000000000000001");
    program_close(&p);
    ENTRY(index->attributes, "holder", "-");
    fake_cluster_free(cluster);
}
END_TEST

START_TEST(test_paths)
{
    struct env *env;
    static const char *const wrong[] = {"rados:",      "rados:a",     "rados:a/",   "rados:/b",
                                        "rados:a/b/c", "rados:a b/c", "rados:a/\"b"};
    ck_assert(env_rados_named("rados:a/b") && !env_rados_named("./rados:a/b"));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        ck_assert_int_eq(env_rados()->ops->open_dir(env_rados(), wrong[i], &env), LSM_INVALID);
}
END_TEST

static int make_file(struct env *dir, const char *name, int flags, const char *text,
                     uint64_t offset, struct env_file **ret_file)
{
    int rc = env_open(dir, name, flags, ret_file);
    return rc ? rc : env_pwrite(*ret_file, text, strlen(text), offset);
}

// Whether the writer counts as followed: it cannot have the followers' lock then.
static bool is_followed(struct program *p)
{
    struct env_stat st;
    struct env_lock *lock;
    ck_assert_int_eq(p->dir->ops->stat(p->dir, "FOLLOWERS", &st), 0);
    int rc = p->dir->ops->lock(p->dir, "FOLLOWERS", false, NULL, &lock);
    if (rc == LSM_BUSY)
        return true;
    ck_assert_int_eq(rc, 0);
    p->dir->ops->unlock(p->dir, lock);
    return false;
}

// Sees each change at once, a file that grows and that is cut as well; changes nothing itself.
START_TEST(test_following)
{
    struct fake_cluster *cluster = fake_cluster_new(1);
    struct fake_process *process = fake_process_new(cluster);
    struct env *base = env_rados_following_new(fake_process_open, process, STRIPE), *dir;
    struct env_file *written, *seen;
    struct env_stat st;
    struct env_lock *lock;
    struct program p;
    char text[2 * STRIPE + 10];
    size_t size;
    uint64_t length;
    ck_assert_int_eq(base->ops->open_dir(base, PATH, &dir), LSM_NOT_FOUND);
    program_open(&p, cluster);
    ck_assert_int_eq(base->ops->open_dir(base, PATH, &dir), 0);
    ck_assert(!is_followed(&p));
    put(p.dir, "a", "first");
    expect(dir, "a", "first"); // leaves a sign
    ck_assert(is_followed(&p));
    fake_advance_us(cluster, 59000000);
    ck_assert(is_followed(&p));
    fake_advance_us(cluster, 2000000);
    ck_assert(!is_followed(&p));
    put(p.dir, "b", "second");
    ck_assert_int_eq(p.dir->ops->rename(p.dir, "b", "a"), 0);
    expect(dir, "a", "second");
    ck_assert(is_followed(&p));
    expect_none(dir, "b");
    ck_assert_uint_eq(names_in(dir, ENV_HERE), 2); // LOCK, a

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = 0;
    ck_assert_int_eq(make_file(p.dir, "log", ENV_WRITE | ENV_CREATE, "begin", 0, &written), 0);
    ck_assert_int_eq(env_open(dir, "log", ENV_READ, &seen), 0);
    ck_assert_int_eq(env_pwrite(written, text, strlen(text), 5), 0);
    ck_assert_int_eq(env_pread(seen, text, 10, STRIPE + 1, &size), 0); // before its size is asked
    ck_assert_uint_eq(size, 10);
    ck_assert_int_eq(seen->ops->size(seen, &length), 0);
    ck_assert_uint_eq(length, 5 + strlen(text));
    ck_assert_int_eq(dir->ops->stat(dir, "log", &st), 0);
    ck_assert_uint_eq(st.size, length);
    ck_assert_int_eq(written->ops->truncate(written, 3), 0);
    ck_assert_int_eq(seen->ops->size(seen, &length), 0);
    ck_assert_uint_eq(length, 3);
    ck_assert_int_eq(env_pwrite(written, text, STRIPE, 0), 0);
    ck_assert_int_eq(seen->ops->size(seen, &length), 0);
    ck_assert_uint_eq(length, STRIPE);
    ck_assert_int_eq(env_close(written), 0);

    ck_assert_int_eq(env_pwrite(seen, "x", 1, 0), LSM_READ_ONLY);
    ck_assert_int_eq(dir->ops->unlink(dir, "a"), LSM_READ_ONLY);
    ck_assert_int_eq(dir->ops->lock(dir, "LOCK", true, NULL, &lock), LSM_READ_ONLY);
    ck_assert_int_eq(dir->ops->lock(dir, "FOLLOWERS", true, NULL, &lock), 0);
    dir->ops->unlock(dir, lock);
    ck_assert_int_eq(p.dir->ops->unlink(p.dir, "log"), 0);
    tick(&p); // removes its objects
    ck_assert_int_eq(env_pread(seen, text, 10, 0, &size), LSM_CORRUPTION);
    ck_assert_int_eq(env_close(seen), 0);
    dir->ops->close_dir(dir);
    program_close(&p);
    env_rados_following_free(base);
    fake_process_free(process);
    fake_cluster_free(cluster);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_names);
    tcase_add_test(tc, test_following);
    tcase_add_test(tc, test_bytes);
    tcase_add_test(tc, test_removal);
    tcase_add_test(tc, test_locks);
    tcase_add_test(tc, test_reader_after_death);
    tcase_add_test(tc, test_beats_while_loading);
    tcase_add_loop_test(tc, test_kept_from_the_start, 0, 2);
    tcase_add_test(tc, test_slow_removal);
    tcase_add_test(tc, test_full);
    tcase_add_test(tc, test_each_failure);
    tcase_add_test(tc, test_golden);
    tcase_add_test(tc, test_paths);
    return run_case("env_rados", tc, 120);
}
