// The memtables: the active one, which writers fill, and the immutable ones, which wait for the
// flush.
//
// Lock: the store's mutex. The active one is changed with the lead as well, and read with either;
// the insert hint is the lead's.
//
// Touched by: db_memtables db_write
#ifndef LSM_DB_DB_MEMTABLES_H
#define LSM_DB_DB_MEMTABLES_H

#include "db/db_roles.h"
#include "memtable/memtable.h"

struct db_log;
struct lsm;

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

// How many wait for the flush; each of them, 0 being the oldest, and the log with its entries
// (NULL in a store that is followed). No reference is taken.
unsigned db_immutables(const struct lsm *db) REQUIRES(db_mutex);
struct memtable *db_immutable(const struct lsm *db, unsigned index) REQUIRES(db_mutex);
struct db_log *db_immutable_log(const struct lsm *db, unsigned index) REQUIRES(db_mutex);
// Adds the newest one, and takes over the caller's references to the memtable and the log. Cannot
// fail: there are at most DB_MAX_IMMUTABLES.
void db_add_immutable(struct lsm *db, struct memtable *memtable, struct db_log *log)
    REQUIRES(db_mutex);
// Takes the oldest one out; its references are the caller's then.
void db_drop_oldest_immutable(struct lsm *db) REQUIRES(db_mutex);
// Makes `memtable` the active one and `log` its log (NULL in a store that is followed). Takes over
// the caller's references; those to what was active before are the caller's then.
void db_set_active(struct lsm *db, struct memtable *memtable, struct db_log *log) REQUIRES(db_lead)
    REQUIRES(db_mutex);

#endif
