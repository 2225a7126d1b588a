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

// Whoever changes content in [from, to) says so, with the inode's exclusive lock held and before
// the change: a cell that is being merged is then left as it is. A few loads. NULL is legal.
void defrag_changed(struct defrag *defrag, uint64_t ino, uint64_t from, uint64_t to);

// Waits until every file that was noted often enough has been looked at, without the usual delay.
int defrag_wait(struct defrag *defrag);

#endif
