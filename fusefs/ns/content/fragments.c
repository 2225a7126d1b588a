// The list of fragmented files, and the cell that is watched. See fragments.h.
#include "ns/content/fragments.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/lock_check.h"
#include "ns/operation/ns_internal.h"

#define FILES_MOST 256u
#define LATEST_US  600000000u // after the first note

struct pending_file {
    uint64_t ino;
    uint64_t due_us, latest_us;
};

extern struct lock_role fragments_mutex;

struct fragments {
    uint64_t delay_us; // constant
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct pending_file list[FILES_MOST] GUARDED_BY(fragments_mutex);
    unsigned count GUARDED_BY(fragments_mutex);
    bool working GUARDED_BY(fragments_mutex);
    bool hurry GUARDED_BY(fragments_mutex); // somebody waits for an empty list
    bool stopping GUARDED_BY(fragments_mutex);

    // What is being merged: set with the inode's lock held, and read by those who hold it.
    _Atomic uint64_t watched_ino; // 0: nothing
    _Atomic uint64_t watched_cell;
    _Atomic bool watched_changed;
};

LOCK_FUNCTIONS(fragments, struct fragments, mutex, fragments_mutex)

struct fragments *fragments_new(unsigned delay_ms)
{
    struct fragments *fragments = calloc(1, sizeof *fragments);
    if (!fragments)
        return NULL;
    fragments->delay_us = (uint64_t)delay_ms * 1000;
    pthread_mutex_init(&fragments->mutex, NULL);
    cond_init(&fragments->changed);
    return fragments;
}

void fragments_free(struct fragments *fragments)
{
    if (!fragments)
        return;
    pthread_cond_destroy(&fragments->changed);
    pthread_mutex_destroy(&fragments->mutex);
    free(fragments);
}

void fragments_note(struct fragments *fragments, struct ns_inode *inode, unsigned count)
{
    if (!fragments)
        return;
    unsigned before =
        atomic_fetch_add_explicit(&inode->short_pieces, (uint16_t)count, memory_order_relaxed);
    if ((uint16_t)before / FRAGMENTS_NOTES == (uint16_t)(before + count) / FRAGMENTS_NOTES)
        return;
    uint64_t now = clock_us(), due_us = now + fragments->delay_us;
    fragments_lock(fragments);
    unsigned i = 0;
    while (i < fragments->count && fragments->list[i].ino != inode->ino)
        i++;
    if (i == fragments->count && i < FILES_MOST)
        fragments->list[fragments->count++] =
            (struct pending_file){.ino = inode->ino, .latest_us = now + LATEST_US};
    if (i < FILES_MOST) {
        struct pending_file *w = &fragments->list[i];
        w->due_us = due_us < w->latest_us ? due_us : w->latest_us;
    }
    pthread_cond_broadcast(&fragments->changed);
    fragments_unlock(fragments);
}

void fragments_wait(struct fragments *fragments)
{
    fragments_lock(fragments);
    fragments->hurry = true;
    pthread_cond_broadcast(&fragments->changed);
    while (fragments->count || fragments->working) {
        fragments->hurry = true; // until everything that was queued meanwhile is done as well
        pthread_cond_wait(&fragments->changed, &fragments->mutex);
    }
    fragments_unlock(fragments);
}

// ------------------------------------------------------------------------------- the thread

// Mutex held.
static bool take(struct fragments *fragments, uint64_t *ret_ino) REQUIRES(fragments_mutex)
{
    while (!fragments->stopping) {
        unsigned first = 0;
        for (unsigned i = 1; i < fragments->count; i++)
            if (fragments->list[i].due_us < fragments->list[first].due_us)
                first = i;
        uint64_t now = clock_us();
        if (fragments->count && (fragments->hurry || fragments->list[first].due_us <= now)) {
            *ret_ino = fragments->list[first].ino;
            fragments->list[first] = fragments->list[--fragments->count];
            return true;
        }
        if (fragments->count) {
            cond_wait_us(&fragments->changed, &fragments->mutex,
                         fragments->list[first].due_us - now);
        } else {
            fragments->hurry = false;
            pthread_cond_wait(&fragments->changed, &fragments->mutex);
        }
    }
    return false;
}

bool fragments_take(struct fragments *fragments, uint64_t *ret_ino)
{
    fragments_lock(fragments);
    assert(!fragments->watched_ino);
    if (fragments->working)
        pthread_cond_broadcast(&fragments->changed);
    fragments->working = false;
    fragments->working = take(fragments, ret_ino);
    bool taken = fragments->working;
    fragments_unlock(fragments);
    return taken;
}

void fragments_pause(struct fragments *fragments, uint64_t us)
{
    uint64_t until_us = clock_us() + us;
    fragments_lock(fragments);
    for (uint64_t now; (now = clock_us()) < until_us && !fragments->stopping && !fragments->hurry;)
        cond_wait_us(&fragments->changed, &fragments->mutex, until_us - now);
    fragments_unlock(fragments);
}

bool fragments_is_stopping(struct fragments *fragments)
{
    fragments_lock(fragments);
    bool stopping = fragments->stopping;
    fragments_unlock(fragments);
    return stopping;
}

void fragments_stop(struct fragments *fragments)
{
    fragments_lock(fragments);
    fragments->stopping = true;
    pthread_cond_broadcast(&fragments->changed);
    fragments_unlock(fragments);
}

// ------------------------------------------------------------------------------- what is watched

void fragments_changed(struct fragments *fragments, uint64_t ino, uint64_t from, uint64_t to)
{
    if (!fragments || atomic_load_explicit(&fragments->watched_ino, memory_order_relaxed) != ino)
        return;
    uint64_t cell = atomic_load_explicit(&fragments->watched_cell, memory_order_relaxed);
    if (from < cell + NS_EXTENT_MAX && to > cell)
        atomic_store_explicit(&fragments->watched_changed, true, memory_order_relaxed);
}

void fragments_watch(struct fragments *fragments, uint64_t ino, uint64_t cell)
{
    assert(cell % NS_EXTENT_MAX == 0);
    atomic_store_explicit(&fragments->watched_cell, cell, memory_order_relaxed);
    atomic_store_explicit(&fragments->watched_changed, false, memory_order_relaxed);
    atomic_store_explicit(&fragments->watched_ino, ino, memory_order_relaxed);
}

bool fragments_watched_changed(struct fragments *fragments)
{
    return atomic_load_explicit(&fragments->watched_changed, memory_order_relaxed);
}

void fragments_unwatch(struct fragments *fragments)
{
    atomic_store_explicit(&fragments->watched_ino, 0, memory_order_relaxed);
}
