// What the manifest says of one table, shared by all versions that contain it.
#ifndef LSM_VERSION_FILE_META_H
#define LSM_VERSION_FILE_META_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/lock_check.h"
#include "base/slice.h"
#include "blob/blob_store.h"
#include "lsm.h"
#include "version/kept.h"

struct sst_reader;

extern struct lock_role table_cache_mutex; // of the table cache; a leaf
extern struct lock_role db_mutex;          // of the store that has the table (db/db_roles.h)

struct file_meta {
    // Set once, before the struct is shared, except for the reader.
    struct slice smallest, largest;      // user keys, in this allocation
    _Atomic(struct sst_reader *) reader; // the open table or NULL; owned by the table cache:
                                         // stored with release under its lock, loaded with acquire
                                         // while pinned
    uint64_t number;
    uint64_t size;
    uint64_t entries;
    uint64_t deletes;
    uint64_t raw_bytes;
    uint64_t max_sequence; // orders level 0
    uint64_t smallest_tag, largest_tag;
    struct blob_ref *blobs; // blob files it points into, by number; owned. Their `file` is
    size_t blob_count;      // NULL until the owner has looked it up
    uint64_t blob_bytes;    // the sum of the bytes that it references in them

    struct kept_range *kept; // what only snapshots need, as the table was written; owned
    size_t kept_count;
    uint64_t kept_bytes; // the sum of their bytes

    _Atomic uint32_t refs;                    // versions (and edits in flight) that hold it
    _Atomic uint32_t used;                    // mark of recent use, for the table cache's eviction
    bool compacting GUARDED_BY(db_mutex);     // a running compaction has it as input
    uint64_t dead_bytes GUARDED_BY(db_mutex); // of `kept`, whose snapshots are gone
    _Atomic bool obsolete;                    // no later version has it: its file may be removed
    void *cache_slot GUARDED_BY(table_cache_mutex);             // the table cache's own
    void *owner;                                                // passed to the hook below
    void (*on_last_unref)(struct file_meta *file, void *owner); // closes the reader, schedules the
                                                                // file's removal; may be NULL
};

// One reference, the caller's; all else zero. Keys are copied. NULL if out of memory (the detail is
// set).
struct file_meta *file_meta_new(struct slice smallest, struct slice largest);
// Copies what the table references of blob files. 0 or LSM_NO_MEMORY. Before the struct is shared.
int file_meta_set_blobs(struct file_meta *file, const struct blob_ref *blobs, size_t count);
// The same for the ranges of snapshots that it keeps versions for (kept.h).
int file_meta_set_kept(struct file_meta *file, const struct kept_range *kept, size_t count);
void file_meta_ref(struct file_meta *file);
// The last reference calls the hook and frees the struct. The hook finds the struct intact but must
// not take a reference. It may run in an epoch callback, so it must not wait for anything that
// takes long.
void file_meta_unref(struct file_meta *file);

// Over half of the entries are deletes: worth compacting even when no level is too large.
static inline bool file_meta_tombstone_heavy(const struct file_meta *file)
{
    return file->deletes > file->entries - file->deletes;
}

#endif
