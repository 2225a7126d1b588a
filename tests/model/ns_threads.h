// Shared by the tests with threads: a disk that makes operations overlap, and small helpers.
#ifndef LSM_TESTS_NS_THREADS_H
#define LSM_TESTS_NS_THREADS_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "ns_util.h"
#include "version_util.h"

#define THREADS 4

static _Atomic uint64_t clock_now; // raised at the begin (and end) of operations

// A disk whose log writes let other threads go first.
static struct env_ops slow_ops, fast_ops;

static inline void let_others_begin(void)
{
    uint64_t seen = atomic_load(&clock_now);
    for (unsigned i = 0; i < 20 && atomic_load(&clock_now) == seen; i++)
        sched_yield();
}

static inline int slow_pwrite(struct env_file *env_file, const void *data, size_t size,
                              uint64_t offset)
{
    static _Thread_local uint64_t seed = 1;
    uint64_t choice = random_below(&seed, 4);
    if (choice & 1)
        let_others_begin();
    int status = fast_ops.pwrite(env_file, data, size, offset);
    if (choice & 2)
        let_others_begin();
    return status;
}

static inline int slow_open(struct env *env, const char *path, int flags,
                            struct env_file **ret_file)
{
    int status = fast_ops.open(env, path, flags, ret_file);
    if (!status)
        (*ret_file)->ops = &slow_ops;
    return status;
}

static inline struct ns *open_slowly(struct env *env)
{
    struct ns_options options = ns_small_options(env);
    struct ns *ns;
    options.engine.wal_mode = LSM_WAL_WRITTEN;
    fast_ops = slow_ops = *env->ops;
    slow_ops.open = slow_open;
    slow_ops.pwrite = slow_pwrite;
    env->ops = &slow_ops;
    ck_assert_int_eq(ns_open("/fs", &options, &ns), 0);
    return ns;
}

static inline uint64_t count_from_env(const char *name, uint64_t fallback, uint64_t in_long_runs)
{
    return from_env(name, getenv("LSMFS_LONG") ? in_long_runs : fallback);
}

static inline struct ns_inode *make(struct ns *ns, struct ns_inode *dir, const char *name,
                                    uint32_t mode)
{
    struct ns_inode *inode;
    int rc = S_ISDIR(mode)
                 ? ns_mkdir(ns, &test_cred, dir, name, strlen(name), 0755, &inode, NULL)
                 : ns_mknod(ns, &test_cred, dir, name, strlen(name), mode, 0, &inode, NULL);
    if (rc)
        ck_abort_msg("making %s: %d", name, rc);
    return inode;
}

#endif
