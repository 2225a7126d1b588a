// Which listings the kernel is not to keep.
//
// With the write-back cache the kernel forgets how many blocks a file has whenever the file is
// closed (fuse_flush: STATX_BLOCKS), and its time of access whenever it is read. Whoever then asks
// for attributes costs a GETATTR for each file, where one READDIRPLUS would bring those of a whole
// directory; but a listing that the kernel has kept is no READDIRPLUS. So of directories whose
// files are read, or asked for after they were used, the kernel is made to forget the listing. If
// they were asked for although nobody had read them since the last listing, closing them has made
// them stale, which is not seen here: then the next few listings are forgotten too as soon as they
// end, twice as many each time it happens again. Where names and attributes are only looked at
// nothing is forgotten.
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
