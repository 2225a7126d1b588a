// Threads that write to one file of a store in a cluster at the same time: which operations they
// become, and what each of them is told.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "disk/cluster_gate.h"
#include "env_rados/env_rados_impl.h"
#include "quick_check.h"

#define PATH    "rados:pool/store"
#define STRIPE  64
#define WRITERS 5

struct program {
    struct fake_process *process;
    struct env *base, *dir;
    struct env_lock *lock;
};

static void program_open(struct program *p, struct fake_cluster *cluster, cluster_open_fn *open)
{
    p->process = fake_process_new(cluster);
    p->base = env_rados_new(open, p->process, STRIPE, false);
    int rc = p->base->ops->open_dir(p->base, PATH, &p->dir);
    if (rc == LSM_NOT_FOUND) {
        ck_assert_int_eq(p->base->ops->mkdir(p->base, PATH), 0);
        rc = p->base->ops->open_dir(p->base, PATH, &p->dir);
    }
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(p->dir->ops->lock(p->dir, "LOCK", false, "", &p->lock), 0);
}

static void program_close(struct program *p)
{
    p->dir->ops->unlock(p->dir, p->lock);
    p->base->ops->close_dir(p->dir);
    env_rados_free(p->base);
    fake_process_free(p->process);
}

static struct fake_cluster *cluster;
static struct program first;
static struct env_file *file;

static void setup(void)
{
    cluster = fake_cluster_new(1);
    program_open(&first, cluster, open_gated);
    ck_assert_int_eq(env_open(first.dir, "f", ENV_WRITE | ENV_CREATE, &file), 0);
}

static void teardown(void)
{
    (void)env_close(file);
    program_close(&first);
    fake_cluster_free(cluster);
}

struct writer {
    pthread_t thread;
    uint64_t offset;
    char bytes[STRIPE];
    size_t size;
    int rc;
    char words[200];
    atomic_bool ended;
};

static void *writer_run(void *arg)
{
    struct writer *w = arg;
    w->rc = env_pwrite(file, w->bytes, w->size, w->offset);
    if (w->rc)
        strncpy(w->words, lsm_error_detail(), sizeof w->words - 1);
    atomic_store(&w->ended, true);
    return NULL;
}

// Writer i writes `size` letters 'a' + i at i * size.
static void start(struct writer *w, unsigned i, size_t size)
{
    *w = (struct writer){.offset = i * size, .size = size};
    memset(w->bytes, (char)('a' + i), size);
    ck_assert_int_eq(pthread_create(&w->thread, NULL, writer_run, w), 0);
}

static void hold(void)
{
    gate.hold = true;
    gate.passed = 0;
}

static void expect(struct env *dir, const char *text, size_t size)
{
    char data[STRIPE * WRITERS + 1];
    size_t got;
    struct env_file *reading;
    ck_assert_int_eq(env_open(dir, "f", ENV_READ, &reading), 0);
    ck_assert_int_eq(env_pread(reading, data, sizeof data, 0, &got), 0);
    ck_assert_uint_eq(got, size);
    for (size_t i = 0; i < size; i++)
        ck_assert_int_eq(data[i], text[i * strlen(text) / size]);
    ck_assert_int_eq(env_close(reading), 0);
}

// The first is on its way; the others have gathered behind it. *ret: what came of them.
static void write_joined(struct writer *writers, int error)
{
    hold();
    for (unsigned i = 0; i < 4; i++) {
        start(&writers[i], i, 16);
        meet(i + 1, 0);
    }
    gate.error = error;
    gate_open(0);
    for (unsigned i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
    ck_assert_uint_eq(gate.passed, 1);
    ck_assert_int_eq(writers[0].rc, 0);
}

START_TEST(test_joined)
{
    struct writer writers[4];
    write_joined(writers, 0);
    for (unsigned i = 1; i < 4; i++)
        ck_assert_int_eq(writers[i].rc, 0);
    expect(first.dir, "abcd", 64);
}
END_TEST

// All that went together are told; what came before is there.
START_TEST(test_joined_failure)
{
    struct writer writers[4];
    write_joined(writers, _i ? -EIO : -ENOSPC);
    for (unsigned i = 1; i < 4; i++) {
        ck_assert_int_eq(writers[i].rc, _i ? LSM_IO_ERROR : LSM_NO_SPACE);
        ck_assert_ptr_nonnull(strstr(writers[i].words, _i ? "error" : "full"));
    }
    // What is refused changes nothing and can be tried again; after anything else nothing can.
    ck_assert_int_eq(env_pwrite(file, "bbbb", 4, 16), _i ? LSM_IO_ERROR : 0);
    ck_assert_int_eq(env_sync(file), _i ? LSM_IO_ERROR : 0);
    expect(first.dir, _i ? "a" : "aaaab", _i ? 16 : 20);
}
END_TEST

// A stripe may be on its way before one below it is there, but its writer is told after that; and
// if that one fails, it makes it, so that the file has no hole.
START_TEST(test_no_hole)
{
    struct writer writers[2];
    const char nothing[STRIPE] = {0};
    char data[2 * STRIPE];
    size_t got;
    hold();
    start(&writers[0], 0, STRIPE);
    meet(1, 0);
    start(&writers[1], 1, STRIPE);
    meet(2, 1);
    ck_assert(!atomic_load(&writers[1].ended));
    gate_open(_i ? -ENOSPC : 0);
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
    ck_assert_int_eq(writers[0].rc, _i ? LSM_NO_SPACE : 0);
    ck_assert_int_eq(writers[1].rc, 0);
    ck_assert_int_eq(env_pread(file, data, sizeof data, 0, &got), 0);
    ck_assert_uint_eq(got, sizeof data);
    ck_assert_mem_eq(data, _i ? nothing : writers[0].bytes, STRIPE);
    ck_assert_mem_eq(data + STRIPE, writers[1].bytes, STRIPE);
}
END_TEST

// No more than four stripes may be on their way: the fifth waits for the first.
START_TEST(test_few_at_once)
{
    struct writer writers[WRITERS];
    hold();
    for (unsigned i = 0; i < WRITERS; i++) {
        start(&writers[i], i, STRIPE);
        meet(i + 1, i < 4 ? i : 3);
    }
    gate_open(0);
    for (unsigned i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
        ck_assert_int_eq(writers[i].rc, 0);
    }
    ck_assert_uint_eq(gate.passed, 4);
    expect(first.dir, "abcde", WRITERS * STRIPE);
}
END_TEST

// Another takes the store over while writes are on their way: all of them fail, whether they had
// gone or waited, and what the successor writes stays.
START_TEST(test_taken_over)
{
    struct writer writers[4];
    struct program second;
    struct env_file *its;
    hold();
    for (unsigned i = 0; i < 4; i++) {
        start(&writers[i], i, 16);
        meet(i + 1, 0);
    }
    program_open(&second, cluster, fake_process_open);
    ck_assert_int_eq(env_open(second.dir, "f", ENV_WRITE, &its), 0);
    ck_assert_int_eq(env_pwrite(its, "zzzz", 4, 0), 0);
    gate_open(0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(pthread_join(writers[i].thread, NULL), 0);
        ck_assert_int_eq(writers[i].rc, LSM_IO_ERROR);
        ck_assert_ptr_nonnull(strstr(writers[i].words, "another writer"));
    }
    ck_assert_int_eq(env_close(its), 0);
    expect(second.dir, "z", 4);
    program_close(&second);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, test_joined);
    tcase_add_loop_test(tc, test_joined_failure, 0, 2);
    tcase_add_loop_test(tc, test_no_hole, 0, 2);
    tcase_add_test(tc, test_few_at_once);
    tcase_add_test(tc, test_taken_over);
    return run_case("joining", tc, 60);
}
