// What is to be done next in the background, and whether there is anything (db_pick.c).
//
// Lock: the store's mutex, held in all of it.
#ifndef LSM_DB_DB_PICK_H
#define LSM_DB_DB_PICK_H

#include <stdbool.h>

#include "base/slice.h"
#include "compaction/compact_pick.h"
#include "db/db_roles.h"
#include "version/version.h"

struct lsm;

// Looks whether anything has been written since the last look. The flush thread does whenever it
// wakes.
void db_note_writes(struct lsm *db) REQUIRES(db_mutex);
bool db_nothing_written(const struct lsm *db) REQUIRES(db_mutex); // for a while, as far as noted
struct pick_options db_pick_options(struct lsm *db) REQUIRES(db_mutex);
// What is to be done next, by size or for the sake of blobs, which take turns when there is both:
// *drain_first. NULL: nothing.
int db_pick(struct lsm *db, struct buf cursors[VERSION_LEVELS], bool *drain_first,
            struct compaction **ret_compaction) REQUIRES(db_mutex);
// Whether nothing is running or due, or nothing can. Begins nothing, and marks nothing.
bool db_jobs_done(struct lsm *db) REQUIRES(db_mutex);

#endif
