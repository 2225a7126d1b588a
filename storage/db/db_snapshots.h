// Snapshots: those in memory, which a struct lsm_snapshot is, and the named ones of the manifest.
//
// Lock: the store's mutex. The set of named ones is changed with the manifest lead as well,
// and read with either.
//
// Touched by: db_compact db_manifest db_open db_property db_read db_recover db_snapshots
#ifndef LSM_DB_DB_SNAPSHOTS_H
#define LSM_DB_DB_SNAPSHOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "db/db_roles.h"
#include "lsm.h"
#include "version/snapshot_set.h"

struct read_view;
struct version_edit;

// A brief snapshot holds the view it is read from and is in no list: what compaction drops after
// its making is still in that view. For all other snapshots compaction keeps what they see.
struct lsm_snapshot {
    uint64_t sequence;
    uint64_t id;            // of the named one that was opened, or 0
    struct read_view *view; // a reference; NULL unless brief
    // The list ordered by sequence, unless brief.
    struct lsm_snapshot *prev GUARDED_BY(db_mutex);
    struct lsm_snapshot *next GUARDED_BY(db_mutex);
    bool collected GUARDED_BY(db_mutex); // a flush or compaction has kept something for it
};

struct db_snapshots {
    struct lsm_snapshot list GUARDED_BY(db_mutex); // the list's head
    // db_named(), db_named_as_lead(), db_swap_named()
    struct snapshot_set named GUARDED_BY_BOTH(db_manifest_lead, db_mutex);
    bool dead_stale GUARDED_BY(db_mutex); // the tables' dead_bytes have to be counted anew
};

// Adds to the edit a snapshot of that name, sequence, time and identity.
int db_edit_create(const struct snapshot_set *set, struct version_edit *edit,
                   const struct lsm_snapshot_info *creation);
struct lsm_snapshot_info db_snapshot_info(const struct snapshot_record *r); // names r's name
int db_named_check(struct lsm *db, const char *name); // whether a new snapshot can be called this
// The sequences of all snapshots, named ones and others, ascending; the array is the caller's.
// Mutex held.
int db_snapshots_collect(struct lsm *db, uint64_t **ret_sequences, size_t *ret_count)
    REQUIRES(db_mutex);
// Counts what tables keep for snapshots that are gone, if that may have changed. Mutex held.
int db_count_dead(struct lsm *db) REQUIRES(db_mutex);
// The last visible sequence if there is no snapshot; mutex held.
uint64_t db_oldest_snapshot(struct lsm *db) REQUIRES(db_mutex);

#endif
