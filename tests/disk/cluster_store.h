// An env over a simulated cluster for tests of the whole engine, and the process that uses it. When
// the process dies, another one takes its place. See fake_cluster.h.
#ifndef TESTS_DISK_CLUSTER_STORE_H
#define TESTS_DISK_CLUSTER_STORE_H

#include "disk/fake_cluster.h"
#include "env_rados/env_rados_impl.h"

#define CLUSTER_STORE_PATH   "rados:pool/db"
#define CLUSTER_STORE_STRIPE 16384

struct cluster_store {
    struct fake_cluster *cluster;
    struct fake_process *process;
    struct env *env;
};

static inline void cluster_store_start(struct cluster_store *store)
{
    store->process = fake_process_new(store->cluster);
    store->env = env_rados_new(fake_process_open, store->process, CLUSTER_STORE_STRIPE, false);
}

static inline void cluster_store_init(struct cluster_store *store, uint64_t seed)
{
    store->cluster = fake_cluster_new(seed);
    cluster_store_start(store);
}

// After everything in the env was closed.
static inline void cluster_store_end(struct cluster_store *store)
{
    env_rados_free(store->env);
    fake_process_free(store->process);
}

static inline void cluster_store_release(struct cluster_store *store)
{
    cluster_store_end(store);
    fake_cluster_free(store->cluster);
}

#endif
