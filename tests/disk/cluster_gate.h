// A gate in front of the simulated cluster: it holds up a write of bytes until the test lets it go
// on, and counts who waits, so that threads meet without anybody sleeping. For one client at a
// time.
#ifndef TESTS_DISK_CLUSTER_GATE_H
#define TESTS_DISK_CLUSTER_GATE_H

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "disk/fake_cluster.h"
#include "quick_check.h"

static struct {
    struct cluster_ops ops;
    const struct cluster_ops *plain;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool hold;        // the next write of bytes; the mutex guards what follows
    const char *text; // NULL, or: that has this in its bytes
    int error;        // of the next write of bytes after that; 0: none
    unsigned waiting; // threads that wait for some write
    unsigned passed;  // writes of bytes that were not held up
    struct cluster *cluster;
    struct cluster_write held; // of one piece
    struct iovec piece;
    struct cluster_pair pair;
    cluster_done_fn *done; // NULL: none is held up
    void *arg;
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static inline bool gate_is_meant(const struct cluster_write *write)
{
    return gate.hold && (!gate.text || memmem(write->pieces[0].iov_base, write->pieces[0].iov_len,
                                              gate.text, strlen(gate.text)));
}

// Holds up the next write with `text` in its bytes.
static inline void gate_hold(const char *text)
{
    pthread_mutex_lock(&gate.mutex);
    gate.hold = true;
    gate.text = text;
    pthread_mutex_unlock(&gate.mutex);
}

// Until a write is held up.
static inline void gate_has(void)
{
    pthread_mutex_lock(&gate.mutex);
    while (!gate.done)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

// What a held write needs is the caller's until it is told: it waits for that.
static inline void gate_write(struct cluster *cluster, const struct cluster_write *write,
                              cluster_done_fn *done, void *arg)
{
    bool holds = false;
    int error = 0;
    pthread_mutex_lock(&gate.mutex);
    if (write->piece_count && gate_is_meant(write)) {
        ck_assert_int_eq(write->piece_count, 1);
        gate.hold = false;
        holds = true;
        gate.cluster = cluster;
        gate.held = *write;
        gate.piece = write->pieces[0];
        gate.held.pieces = &gate.piece;
        if (write->attribute_count) {
            gate.pair = write->attributes[0];
            gate.held.attributes = &gate.pair;
        }
        gate.done = done;
        gate.arg = arg;
    } else if (write->piece_count) {
        gate.passed++;
        error = gate.error;
        gate.error = 0;
    }
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
    if (error)
        done(arg, error);
    else if (!holds)
        gate.plain->write_begin(cluster, write, done, arg);
}

// Lets the held write go on, or answers it with `error`.
static inline void gate_open(int error)
{
    pthread_mutex_lock(&gate.mutex);
    cluster_done_fn *done = gate.done;
    gate.done = NULL;
    pthread_mutex_unlock(&gate.mutex);
    ck_assert_ptr_nonnull(done);
    if (error)
        done(gate.arg, error);
    else
        gate.plain->write_begin(gate.cluster, &gate.held, done, gate.arg);
}

static inline void gate_unheard(void *arg, int result)
{
    (void)arg;
    ck_assert_int_eq(result, 0);
}

// Does the held write, and answers it as if nobody knew.
static inline void gate_lose(void)
{
    gate.plain->write_begin(gate.cluster, &gate.held, gate_unheard, NULL);
    gate_open(-ETIMEDOUT);
}

static inline void gate_wait(struct cluster *cluster, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    (void)cluster;
    pthread_mutex_lock(&gate.mutex);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
    pthread_cond_wait(cond, mutex);
    pthread_mutex_lock(&gate.mutex);
    gate.waiting--;
    pthread_mutex_unlock(&gate.mutex);
}

// Until so many threads wait, and so many writes have passed.
static inline void meet(unsigned waiting, unsigned passed)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.waiting < waiting || gate.passed < passed)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    ck_assert_uint_eq(gate.passed, passed);
    pthread_mutex_unlock(&gate.mutex);
}

static inline int open_gated(void *arg, const char *pool, const char *name,
                             struct cluster **ret_cluster, const char **ret_text)
{
    int rc = fake_process_open(arg, pool, name, ret_cluster, ret_text);
    gate.plain = (*ret_cluster)->ops;
    gate.ops = *gate.plain;
    gate.ops.write_begin = gate_write;
    gate.ops.wait = gate_wait;
    (*ret_cluster)->ops = &gate.ops;
    return rc;
}

#endif
