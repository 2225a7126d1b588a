// Background reclaiming of the space of files without names, and of what truncations cut off.
#ifndef NS_RECLAIM_H
#define NS_RECLAIM_H

#include <stdint.h>

#include "lsm.h"
#include "ns/keys/pathkey.h"

struct ns;
struct reclaim;

// Starts the thread and queues the orphans and tails the last session left. 0 or a negative errno.
int reclaim_start(struct ns *ns, struct reclaim **ret_reclaim);
// Stops after the batch under way; what is left is found at the next start. NULL is legal.
void reclaim_stop(struct reclaim *reclaim);
// Queues the orphan `ino`, which nobody refers to any more. Never fails: what cannot be queued is
// found at the next start.
void reclaim_queue(struct reclaim *reclaim, uint64_t ino);
// Queues the tail of the file `ino`. Likewise.
void reclaim_queue_tail(struct reclaim *reclaim, uint64_t ino);
// Waits until the queue is empty; the error if the last attempt failed.
int reclaim_wait(struct reclaim *reclaim);
// Adds deletions of up to `most` keys in the range to the batch; *ret_count tells how many. An
// lsm_status.
int reclaim_keys(struct ns *ns, struct lsm_batch *batch, const struct pathkey *lower,
                 const struct pathkey *upper, unsigned most, unsigned *ret_count);

#endif
