// Where a thread's time went: the waits that an operation may meet, added up by thread. Whoever
// waits adds the time; whoever serves an operation compares before and after. A wait costs two
// looks at the clock, and what does not wait nothing.
#ifndef LSM_BASE_STAGE_H
#define LSM_BASE_STAGE_H

#include <stdint.h>

enum stage {
    STAGE_LOCK,   // for an inode's lock
    STAGE_QUEUE,  // for other writes in the store's queue
    STAGE_STALL,  // because the store has to flush or compact first
    STAGE_READ,   // reading a file of the store
    STAGE_SYNC,   // for what syncs the log
    STAGE_KERNEL, // for the kernel to take a reply
    STAGES
};

extern _Thread_local uint64_t stage_ns[STAGES];

uint64_t stage_begin(void); // the time
void stage_end(enum stage stage, uint64_t began);

#endif
