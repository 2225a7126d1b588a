// fsync for many at once: one thread waits for the disk, no matter how many ask.
//
// Whoever finds no sync under way leads: it syncs, on the thread that serves its request, and
// replies. Who comes meanwhile leaves the request on a list and goes on to serve others; the leader
// then syncs once for the whole list, until the list is empty. So threads that wait for the disk
// are never what new requests wait for, and as many as there are share a flush.
//
// Lock: the mutex, a leaf; not held during the sync or a reply.
#include "mount/syncer.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct waiting {
    struct waiting *next;
    fuse_req_t req;
};

struct syncer {
    struct lsmfs *fs;
    pthread_mutex_t mutex;
    bool syncing;          // mutex
    struct waiting *first; // mutex; for the next sync
};

int syncer_new(struct lsmfs *fs, struct syncer **ret_syncer)
{
    struct syncer *syncer = calloc(1, sizeof *syncer);
    if (!syncer)
        return -ENOMEM;
    syncer->fs = fs;
    pthread_mutex_init(&syncer->mutex, NULL);
    *ret_syncer = syncer;
    return 0;
}

void syncer_free(struct syncer *syncer)
{
    if (!syncer)
        return;
    pthread_mutex_destroy(&syncer->mutex);
    free(syncer);
}

// Whether the request was left to the leader. If not, the caller leads, or, without memory for the
// list, syncs for itself.
static bool leave_to_leader(struct syncer *syncer, fuse_req_t req, bool *ret_leads)
{
    struct waiting *waiting = malloc(sizeof *waiting);
    pthread_mutex_lock(&syncer->mutex);
    *ret_leads = !syncer->syncing;
    bool left = !*ret_leads && waiting;
    if (left) {
        *waiting = (struct waiting){syncer->first, req};
        syncer->first = waiting;
    }
    syncer->syncing = true;
    pthread_mutex_unlock(&syncer->mutex);
    if (!left)
        free(waiting);
    return left;
}

// The list, which is the leader's now; NULL: there is none, and no leader any more.
static struct waiting *take_list(struct syncer *syncer)
{
    pthread_mutex_lock(&syncer->mutex);
    struct waiting *list = syncer->first;
    syncer->first = NULL;
    syncer->syncing = list != NULL;
    pthread_mutex_unlock(&syncer->mutex);
    return list;
}

static void sync_list(struct syncer *syncer, struct waiting *list)
{
    int result = ns_sync(syncer->fs->ns);
    while (list) {
        struct waiting *next = list->next;
        fuse_reply_err(list->req, -result);
        free(list);
        list = next;
    }
}

void syncer_sync(struct syncer *syncer, fuse_req_t req)
{
    bool leads;
    if (leave_to_leader(syncer, req, &leads))
        return;
    fuse_reply_err(req, -ns_sync(syncer->fs->ns));
    for (struct waiting *list; leads && (list = take_list(syncer));)
        sync_list(syncer, list);
}
