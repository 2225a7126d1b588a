// Taking in the changes that another store's snapshot has over one that this store has too.
//
// They are read with lsm_ingest_read(), each one checked by intake_check(); then intake_apply()
// makes them the present, and the new snapshot, in one step.
//
// Thread safety: one thread.
#ifndef NS_INTAKE_H
#define NS_INTAKE_H

#include "ns/namespace.h"

// Whether a key of the store holds something that a mount shows: names, attributes, what files
// hold. A file's content does not change without its record; other keys change by themselves.
bool intake_is_shown(const void *key, size_t size);

struct intake {
    uint64_t reserved; // the inode numbers below it are used up by the changes; 0: as in the base
    uint64_t reserved_here;
};

// Whether a change may be made: that ns_open() takes what it leads to. LSM_OK, or a status as of
// ns_open().
int intake_check(struct intake *intake, const struct lsm_change *change);

// Applies them to a store that is used for nothing else meanwhile. Of what was written here since
// the base the inode numbers that were given out stay used up, here or there; all else is undone.
// 0; 1: what the store shows was changed since the base, and nothing is done; or a failure of
// lsm_ingest_apply().
int intake_apply(struct lsm *db, struct intake *intake, struct lsm_ingest *ingest, const char *base,
                 const struct lsm_snapshot_info *origin);

#endif
