// fsync for many at once: one thread waits for the disk, no matter how many ask.
//
// Whoever finds no sync under way syncs, on the thread that serves its request, and replies. Who
// comes meanwhile leaves the request on a list and goes on to serve others. If there is a list at
// the end of that sync, one extra thread, which serves nothing, syncs once for all that is on it,
// until it is empty. So threads that wait for the disk are never what new requests wait for, as
// many as there are share a flush, and one alone pays for no switch of threads. Nobody syncs for
// others after he has replied: not on every transport is a reply on its way before the handler
// returns.
//
// Lock: the mutex, a leaf; not held during the sync or a reply.
#include "mount/syncer.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/lock_check.h"

struct sync_waiter {
    struct sync_waiter *next;
    fuse_req_t req;
};

extern struct lock_role syncer_mutex;

struct syncer {
    struct lsmfs *fs;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    // A thread syncs, and will look at the list afterwards.
    bool syncing GUARDED_BY(syncer_mutex);
    bool handed GUARDED_BY(syncer_mutex); // the extra thread is to look at the list
    bool stopping GUARDED_BY(syncer_mutex);
    struct sync_waiter *first GUARDED_BY(syncer_mutex); // for the next sync
};

LOCK_FUNCTIONS(syncer, struct syncer, mutex, syncer_mutex)

// The next list for the thread, which has synced for the one before; NULL: it is to end.
static struct sync_waiter *take_list(struct syncer *syncer)
{
    syncer_lock(syncer);
    assert(!syncer->handed || syncer->syncing);
    if (syncer->handed && !syncer->first)
        syncer->handed = syncer->syncing = false;
    while (!syncer->handed && !syncer->stopping)
        pthread_cond_wait(&syncer->changed, &syncer->mutex);
    struct sync_waiter *list = syncer->first;
    syncer->first = NULL;
    syncer_unlock(syncer);
    return list;
}

static void *syncer_run(void *arg)
{
    struct syncer *syncer = arg;
    struct sync_waiter *list;
    while ((list = take_list(syncer))) {
        int rc = ns_sync(syncer->fs->ns);
        while (list) {
            struct sync_waiter *next = list->next;
            fuse_reply_err(list->req, -rc);
            free(list);
            list = next;
        }
    }
    return NULL;
}

int syncer_new(struct lsmfs *fs, struct syncer **ret_syncer)
{
    struct syncer *syncer = calloc(1, sizeof *syncer);
    if (!syncer)
        return -ENOMEM;
    syncer->fs = fs;
    pthread_mutex_init(&syncer->mutex, NULL);
    pthread_cond_init(&syncer->changed, NULL);
    int error = pthread_create(&syncer->thread, NULL, syncer_run, syncer);
    if (error) {
        pthread_cond_destroy(&syncer->changed);
        pthread_mutex_destroy(&syncer->mutex);
        free(syncer);
        return -error;
    }
    pthread_setname_np(syncer->thread, "lsmfs-sync");
    *ret_syncer = syncer;
    return 0;
}

void syncer_free(struct syncer *syncer)
{
    if (!syncer)
        return;
    syncer_lock(syncer);
    syncer->stopping = true;
    pthread_cond_signal(&syncer->changed);
    syncer_unlock(syncer);
    pthread_join(syncer->thread, NULL);
    pthread_cond_destroy(&syncer->changed);
    pthread_mutex_destroy(&syncer->mutex);
    free(syncer);
}

// Whether the request was left on the list of the thread that syncs. If not, the caller syncs
// itself; with *ret_first it has to call end_sync() afterwards, without it there was no memory for
// the list.
static bool leave(struct syncer *syncer, fuse_req_t req, bool *ret_first)
{
    struct sync_waiter *waiting = malloc(sizeof *waiting);
    syncer_lock(syncer);
    *ret_first = !syncer->syncing;
    bool left = !*ret_first && waiting;
    if (left) {
        *waiting = (struct sync_waiter){syncer->first, req};
        syncer->first = waiting;
    }
    syncer->syncing = true;
    syncer_unlock(syncer);
    if (!left)
        free(waiting);
    return left;
}

static void end_sync(struct syncer *syncer)
{
    syncer_lock(syncer);
    assert(syncer->syncing && !syncer->handed);
    if (syncer->first) {
        syncer->handed = true;
        pthread_cond_signal(&syncer->changed);
    } else {
        syncer->syncing = false;
    }
    syncer_unlock(syncer);
}

void syncer_sync(struct syncer *syncer, fuse_req_t req)
{
    bool first;
    if (leave(syncer, req, &first))
        return;
    int rc = ns_sync(syncer->fs->ns);
    if (first)
        end_sync(syncer);
    fuse_reply_err(req, -rc);
}
