// The store's logs: one per memtable, prepared ahead, recycled when the memtable is on disk.
//
// A log is allocated ahead for what recent ones have used, and grows from there: with large values,
// which go to blob files, a log uses a hundredth of what a memtable may hold. While space is short
// nothing is allocated ahead.
//
// Power-loss prefix: logs are synced oldest first, so whenever a record is durable, so is all that
// came before it. A log is kept alive by references while a sync of it runs.
//
// In a cluster an append takes as long as several disks, one after another. So there the log is one
// that is held (wal_writer.h), and a write has been logged when it is synced, which in a cluster
// costs no more: what was appended meanwhile goes as one write.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/db.h"
#include "db/db_blob.h"
#include "env_rados/env_rados.h"
#include "wal/wal_format.h"

#define CAPACITY_MIN ((size_t)1 << 20)
#define GROWTH       ((size_t)8 << 20)

// 1/8 more than recent logs have used, but no more than 1/8 above the write buffer, which is room
// enough for nearly all. Mutex held.
static size_t log_capacity(const struct lsm *db) REQUIRES(db_mutex)
{
    size_t most = db->options.write_buffer_size + db->options.write_buffer_size / 8;
    uint64_t wanted = db->logs.used + db->logs.used / 8;
    if (wanted < CAPACITY_MIN)
        wanted = CAPACITY_MIN;
    return wanted < most ? (size_t)wanted : most;
}

void db_log_note_used(struct lsm *db, uint64_t bytes)
{
    db->logs.used -= db->logs.used / 4;
    if (db->logs.used < bytes)
        db->logs.used = bytes;
}

bool db_log_gathers(const struct lsm *db)
{
    return db->options.wal_mode == LSM_WAL_AUTO && env_rados_named(db->dir);
}

// A file for the log, that of log `recycle` if that is not 0. Each attempt has a number of its own:
// whoever follows may have opened the file of the one before, and finds the next by its number.
static int open_wal(struct lsm *db, struct db_log *log, size_t capacity, uint64_t recycle)
{
    char old_name[STORE_NAME_MAX];
    struct wal_options options = {.env = db->env,
                                  .mode = db_log_gathers(db) ? LSM_WAL_HELD : db->options.wal_mode,
                                  .capacity = capacity,
                                  .growth = GROWTH,
                                  .before_sync = db_blob_before_sync,
                                  .arg = db};
    log->number = db_new_file_number(db);
    store_file_name(log->name, STORE_LOG, log->number);
    store_file_name(old_name, STORE_RECYCLED, recycle);
    return wal_writer_new(&options, log->name, log->number, recycle ? old_name : NULL, &log->wal);
}

int db_log_new(struct lsm *db, struct db_log **ret_log)
{
    struct db_log *log = calloc(1, sizeof *log);
    if (!log)
        return status_no_memory(sizeof *log);
    atomic_init(&log->refs, 1);

    db_lock(db);
    uint64_t recycle = db->logs.recyclable[1] ? db->logs.recyclable[1] : db->logs.recyclable[0];
    db->logs.recyclable[db->logs.recyclable[1] ? 1 : 0] = 0;
    size_t capacity = log_capacity(db);
    db_unlock(db);
    // Somebody else may need the space more, such as the manifest of an opening.
    if (!recycle && db_low_after_giving_back(db))
        capacity = 0;

    int rc = open_wal(db, log, capacity, recycle);
    if (rc == LSM_NO_SPACE && recycle) // the recycled file is gone, so there is some room now
        rc = open_wal(db, log, capacity, 0);
    if (!rc) {
        rc = db->env->ops->sync_dir(db->env, ENV_HERE);
        if (rc) {
            wal_writer_free(log->wal, false);
            db->env->ops->unlink(db->env, log->name);
        }
    }
    if (rc) {
        free(log);
        return rc;
    }
    *ret_log = log;
    return LSM_OK;
}

int db_log_old(uint64_t first, uint64_t last, struct db_log **ret_log)
{
    struct db_log *log = calloc(1, sizeof *log + 1);
    if (!log)
        return status_no_memory(sizeof *log);
    log->number = first;
    log->last = last;
    atomic_init(&log->refs, 1);
    *ret_log = log;
    return LSM_OK;
}

uint64_t db_log_bytes(const struct db_log *log)
{
    return log && log->wal ? wal_end(log->wal) : 0;
}

struct old_logs {
    struct lsm *db;
    uint64_t first, last;
};

static int remove_old(void *arg, const char *name)
{
    const struct old_logs *old = arg;
    uint64_t number;
    if (store_file_parse(name, &number) == STORE_LOG && number >= old->first && number <= old->last)
        (void)!old->db->env->ops->unlink(old->db->env, name);
    return LSM_OK;
}

void db_log_ref(struct db_log *log)
{
    uint32_t before = atomic_fetch_add_explicit(&log->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void db_log_unref(struct lsm *db, struct db_log *log)
{
    if (!log)
        return;
    uint32_t before = atomic_fetch_sub_explicit(&log->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    wal_writer_free(log->wal, db->logs.trim);
    if (log->remove)
        db->env->ops->unlink(db->env, log->name);
    free(log);
}

// Keeps the file of a log that nobody refers to any more for the next one; false if there is no
// place for it.
static bool log_recycle(struct lsm *db, const struct db_log *log)
{
    char name[STORE_NAME_MAX];
    store_file_name(name, STORE_RECYCLED, log->number);
    db_lock(db);
    int place = !db->logs.recyclable[0] ? 0 : !db->logs.recyclable[1] ? 1 : -1;
    bool stopping = db->jobs.stopping || db_space_short(db);
    db_unlock(db);
    if (place < 0 || stopping || db->env->ops->rename(db->env, log->name, name))
        return false;
    db_lock(db);
    place = !db->logs.recyclable[0] ? 0 : !db->logs.recyclable[1] ? 1 : -1;
    if (place >= 0)
        db->logs.recyclable[place] = log->number;
    db_unlock(db);
    if (place < 0)
        db->env->ops->unlink(db->env, name);
    return true;
}

void db_log_retire(struct lsm *db, struct db_log *log)
{
    if (!log->wal) { // logs of an earlier run: nobody else refers to them
        struct old_logs old = {db, log->number, log->last};
        (void)!db->env->ops->list(db->env, ENV_HERE, remove_old, &old);
        free(log);
        return;
    }
    // New references are only taken under mutex from the lists this log is no longer in.
    log->remove = true;
    if (atomic_load_explicit(&log->refs, memory_order_acquire) == 1) {
        wal_writer_free(log->wal, false);
        log->wal = NULL;
        if (!log_recycle(db, log))
            db->env->ops->unlink(db->env, log->name);
        free(log);
        return;
    }
    db_log_unref(db, log);
}

void db_log_drop_recyclable(struct lsm *db)
{
    uint64_t numbers[2];
    db_lock(db);
    memcpy(numbers, db->logs.recyclable, sizeof numbers);
    memset(db->logs.recyclable, 0, sizeof db->logs.recyclable);
    db_unlock(db);
    for (int i = 0; i < 2; i++) {
        char name[STORE_NAME_MAX];
        store_file_name(name, STORE_RECYCLED, numbers[i]);
        if (numbers[i])
            (void)!db->env->ops->unlink(db->env, name);
    }
}

void db_log_give_back(struct lsm *db)
{
    db_log_drop_recyclable(db);
    db_lock(db);
    struct db_log *spare = db->logs.spare_state == SPARE_NONE ? db->logs.spare : NULL;
    if (spare)
        db->logs.spare_state = SPARE_MAKING; // nobody takes it meanwhile
    db_unlock(db);
    if (!spare)
        return;
    (void)wal_give_back(spare->wal);
    db_lock(db);
    db->logs.spare_state = SPARE_NONE;
    pthread_cond_broadcast(&db->changed);
    db_unlock(db);
}

// Drops the spare log, which is made again when it is needed; it may be small then, since logs
// grow.
void db_log_settle(struct lsm *db)
{
    struct db_log *spare = NULL;
    db_lock(db);
    if (db->logs.used > 0 && db->logs.spare_state == SPARE_NONE) {
        spare = db->logs.spare;
        db->logs.spare = NULL;
        db->logs.spare_state = SPARE_WANTED;
        pthread_cond_broadcast(&db->work);
    }
    db->logs.used = 0;
    db_unlock(db);
    if (spare)
        spare->remove = true;
    db_log_unref(db, spare);
    db_log_drop_recyclable(db);
}

// Syncs the immutable memtables' logs that are older than `log` and not yet durable.
static int sync_older(struct lsm *db, const struct db_log *log)
{
    struct db_log *older[DB_MAX_IMMUTABLES];
    unsigned count = 0;
    db_lock(db);
    for (unsigned i = 0; i < db_immutables(db); i++) {
        struct db_log *each = db_immutable_log(db, i);
        if (each->wal && each->number < log->number &&
            wal_durable(each->wal) < wal_end(each->wal)) {
            assert(count == 0 || older[count - 1]->number < each->number);
            db_log_ref(each);
            older[count++] = each;
        }
    }
    db_unlock(db);
    int rc = LSM_OK;
    for (unsigned i = 0; i < count; i++) {
        if (!rc)
            rc = wal_sync(older[i]->wal, wal_end(older[i]->wal));
        db_log_unref(db, older[i]);
    }
    return rc;
}

// `asked`: somebody waits for it.
static int log_sync(struct lsm *db, struct db_log *log, uint64_t end, bool asked)
{
    // That a record of this log is durable says that the older logs are. Without one it says
    // nothing.
    if (wal_durable(log->wal) >= end && end > WAL_HEADER_SIZE)
        return LSM_OK;
    int rc = sync_older(db, log);
    uint64_t start = clock_ns();
    if (!rc)
        rc = asked ? wal_sync(log->wal, end) : wal_sync_behind(log->wal);
    if (asked)
        latency_add(&db->latency[LATENCY_SYNC], start);
    if (rc) {
        db_lock(db);
        db_set_error(db, rc, "sync of the log failed");
        db_unlock(db);
    }
    return rc;
}

int db_log_sync(struct lsm *db, struct db_log *log, uint64_t end)
{
    return log_sync(db, log, end, true);
}

// `durable` is read first, since both grow meanwhile.
static uint64_t unsynced(const struct db_log *log)
{
    uint64_t durable = log->wal ? wal_durable(log->wal) : 0;
    return log->wal ? wal_end(log->wal) - durable : 0;
}

uint64_t db_log_unsynced(const struct lsm *db)
{
    uint64_t bytes = unsynced(db_active_log(db));
    for (unsigned i = 0; i < db_immutables(db); i++)
        bytes += unsynced(db_immutable_log(db, i));
    return bytes;
}

int db_log_sync_active(struct lsm *db, bool asked)
{
    db_lock(db);
    int rc = db_check_error(db);
    struct db_log *log = db_active_log(db);
    db_log_ref(log);
    uint64_t end = wal_end(log->wal);
    db_unlock(db);
    if (!rc)
        rc = log_sync(db, log, end, asked);
    db_log_unref(db, log);
    return rc;
}

int lsm_sync(struct lsm *db)
{
    return db->options.read_only ? LSM_OK : db_log_sync_active(db, true);
}
