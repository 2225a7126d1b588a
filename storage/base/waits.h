// Where a thread's time went: the waits that an operation may meet, added up by thread. Whoever
// waits adds the time; whoever serves an operation compares before and after. A wait costs two
// looks at the clock, and what does not wait nothing.
#ifndef LSM_BASE_WAITS_H
#define LSM_BASE_WAITS_H

#include <stdint.h>

#include "base/clock.h"

enum wait {
    WAIT_LOCK,   // for an inode's lock
    WAIT_QUEUE,  // for other writes in the store's queue
    WAIT_STALL,  // because the store has to flush or compact first
    WAIT_READ,   // reading a file of the store
    WAIT_SYNC,   // for what syncs the log
    WAIT_KERNEL, // for the kernel to take a reply
    WAITS
};

extern _Thread_local uint64_t wait_ns[WAITS];

// `began`: clock_ns() before the wait.
void wait_end(enum wait wait, uint64_t began);

#endif
