// Background reclaiming of the space of files without names.
#ifndef NS_RECLAIM_H
#define NS_RECLAIM_H

#include <stdint.h>

struct ns;
struct reclaim;

// Starts the thread and queues the orphans the last session left. 0 or a negative errno.
int reclaim_start(struct ns *ns, struct reclaim **ret_reclaim);
// Stops after the batch under way; what is left is found at the next start. NULL is legal.
void reclaim_stop(struct reclaim *reclaim);
// Queues the orphan `ino`, which nobody refers to any more. Never fails: what cannot be queued is
// found at the next start.
void reclaim_queue(struct reclaim *reclaim, uint64_t ino);
// Waits until the queue is empty; the error if the last attempt failed.
int reclaim_wait(struct reclaim *reclaim);

#endif
