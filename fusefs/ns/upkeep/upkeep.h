// The threads of the background: reclaiming, defragmentation, times of access.
#ifndef NS_UPKEEP_H
#define NS_UPKEEP_H

struct ns;

int upkeep_start(struct ns *ns); // 0 or -errno; upkeep_stop() in any case
void upkeep_stop(struct ns *ns);

#endif
