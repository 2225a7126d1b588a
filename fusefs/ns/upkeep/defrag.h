// The thread that merges the small extents of badly fragmented files. See defrag.c.
#ifndef NS_DEFRAG_H
#define NS_DEFRAG_H

struct ns;
struct defrag;

int defrag_start(struct ns *ns, struct defrag **ret_defrag); // 0 or -errno
void defrag_stop(struct defrag *defrag);                     // NULL is legal

#endif
