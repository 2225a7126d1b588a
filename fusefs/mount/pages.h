// What the kernel's page cache may hold of a file that is also written directly (O_DIRECT).
//
// The kernel drops a range's pages before it sends a direct WRITE. A reader may bring them back, as
// they were, until the WRITE is served; after an asynchronous write nothing drops them again, and
// pages live as long as the file does. So after a direct WRITE of a file of which there may be
// pages the range is dropped once more, before the reply. Files that are only used directly pay
// nothing.
//
// State: a word of the inode. NONE: there are no pages. CACHED: a READ or WRITE of pages has been
// served; with it a count of the direct WRITEs since. When that is long enough, all pages of the
// file are dropped (DROPPING), and it is NONE again.
//
// A reader sets the word before it reads the store; a writer looks at it after its commit. So if
// the read came first the writer sees it, and if not the reader has the new bytes. A READ that is
// being served has its pages locked in the kernel: dropping pages waits for it. Thread safety: any
// thread, but pages_drop() is for a thread that serves no requests, and one at a time.
#ifndef LSMFS_MOUNT_PAGES_H
#define LSMFS_MOUNT_PAGES_H

#include <stdbool.h>

#include "mount/lsmfs.h"

// Before a READ or WRITE of pages is served.
void pages_cached(struct ns_inode *inode);

// After a direct WRITE has been committed: whether there may be pages of the file. Then
// pages_drop() has to be called before the reply.
bool pages_may_be_stale(struct ns_inode *inode);

// Drops the pages of [offset, offset + size). True: pages_drop_all() is due, after the reply.
bool pages_drop(struct lsmfs *fs, struct ns_inode *inode, uint64_t offset, uint64_t size);
void pages_drop_all(struct lsmfs *fs, struct ns_inode *inode);

#endif
