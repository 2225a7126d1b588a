// The thread that reclaims the space of files without names, and of what truncations cut off.
#ifndef NS_RECLAIM_H
#define NS_RECLAIM_H

struct ns;
struct reclaim;

// Starts the thread and queues the orphans and tails the last session left. 0 or a negative errno.
int reclaim_start(struct ns *ns, struct reclaim **ret_reclaim);
// Queues all orphans and tails of the store. 0 or a negative errno.
int reclaim_leftovers(struct ns *ns);
// Stops after the batch under way; what is left is found at the next start. NULL is legal.
void reclaim_stop(struct reclaim *reclaim);

#endif
