// The queue of reclaiming. See reclaim_queue.h.
//
// Many orphans are reclaimed with one batch, so the thread waits a little for more than one.
#include "ns/inodes/reclaim_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/cond.h"
#include "base/lock_check.h"

#define GATHER_US 3000u
#define PAUSE_US  1000000u // after a failure that may pass

extern struct lock_role reclaim_mutex;

struct reclaim_queue {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct reclaim_job *jobs GUARDED_BY(reclaim_mutex);
    size_t count GUARDED_BY(reclaim_mutex);
    size_t capacity GUARDED_BY(reclaim_mutex);
    size_t taken GUARDED_BY(reclaim_mutex); // that the thread works on
    bool stopping GUARDED_BY(reclaim_mutex);
    bool idle GUARDED_BY(reclaim_mutex);        // the thread waits for a first job
    unsigned waiters GUARDED_BY(reclaim_mutex); // of reclaim_queue_wait(); nothing is put off then
    int last_rc GUARDED_BY(reclaim_mutex);      // of the last attempt; a negative errno
};

LOCK_FUNCTIONS(queue, struct reclaim_queue, mutex, reclaim_mutex)

struct reclaim_queue *reclaim_queue_new(void)
{
    struct reclaim_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return NULL;
    pthread_mutex_init(&queue->mutex, NULL);
    cond_init(&queue->changed);
    return queue;
}

// Nobody else has the queue any more.
NOT_CHECKED void reclaim_queue_free(struct reclaim_queue *queue)
{
    if (!queue)
        return;
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    free(queue->jobs);
    free(queue);
}

void reclaim_queue_add(struct reclaim_queue *queue, struct reclaim_job job)
{
    queue_lock(queue);
    // Room is kept free for the jobs that the thread works on, which may have to be queued again.
    if (array_reserve(&queue->jobs, &queue->capacity, queue->count + RECLAIM_AT_ONCE + 1,
                      sizeof *queue->jobs))
        queue->jobs[queue->count++] = job;
    if (queue->idle || queue->count == RECLAIM_AT_ONCE)
        pthread_cond_broadcast(&queue->changed);
    queue_unlock(queue);
}

static bool is_passing(int rc)
{
    return rc == -ENOSPC || rc == -ENOMEM || rc == -ENFILE || rc == -EAGAIN;
}

int reclaim_queue_wait(struct reclaim_queue *queue)
{
    queue_lock(queue);
    queue->waiters++;
    pthread_cond_broadcast(&queue->changed);
    while ((queue->count || queue->taken) && !is_passing(queue->last_rc))
        pthread_cond_wait(&queue->changed, &queue->mutex);
    queue->waiters--;
    int rc = queue->last_rc;
    queue_unlock(queue);
    return rc;
}

// ------------------------------------------------------------------------------- the thread

// Waits for a job, and then a little longer, because more jobs often follow. Mutex held.
static void wait_for_jobs(struct reclaim_queue *queue) REQUIRES(reclaim_mutex)
{
    if (queue->count == 0) {
        queue->idle = true;
        while (queue->count == 0 && !queue->stopping)
            pthread_cond_wait(&queue->changed, &queue->mutex);
        queue->idle = false;
    }
    if (queue->count < RECLAIM_AT_ONCE && !queue->waiters && !queue->stopping)
        cond_wait_us(&queue->changed, &queue->mutex, GATHER_US);
}

bool reclaim_queue_take(struct reclaim_queue *queue, struct reclaim_job jobs[RECLAIM_AT_ONCE],
                        size_t *ret_count)
{
    size_t taken = 0;
    bool goes_on = true;
    queue_lock(queue);
    assert(queue->taken == 0);
    wait_for_jobs(queue);
    while (goes_on && !queue->stopping && queue->count && taken < RECLAIM_AT_ONCE) {
        struct reclaim_job job = queue->jobs[queue->count - 1];
        if (job.is_tail && taken)
            break;
        jobs[taken++] = job;
        queue->count--;
        goes_on = !job.is_tail;
    }
    queue->taken = taken;
    queue_unlock(queue);
    *ret_count = taken;
    return taken > 0;
}

void reclaim_queue_done(struct reclaim_queue *queue, const struct reclaim_job *jobs, size_t count,
                        int rc)
{
    queue_lock(queue);
    assert(count <= queue->taken);
    assert(queue->count + count <= queue->capacity); // reclaim_queue_add() keeps that free
    while (is_passing(rc) && count)
        queue->jobs[queue->count++] = jobs[--count];
    queue->taken = 0;
    queue->last_rc = rc;
    pthread_cond_broadcast(&queue->changed);
    if (is_passing(rc) && !queue->stopping)
        cond_wait_us(&queue->changed, &queue->mutex, PAUSE_US);
    queue_unlock(queue);
}

bool reclaim_queue_is_stopping(struct reclaim_queue *queue)
{
    queue_lock(queue);
    bool stopping = queue->stopping;
    queue_unlock(queue);
    return stopping;
}

void reclaim_queue_stop(struct reclaim_queue *queue)
{
    queue_lock(queue);
    queue->stopping = true;
    pthread_cond_broadcast(&queue->changed);
    queue_unlock(queue);
}
