// See watch_hub.h.
//
// The thread waits until a commit tells it that something was written. Then it takes a snapshot and
// puts the difference from the previous snapshot into the ring. Then it pauses: for a tenth of a
// second, or for ten times as long as its work took, so that it uses a tenth of a processor at
// most. A difference that is too large for the ring is lost as a whole: `head` jumps, so that every
// watcher is overtaken.
//
// A change in the ring: `struct ring_change`, the path, the old path, both with their terminator.
#include "ns/changes/watch_hub.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "ns/operation/ns_internal.h"

#define RING     (4u << 20)
#define PIECE    (64u << 10) // a watcher reads so much at once, or one change
#define MOST     50000u      // names and records that differ
#define PAUSE_US 100000u
#define DUTY     10u // the thread works for one part in so many

LOCK_FUNCTIONS(hub, struct watch_hub, mutex, watch_hub_mutex)

struct watch_point {
    const struct lsm_snapshot *snapshot;
    uint64_t sequence; // of the store, before the snapshot was taken
    unsigned refs GUARDED_BY(watch_hub_mutex);
};

struct ring_change {
    uint64_t ino;
    uint32_t size; // with this header
    uint32_t type;
    uint32_t path_size, old_path_size;
    uint8_t kind, what, renamed, unused[5];
};

// ------------------------------------------------------------------------------- points

// Nobody else has the point yet.
static int point_new(struct ns *ns, struct watch_point **ret_point) NOT_CHECKED
{
    struct watch_point *point = malloc(sizeof *point);
    if (!point)
        return -ENOMEM;
    point->refs = 1;
    point->sequence = lsm_sequence(ns->db);
    int rc = ns_err(lsm_snapshot_new(ns->db, &point->snapshot));
    if (rc)
        free(point);
    else
        *ret_point = point;
    return rc;
}

// Without the mutex. NULL is legal.
static void point_put(struct watch_hub *hub, struct watch_point *point)
{
    if (!point)
        return;
    hub_lock(hub);
    assert(point->refs > 0);
    bool last = --point->refs == 0;
    hub_unlock(hub);
    if (!last)
        return;
    lsm_snapshot_free(hub->ns->db, point->snapshot);
    free(point);
}

// ------------------------------------------------------------------------------- the ring

static int add_change(void *arg, const struct ns_change *change)
{
    struct buf *out = arg;
    struct ring_change c = {.ino = change->ino,
                            .type = change->type,
                            .path_size = (uint32_t)change->path_size,
                            .old_path_size = (uint32_t)change->old_path_size,
                            .kind = (uint8_t)change->kind,
                            .what = (uint8_t)change->what,
                            .renamed = change->old_path != NULL};
    size_t size = sizeof c + change->path_size + 1 + (c.renamed ? change->old_path_size + 1 : 0);
    if (size > RING - out->size)
        return -EOVERFLOW;
    c.size = (uint32_t)size;
    if (buf_append(out, &c, sizeof c) || buf_append(out, change->path, change->path_size + 1) ||
        (c.renamed && buf_append(out, change->old_path, change->old_path_size + 1)))
        return -ENOMEM;
    return 0;
}

static void ring_put(struct watch_hub *hub, const uint8_t *data, size_t size)
    REQUIRES(watch_hub_mutex)
{
    size_t at = (size_t)(hub->head % RING), first = size < RING - at ? size : RING - at;
    assert(size <= RING);
    if (first)
        memcpy(hub->ring + at, data, first);
    if (size > first)
        memcpy(hub->ring, data + first, size - first);
    hub->head += size;
}

static void ring_get(const struct watch_hub *hub, uint64_t from, uint8_t *data, size_t size)
    REQUIRES(watch_hub_mutex)
{
    size_t at = (size_t)(from % RING), first = size < RING - at ? size : RING - at;
    assert(from + size <= hub->head && hub->head - from <= RING);
    memcpy(data, hub->ring + at, first);
    if (size > first)
        memcpy(data + first, hub->ring, size - first);
}

// ------------------------------------------------------------------------------- the thread

// Takes a new snapshot and puts what differs from the last one into the ring. If that cannot be
// done, all watchers are made to see that something is lost.
static void move_on(struct watch_hub *hub)
{
    struct watch_point *old, *now;
    hub_lock(hub);
    old = hub->point; // the lock is enough: only this thread changes it
    hub_unlock(hub);
    struct buf changes = {0};
    if (lsm_sequence(hub->ns->db) == old->sequence || point_new(hub->ns, &now))
        return;
    int rc = ns_diff(hub->ns->db, old->snapshot, now->snapshot, MOST, add_change, &changes);
    hub_lock(hub);
    if (rc)
        hub->head += RING + 1;
    else
        ring_put(hub, changes.data, changes.size);
    hub->point = now;
    pthread_cond_broadcast(&hub->changed);
    hub_unlock(hub);
    point_put(hub, old);
    buf_release(&changes);
}

// Called by a commit.
static void tell_written(void *arg)
{
    struct watch_hub *hub = arg;
    hub_lock(hub);
    hub->written = true;
    pthread_cond_broadcast(&hub->changed);
    hub_unlock(hub);
}

static void pause_for(struct watch_hub *hub, uint64_t pause_us) REQUIRES(watch_hub_mutex)
{
    struct timespec until = time_after_us(pause_us);
    while (!hub->stopping &&
           pthread_cond_timedwait(&hub->changed, &hub->mutex, &until) != ETIMEDOUT)
        ;
}

// Waits until something is written that hub->point does not show. A commit that comes after the
// sequence number was read sees `armed`, and wakes the thread.
static void wait_for_write(struct watch_hub *hub) REQUIRES(watch_hub_mutex)
{
    struct ns_watch *watch = &hub->ns->watch;
    hub->written = false;
    atomic_store(&watch->armed, true);
    atomic_thread_fence(memory_order_seq_cst);
    if (lsm_sequence(hub->ns->db) == hub->point->sequence)
        while (!hub->stopping && !hub->written)
            pthread_cond_wait(&hub->changed, &hub->mutex);
    atomic_store(&watch->armed, false);
}

// The loop begins with a pause because of commits that have not seen yet that there is a watcher:
// what they have written is in the store after the pause.
static void *run(void *arg)
{
    struct watch_hub *hub = arg;
    hub_lock(hub);
    for (uint64_t pause_us = PAUSE_US; !hub->stopping;) {
        pause_for(hub, pause_us);
        wait_for_write(hub);
        if (hub->stopping)
            break;
        hub_unlock(hub);
        uint64_t start = clock_us();
        move_on(hub);
        uint64_t took = clock_us() - start;
        pause_us = took * DUTY > PAUSE_US ? took * DUTY : PAUSE_US;
        hub_lock(hub);
    }
    hub_unlock(hub);
    return NULL;
}

static void set_ring(struct watch_hub *hub, uint8_t *ring, struct watch_point *point)
{
    hub_lock(hub);
    assert(hub->busy);
    hub->ring = ring;
    hub->point = point;
    hub_unlock(hub);
}

// Starts the thread for the first watcher. `busy` is set, so no other thread starts or ends it.
static int hub_start(struct watch_hub *hub)
{
    struct watch_point *point;
    int rc = point_new(hub->ns, &point);
    if (rc)
        return rc;
    uint8_t *ring = malloc(RING);
    set_ring(hub, ring, point);
    atomic_store(&hub->ns->watch.wanted, true);
    rc = ring ? -pthread_create(&hub->thread, NULL, run, hub) : -ENOMEM;
    if (rc) {
        atomic_store(&hub->ns->watch.wanted, false);
        set_ring(hub, NULL, NULL);
        free(ring);
        point_put(hub, point);
        return rc;
    }
    pthread_setname_np(hub->thread, "lsmfs-watch");
    return 0;
}

// ------------------------------------------------------------------------------- watchers

void watch_hub_init(struct watch_hub *hub, struct ns *ns)
{
    *hub = (struct watch_hub){.ns = ns};
    ns->watch.tell = tell_written;
    ns->watch.arg = hub;
    pthread_mutex_init(&hub->mutex, NULL);
    cond_init(&hub->changed);
}

void watch_hub_release(struct watch_hub *hub)
{
    pthread_cond_destroy(&hub->changed);
    pthread_mutex_destroy(&hub->mutex);
}

// Adds a watcher: it begins at *ret_at in the ring, where *ret_point is shown (the caller's to
// put). 0 or -errno.
static int enter(struct watch_hub *hub, uint64_t *ret_at, struct watch_point **ret_point)
{
    int rc = 0;
    hub_lock(hub);
    while (hub->busy)
        pthread_cond_wait(&hub->changed, &hub->mutex);
    if (hub->watchers == 0) {
        hub->busy = true;
        hub->stopping = false;
        hub_unlock(hub);
        rc = hub_start(hub);
        hub_lock(hub);
        hub->busy = false;
        pthread_cond_broadcast(&hub->changed);
    }
    if (!rc) {
        hub->watchers++;
        hub->point->refs++;
        *ret_at = hub->head;
        *ret_point = hub->point;
    }
    hub_unlock(hub);
    return rc;
}

int watcher_join(struct watcher *watcher, struct watch_hub *hub, const struct lsm_snapshot *from,
                 ns_change_fn *fn, void *arg)
{
    struct watch_point *point;
    *watcher = (struct watcher){0};
    int rc = enter(hub, &watcher->at, &point);
    if (rc)
        return rc;
    watcher->hub = hub;
    if (from)
        rc = ns_diff(hub->ns->db, from, point->snapshot, SIZE_MAX, fn, arg);
    point_put(hub, point);
    return rc;
}

void watcher_leave(struct watcher *watcher)
{
    struct watch_hub *hub = watcher->hub;
    buf_release(&watcher->piece);
    if (!hub)
        return;
    hub_lock(hub);
    assert(hub->watchers > 0);
    bool last = --hub->watchers == 0;
    if (last) {
        hub->busy = hub->stopping = true;
        pthread_cond_broadcast(&hub->changed);
    }
    hub_unlock(hub);
    if (!last)
        return;
    pthread_join(hub->thread, NULL);
    atomic_store(&hub->ns->watch.wanted, false);
    hub_lock(hub); // who joins now waits until `busy` is false
    struct watch_point *point = hub->point;
    hub->point = NULL;
    free(hub->ring);
    hub->ring = NULL;
    hub_unlock(hub);
    point_put(hub, point);
    hub_lock(hub);
    hub->busy = false;
    pthread_cond_broadcast(&hub->changed);
    hub_unlock(hub);
}

// Copies what the watcher has not read yet: a piece at most, or the next change if that is larger.
static int take(struct watcher *watcher) REQUIRES(watch_hub_mutex)
{
    const struct watch_hub *hub = watcher->hub;
    struct ring_change first;
    uint64_t there = hub->head - watcher->at;
    watcher->piece.size = 0;
    if (there > RING)
        return -EOVERFLOW;
    if (!there)
        return 0;
    ring_get(hub, watcher->at, (uint8_t *)&first, sizeof first);
    size_t size = first.size > PIECE ? first.size : there < PIECE ? (size_t)there : PIECE;
    if (buf_reserve(&watcher->piece, size))
        return -ENOMEM;
    ring_get(hub, watcher->at, watcher->piece.data, size);
    watcher->piece.size = size;
    return 0;
}

// Tells the changes in the piece; a change at its end that is not whole is copied again later.
static int tell(struct watcher *watcher, ns_change_fn *fn, void *arg)
{
    struct ring_change c;
    int rc = 0;
    const struct buf *piece = &watcher->piece;
    for (size_t at = 0; !rc && piece->size - at >= sizeof c;) {
        memcpy(&c, piece->data + at, sizeof c);
        if (c.size > piece->size - at)
            break;
        const char *path = (const char *)piece->data + at + sizeof c;
        const struct ns_change change = {.kind = (enum ns_change_kind)c.kind,
                                         .what = c.what,
                                         .ino = c.ino,
                                         .type = c.type,
                                         .path = path,
                                         .path_size = c.path_size,
                                         .old_path = c.renamed ? path + c.path_size + 1 : NULL,
                                         .old_path_size = c.old_path_size};
        rc = fn(arg, &change);
        at += c.size;
        watcher->at += c.size;
    }
    return rc;
}

void watch_hub_wake(struct watch_hub *hub)
{
    hub_lock(hub);
    pthread_cond_broadcast(&hub->changed);
    hub_unlock(hub);
}

int watcher_next(struct watcher *watcher, const _Atomic bool *cancelled, ns_change_fn *fn,
                 void *arg)
{
    struct watch_hub *hub = watcher->hub;
    hub_lock(hub);
    while (hub->head == watcher->at && !atomic_load(cancelled))
        pthread_cond_wait(&hub->changed, &hub->mutex);
    int rc = atomic_load(cancelled) ? -ECANCELED : take(watcher);
    hub_unlock(hub);
    return rc ? rc : tell(watcher, fn, arg);
}
