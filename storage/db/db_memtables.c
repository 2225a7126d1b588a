// The list of memtables. See db_memtables.h.
//
// The immutable ones are few, so the list is an array, and the oldest one is taken out by moving
// the others.
//
// Thread safety: the caller has the store's mutex. Nothing here can fail.
#include "db/db_memtables.h"

#include <assert.h>
#include <string.h>

#include "db/db.h"

unsigned db_immutables(const struct lsm *db)
{
    return db->memtables.immutable_count;
}

struct memtable *db_immutable(const struct lsm *db, unsigned index)
{
    assert(index < db->memtables.immutable_count);
    return db->memtables.immutables[index].memtable;
}

struct db_log *db_immutable_log(const struct lsm *db, unsigned index)
{
    assert(index < db->memtables.immutable_count);
    return db->memtables.immutables[index].log;
}

void db_add_immutable(struct lsm *db, struct memtable *memtable, struct db_log *log)
{
    unsigned count = db->memtables.immutable_count;
    assert(count < DB_MAX_IMMUTABLES);
    assert(!log || count == 0 || db_immutable_log(db, count - 1)->number < log->number);
    db->memtables.immutables[count].memtable = memtable;
    db->memtables.immutables[count].log = log;
    db->memtables.immutable_count++;
}

void db_drop_oldest_immutable(struct lsm *db)
{
    assert(db->memtables.immutable_count > 0);
    unsigned left = --db->memtables.immutable_count;
    memmove(db->memtables.immutables, db->memtables.immutables + 1,
            left * sizeof db->memtables.immutables[0]);
}

void db_set_active(struct lsm *db, struct memtable *memtable, struct db_log *log)
{
    db->memtables.active = memtable;
    db->logs.active = log;
    memset(&db->memtables.hint, 0, sizeof db->memtables.hint); // of the one before
}
