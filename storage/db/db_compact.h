// Flushes and compactions, each a job of a thread that holds no lock (db_compact.c).
#ifndef LSM_DB_DB_COMPACT_H
#define LSM_DB_DB_COMPACT_H

#include <stdint.h>

#include "compaction/compact_pick.h"
#include "db/db_roles.h"
#include "lsm.h"

struct iter;
struct memtable;
struct version;
struct version_edit;

// One flush of the oldest immutable memtable.
int db_flush_oldest(struct lsm *db) EXCLUDES(db_mutex);
// Removes the tables that a flush which failed has added.
void db_remove_added(struct lsm *db, const struct version_edit *edit);
// A function that is told how many entries have been merged, and may cancel the compaction.
struct db_progress {
    lsm_progress_fn *tell;
    void *arg;
    uint64_t done; // entries of the jobs that have ended
};
// Runs a picked compaction, whose inputs are marked as compacting, and frees it. `progress` may be
// NULL.
int db_run_compaction(struct lsm *db, struct version *version, struct compaction *compaction,
                      struct db_progress *progress) EXCLUDES(db_mutex);
// Writes a memtable to a table of level 0, and adds the table to the edit. For flush and recovery.
int db_write_level0(struct lsm *db, struct memtable *memtable, struct version_edit *edit)
    EXCLUDES(db_mutex);
// Writes an iterator's entries to a table of level 0, and adds the table to the edit. The iterator
// is not freed.
int db_write_level0_from(struct lsm *db, struct iter *input, struct version_edit *edit)
    EXCLUDES(db_mutex);

#endif
