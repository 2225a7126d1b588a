// Which listings the kernel is not to keep.
//
// With the write-back cache the kernel forgets how many blocks a file has whenever the file is
// closed (fuse_flush: STATX_BLOCKS), and its time of access whenever the file is read. Who then
// asks for the attributes of a directory's files costs a GETATTR for each file. One READDIRPLUS
// would bring those of a whole directory; but while the kernel keeps a listing, it sends no
// READDIRPLUS. So the kernel is made to forget the listings of some directories:
//  - if files of the directory are read, or attributes of several are asked for: once;
//  - if the attributes were asked for although no file was read since the last listing: closing the
//    files must have made the attributes stale, and no request tells of that. Then the next few
//    listings are forgotten too, as soon as they end; twice as many each time this happens again.
// Where names and attributes are only looked at nothing is forgotten.
//
// State: the word of the directory (ns_dir_word). Only where the kernel keeps listings
// (fs->no_opendir). Thread safety: any thread.
#ifndef LSMFS_MOUNT_RELIST_H
#define LSMFS_MOUNT_RELIST_H

#include "mount/lsmfs.h"

// A READ from the beginning (is_read), or a GETATTR, of a regular file.
void relist_used(struct lsmfs *fs, struct ns_inode *file, bool is_read);

// A listing of the directory begins with a request, and its end has been told.
void relist_begins(struct lsmfs *fs, struct ns_inode *dir);
void relist_ends(struct lsmfs *fs, struct ns_inode *dir);

#endif
