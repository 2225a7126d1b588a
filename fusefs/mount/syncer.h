// fsync for many at once.
#ifndef LSMFS_MOUNT_SYNCER_H
#define LSMFS_MOUNT_SYNCER_H

#include "mount/fuse_api.h"
#include "mount/lsmfs.h"

struct syncer;

int syncer_new(struct lsmfs *fs, struct syncer **ret_syncer); // 0 or a negative errno
void syncer_free(struct syncer *syncer);                      // NULL is legal; no request is left

// Replies once all that was written to the store before the call is durable; perhaps on another
// thread, and after the call has returned.
void syncer_sync(struct syncer *syncer, fuse_req_t req);

#endif
