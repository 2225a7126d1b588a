// The space behind unwritten ranges (unwritten.h): as many bytes of the disk are kept for them, by
// the engine, in a file that other writes and other programs cannot take (lsm_hold_space). Where
// the file system below cannot allocate, they are only counted: nobody else is kept from the space.
//
// Threads: everything may be called from any thread. Lock: its own mutex, a leaf but for the
// engine.
#ifndef NS_PROMISE_H
#define NS_PROMISE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock_check.h"

struct ns;

extern struct lock_role promise_mutex;

struct promise {
    pthread_mutex_t mutex;
    _Atomic int64_t unwritten;                   // the sum of all unwritten ranges, as committed
    uint64_t pending GUARDED_BY(promise_mutex);  // of fallocates under way
    uint64_t spending GUARDED_BY(promise_mutex); // of writes under way that have been given space
    _Atomic uint64_t held;                       // of the disk, written under mutex
    // The superblock says that there may be unwritten ranges.
    bool is_marked GUARDED_BY(promise_mutex);
};

void promise_init(struct ns *ns);
void promise_release(struct ns *ns);

// At open, if changes are possible: `unwritten` bytes are promised. Holds them, as far as there is
// room.
void promise_open(struct ns *ns, uint64_t unwritten);

// Before `bytes` are promised: -ENOSPC if that is more than is available. promise_end follows, when
// they have been committed or not.
int promise_begin(struct ns *ns, uint64_t bytes);
void promise_end(struct ns *ns, uint64_t bytes);

// After a commit: so many bytes more are unwritten, or fewer.
void promise_changed(struct ns *ns, int64_t bytes);

// On a full disk, before `bytes` of what is promised are written: gives that much of the disk back.
// promise_spent follows, when they have been committed or not.
void promise_spend(struct ns *ns, uint64_t bytes);
void promise_spent(struct ns *ns, uint64_t bytes);

// lsm_space(), less what is promised and the disk below shows as free. An lsm_status.
int promise_space(struct ns *ns, uint64_t *ret_free, uint64_t *ret_available, uint64_t *ret_total);

#endif
