// Syncs of the log: what they make durable, that threads share them, what ends waiting, and that
// what is about to be synced goes to the disk before.
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "wal_fixture.h"

// What is about to be synced begins to go to the disk, which makes none of it durable.
START_TEST(test_write_out)
{
    struct wal_writer *wal = open_wal(modes[_i], 1 << 20, 7, NULL);
    uint64_t before = wal_end(wal);
    wal_write_out(wal, before);
    ck_assert_uint_eq(env_fault_written_out(env), 0); // there is nothing
    append_many(wal, 1, 5);
    uint64_t synced = wal_end(wal);
    wal_write_out(wal, synced);
    ck_assert_uint_eq(env_fault_written_out(env), synced - before);
    ck_assert_uint_eq(wal_durable(wal), before);
    ck_assert_int_eq(wal_sync(wal, synced), 0);
    wal_write_out(wal, synced);
    ck_assert_uint_eq(env_fault_written_out(env), synced - before); // it is durable
    append_many(wal, 5, 9);
    uint64_t last = wal_end(wal);
    wal_write_out(wal, last);
    ck_assert_uint_eq(env_fault_written_out(env), last - before);
    append_many(wal, 9, 1000);
    wal_write_out(wal, wal_end(wal));
    ck_assert_uint_eq(env_fault_written_out(env), last - before); // too much for one short write
    env_fault_power_cut(env, 0);
    wal_writer_free(wal, false);
    expect_count(7, 1, 4);
}
END_TEST

static int write_out_now(void *arg)
{
    struct wal_writer *wal = *(struct wal_writer **)arg;
    wal_write_out(wal, wal_end(wal));
    return 0;
}

// Nothing is written out while a sync is under way: what follows writes all there is then.
START_TEST(test_write_out_beside_sync)
{
    struct wal_writer *wal = NULL;
    struct wal_options options = {
        .env = env, .capacity = 65536, .before_sync = write_out_now, .arg = &wal};
    ck_assert_int_eq(wal_writer_new(&options, PATH, 7, NULL, &wal), 0);
    append_many(wal, 1, 5);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), 0);
    ck_assert_uint_eq(env_fault_written_out(env), 0);
    append_many(wal, 5, 9);
    wal_write_out(wal, wal_end(wal));
    ck_assert_uint_gt(env_fault_written_out(env), 0);
    wal_writer_free(wal, false);
}
END_TEST

START_TEST(test_sync_failure_is_sticky)
{
    struct wal_writer *wal = open_wal(modes[_i], 65536, 7, NULL);
    append_many(wal, 1, 5);
    uint64_t synced = wal_end(wal);
    ck_assert_int_eq(wal_sync(wal, synced), 0);
    append_many(wal, 5, 9);
    env_fault_fail_at(env, 1, LSM_IO_ERROR, false);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), LSM_IO_ERROR);
    ck_assert_int_eq(wal_sync(wal, wal_end(wal)), LSM_IO_ERROR);
    ck_assert_ptr_nonnull(strstr(lsm_error_detail(), "injected failure"));
    ck_assert_int_eq(append(wal, 9), LSM_IO_ERROR);
    ck_assert_uint_eq(wal_durable(wal), synced);
    wal_writer_free(wal, false);
}
END_TEST

struct sharing {
    struct wal_writer *wal;
    _Atomic bool done;
};

static void *sync_loop(void *arg)
{
    struct sharing *sharing = arg;
    while (!atomic_load(&sharing->done)) {
        uint64_t end = wal_end(sharing->wal);
        ck_assert_int_eq(wal_sync(sharing->wal, end), 0);
        ck_assert_uint_ge(wal_durable(sharing->wal), end);
    }
    return NULL;
}

START_TEST(test_concurrent_sync)
{
    struct sharing sharing = {open_wal(modes[_i], 8192, 7, NULL), false};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, sync_loop, &sharing), 0);
    append_many(sharing.wal, 1, 3000);
    atomic_store(&sharing.done, true);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(wal_sync(sharing.wal, UINT64_MAX), 0);
    wal_writer_free(sharing.wal, false);
    env_fault_power_cut(env, 0);
    expect_count(7, 1, 2999);
}
END_TEST

// Threads that append and sync in a loop, on a disk that takes its time: most of them share each
// sync, where without waiting for each other every sync would serve half of them.
#define LOOPING_THREADS 6
#define LOOPING_ROUNDS  30

struct looping {
    struct wal_writer *wal;
    pthread_mutex_t mutex; // of the appender
    uint64_t next;         // mutex
    _Atomic unsigned syncs;
};

static int slow_disk(void *arg)
{
    struct looping *looping = arg;
    atomic_fetch_add(&looping->syncs, 1);
    usleep(20000);
    return 0;
}

static void *append_and_sync(void *arg)
{
    struct looping *looping = arg;
    for (int i = 0; i < LOOPING_ROUNDS; i++) {
        pthread_mutex_lock(&looping->mutex);
        ck_assert_int_eq(append(looping->wal, looping->next++), 0);
        uint64_t end = wal_end(looping->wal);
        pthread_mutex_unlock(&looping->mutex);
        ck_assert_int_eq(wal_sync(looping->wal, end), 0);
        ck_assert_uint_ge(wal_durable(looping->wal), end);
    }
    return NULL;
}

// How many syncs all of it takes.
static unsigned syncs_of_loops(void)
{
    struct looping looping = {.mutex = PTHREAD_MUTEX_INITIALIZER, .next = 1};
    struct wal_options options = {
        .env = env, .capacity = 65536, .before_sync = slow_disk, .arg = &looping};
    pthread_t threads[LOOPING_THREADS];
    ck_assert_int_eq(wal_writer_new(&options, PATH, 7, NULL, &looping.wal), 0);
    for (int i = 0; i < LOOPING_THREADS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, append_and_sync, &looping), 0);
    for (int i = 0; i < LOOPING_THREADS; i++)
        pthread_join(threads[i], NULL);
    unsigned syncs = atomic_load(&looping.syncs);
    printf("%u appends in %u syncs\n", LOOPING_THREADS * LOOPING_ROUNDS, syncs);
    ck_assert_uint_ge(syncs, LOOPING_ROUNDS);
    wal_writer_free(looping.wal, false);
    expect_count(7, 1, LOOPING_THREADS * LOOPING_ROUNDS);
    return syncs;
}

// A thread that does not get a processor for longer than it is waited for misses its group. So the
// best of some tries counts: where nobody waits, all of them take about twice as many syncs as
// there are rounds.
START_TEST(test_syncs_are_shared)
{
    unsigned fewest = UINT_MAX;
    for (int tries = 0; tries < 20 && fewest > LOOPING_ROUNDS * 8 / 5; tries++) {
        if (tries)
            ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
        unsigned syncs = syncs_of_loops();
        fewest = syncs < fewest ? syncs : fewest;
    }
    ck_assert_uint_le(fewest, LOOPING_ROUNDS * 8 / 5);
}
END_TEST

// A log fails while threads wait for each other's company before a sync: none of them waits on.
#define FAILING_ROUNDS 40

static int quick_disk(void *arg)
{
    (void)arg;
    usleep(2000);
    return 0;
}

static void *sync_until_failure(void *arg)
{
    struct looping *looping = arg;
    int rc = 0;
    while (!rc) {
        pthread_mutex_lock(&looping->mutex);
        rc = append(looping->wal, looping->next++);
        uint64_t end = wal_end(looping->wal), next = looping->next;
        pthread_mutex_unlock(&looping->mutex);
        if (!rc)
            rc = wal_sync(looping->wal, end);
        usleep((useconds_t)(next % 7 * 100)); // some come late
    }
    ck_assert_int_eq(rc, LSM_IO_ERROR);
    return NULL;
}

START_TEST(test_failure_ends_waiting)
{
    for (int round = 0; round < FAILING_ROUNDS; round++) {
        struct looping looping = {.mutex = PTHREAD_MUTEX_INITIALIZER, .next = 1};
        struct wal_options options = {
            .env = env, .mode = modes[_i], .capacity = 65536, .before_sync = quick_disk};
        pthread_t threads[LOOPING_THREADS];
        ck_assert_int_eq(wal_writer_new(&options, PATH, 7, NULL, &looping.wal), 0);
        for (int i = 0; i < LOOPING_THREADS; i++)
            ck_assert_int_eq(pthread_create(&threads[i], NULL, sync_until_failure, &looping), 0);
        usleep((useconds_t)(15000 + round * 300));
        env_fault_fail_at(env, 1, LSM_IO_ERROR, true);
        for (int i = 0; i < LOOPING_THREADS; i++)
            pthread_join(threads[i], NULL);
        env_fault_fail_at(env, 0, 0, false);
        wal_writer_free(looping.wal, false);
        ck_assert_int_eq(env->ops->unlink(env, PATH), 0);
    }
}
END_TEST

// The pages that the next records go to stay in memory when the kernel's caches are dropped: a
// store to one that is not would hold up all other threads on a frozen disk (env_posix.c).
START_TEST(test_pages_stay)
{
    enum { AHEAD = 16 };
    char dir[] = "/var/tmp/lsm-test.XXXXXX", path[64];
    unsigned char present[AHEAD];
    struct wal_writer *wal;
    uint64_t end;
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/7.log", dir);
    struct wal_options options = {.env = env_posix(), .mode = LSM_WAL_MAPPED, .capacity = 1 << 20};
    ck_assert_int_eq(wal_writer_new(&options, path, 7, NULL, &wal), 0);
    struct wal_record record = {1, slice_str("a record")};
    ck_assert_int_eq(wal_append(wal, &record, 1, &end), 0);
    ck_assert_int_eq(wal_sync(wal, end), 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = AHEAD * 4096;
    ck_assert_int_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
    void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(map, MAP_FAILED);
    ck_assert_int_eq(mincore(map, size, present), 0);
    for (size_t i = 0; i < size / page; i++)
        ck_assert_msg(present[i] & 1, "page %zu is not in memory", i);
    munmap(map, size);
    close(fd);
    wal_writer_free(wal, false);
    unlink(path);
    rmdir(dir);
}
END_TEST

// Concurrent syncs on the real disk.
START_TEST(test_posix)
{
    char dir[] = "/tmp/test_wal.XXXXXX", path[64], old[64];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/1.log", dir);
    snprintf(old, sizeof(old), "%s/0.log", dir);
    struct wal_options options = {
        .env = env_posix(), .mode = _i == 2 ? LSM_WAL_AUTO : modes[_i], .capacity = 65536};
    struct sharing sharing = {0};
    const char *recycle = NULL;
    for (int life = 0; life < 2; life++) {
        ck_assert_int_eq(wal_writer_new(&options, path, 7, recycle, &sharing.wal), 0);
        atomic_store(&sharing.done, false);
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, sync_loop, &sharing), 0);
        append_many(sharing.wal, 1, 2000);
        wal_write_out(sharing.wal, wal_end(sharing.wal));
        atomic_store(&sharing.done, true);
        pthread_join(thread, NULL);
        struct seen seen = {1, 0};
        struct wal_read_result result;
        ck_assert_int_eq(wal_read(options.env, path, 7, check_record, &seen, &result), 0);
        ck_assert_uint_eq(result.records, 1999);
        ck_assert_uint_eq(result.end, wal_end(sharing.wal));
        wal_writer_free(sharing.wal, life == 1);
        if (life == 0)
            ck_assert_int_eq(rename(path, old), 0);
        recycle = old;
    }
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, test_write_out, 0, 2);
    tcase_add_test(tc, test_write_out_beside_sync);
    tcase_add_loop_test(tc, test_sync_failure_is_sticky, 0, 3);
    tcase_add_loop_test(tc, test_concurrent_sync, 0, 3);
    tcase_add_test(tc, test_syncs_are_shared);
    tcase_add_loop_test(tc, test_failure_ends_waiting, 0, 3);
    tcase_add_test(tc, test_pages_stay);
    tcase_add_loop_test(tc, test_posix, 0, 3);
    return run_case("wal sync", tc, 120);
}
