// Merging the small extents of badly fragmented files in the background. See defrag.c.
#ifndef NS_DEFRAG_H
#define NS_DEFRAG_H

#include <stdbool.h>
#include <stdint.h>

struct ns;
struct ns_inode;
struct defrag;

int defrag_start(struct ns *ns, struct defrag **ret_defrag); // 0 or -errno
void defrag_stop(struct defrag *defrag);                     // NULL is legal

// Notes that `count` short pieces were written to the file. Cheap: only every 64th note of an inode
// takes a lock. `defrag` may be NULL (read-only).
void defrag_note(struct defrag *defrag, struct ns_inode *inode, unsigned count);

// Waits until every file that was noted often enough has been looked at, without the usual delay.
int defrag_wait(struct defrag *defrag);

#endif
