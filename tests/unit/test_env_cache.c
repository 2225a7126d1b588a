// The cache on the local disk, over a simulated cluster and a simulated disk: what is read is
// always what the cluster has, and what is warm is read from a cluster that is dead.
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "disk/env_fault.h"
#include "disk/fake_cluster.h"
#include "env_cache/cache_format.h"
#include "env_cache/env_cache.h"
#include "env_rados/env_rados_impl.h"
#include "from_env.h"
#include "quick_check.h"

#define PATH     "rados:pool/store"
#define STRIPE   (UINT64_C(64) << 10)
#define MIB      (UINT64_C(1) << 20)
#define FILE_MAX (3 * MIB)

struct random {
    uint64_t state;
};

static uint64_t random_below(struct random *r, uint64_t n)
{
    r->state++;
    return hash64(&r->state, sizeof r->state) % n;
}

struct fixture {
    struct fake_cluster *cluster;
    struct env *disk; // the local one
    struct fake_process *process;
    struct env *base, *inner, *env;
    struct env_lock *lock;
    unsigned messages;
    char message[1024];
};

static void count_message(void *arg, enum lsm_log_level level, const char *message)
{
    struct fixture *f = arg;
    ck_assert_int_eq(level, LSM_LOG_WARN);
    f->messages++;
    snprintf(f->message, sizeof f->message, "%s", message);
}

static bool wanted(const char *name)
{
    return strchr(name, '.') != NULL;
}

static void mount_cluster(struct fixture *f)
{
    f->process = fake_process_new(f->cluster);
    f->base = env_rados_new(fake_process_open, f->process, STRIPE, false);
    int rc = f->base->ops->open_dir(f->base, PATH, &f->inner);
    if (rc == LSM_NOT_FOUND) {
        ck_assert_int_eq(f->base->ops->mkdir(f->base, PATH), 0);
        rc = f->base->ops->open_dir(f->base, PATH, &f->inner);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(f->inner->ops->lock(f->inner, "LOCK", false, "a test", &f->lock), 0);
}

static int try_cache(struct fixture *f, uint64_t size)
{
    struct disk_cache *cache;
    struct logger logger = {count_message, f};
    int rc = disk_cache_open(f->disk, "/cache", size, "a test", logger, &cache);
    if (!rc && (rc = env_cache_new(f->inner, cache, wanted, logger, &f->env)))
        disk_cache_close(cache);
    return rc;
}

static void mount_all(struct fixture *f, uint64_t size)
{
    mount_cluster(f);
    ck_assert_msg(try_cache(f, size) == 0, "%s", lsm_error_detail());
}

static void unmount_all(struct fixture *f)
{
    ck_assert_ptr_eq(env_cache_free(f->env), f->inner);
    f->inner->ops->unlock(f->inner, f->lock);
    f->inner->ops->close_dir(f->inner);
    env_rados_free(f->base);
    fake_process_free(f->process);
}

static void begin(struct fixture *f, uint64_t size)
{
    *f = (struct fixture){.cluster = fake_cluster_new(1), .disk = env_fault_new()};
    mount_all(f, size);
}

static void end(struct fixture *f)
{
    unmount_all(f);
    env_fault_free(f->disk);
    fake_cluster_free(f->cluster);
}

static struct disk_cache_stats stats(struct fixture *f)
{
    struct disk_cache_stats s;
    env_cache_stats(f->env, &s);
    return s;
}

// What byte `at` of a file is.
static uint8_t byte_of(unsigned seed, uint64_t at)
{
    return (uint8_t)((at * 2654435761u >> 7) + seed * 37 + at / 4088);
}

static void fill(unsigned seed, uint64_t at, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        data[i] = byte_of(seed, at + i);
}

// A file in `env`, written in pieces of up to `most` bytes.
static void make_file(struct env *env, const char *name, unsigned seed, uint64_t size, size_t most)
{
    struct env_file *file;
    struct random r = {seed * 1000 + size};
    uint8_t *data = malloc(most);
    ck_assert_int_eq(env_open(env, name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), 0);
    for (uint64_t at = 0; at < size;) {
        size_t n = 1 + random_below(&r, most);
        n = n < size - at ? n : (size_t)(size - at);
        fill(seed, at, data, n);
        struct iovec pieces[2] = {{data, n / 3}, {data + n / 3, n - n / 3}};
        ck_assert_msg(env_pwritev(file, pieces, 2, at) == 0, "%s", lsm_error_detail());
        at += n;
    }
    ck_assert_int_eq(env_close(file), 0);
    free(data);
}

static void expect_range(struct env_file *file, unsigned seed, uint64_t file_size, uint64_t at,
                         size_t size)
{
    size_t got, expected = at >= file_size ? 0 : size < file_size - at ? size : file_size - at;
    uint8_t *data = malloc(2 * size + 2), *right = data + size + 1;
    struct iovec pieces[3] = {{data, size / 4}, {data + size / 4, 0}, {0}};
    pieces[2] = (struct iovec){data + size / 4, size - size / 4};
    ck_assert_msg(env_preadv(file, pieces, 3, at, &got) == 0, "%s", lsm_error_detail());
    ck_assert_uint_eq(got, expected);
    fill(seed, at, right, expected);
    ck_assert_msg(memcmp(data, right, expected) == 0, "%zu bytes at %" PRIu64, size, at);
    free(data);
}

static void expect_file(struct env *env, const char *name, unsigned seed, uint64_t size)
{
    struct env_file *file;
    struct random r = {seed + size};
    ck_assert_msg(env_open(env, name, ENV_READ, &file) == 0, "%s", lsm_error_detail());
    for (unsigned i = 0; i < 30; i++)
        expect_range(file, seed, size, random_below(&r, size + 100), random_below(&r, 20000));
    expect_range(file, seed, size, 0, (size_t)size + 10);
    ck_assert_int_eq(env_close(file), 0);
}

// ------------------------------------------------------------------------------------- reading

static const uint64_t sizes[] = {
    1, 4087, 4088, 4089, CACHE_BLOCK - 1, CACHE_BLOCK, CACHE_BLOCK + 1, 300000, MIB, FILE_MAX};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void name_of(unsigned i, char name[16])
{
    snprintf(name, 16, "%06u.sst", i);
}

// Cold, then from a dead cluster. The same after the next start.
START_TEST(test_reading)
{
    struct fixture f;
    char name[16];
    begin(&f, 64 * MIB);
    for (unsigned i = 0; i < SIZES; i++) {
        name_of(i, name);
        make_file(f.inner, name, i, sizes[i], 100000);
        expect_file(f.env, name, i, sizes[i]);
    }
    ck_assert_uint_gt(stats(&f).misses, 0);
    uint64_t misses = stats(&f).misses;
    fake_process_kill(f.process);
    for (unsigned i = 0; i < SIZES; i++) {
        name_of(i, name);
        expect_file(f.env, name, i, sizes[i]);
    }
    ck_assert_uint_eq(stats(&f).misses, misses);
    unmount_all(&f);
    mount_all(&f, 64 * MIB);
    fake_process_kill(f.process);
    for (unsigned i = 0; i < SIZES; i++) {
        name_of(i, name);
        expect_file(f.env, name, i, sizes[i]);
    }
    ck_assert_uint_eq(stats(&f).misses, 0);
    ck_assert_uint_eq(f.messages, 0);
    end(&f);
}
END_TEST

// What was written is warm at once, its last block when it is complete.
START_TEST(test_writing)
{
    static const size_t most[] = {5000, 65536, 1000000};
    struct fixture f;
    char name[16];
    begin(&f, 64 * MIB);
    for (unsigned i = 0; i < 3 * SIZES; i++) {
        name_of(i, name);
        make_file(f.env, name, i, sizes[i % SIZES], most[i / SIZES]);
    }
    fake_process_kill(f.process);
    for (unsigned i = 0; i < 3 * SIZES; i++) {
        name_of(i, name);
        expect_file(f.env, name, i, sizes[i % SIZES]);
    }
    ck_assert_uint_eq(stats(&f).misses, 0);
    end(&f);
}
END_TEST

// A file that is read while it is written, by writes out of order, one of which fails and is made
// again with other bytes.
START_TEST(test_growing)
{
    for (unsigned failing = 0; failing < 2; failing++) {
        struct fixture f;
        struct env_file *file, *other;
        const size_t size = 100000, count = 20;
        uint8_t *data = malloc(size);
        begin(&f, 64 * MIB);
        ck_assert_int_eq(env_open(f.env, "1.blob", ENV_WRITE | ENV_CREATE | ENV_EXCL, &file), 0);
        for (unsigned i = 0; i < count; i += 2) {
            for (unsigned k = 2; k-- > 0;) { // the second first
                fill(7, (i + k) * size, data, size);
                ck_assert_int_eq(env_pwrite(file, data, size, (i + k) * size), 0);
            }
            if (failing && i == 10) {
                fill(8, (i + 2) * size, data, size);
                ck_assert_int_eq(env_pwrite(file, data, size, (i + 2) * size), 0);
                ck_assert_uint_gt(stats(&f).bytes, 0);
                fake_process_fail_at(f.process, 1, -ENOSPC, false);
                ck_assert_int_eq(env_pwrite(file, data, size, (i + 3) * size), LSM_NO_SPACE);
                ck_assert_uint_eq(stats(&f).bytes, 0);
            }
            expect_range(file, 7, (failing && i == 10 ? i + 3 : i + 2) * size, 0, (i + 2) * size);
        }
        // Nobody else takes it for complete.
        ck_assert_int_eq(env_open(f.env, "1.blob", ENV_READ, &other), 0);
        ck_assert(other->ops != file->ops);
        ck_assert_int_eq(env_close(other), 0);
        file->ops->advise(file, 0, 0, ENV_ADVISE_COMPLETE);
        expect_range(file, 7, count * size, 0, count * size);
        fake_process_kill(f.process);
        expect_range(file, 7, count * size, 0, count * size);
        (void)env_close(file);
        free(data);
        end(&f);
    }
}
END_TEST

START_TEST(test_others)
{
    struct fixture f;
    struct env_file *file;
    begin(&f, 64 * MIB);
    make_file(f.env, "CURRENT", 1, 100, 10);
    expect_file(f.env, "CURRENT", 1, 100);
    ck_assert_uint_eq(stats(&f).files, 0);
    make_file(f.env, "1.sst", 1, 100000, 100000);
    make_file(f.env, "2.sst", 2, 100000, 100000);
    ck_assert_uint_eq(stats(&f).files, 2);
    ck_assert_int_eq(f.env->ops->unlink(f.env, "1.sst"), 0);
    ck_assert_uint_eq(stats(&f).files, 1);
    // A file that is written anew, and one that is cut.
    ck_assert_int_eq(env_open(f.env, "2.sst", ENV_WRITE | ENV_TRUNCATE, &file), 0);
    ck_assert_uint_eq(stats(&f).files, 0);
    ck_assert_int_eq(env_pwrite(file, "abc", 3, 0), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_uint_eq(stats(&f).files, 1);
    ck_assert_int_eq(env_open(f.env, "2.sst", ENV_WRITE, &file), 0);
    ck_assert_int_eq(file->ops->truncate(file, 1), 0);
    ck_assert_int_eq(env_close(file), 0);
    ck_assert_uint_eq(stats(&f).files, 0);
    // What another process has removed meanwhile.
    make_file(f.env, "3.sst", 3, 100000, 100000);
    ck_assert_int_eq(f.inner->ops->unlink(f.inner, "3.sst"), 0);
    unmount_all(&f);
    mount_all(&f, 64 * MIB);
    ck_assert_uint_eq(stats(&f).files, 0);
    end(&f);
}
END_TEST

// A store that was made anew under the same name, with the same numbers and sizes.
START_TEST(test_identity)
{
    struct fixture f;
    struct env_stat before, after;
    begin(&f, 64 * MIB);
    make_file(f.env, "1.sst", 1, 500000, 70000);
    ck_assert_int_eq(f.env->ops->stat(f.env, "1.sst", &before), 0);
    ck_assert_uint_ne(before.identity[0], 0);
    ck_assert_ptr_eq(env_cache_free(f.env), f.inner);
    ck_assert_int_eq(f.inner->ops->unlink(f.inner, "1.sst"), 0);
    ck_assert_int_eq(f.inner->ops->unlink(f.inner, "LOCK"), 0);
    f.inner->ops->unlock(f.inner, f.lock);
    f.inner->ops->close_dir(f.inner);
    ck_assert_msg(f.base->ops->rmdir(f.base, PATH) == 0, "%s", lsm_error_detail());
    env_rados_free(f.base);
    fake_process_free(f.process);

    mount_all(&f, 64 * MIB);
    ck_assert_uint_eq(stats(&f).files, 1);
    make_file(f.inner, "1.sst", 2, 500000, 70000);
    ck_assert_int_eq(f.env->ops->stat(f.env, "1.sst", &after), 0);
    ck_assert_uint_eq(before.identity[1], after.identity[1]);
    ck_assert_uint_ne(before.identity[0], after.identity[0]);
    expect_file(f.env, "1.sst", 2, 500000);
    ck_assert_uint_eq(stats(&f).files, 2);
    end(&f);
}
END_TEST

START_TEST(test_bound)
{
    struct fixture f;
    char name[16];
    begin(&f, 2 * MIB);
    for (unsigned i = 0; i < 12; i++) {
        name_of(i, name);
        make_file(i % 2 ? f.env : f.inner, name, i, MIB / 2, 70000);
        expect_file(f.env, name, i, MIB / 2);
        name_of(0, name); // in use all the time
        expect_file(f.env, name, 0, MIB / 2);
        ck_assert_uint_le(stats(&f).bytes, 2 * MIB);
    }
    ck_assert_uint_gt(stats(&f).evictions, 6);
    ck_assert_uint_eq(stats(&f).capacity, 2 * MIB);
    uint64_t misses = stats(&f).misses;
    name_of(0, name);
    expect_file(f.env, name, 0, MIB / 2);
    name_of(11, name);
    expect_file(f.env, name, 11, MIB / 2);
    ck_assert_uint_eq(stats(&f).misses, misses);
    unmount_all(&f);
    mount_all(&f, MIB); // less than there is
    ck_assert_uint_le(stats(&f).bytes, MIB);
    ck_assert_uint_gt(stats(&f).files, 0);
    ck_assert_int_eq(try_cache(&f, MIB), LSM_BUSY);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "/cache/LOCK is in use"));
    end(&f);
}
END_TEST

// ------------------------------------------------------------------------------------- damage

static int find_name(void *arg, const char *name)
{
    struct segment_key key;
    if (segment_name_parse(name, &key))
        snprintf(arg, CACHE_NAME_MAX, "%s", name);
    return 0;
}

static struct env_file *open_segment(struct fixture *f, struct env **ret_dir)
{
    char name[CACHE_NAME_MAX] = "";
    struct env_file *file;
    ck_assert_int_eq(f->disk->ops->open_dir(f->disk, "/cache", ret_dir), 0);
    ck_assert_int_eq((*ret_dir)->ops->list(*ret_dir, ENV_HERE, find_name, name), 0);
    ck_assert_msg(env_open(*ret_dir, name, ENV_WRITE, &file) == 0, "%s", lsm_error_detail());
    return file;
}

// Each byte of a local file in turn, or what is behind it, is damaged, below an open cache and
// before one is opened: it is noticed, nothing of it is read, and then it is whole again.
START_TEST(test_damage)
{
    struct fixture f;
    uint64_t step = from_env("LSM_STEP", 677), size = CACHE_BLOCK + 10000, length;
    begin(&f, 64 * MIB);
    make_file(f.inner, "1.sst", 1, size, 70000);
    expect_file(f.env, "1.sst", 1, size);
    for (uint64_t at = 0; at < CACHE_PAGE + 20 * CACHE_PAGE;
         at += at < CACHE_HEAD_SIZE ? 1 : step) {
        struct env *dir;
        uint8_t byte;
        size_t got;
        if (at >= CACHE_HEAD_SIZE && at < CACHE_PAGE)
            at = CACHE_PAGE;
        struct env_file *local = open_segment(&f, &dir);
        ck_assert_int_eq(local->ops->size(local, &length), 0);
        if (at >= length) {
            (void)env_close(local);
            dir->ops->close_dir(dir);
            break;
        }
        bool cut = at >= CACHE_PAGE && at % 3 == 0;
        if (cut) {
            ck_assert_int_eq(local->ops->truncate(local, at), 0);
        } else {
            ck_assert_int_eq(env_pread(local, &byte, 1, at, &got), 0);
            byte ^= (uint8_t)(1u << at % 8);
            ck_assert_int_eq(env_pwrite(local, &byte, 1, at), 0);
        }
        ck_assert_int_eq(env_close(local), 0);
        dir->ops->close_dir(dir);
        if (at < CACHE_PAGE || at % 2) {
            unmount_all(&f);
            mount_all(&f, 64 * MIB);
        }
        struct disk_cache_stats before = stats(&f);
        expect_file(f.env, "1.sst", 1, size);
        struct disk_cache_stats after = stats(&f);
        ck_assert_msg(after.misses > before.misses, "at byte %" PRIu64, at);
        if (!cut)
            ck_assert_uint_gt(after.damaged, before.damaged);
        expect_file(f.env, "1.sst", 1, size);
        ck_assert_uint_eq(stats(&f).misses, after.misses);
    }
    end(&f);
}
END_TEST

// A power cut leaves any part of what was not synced.
START_TEST(test_power_cut)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct fixture f;
        begin(&f, 64 * MIB);
        make_file(f.env, "1.sst", 1, 400000, 70000);
        make_file(f.inner, "2.sst", 2, 400000, 70000);
        expect_file(f.env, "2.sst", 2, 400000);
        env_fault_power_cut(f.disk, seed);
        expect_file(f.env, "1.sst", 1, 400000); // with handles that are dead
        unmount_all(&f);
        mount_all(&f, 64 * MIB);
        expect_file(f.env, "1.sst", 1, 400000);
        expect_file(f.env, "2.sst", 2, 400000);
        uint64_t misses = stats(&f).misses;
        expect_file(f.env, "1.sst", 1, 400000);
        expect_file(f.env, "2.sst", 2, 400000);
        ck_assert_uint_eq(stats(&f).misses, misses);
        end(&f);
    }
}
END_TEST

static int remove_local(void *arg, const char *name)
{
    struct env *dir = arg;
    return dir->ops->unlink(dir, name);
}

// Somebody removes the files, then the directory as well.
START_TEST(test_removed)
{
    for (unsigned all = 0; all < 2; all++) {
        struct fixture f;
        struct env *dir;
        begin(&f, 64 * MIB);
        make_file(f.env, "1.sst", 1, FILE_MAX, 300000);
        ck_assert_int_eq(f.disk->ops->open_dir(f.disk, "/cache", &dir), 0);
        ck_assert_int_eq(dir->ops->list(dir, ENV_HERE, remove_local, dir), 0);
        dir->ops->close_dir(dir);
        if (all)
            ck_assert_msg(f.disk->ops->rmdir(f.disk, "/cache") == 0, "%s", lsm_error_detail());
        expect_file(f.env, "1.sst", 1, FILE_MAX);
        make_file(f.env, "2.sst", 2, FILE_MAX, 300000);
        expect_file(f.env, "2.sst", 2, FILE_MAX);
        ck_assert_uint_eq(f.messages, all);
        if (all)
            ck_assert_msg(strstr(f.message, "nothing is added") != NULL, "%s", f.message);
        unmount_all(&f);
        mount_all(&f, 64 * MIB);
        expect_file(f.env, "2.sst", 2, FILE_MAX);
        end(&f);
    }
}
END_TEST

// ------------------------------------------------------------------------------------- failures

// Many calls of the local disk fail in turn, alone or with all after it.
START_TEST(test_failures)
{
    static const int statuses[] = {LSM_IO_ERROR, LSM_NO_SPACE, LSM_NO_FILES};
    for (uint64_t call = 1, last = 2; call < last; call += 1 + call / 16) {
        for (unsigned kind = 0; kind < 6; kind++) {
            struct fixture f;
            begin(&f, MIB);
            make_file(f.inner, "1.sst", 1, 100000, 70000);
            uint64_t before = env_fault_calls(f.disk);
            env_fault_fail_at(f.disk, call, statuses[kind % 3], kind >= 3);
            make_file(f.env, "2.sst", 2, 100000, 70000);
            make_file(f.env, "3.sst", 3, MIB, 200000); // others have to go
            expect_file(f.env, "1.sst", 1, 100000);
            expect_file(f.env, "2.sst", 2, 100000);
            last =
                env_fault_calls(f.disk) - before > last ? env_fault_calls(f.disk) - before : last;
            last = last < 200 ? last : 200;
            env_fault_fail_at(f.disk, 0, 0, false);
            expect_file(f.env, "1.sst", 1, 100000);
            expect_file(f.env, "2.sst", 2, 100000);
            ck_assert_uint_le(f.messages, 2); // one of writing, one of reading
            if (statuses[kind % 3] == LSM_NO_FILES)
                ck_assert_uint_eq(f.messages, 0);
            end(&f);
        }
    }
}
END_TEST

// A cache on a full disk takes what there is.
START_TEST(test_full_disk)
{
    struct fixture f;
    char name[16];
    begin(&f, 64 * MIB);
    env_fault_limit(f.disk, 3 * MIB);
    for (unsigned i = 0; i < 8; i++) {
        name_of(i, name);
        make_file(f.env, name, i, MIB, 70000);
        expect_file(f.env, name, i, MIB);
    }
    ck_assert_uint_eq(f.messages, 1);
    ck_assert_msg(strstr(f.message, "less room") != NULL, "%s", f.message);
    ck_assert_uint_lt(stats(&f).capacity, 3 * MIB);
    uint64_t misses = stats(&f).misses;
    name_of(7, name);
    expect_file(f.env, name, 7, MIB);
    ck_assert_uint_eq(stats(&f).misses, misses);
    end(&f);
}
END_TEST

// ------------------------------------------------------------------------------------- threads

#define READERS 3
#define SHARED  6

struct worker {
    struct fixture *f;
    pthread_t thread;
    unsigned index;
};

static void *read_some(void *arg)
{
    struct worker *w = arg;
    struct random r = {w->index + 1};
    struct env_file *files[SHARED];
    char name[16];
    for (unsigned i = 0; i < SHARED; i++) {
        name_of(i, name);
        ck_assert_int_eq(env_open(w->f->env, name, ENV_READ, &files[i]), 0);
    }
    for (unsigned i = 0; i < 300; i++) {
        unsigned k = random_below(&r, SHARED);
        expect_range(files[k], k, MIB / 2, random_below(&r, MIB / 2), random_below(&r, 200000));
    }
    for (unsigned i = 0; i < SHARED; i++)
        ck_assert_int_eq(env_close(files[i]), 0);
    return NULL;
}

static void *write_some(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < 30; i++) {
        char name[16];
        name_of(100 + i, name);
        make_file(w->f->env, name, i, MIB / 4, 70000);
        expect_file(w->f->env, name, i, MIB / 4);
        ck_assert_int_eq(w->f->env->ops->unlink(w->f->env, name), 0);
    }
    return NULL;
}

// Several read files that together do not fit, and one writes and removes others.
START_TEST(test_threads)
{
    struct fixture f;
    struct worker workers[READERS + 1];
    char name[16];
    begin(&f, 2 * MIB);
    for (unsigned i = 0; i < SHARED; i++) {
        name_of(i, name);
        make_file(f.inner, name, i, MIB / 2, 70000);
    }
    for (unsigned i = 0; i <= READERS; i++) {
        workers[i] = (struct worker){.f = &f, .index = i};
        ck_assert_int_eq(pthread_create(&workers[i].thread, NULL,
                                        i < READERS ? read_some : write_some, &workers[i]),
                         0);
    }
    for (unsigned i = 0; i <= READERS; i++)
        ck_assert_int_eq(pthread_join(workers[i].thread, NULL), 0);
    ck_assert_uint_le(stats(&f).bytes, 2 * MIB);
    ck_assert_uint_gt(stats(&f).evictions, 0);
    ck_assert_uint_eq(f.messages, 0);
    end(&f);
}
END_TEST

// ------------------------------------------------------------------------------------- format

START_TEST(test_golden)
{
    const struct segment_key key = {0x1122334455667788, 0x100000003, 2};
    static const char head_text[] = "4c534d4341434845"
                                    "01000000"
                                    "02000000"
                                    "8877665544332211"
                                    "0300000001000000"
                                    "80c323c8d94a1b14";
    uint8_t head[CACHE_HEAD_SIZE], pages[CACHE_BLOCK_ROOM], data[4090];
    char name[CACHE_NAME_MAX], text[2 * CACHE_HEAD_SIZE + 1];
    struct segment_key parsed;
    segment_name(&key, name);
    ck_assert_str_eq(name, "1122334455667788-0000000100000003.00000002");
    ck_assert(segment_name_parse(name, &parsed));
    ck_assert(parsed.store == key.store && parsed.file == key.file && parsed.segment == 2);
    name[0] = 'g';
    ck_assert(!segment_name_parse(name, &parsed));
    ck_assert(!segment_name_parse("LOCK", &parsed));
    segment_head_encode(&key, head);
    for (unsigned i = 0; i < CACHE_HEAD_SIZE; i++)
        snprintf(text + 2 * i, 3, "%02x", head[i]);
    ck_assert_str_eq(text, head_text);
    fill(1, 0, data, sizeof data);
    ck_assert_uint_eq(block_encode(&key, 5, data, sizeof data, pages), 2 * CACHE_PAGE);
    ck_assert_int_eq(memcmp(pages, data, 4088), 0);
    ck_assert_int_eq(memcmp(pages + CACHE_PAGE, data + 4088, 2), 0);
    snprintf(text, sizeof text, "%016" PRIx64 " %016" PRIx64, get_fixed64(pages + 4088),
             get_fixed64(pages + 8184));
    ck_assert_str_eq(text, "f0633eb99887fc3f f766e9fb10c74af8");
    ck_assert_uint_eq(segment_block_offset(5), 4096 + 5 * 65536);
    ck_assert_int_eq(page_check(&key, 5, 1, pages + CACHE_PAGE), PAGE_OK);
    ck_assert_int_eq(page_check(&key, 5, 0, pages + CACHE_PAGE), PAGE_DAMAGED);
    memset(pages, 0, CACHE_PAGE);
    ck_assert_int_eq(page_check(&key, 5, 0, pages), PAGE_EMPTY);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_test(tc, test_reading);
    tcase_add_test(tc, test_writing);
    tcase_add_test(tc, test_growing);
    tcase_add_test(tc, test_others);
    tcase_add_test(tc, test_identity);
    tcase_add_test(tc, test_bound);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_power_cut);
    tcase_add_test(tc, test_removed);
    tcase_add_test(tc, test_failures);
    tcase_add_test(tc, test_full_disk);
    tcase_add_test(tc, test_threads);
    tcase_add_test(tc, test_golden);
    return run_case("env_cache", tc, 600);
}
