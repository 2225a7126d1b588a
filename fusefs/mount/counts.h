// Counting requests: by operation how many, how long they took, how many failed, and bytes; and
// what is being served now. Each thread counts for itself, in memory that no other one writes to.
// Where `slow_ms` is set, who took longer is logged (slow.h).
#ifndef LSMFS_MOUNT_COUNTS_H
#define LSMFS_MOUNT_COUNTS_H

#include <sys/uio.h>

#include "base/waits.h"
#include "commands/figures.h"
#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

#define COUNTS_NAME 256u

// One request being served; on the stack of who serves it.
struct counted {
    struct counted *outer; // the one in whose service this one is served
    struct counts *counts; // the thread's; NULL: there was no memory
    unsigned op;
    uint64_t nodeid;
    uint64_t start_ns;
    uint64_t waits[WAITS];  // the thread's, before the request
    char name[COUNTS_NAME]; // the request's, if it has one and slow ones are logged
};

// When requests begin to be served. `fs` outlives them.
void counts_start(struct lsmfs *fs);

// Before and after a request is served, its reply included, by the thread that read it.
void counts_begin(struct counted *counted, const struct fuse_buf *buf);
void counts_end(struct counted *counted);

// A reply on its way out, by any thread.
void counts_reply(const struct iovec *iov);

// What has been counted by now. Any thread.
void counts_figures(struct lsmfs *fs, struct mount_figures *ret_figures);

#endif
