// The store's life and its end: who refers to it, and what a failure means.
//
// Two kinds of failure are told apart. What the cluster has refused for certain (a full pool) has
// changed nothing and can be tried again. Anything else may have been done, now or later. After
// that nobody knows what the index or an object holds, so nothing is changed any more: the next
// writer, whose epoch is higher, finds out.
//
// Thread safety: see remote.h.
#include "env_rados/remote.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cond.h"

int remote_check(struct remote *store)
{
    int rc = atomic_load_explicit(&store->status, memory_order_acquire);
    if (rc)
        status_restore(&store->kept);
    return rc;
}

// The first failure stays.
static int end_changes(struct remote *store)
{
    remote_lock(store);
    if (!atomic_load_explicit(&store->status, memory_order_relaxed)) {
        status_keep(&store->kept);
        atomic_store_explicit(&store->status, LSM_IO_ERROR, memory_order_release);
        pthread_cond_broadcast(&store->changed);
    }
    remote_unlock(store);
    return remote_check(store);
}

int remote_failed(struct remote *store, int answer, const char *what)
{
    switch (answer) {
    case -ENOSPC:
    case -EDQUOT:
        return status_fail(LSM_NO_SPACE, "%s: %s: the pool is full", store->path, what);
    case -ECANCELED:
        (void)!status_fail(LSM_IO_ERROR,
                           "%s: another writer has taken the store over: it is read-only here "
                           "until it is mounted again",
                           store->path);
        return end_changes(store);
    case -ESHUTDOWN:
        (void)!status_fail(LSM_IO_ERROR,
                           "%s: the cluster has shut this client out, since another writer has "
                           "taken the store over: mount it again",
                           store->path);
        return end_changes(store);
    default:
        (void)!status_fail(LSM_IO_ERROR, "%s: %s: %s", store->path, what, strerror(-answer));
        return end_changes(store);
    }
}

// Nobody else has the store yet.
int remote_new(struct cluster *cluster, const char *path, uint64_t stripe, bool threaded,
               struct remote **ret_store) NOT_CHECKED
{
    struct remote *store = calloc(1, sizeof *store);
    char *copy = strdup(path);
    if (!store || !copy) {
        free(store);
        free(copy);
        return status_no_memory(sizeof *store);
    }
    store->cluster = cluster;
    store->path = copy;
    store->stripe = stripe;
    store->refs = 1;
    store->threaded = threaded;
    pthread_mutex_init(&store->change_mutex, NULL);
    pthread_mutex_init(&store->mutex, NULL);
    cond_init(&store->changed);
    *ret_store = store;
    return 0;
}

int remote_open(struct cluster *cluster, const char *path, uint64_t stripe, bool threaded,
                struct remote **ret_store)
{
    struct remote *store;
    int rc = remote_new(cluster, path, stripe, threaded, &store);
    if (rc)
        return rc;
    rc = index_load(store);
    if (rc) {
        store->cluster = NULL; // the caller's still
        remote_unref(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void remote_ref(struct remote *store)
{
    remote_lock(store);
    assert(store->refs > 0);
    store->refs++;
    remote_unlock(store);
}

void remote_unref(struct remote *store)
{
    if (!store)
        return;
    remote_lock(store);
    assert(store->refs > 0);
    bool last = --store->refs == 0;
    remote_unlock(store);
    if (!last)
        return;
    index_drop(store);
    if (store->cluster)
        store->cluster->ops->close(store->cluster);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->mutex);
    pthread_mutex_destroy(&store->change_mutex);
    free(store->path);
    free(store);
}
