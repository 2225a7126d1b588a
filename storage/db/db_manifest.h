// The current version, changing it, and writing that down.
//
// Lock: the store's mutex for the version, which others read by db_version(). `busy` under the
// store's mutex is the manifest lead, which owns the manifest's writing side across its I/O. What
// is both the lead's and the mutex's is changed with both, and read with either.
//
// Touched by: db_follow db_manifest db_open db_recover
#ifndef LSM_DB_DB_MANIFEST_H
#define LSM_DB_DB_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "db/db_roles.h"
#include "version/manifest.h"

struct lsm;

struct db_manifest {
    struct version *version GUARDED_BY(db_mutex); // the current one, a reference; also in the view
    struct manifest *writer GUARDED_BY(db_manifest_lead);
    bool busy GUARDED_BY(db_mutex);
    // As the manifest has them. db_manifest_sequence(), ..._as_lead(), db_manifest_set()
    uint64_t log_number GUARDED_BY_BOTH(db_manifest_lead, db_mutex);
    uint64_t last_sequence GUARDED_BY_BOTH(db_manifest_lead, db_mutex);
    uint64_t new_number; // of the one that opening starts; 0: not that far yet
};

// Waits for the manifest lead, and gives it up again. The mutex may be released in between.
void db_manifest_begin(struct lsm *db) REQUIRES(db_mutex) ACQUIRES(db_manifest_lead);
void db_manifest_end(struct lsm *db) REQUIRES(db_mutex) RELEASES(db_manifest_lead);

// Logs the edit, applies it and installs the new version and view. Called without locks. With
// `drop_immutable` the oldest immutable memtable, which the edit makes superfluous, goes as well.
int db_apply_edit(struct lsm *db, struct version_edit *edit, bool drop_immutable)
    EXCLUDES(db_mutex);
// Adds to an edit what it makes of the named snapshots as they are then. It is called with the
// manifest lead, without locks; a failure of its own changes nothing and is returned.
typedef int db_edit_fn(const struct snapshot_set *set, struct version_edit *edit, void *arg);
// Logs and applies an edit of the named snapshots, which `change` makes. Called without locks.
int db_change_snapshots(struct lsm *db, db_edit_fn *change, void *arg) EXCLUDES(db_mutex);
// Logs and applies an edit that adds tables. What is in them is newer than all writes, up to
// `sequence`, as if it had been written: readers see it from then on, and writes go on behind it.
// `add` (NULL: nothing) may change named snapshots in the same edit. All memtables are empty. A
// failure changes nothing; the tables are the caller's to remove.
int db_publish(struct lsm *db, struct version_edit *edit, uint64_t sequence, db_edit_fn *add,
               void *arg) REQUIRES(db_lead) EXCLUDES(db_mutex);

#endif
