// Views: what readers look at, one consistent set of memtables and tables each; and who reads.
//
// A view does not change. The current one is the readers' `view`, which is replaced with the
// store's mutex and loaded by readers while they are pinned; it lives as long as it has references.
//
// Lock: none; atomics, each with the order that is said at it.
//
// Touched by: db_follow db_manifest db_open db_pick db_property db_read db_recover
//   db_snapshots db_view db_write
#ifndef LSM_DB_DB_VIEW_H
#define LSM_DB_DB_VIEW_H

#include <stdatomic.h>
#include <stdint.h>

#include "db/db_memtables.h"
#include "db/db_roles.h"
#include "memtable/epoch.h"

struct lsm;
struct lsm_snapshot;
struct version;

struct read_view {
    struct epoch_node retire;
    _Atomic uint32_t refs; // the current pointer's, and iterators'
    struct memtable *active;
    struct memtable *immutables[DB_MAX_IMMUTABLES]; // newest first
    unsigned immutable_count;
    struct version *version;
    uint64_t sequence; // of a store that is followed: of the last write in it; else 0
};

struct db_readers {
    // The current one; stored with release under mutex, loaded with acquire while pinned.
    _Atomic(struct read_view *) view;
    // Sequence of the last write readers may see; stored with release by the leader after its
    // inserts, loaded with acquire, after the view, by readers.
    _Atomic uint64_t visible;
    _Atomic uint64_t snapshots_taken; // of lsm_snapshots_taken(); rises before `visible` is read
    // Who is between lsm_snapshots_enter() and _leave(): in the place of `snapshots_taken` modulo 2
    // as it was at the entering. How many snapshots wait for one of the places.
    _Atomic uint32_t entered[2], entered_waits;
};

// Installing a view has two steps, so that it cannot fail after a change was made: memory first;
// then, with mutex held, a view of the current memtables and version replaces the current view.
int db_view_new(struct read_view **ret_view);
void db_view_install(struct lsm *db, struct read_view *view) REQUIRES(db_mutex);
// The one to read from, with a reference: the snapshot's, or the current one.
struct read_view *db_view_ref(struct lsm *db, const struct lsm_snapshot *snapshot);
void db_view_unref(struct read_view *view);
// That of the view that reads the snapshot. To be asked after the view.
uint64_t db_read_sequence(struct lsm *db, const struct read_view *view,
                          const struct lsm_snapshot *snapshot);

#endif
