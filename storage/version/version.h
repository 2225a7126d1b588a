// A version: which tables make up the store at one moment. Immutable once built.
//
// Level 0 holds flushed memtables, newest first, which may overlap; levels 1 and up are sorted runs
// of tables that do not.
//
// In a sorted run, tables are disjoint as ranges of (key, tag). Two neighbours may hold versions of
// one user key: then it is the largest key of the first table and the smallest of the second, and
// the first has the newer versions. A point get that finds no visible version in the first goes on
// to the second (version_next_shares); compactions always take both (compact_pick.h).
#ifndef LSM_VERSION_VERSION_H
#define LSM_VERSION_VERSION_H

#include "entry/iter.h"
#include "version/file_meta.h"
#include "version/snapshot_set.h"

#define VERSION_LEVELS 7

struct version_level {
    struct file_meta **files; // level 0: newest first (by max_sequence, then number); else by key
    unsigned count;
    struct slice common; // sorted levels: what all largest keys begin with; points into one of them
    uint64_t *prefixes;  // of each largest key the 8 bytes behind `common` (entry/key_prefix.h);
                        // NULL in level 0
    unsigned tombstone_heavy; // how many tables of the level are tombstone-heavy
    uint64_t bytes;
    uint64_t blob_bytes; // bytes of blobs that the tables reference
};

struct version {
    struct version_level levels[VERSION_LEVELS];
    _Atomic uint32_t refs;
};

// A change of version, and what the manifest logs of it. Zero-initialise; release at the end.
struct version_edit {
    bool has_log_number, has_next_file, has_last_sequence;
    uint64_t log_number;    // logs before this one are no longer needed
    uint64_t next_file;     // file numbers from here on are unused
    uint64_t last_sequence; // highest sequence in any table
    struct version_edit_file {
        unsigned level;
        struct file_meta *file; // holds a reference
    } * added;
    unsigned added_count;
    size_t added_capacity;
    struct version_edit_removal {
        unsigned level;
        uint64_t number;
    } * removed;
    unsigned removed_count;
    size_t removed_capacity;
    struct snapshot_set snapshots_added; // applied after the removals: a snapshot that gets another
                                         // name is in both; next_id is logged if it is not 0
    uint64_t *snapshots_removed;         // ids
    unsigned snapshots_removed_count;
    size_t snapshots_removed_capacity;
};

void version_edit_release(struct version_edit *edit); // leaves it as zero-initialised
// 0 or LSM_NO_MEMORY, the edit then as it was.
int version_edit_add(struct version_edit *edit, unsigned level, struct file_meta *file); // refs
int version_edit_remove(struct version_edit *edit, unsigned level, uint64_t number);
int version_edit_remove_snapshot(struct version_edit *edit, uint64_t id);
int version_edit_encode(const struct version_edit *edit, struct buf *out); // appends
// Decodes all of `in` as one edit (version_edit_format.h). LSM_CORRUPTION, with the place in the
// detail, or LSM_NO_MEMORY: *ret_edit is untouched.
int version_edit_decode(struct slice in, struct version_edit *ret_edit);

// Whether the edit changes which snapshots there are.
static inline bool version_edit_has_snapshots(const struct version_edit *edit)
{
    return edit->snapshots_added.count > 0 || edit->snapshots_removed_count > 0;
}

// Applies the edit's changes of snapshots to `set`. LSM_CORRUPTION: the edit removes a snapshot
// that is not there, or adds one that is. After any failure `set` can only be released.
int version_edit_apply_snapshots(const struct version_edit *edit, struct snapshot_set *set);

// An empty version with one reference.
int version_new(struct version **ret_version);
// `base`, which does not change, with `edit` applied (removals first); one reference.
// LSM_CORRUPTION: the edit removes a table that is not there, adds one that is, or makes tables of
// a sorted level overlap (the detail names them).
int version_apply(const struct version *base, const struct version_edit *edit,
                  struct version **ret_version);
void version_ref(struct version *version);
// The last reference frees the version at once; readers are kept safe by the read view's grace
// period.
void version_unref(struct version *version);

// Index of the first table of a sorted level whose largest key is >= `key` (== count if none).
unsigned version_find(const struct version_level *level, struct slice key);

// Whether the table after `index` of a sorted level begins with the user key that this one ends
// with.
static inline bool version_next_shares(const struct version_level *level, unsigned index)
{
    return index + 1 < level->count &&
           slice_equal(level->files[index]->largest, level->files[index + 1]->smallest);
}

// Whether any table of `level` overlaps [smallest, largest] (NULL data: unbounded).
bool version_overlaps(const struct version *version, unsigned level, struct slice smallest,
                      struct slice largest);
uint64_t version_level_entries(const struct version_level *level);
uint64_t version_bytes(const struct version *version);
unsigned version_files(const struct version *version);

#endif
