// What is to be reclaimed in the background: numbers of orphans, and of files with a tail. Filled
// by who gives back a last reference or cuts a file, emptied by one thread (reclaim.c).
//
// Thread safety: any thread adds and waits; one takes. Lock: the queue's mutex, a leaf.
#ifndef NS_RECLAIM_QUEUE_H
#define NS_RECLAIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECLAIM_AT_ONCE 64u // jobs that are taken together, at most

struct reclaim_queue;

struct reclaim_job {
    uint64_t ino;
    bool is_tail; // of a file; else an orphan
};

struct reclaim_queue *reclaim_queue_new(void); // NULL: no memory
void reclaim_queue_free(struct reclaim_queue *queue);

// Never fails: what cannot be queued is found at the next start.
void reclaim_queue_add(struct reclaim_queue *queue, struct reclaim_job job);

// Waits until the queue is empty; the error if the last attempt failed.
int reclaim_queue_wait(struct reclaim_queue *queue);

// ---- for the thread

// Waits for jobs and takes a tail, or several orphans. False: the thread is to end.
bool reclaim_queue_take(struct reclaim_queue *queue, struct reclaim_job jobs[RECLAIM_AT_ONCE],
                        size_t *ret_count);
// The attempt has ended with `rc`, `count` jobs are left. After a full disk, and what else may
// pass, they are queued again, and the call lasts a second; after other failures they stay for the
// next start.
void reclaim_queue_done(struct reclaim_queue *queue, const struct reclaim_job *jobs, size_t count,
                        int rc);
bool reclaim_queue_is_stopping(struct reclaim_queue *queue);
void reclaim_queue_stop(struct reclaim_queue *queue); // the thread is to end

#endif
