// The memtables: the active one, which writers fill, and the immutable ones, which wait for the
// flush.
//
// Lock: the store's mutex. The active one is changed with the lead as well, and read with either;
// the insert hint is the lead's.
//
// Touched by: db_background db_compact db_follow db_little db_log db_manifest db_open
//   db_pace db_pick db_property db_queue db_recover db_reserve db_rollback db_space db_view
//   db_write
#ifndef LSM_DB_DB_MEMTABLES_H
#define LSM_DB_DB_MEMTABLES_H

#include "db/db_roles.h"
#include "memtable/memtable.h"

struct db_log;

#define DB_MAX_IMMUTABLES 16

struct db_memtables {
    // db_active(), db_active_as_lead(), db_set_active()
    struct memtable *active GUARDED_BY_BOTH(db_lead, db_mutex);
    struct memtable_hint hint GUARDED_BY(db_lead);
    struct {
        struct memtable *memtable;
        struct db_log *log;
    } immutables[DB_MAX_IMMUTABLES] GUARDED_BY(db_mutex); // oldest first
    unsigned immutable_count GUARDED_BY(db_mutex);
};

#endif
