// Times of access that were moved by reading. A read must not wait for a write, and a write for
// each first read of a file would cost more than the read; so the new time is kept in the live
// inode, where everybody who loads the record finds it (atimes_apply), and a thread
// (atime_writer.c) writes it to the store within about a second. Whatever else stores the record
// meanwhile stores the time with it. A crash loses the times of the last second.
//
// An inode with a time to be written is on a list and has a reference, at most ATIMES_MAX of them:
// while the store stalls, memory must not grow with what is read. Beyond that a time lasts only as
// long as the inode is live. One that cannot be written (a full disk) stays in memory in the same
// way. Files without names keep theirs in memory: nobody will see them again.
//
// Invariants: inode->atime_ns is the time to show, 0 if it is the record's; inode->atime_queued
// says that it is on the list, or just being taken from it. Lock: the list's mutex, a leaf.
#include "ns/inodes/atimes.h"

#include <assert.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/lock_check.h"

#define ATIMES_MAX      65536u
#define ATIMES_DELAY_US 1000000u

extern struct lock_role atimes_mutex;

struct atimes {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct ns_inode *list GUARDED_BY(atimes_mutex); // linked by atime_next
    unsigned count GUARDED_BY(atimes_mutex);
    unsigned hurry GUARDED_BY(atimes_mutex); // how many callers wait for an empty list
    bool working GUARDED_BY(atimes_mutex);
    bool stopping GUARDED_BY(atimes_mutex);
};

LOCK_FUNCTIONS(atimes, struct atimes, mutex, atimes_mutex)

struct atimes *atimes_new(void)
{
    struct atimes *atimes = calloc(1, sizeof *atimes);
    if (!atimes)
        return NULL;
    pthread_mutex_init(&atimes->mutex, NULL);
    cond_init(&atimes->changed);
    return atimes;
}

void atimes_free(struct atimes *atimes)
{
    if (!atimes)
        return;
    pthread_cond_destroy(&atimes->changed);
    pthread_mutex_destroy(&atimes->mutex);
    free(atimes);
}

void atimes_apply(const struct ns_inode *inode, struct record *rec)
{
    int64_t ns = atomic_load_explicit(&inode->atime_ns, memory_order_acquire);
    if (ns)
        rec->atime = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

int64_t atimes_mark(const struct ns_inode *inode)
{
    return atomic_load_explicit(&inode->atime_ns, memory_order_acquire);
}

void atimes_passed(struct ns_inode *inode, int64_t mark)
{
    atomic_compare_exchange_strong(&inode->atime_ns, &mark, 0);
}

void atimes_note(struct atimes *atimes, struct ns_inode *inode, struct timespec now)
{
    atomic_store_explicit(&inode->atime_ns, (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                          memory_order_release);
    if (inode_is_unlinked(inode) || atomic_exchange(&inode->atime_queued, true))
        return;
    atimes_lock(atimes);
    bool queued = atimes->count < ATIMES_MAX;
    if (queued) {
        inode_ref(inode);
        inode->atime_next = atimes->list;
        atimes->list = inode;
        if (atimes->count++ == 0)
            pthread_cond_broadcast(&atimes->changed);
    }
    atimes_unlock(atimes);
    if (!queued)
        atomic_store(&inode->atime_queued, false);
}

void atimes_wait(struct atimes *atimes)
{
    atimes_lock(atimes);
    atimes->hurry++;
    pthread_cond_broadcast(&atimes->changed);
    while (atimes->list || atimes->working)
        pthread_cond_wait(&atimes->changed, &atimes->mutex);
    atimes->hurry--;
    atimes_unlock(atimes);
}

// ------------------------------------------------------------------------------- the thread

// Lets more come; mutex held.
static void linger(struct atimes *atimes) REQUIRES(atimes_mutex)
{
    uint64_t until_us = clock_us() + ATIMES_DELAY_US;
    for (uint64_t now; (now = clock_us()) < until_us && !atimes->stopping && !atimes->hurry;)
        cond_wait_us(&atimes->changed, &atimes->mutex, until_us - now);
}

struct ns_inode *atimes_take(struct atimes *atimes)
{
    atimes_lock(atimes);
    if (atimes->working)
        pthread_cond_broadcast(&atimes->changed);
    atimes->working = false;
    while (!atimes->list && !atimes->stopping)
        pthread_cond_wait(&atimes->changed, &atimes->mutex);
    if (atimes->list)
        linger(atimes);
    struct ns_inode *list = atimes->list;
    assert(!list == !atimes->count);
    atimes->list = NULL;
    atimes->count = 0;
    atimes->working = list;
    atimes_unlock(atimes);
    return list;
}

struct ns_inode *atimes_next(struct ns_inode *inode)
{
    struct ns_inode *next = inode->atime_next;
    assert(inode->atime_queued);
    // A time that is noted from now on puts the inode on the list again.
    atomic_store(&inode->atime_queued, false);
    return next;
}

void atimes_stop(struct atimes *atimes)
{
    atimes_lock(atimes);
    atimes->stopping = true;
    pthread_cond_broadcast(&atimes->changed);
    atimes_unlock(atimes);
}
