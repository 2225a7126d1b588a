// The log of slow requests.
#ifndef LSMFS_MOUNT_SLOW_H
#define LSMFS_MOUNT_SLOW_H

#include "mount/counts.h"

// Logs a request that took `ns`: what it was, on which path, where its time went. At most ten lines
// a second; how many were left out is said with the next.
void slow_note(struct lsmfs *fs, const struct counted *counted, uint64_t ns);

#endif
