// What the tests of env_rados need of it, and nothing else does: envs over clusters of their own (a
// simulated one), and a lease whose time they tell.
#ifndef LSM_ENV_RADOS_ENV_RADOS_IMPL_H
#define LSM_ENV_RADOS_ENV_RADOS_IMPL_H

#include "env/env.h"
#include "env_rados/cluster.h"

// An env over the clusters that `open` makes, with objects of `stripe` bytes. `threaded`: each
// locked store has a thread that keeps the lease, else env_rados_tick() does. Free after everything
// in it was closed.
struct env *env_rados_new(cluster_open_fn *open, void *arg, uint64_t stripe, bool threaded);
void env_rados_free(struct env *env);
// An env for who follows a store (env_rados_following()).
struct env *env_rados_following_new(cluster_open_fn *open, void *arg, uint64_t stripe);
void env_rados_following_free(struct env *env);

// Of a store's directory that is locked: keeps the lease as its thread would each time it wakes;
// and the epoch of its index.
void env_rados_tick(struct env *dir);
uint64_t env_rados_epoch(struct env *dir);

#endif
