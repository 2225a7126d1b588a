// Times of access that were moved by reading. A read must not wait for a write, and a write for
// each first read of a file would cost more than the read; so the new time is kept in the live
// inode, where everybody who loads the record finds it (atimes_apply), and a thread writes it to
// the store within about a second. Whatever else stores the record meanwhile stores the time with
// it. A crash loses the times of the last second.
//
// An inode with a time to be written is on a list and has a reference, at most ATIMES_MAX of them:
// while the store stalls, memory must not grow with what is read. Beyond that a time lasts only as
// long as the inode is live. One that cannot be written (a full disk) stays in memory in the same
// way. Files without names keep theirs in memory: nobody will see them again.
//
// Invariants: inode->atime_ns is the time to show, 0 if it is the record's; inode->atime_queued
// says that it is on the list, or just being taken from it. Locks: the list's mutex, a leaf, not
// held during engine calls; to write, the inode's lock, exclusively.
#include "ns/inodes/atimes.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/cond.h"
#include "ns/operation/ns_internal.h"

#define ATIMES_MAX      65536u
#define ATIMES_DELAY_US 1000000u

struct atimes {
    struct ns *ns;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct ns_inode *list; // mutex, as all below; linked by atime_next
    unsigned count;
    unsigned hurry; // how many callers wait for an empty list
    bool working, stopping;
};

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
    pthread_mutex_lock(&atimes->mutex);
    bool queued = atimes->count < ATIMES_MAX;
    if (queued) {
        ns_inode_ref(inode);
        inode->atime_next = atimes->list;
        atimes->list = inode;
        if (atimes->count++ == 0)
            pthread_cond_broadcast(&atimes->changed);
    }
    pthread_mutex_unlock(&atimes->mutex);
    if (!queued)
        atomic_store(&inode->atime_queued, false);
}

static int write_locked(struct ns *ns, struct op *op, struct ns_inode *inode, int64_t mark)
{
    if (inode_is_unlinked(inode))
        return -ENOENT;
    struct pathkey key;
    struct record *rec = &op->file.rec;
    inode_record_key(inode, &key);
    int rc = op_load_key(ns, &key, &op->file);
    if (rc)
        return rc;
    struct timespec stored = rec->atime;
    atimes_apply(inode, rec);
    if (stored.tv_sec != rec->atime.tv_sec || stored.tv_nsec != rec->atime.tv_nsec) {
        rc = op_store_key(op, &key, rec);
        if (!rc)
            rc = op_commit(ns, op);
    }
    if (!rc)
        atimes_passed(inode, mark);
    return rc;
}

static void write_one(struct ns *ns, struct ns_inode *inode)
{
    struct op *op = op_begin(ns);
    if (!op)
        return;
    struct inode_lock lock;
    inode_lock(&ns->table.locks, &lock, inode->ino, true);
    int64_t mark = atimes_mark(inode);
    if (mark)
        (void)write_locked(ns, op, inode, mark); // on failure the time stays in memory
    inode_unlock(&ns->table.locks, &lock);
    op_end(ns, op);
}

static void write_list(struct ns *ns, struct ns_inode *list)
{
    while (list) {
        struct ns_inode *inode = list;
        list = inode->atime_next;
        // A time that is noted from now on puts the inode on the list again.
        atomic_store(&inode->atime_queued, false);
        write_one(ns, inode);
        ns_inode_put(ns, inode, 1);
    }
}

// Lets more come; mutex held.
static void linger(struct atimes *atimes)
{
    uint64_t until_us = clock_us() + ATIMES_DELAY_US;
    for (uint64_t now; (now = clock_us()) < until_us && !atimes->stopping && !atimes->hurry;)
        cond_wait_us(&atimes->changed, &atimes->mutex, until_us - now);
}

static void *atimes_thread(void *arg)
{
    struct atimes *atimes = arg;
    pthread_mutex_lock(&atimes->mutex);
    while (atimes->list || !atimes->stopping) {
        if (!atimes->list) {
            pthread_cond_wait(&atimes->changed, &atimes->mutex);
            continue;
        }
        linger(atimes);
        struct ns_inode *list = atimes->list;
        atimes->list = NULL;
        atimes->count = 0;
        atimes->working = true;
        pthread_mutex_unlock(&atimes->mutex);
        write_list(atimes->ns, list);
        pthread_mutex_lock(&atimes->mutex);
        atimes->working = false;
        pthread_cond_broadcast(&atimes->changed);
    }
    pthread_mutex_unlock(&atimes->mutex);
    return NULL;
}

int atimes_start(struct ns *ns, struct atimes **ret_atimes)
{
    struct atimes *atimes = calloc(1, sizeof *atimes);
    if (!atimes)
        return -ENOMEM;
    atimes->ns = ns;
    pthread_mutex_init(&atimes->mutex, NULL);
    cond_init(&atimes->changed);
    int error = pthread_create(&atimes->thread, NULL, atimes_thread, atimes);
    if (error) {
        free(atimes);
        return -error;
    }
    pthread_setname_np(atimes->thread, "lsmfs-atimes");
    *ret_atimes = atimes;
    return 0;
}

void atimes_stop(struct atimes *atimes)
{
    if (!atimes)
        return;
    pthread_mutex_lock(&atimes->mutex);
    atimes->stopping = true;
    pthread_cond_broadcast(&atimes->changed);
    pthread_mutex_unlock(&atimes->mutex);
    pthread_join(atimes->thread, NULL);
    pthread_cond_destroy(&atimes->changed);
    pthread_mutex_destroy(&atimes->mutex);
    free(atimes);
}

void atimes_wait(struct atimes *atimes)
{
    if (!atimes)
        return;
    pthread_mutex_lock(&atimes->mutex);
    atimes->hurry++;
    pthread_cond_broadcast(&atimes->changed);
    while (atimes->list || atimes->working)
        pthread_cond_wait(&atimes->changed, &atimes->mutex);
    atimes->hurry--;
    pthread_mutex_unlock(&atimes->mutex);
}
