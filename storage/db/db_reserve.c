// The reserve: disk space kept so that what frees space still works on a full disk.
//
// It is a file of an allocated size that holds nothing, with the name of a recycled log: whoever
// opens the store next sweeps it away, and has its space for opening. So closing leaves it there,
// with what the next opening and the first deletes may need. It is made when the store is opened,
// and given back to the file system, with the logs kept for recycling, when a flush, a compaction
// or a write that may use it (use_reserve) has met a full disk. From then on other writes are
// refused, until it has been made again: what deleting frees goes to the reserve first. So that
// data does not use it up, other writes are refused already when what is in memory might not fit on
// the disk any more (DB_FULL_LOW). Small changes (use_little) may have a part of it: db_little.c.
//
// Its size follows that of the store: it has to hold the flush of any memtable, a compaction's
// output before its inputs can go (that of a small store at most, or a write buffer's worth), what
// deletes add to the log meanwhile, and what small changes may take. It is made larger after the
// write or the job that needs it (db_reserve_grow), and smaller by the flush thread once the
// store is idle. While space is short the memtable counts as full where the reserve would end, and
// a write waits for the flush before it (db_reserve_cramped).
//
//  NONE   the file system cannot allocate, or nothing is written: there is no reserve
//  HELD   the file is there
//  SPENT  it was given back, or there was no room to make all of it; a part of it may be there
//
// What was given back for a compaction is left to it until it has ended. Apart from that the
// reserve is made again after each job, and by the flush thread now and then; if there is no room
// for all of it, a part is taken, lest another program takes the rest. A part is given back like
// the whole.
//
// State is under mutex; the file is only touched by whoever has just changed the state, or set
// reserve_busy, outside of it. Without a reserve the store works as it would otherwise.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"

#define RESERVE_STEPS      32    // its size is a multiple of this part of the write buffer
#define RESERVE_STEP_MIN   65536 // but this part has at least these bytes
#define RESERVE_COVERS_ALL UINT64_MAX
#define CLOSED_SHARE       4 // of the write buffer: a closed store keeps no more for compactions

uint64_t db_reserve_step(const struct lsm *db)
{
    uint64_t step = db->options.write_buffer_size / RESERVE_STEPS;
    return step < RESERVE_STEP_MIN ? RESERVE_STEP_MIN : step;
}

uint64_t db_reserve_bytes(const struct lsm *db)
{
    return db->space.reserve_number ? db->space.reserve_size : 0;
}

static uint64_t round_up(uint64_t bytes, uint64_t step)
{
    return (bytes + step - 1) / step * step;
}

// What has to be covered now. Mutex held.
static uint64_t to_cover(const struct lsm *db) REQUIRES(db_mutex)
{
    uint64_t store = version_bytes(db_version(db)) + blob_store_bytes(db->blobs);
    uint64_t bytes = store < db->options.write_buffer_size ? store : db->options.write_buffer_size;
    if (memtable_bytes(db_active(db)) > bytes)
        bytes = memtable_bytes(db_active(db));
    for (unsigned i = 0; i < db_immutables(db); i++)
        if (memtable_bytes(db_immutable(db, i)) > bytes)
            bytes = memtable_bytes(db_immutable(db, i));
    return round_up(bytes, db_reserve_step(db));
}

// The size of a reserve that has room for a flush of *covers bytes, for deletes and for small
// changes. If this disk allows no such size, *covers becomes RESERVE_COVERS_ALL: there is no use in
// making the reserve larger.
static uint64_t size_for(struct lsm *db, uint64_t *covers)
{
    uint64_t free_bytes, total,
        wanted = *covers + (DB_DELETE_STEPS + DB_LITTLE_STEPS) * db_reserve_step(db);
    if (db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total))
        total = UINT64_MAX;
    uint64_t size = db_space_bounded(wanted, total), files, file_size;
    db->env->ops->limits(db->env, &files, &file_size);
    if (size > file_size)
        size = file_size;
    if (size < wanted)
        *covers = RESERVE_COVERS_ALL;
    return size;
}

uint64_t db_reserve_wanted(struct lsm *db)
{
    db_lock(db);
    uint64_t covers = to_cover(db);
    db_unlock(db);
    return size_for(db, &covers);
}

void db_note_full(struct lsm *db)
{
    db_lock(db);
    db->space.full |= DB_FULL_LOW;
    db_update_pressure(db);
    pthread_cond_broadcast(&db->work);
    db_unlock(db);
}

// Makes the file. On failure it is not there.
static int make_file(struct env *env, const char *name, uint64_t size)
{
    struct env_file *file;
    int rc = env_open(env, name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &file);
    if (rc)
        return rc;
    rc = file->ops->allocate(file, 0, size);
    (void)env_close(file);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        (void)!env->ops->unlink(env, name);
        status_restore(&kept);
    }
    return rc;
}

void db_reserve_file(struct env *env, uint64_t number, uint64_t size)
{
    char name[STORE_NAME_MAX];
    uint64_t free_bytes, total;
    store_file_name(name, STORE_RECYCLED, number);
    if (!env->ops->space(env, ENV_HERE, &free_bytes, &total) && size > free_bytes)
        size = free_bytes;
    while (size >= DB_SPACE_MIN && make_file(env, name, size) == LSM_NO_SPACE)
        size -= size / 16 + DB_SPACE_MIN / 2;
}

static int resize_file(struct lsm *db, uint64_t number, uint64_t size, bool shrink)
{
    struct env_file *file;
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_RECYCLED, number);
    int rc = env_open(db->env, name, ENV_WRITE, &file);
    if (rc)
        return rc;
    uint64_t before = size;
    if (shrink)
        rc = file->ops->size(file, &before);
    if (!shrink)
        rc = file->ops->allocate(file, 0, size);
    else if (!rc && size < before)
        rc = file->ops->truncate(file, size);
    (void)env_close(file);
    return rc;
}

// Makes file `number` of `size` bytes, or has it grow to that if it has `from` already.
static int take_space(struct lsm *db, uint64_t number, uint64_t from, uint64_t size)
{
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_RECYCLED, number);
    if (!from)
        return make_file(db->env, name, size);
    return size > from ? resize_file(db, number, size, false) : LSM_OK;
}

// Makes file `number`, or has it grow from `from` bytes, as large as there is room for. Returns its
// size then: `from` if there is no room.
static uint64_t take_part(struct lsm *db, uint64_t number, uint64_t from)
{
    uint64_t more, total;
    if (db->env->ops->space(db->env, ENV_HERE, &more, &total))
        return from;
    for (; more >= DB_SPACE_MIN; more -= more / 16 + DB_SPACE_MIN / 2) {
        int rc = take_space(db, number, from, from + more);
        if (!rc)
            return from + more;
        if (rc != LSM_NO_SPACE)
            break;
    }
    return from;
}

// Has file `number` of `from` bytes grow to `size`, or as near to that as there is room.
static void grow_up_to(struct lsm *db, uint64_t number, uint64_t from, uint64_t size)
{
    uint64_t more = size - from;
    while (more >= DB_SPACE_MIN && resize_file(db, number, from + more, false) == LSM_NO_SPACE)
        more -= more / 16 + DB_SPACE_MIN / 2;
}

// What became of making the reserve. Mutex held.
static void note_made(struct lsm *db, int rc, uint64_t number, uint64_t size, uint64_t covers)
    REQUIRES(db_mutex)
{
    assert(db->space.reserve_busy && db->space.reserve != RESERVE_HELD);
    db->space.reserve_busy = false;
    if (rc == LSM_OK) {
        if (db->space.reserve == RESERVE_SPENT)
            logger_log(&db->logger, LSM_LOG_WARN, "%s: there is room again", db->dir);
        db->space.reserve = RESERVE_HELD;
        atomic_store_explicit(&db->space.reserve_covers, covers, memory_order_relaxed);
    } else if (rc == LSM_NO_SPACE) {
        db->space.reserve = RESERVE_SPENT;
    } else { // the store works without a reserve
        logger_log(&db->logger, LSM_LOG_INFO, "no reserve: %s", lsm_error_detail());
        db->space.reserve = RESERVE_NONE;
        atomic_store_explicit(&db->space.reserve_covers, RESERVE_COVERS_ALL, memory_order_relaxed);
    }
    db->space.reserve_size = size;
    db->space.reserve_number = size ? number : 0;
    db_update_pressure(db);
    pthread_cond_broadcast(&db->changed);
}

static void make(struct lsm *db, bool part)
{
    uint64_t fresh = db_new_file_number(db);
    db_lock(db);
    while (db->space.reserve_busy)
        db_wait(db, &db->changed);
    bool held = db->space.reserve == RESERVE_HELD; // another thread was faster
    db->space.reserve_busy = !held;
    uint64_t number = db->space.reserve_number ? db->space.reserve_number : fresh;
    uint64_t from = db->space.reserve_number ? db->space.reserve_size : 0;
    uint64_t covers = to_cover(db);
    db_unlock(db);
    if (held)
        return;
    uint64_t size = size_for(db, &covers);
    int rc = take_space(db, number, from, size);
    if (size < from)
        size = from;
    if (rc)
        size = rc == LSM_NO_SPACE && part ? take_part(db, number, from) : from;
    db_lock(db);
    note_made(db, rc, number, size, covers);
    db_unlock(db);
}

void db_reserve_make(struct lsm *db)
{
    make(db, false);
}

void db_reserve_renew(struct lsm *db, unsigned jobs)
{
    db_lock(db);
    bool spent = db->space.reserve == RESERVE_SPENT && !db->space.lent;
    bool part = db->jobs.compactions_running + db->jobs.flush_running == jobs &&
                !db->jobs.manual_running && db_immutables(db) == 0;
    db_unlock(db);
    if (spent)
        make(db, part);
}

// Makes the file as large as it has to be now, if it is held and too small, or with `shrink` too
// large. LSM_NO_SPACE: it stays too small.
static int resize(struct lsm *db, bool shrink)
{
    db_lock(db);
    while (db->space.reserve_busy)
        db_wait(db, &db->changed);
    uint64_t covers = to_cover(db);
    uint64_t before = atomic_load_explicit(&db->space.reserve_covers, memory_order_relaxed);
    bool due = db->space.reserve == RESERVE_HELD && (shrink ? covers < before : covers > before);
    if (shrink && before == RESERVE_COVERS_ALL)
        due = false; // as large as this disk allows
    uint64_t number = db->space.reserve_number;
    db->space.reserve_busy = due;
    if (due && shrink) // lowered before the file is cut, so that the leader notices in time
        atomic_store_explicit(&db->space.reserve_covers, covers, memory_order_relaxed);
    db_unlock(db);
    if (!due)
        return LSM_OK;
    uint64_t size = size_for(db, &covers);
    int rc = resize_file(db, number, size, shrink);
    db_lock(db);
    if (rc == LSM_OK)
        db->space.reserve_size = size;
    if (rc && rc != LSM_NO_SPACE) {
        logger_log(&db->logger, LSM_LOG_INFO, "the reserve stays as it is: %s", lsm_error_detail());
        covers = RESERVE_COVERS_ALL;
    }
    if (rc != LSM_NO_SPACE)
        atomic_store_explicit(&db->space.reserve_covers, covers, memory_order_relaxed);
    assert(db->space.reserve_busy);
    db->space.reserve_busy = false;
    pthread_cond_broadcast(&db->changed);
    db_unlock(db);
    return rc;
}

void db_reserve_grow(struct lsm *db)
{
    db_lock(db);
    bool full = db_space_short(db);
    db_unlock(db);
    if (!full && resize(db, false) == LSM_NO_SPACE)
        db_note_full(db);
}

void db_reserve_shrink(struct lsm *db)
{
    (void)!resize(db, true);
}

bool db_reserve_exceeded(struct lsm *db)
{
    return memtable_bytes(db_active_as_lead(db)) >
           atomic_load_explicit(&db->space.reserve_covers, memory_order_relaxed);
}

bool db_reserve_cramped(struct lsm *db)
{
    if (!db_space_short(db))
        return false;
    if (db->space.reserve == RESERVE_SPENT)
        return wal_end(db_active_log(db)->wal) - db->space.spent_end > db_reserve_step(db) / 2;
    return db_reserve_exceeded(db);
}

bool db_reserve_release(struct lsm *db)
{
    db_lock(db);
    while (db->space.reserve_busy)
        db_wait(db, &db->changed);
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_RECYCLED, db->space.reserve_number);
    bool held = db->space.reserve == RESERVE_HELD;
    assert(!held || db->space.reserve_number);
    bool any = db->space.reserve_number; // all of it or a part
    db->space.reserve_number = 0;
    if (held) {
        db->space.reserve = RESERVE_SPENT;
        db->space.spent_end = wal_end(db_active_log(db)->wal);
        db_update_pressure(db);
        pthread_cond_broadcast(&db->changed);
        pthread_cond_broadcast(&db->work); // the flush thread makes room
        logger_log(&db->logger, LSM_LOG_WARN,
                   "%s: the disk is full; only what frees space may write until there is room",
                   db->dir);
    }
    db_unlock(db);
    if (!any)
        return false;
    (void)!db->env->ops->unlink(db->env, name);
    db_log_give_back(db);
    return true;
}

void db_reserve_leave(struct lsm *db)
{
    db_lock(db);
    uint64_t covers = to_cover(db), most = db->options.write_buffer_size / CLOSED_SHARE;
    if (covers > most)
        covers = most;
    for (unsigned i = 0; i <= db_immutables(db); i++) {
        struct memtable *memtable = i ? db_immutable(db, i - 1) : db_active(db);
        if (memtable_bytes(memtable) > covers)
            covers = memtable_bytes(memtable);
    }
    bool none = db->space.reserve == RESERVE_NONE;
    db_unlock(db);
    db->space.reserve_left = none ? 0 : size_for(db, &covers);
}

void db_reserve_free(struct lsm *db)
{
    db_lock(db);
    uint64_t number = db->space.reserve_number, from = db->space.reserve_size;
    db_unlock(db);
    uint64_t left = db->space.reserve_left;
    if (!left)
        return;
    if (!number)
        db_reserve_file(db->env, db_new_file_number(db), left);
    else if (left <= from)
        (void)!resize_file(db, number, left, true);
    else // only a part could be made, and closing has given back more
        grow_up_to(db, number, from, left);
}
