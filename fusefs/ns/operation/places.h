// Places: keys that tell where an inode's entries are, if that does not follow from the prefix
// alone. A directory away from home has one place; a file whose record is at 'I' has one for each
// of its names.
//
// A place is written in the same batch as its entry, since FEATURE_PLACES; a store that an older
// version has made may lack some. So readers compare places with the entries and with the link
// count. Where these do not fit, all entries of the store are read once instead.
//
// Thread safety: as of the operation; `struct paths` belongs to one thread.
#ifndef NS_PLACES_H
#define NS_PLACES_H

#include "ns/operation/ns_internal.h"

// Add to the batch that the inode has (or does not have any more) an entry `name` in the directory
// that owns `prefix`. 0 or -errno.
int place_add(struct ns *ns, struct op *op, uint64_t ino, struct slice prefix, struct slice name);
int place_remove(struct op *op, uint64_t ino, struct slice prefix, struct slice name);

// ---- paths of entries as of a snapshot

struct stray {
    uint64_t ino;
    size_t key;
    uint32_t key_size;
};

struct paths {
    struct lsm *db;
    const struct lsm_snapshot *snapshot;
    struct lsm_buf raw;
    struct buf prefix, path; // of the directory that was asked for last
    bool known;              // these two are filled in
    // All entries that have or should have a place, by inode number: filled when one is missing.
    bool all_read;
    struct stray *strays;
    size_t stray_count, stray_capacity;
    struct buf stray_keys;
};
void paths_init(struct paths *paths, struct lsm *db, const struct lsm_snapshot *snapshot);
void paths_release(struct paths *paths);

// The path of an entry: absolute, terminated; replaces the bytes of `out`. 0; -EIO: the keys of the
// store do not fit together; or another errno.
int paths_entry(struct paths *paths, struct slice prefix, struct slice name, struct buf *out);

// Calls `fn` with the key of each entry of an inode that has places; there should be `count` of
// them. 0, what fn returned, or -errno.
typedef int place_fn(void *arg, struct slice entry_key);
int paths_places(struct paths *paths, uint64_t ino, uint32_t count, place_fn *fn, void *arg);

#endif
