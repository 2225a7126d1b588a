// Room on the disk: whether there is any, what is kept for deleting (the reserve), what small
// changes may have of it, and what is held for promises.
//
// Lock: the store's mutex, but for what is held: `hold_mutex`, which is taken before it and held
// across calls that change the file of held space.
//
// Touched by: db_background db_hold db_little db_open db_property db_queue db_recover
//   db_reserve db_space db_write
#ifndef LSM_DB_DB_SPACE_H
#define LSM_DB_DB_SPACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "db/db_roles.h"
#include "env/env.h"

struct lsm;

#define DB_FULL_FLUSH      1u
#define DB_FULL_COMPACTION 2u
#define DB_FULL_JOBS       (DB_FULL_FLUSH | DB_FULL_COMPACTION)
#define DB_FULL_LOW        4u // a write met a full disk, or memtables might not fit any more

// What small changes may take while space is short; db_little.c.
struct db_little {
    bool counting;
    bool unsettled;    // `left` was granted while jobs were under way
    uint64_t floor;    // as much has to stay free, or in the reserve
    uint64_t left;     // bytes until the next look
    uint64_t again_us; // until then the last refusal stands
};

struct db_space {
    unsigned full GUARDED_BY(db_mutex); // DB_FULL_*: what cannot proceed for lack of space
    enum { RESERVE_NONE, RESERVE_HELD, RESERVE_SPENT } reserve GUARDED_BY(db_mutex); // db_reserve.c
    uint64_t reserve_number GUARDED_BY(db_mutex); // of the file that is held
    uint64_t reserve_size GUARDED_BY(db_mutex);   // its bytes
    bool reserve_busy GUARDED_BY(db_mutex);       // somebody changes its size
    unsigned lent GUARDED_BY(db_mutex);           // compactions for which it was given back
    uint64_t spent_end GUARDED_BY(db_mutex); // of the active log, when the reserve was given back
    _Atomic uint64_t reserve_covers;         // bytes of a flush that fit into it; set under mutex
    uint64_t reserve_swept;                  // bytes that opening gave back; only opening uses it
    uint64_t reserve_left;                   // bytes for the next opening; only closing uses it
    struct db_little little GUARDED_BY(db_mutex);

    pthread_mutex_t hold_mutex;                     // db_hold.c
    uint64_t hold_number GUARDED_BY(db_hold_mutex); // hold_mutex; of the file; 0: nothing is held
    uint64_t hold_bytes GUARDED_BY(db_hold_mutex);  // hold_mutex
};

// Whether writes are refused for lack of space, unless they may use the reserve. Mutex held.
bool db_disk_is_full(const struct lsm *db) REQUIRES(db_mutex);
// LSM_NO_SPACE if they are: for what takes space before it queues. No locks held.
int db_check_space(struct lsm *db) EXCLUDES(db_mutex);
bool db_space_short(const struct lsm *db) REQUIRES(db_mutex); // whether to make room; mutex held
// Whether what is in memory might not fit on the disk, even after blob files have given back what
// they hold ahead of their ends, which they only do then. No locks held.
bool db_low_after_giving_back(struct lsm *db) EXCLUDES(db_mutex);
void db_note_full(struct lsm *db)
    EXCLUDES(db_mutex); // sets DB_FULL_LOW; the flush thread clears it. No locks held
// Bytes that writes may take before they are refused, of those free on the disk. No locks held.
uint64_t db_space_available(struct lsm *db, uint64_t free_bytes, uint64_t total) EXCLUDES(db_mutex);
// `size`, or less on a disk of `total` bytes on which that would be too much, but DB_SPACE_MIN.
#define DB_SPACE_MIN 4096
uint64_t db_space_bounded(uint64_t size, uint64_t total);

// ---- db_reserve.c
// In steps, beside what is to be flushed: for the log of deletes, and for small changes.
#define DB_DELETE_STEPS 2
#define DB_LITTLE_STEPS 2
uint64_t db_reserve_step(const struct lsm *db); // bytes
uint64_t db_reserve_bytes(const struct lsm *db)
    REQUIRES(db_mutex); // what is kept now, all of it or a part; mutex held
uint64_t db_reserve_wanted(struct lsm *db)
    EXCLUDES(db_mutex); // bytes it should have now; no locks held
void db_reserve_make(struct lsm *db)
    EXCLUDES(db_mutex); // when there is none, or it is spent; no locks held
// Makes it again if it is spent, and nobody has it, before another program takes what has become
// free; a part of it if there is no room for more, and no job runs that may need that, but `jobs`
// that have just ended. No locks held.
void db_reserve_renew(struct lsm *db, unsigned jobs) EXCLUDES(db_mutex);
// Makes the reserve as large as the store needs it. No locks held.
void db_reserve_grow(struct lsm *db) EXCLUDES(db_mutex);
void db_reserve_shrink(struct lsm *db) EXCLUDES(db_mutex); // back to what they need; no locks held
bool db_reserve_exceeded(struct lsm *db)
    REQUIRES(db_lead); // the active memtable is larger than it covers
// Whether space is short and the active memtable had better be flushed. Lead and mutex held.
bool db_reserve_cramped(struct lsm *db) REQUIRES(db_mutex) REQUIRES(db_lead);
bool db_reserve_release(struct lsm *db)
    EXCLUDES(db_mutex); // false: there was nothing to give back. No locks held
// A clean end: db_reserve_free(), which comes last, leaves what the next opening may need.
void db_reserve_leave(struct lsm *db) EXCLUDES(db_mutex);
void db_reserve_free(struct lsm *db);
// Makes a file of `size` bytes, or as large as there is room for, that whoever opens the store next
// sweeps away. For a store that is not open; a failure leaves none.
void db_reserve_file(struct env *env, uint64_t number, uint64_t size);

// ---- db_little.c
// Whether a write that may use a little of the reserve, of so many bytes, may go on; if it may,
// that is noted. Lead held, mutex not; may wait for flushes and compactions for up to 5 seconds.
bool db_little_take(struct lsm *db, size_t bytes) REQUIRES(db_lead) EXCLUDES(db_mutex);
void db_little_end(struct lsm *db) REQUIRES(db_mutex); // space is not short any more; mutex held

#endif
