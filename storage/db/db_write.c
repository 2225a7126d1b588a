// The write path.
//
// Writers queue (db_queue.c); the one at the head leads. It makes room (slowing down, or waiting,
// when flush and compaction are behind), takes the waiting batches as a group, appends them to the
// log as one write, inserts them into the memtable, and publishes their last sequence number. Then
// it wakes the group and hands the lead to the next. (LevelDB's write queue.)
//
// A writer that asked for it syncs after that, outside of the lead: the log's sync is a group
// commit of its own, and the next group is appended meanwhile. A reader may thus see a write that
// is not durable yet; its writer has not been told that it is. In a cluster all writers sync
// (db_log.c), some of them later, when they have given up locks of their own (lsm_write_end()).
//
// Large values are written to blob files before the batch queues (db_resolve.c).
//
// Failure: if the log refuses a group, none of it is visible and all its writers get the status.
// The memory for the group's entries is there before it is logged. If an insert fails after that
// nevertheless, the store turns read-only, since log and memory differ.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/waits.h"
#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"

#define GROUP_MAX_BATCHES 64
#define GROUP_MAX_BYTES   (1u << 20)
#define WATCH_BLOB_BYTES  (4u << 20) // written between two looks at what reclaim has to do
#define SOON_SHARE        64 // of the write buffer: enough to flush if blob files wait for it
#define SOON_MIN          (64u << 10)
#define SPACE_WAIT_US     5000000 // of a write that may use the reserve, for space that jobs have
#define SPACE_RETRY_US    10000

// ------------------------------------------------------------------------------------- making room

// Whether a full memtable has to wait before it can be switched; mutex held.
static bool must_wait(struct lsm *db) REQUIRES(db_mutex)
{
    return db_immutables(db) + 1 >= db->options.max_write_buffers ||
           db_level0_tables(db) >= db->options.l0_stop;
}

// Whether the active memtable is full. It is when it has reached its size; and before that when it
// refers to many blob bytes, when most of its entries are superseded, or, with little in it, when
// drained blob files cannot be removed before it is flushed. `wait`: it cannot be switched at once,
// so it may take some more.
static bool memtable_full(struct lsm *db, bool wait) REQUIRES(db_lead)
{
    size_t size = db->options.write_buffer_size, little = size / SOON_SHARE;
    bool soon = atomic_load_explicit(&db->pace.flush_soon, memory_order_relaxed) && !wait;
    if (little < SOON_MIN)
        little = SOON_MIN;
    uint64_t garbage = memtable_superseded(db_active_as_lead(db));
    return memtable_bytes(db_active_as_lead(db)) >= size ||
           (!wait &&
            garbage >= atomic_load_explicit(&db->pace.garbage_max, memory_order_relaxed)) ||
           db_memtable_blob_bytes(db_active_as_lead(db)) >=
               db_blob_flush_bytes(db) * (wait ? 2 : 1) ||
           (soon && wal_end(db_active_log_as_lead(db)->wal) >= little);
}

// The jobs that a full memtable waits for; mutex held.
static unsigned jobs_waited_for(struct lsm *db) REQUIRES(db_mutex)
{
    return db_level0_tables(db) >= db->options.l0_stop ? DB_FULL_JOBS : DB_FULL_FLUSH;
}

// Whether what a full memtable waits for cannot go on for lack of space; mutex held.
static bool is_stuck(struct lsm *db) REQUIRES(db_mutex)
{
    return db->space.full & DB_FULL_FLUSH ||
           (db->space.full & DB_FULL_COMPACTION && db_level0_tables(db) >= db->options.l0_stop);
}

// Whether the writer may write while space is short; a small change takes its bytes of what small
// changes may have.
static bool take_of_reserve(struct lsm *db, const struct writer *writer, bool *ret_counted)
    REQUIRES(db_lead)
{
    if (writer->reserve != RESERVE_USE_LITTLE)
        return writer->reserve == RESERVE_USE_ALL;
    db_lock(db);
    bool full = db_disk_is_full(db) && !db_has_failed(db);
    db_unlock(db);
    *ret_counted = full && db_little_take(db, writer->batch->payload.size);
    return *ret_counted;
}

// Before another attempt of what found no room and may use the reserve: gives that back or, if a
// flush or a compaction has it, waits a moment for what those give back. False after `give_up_us`.
static bool may_try_again(struct lsm *db, uint64_t give_up_us) EXCLUDES(db_mutex)
{
    db_lock(db);
    bool failed = db_has_failed(db);
    db_unlock(db);
    if (failed || clock_us() >= give_up_us)
        return false;
    if (!db_reserve_release(db))
        usleep(SPACE_RETRY_US);
    return true;
}

// Where space is short the next log is made only now, and a job may have all the space just then.
static int switch_memtable(struct lsm *db, bool use_reserve) REQUIRES(db_lead) EXCLUDES(db_mutex)
{
    uint64_t give_up_us = clock_us() + SPACE_WAIT_US;
    int rc = db_switch_memtable(db);
    while (rc == LSM_NO_SPACE && use_reserve && may_try_again(db, give_up_us))
        rc = db_switch_memtable(db);
    return rc;
}

static int make_room_slowly(struct lsm *db, const struct writer *writer, bool *ret_counted)
    REQUIRES(db_lead)
{
    int rc;
    bool use_reserve = take_of_reserve(db, writer, ret_counted);
    uint64_t give_up_us = clock_us() + (use_reserve ? SPACE_WAIT_US : 0);
    db_lock(db);
    for (;;) {
        rc = db_check_error(db);
        if (rc)
            break;
        if (!use_reserve && db_disk_is_full(db)) {
            rc = status_fail(LSM_NO_SPACE, "%s: the disk is full; delete something or make room",
                             db->dir);
            break;
        }
        bool wait = must_wait(db);
        bool cramped = memtable_entries(db_active(db)) > 0 && db_reserve_cramped(db);
        if (!memtable_full(db, wait) && !cramped)
            break;
        if (wait || (cramped && db_immutables(db) > 0)) {
            if (is_stuck(db) && clock_us() >= give_up_us) {
                rc = status_fail(LSM_NO_SPACE, "%s: the disk is full", db->dir);
                break;
            }
            rc = db_check_retry(db, jobs_waited_for(db), DB_RETRY_WRITE_US);
            if (rc)
                break;
            uint64_t start = clock_us(), began = clock_ns();
            db->pace.stalled = true;
            db_wait(db, &db->changed);
            db->pace.stalled = false;
            counter_add(&db->counters.stall_us, clock_us() - start);
            wait_end(WAIT_STALL, began);
            continue;
        }
        db_unlock(db);
        if (!use_reserve && db_low_after_giving_back(db)) {
            db_note_full(db);
            db_lock(db);
            continue;
        }
        uint64_t start = clock_us(), began = clock_ns();
        rc = switch_memtable(db, use_reserve);
        // Counted as a stall: the next log may not be ready.
        counter_add(&db->counters.stall_us, clock_us() - start);
        wait_end(WAIT_STALL, began);
        db_lock(db);
        if (rc)
            break;
    }
    db_unlock(db);
    return rc;
}

// Large values fill the disk long before they fill the memtable, and nothing of what is kept for
// deleting may be left to them.
static void watch_blobs(struct lsm *db) REQUIRES(db_lead)
{
    uint64_t bytes = db_memtable_blob_bytes(db_active_as_lead(db));
    if (bytes < db->pace.watched_blobs + WATCH_BLOB_BYTES)
        return;
    db->pace.watched_blobs = bytes;
    db_lock(db);
    db_update_pressure(db);
    db_unlock(db);
    if (db_low_after_giving_back(db))
        db_note_full(db);
}

// *ret_counted is set if it is a small change that db_little_take() has let go on.
static int make_room(struct lsm *db, const struct writer *writer, bool *ret_counted)
    REQUIRES(db_lead)
{
    watch_blobs(db);
    unsigned pressure = atomic_load_explicit(&db->pace.pressure, memory_order_relaxed);
    bool full = memtable_full(db, false);
    if (pressure == 0 && !full && memtable_bytes(db_active_as_lead(db)) == db->pace.bytes)
        return LSM_OK;
    if (pressure || full) {
        int rc = make_room_slowly(db, writer, ret_counted);
        if (rc)
            return rc;
    }
    if (writer->reserve == RESERVE_USE_NOT) {
        db_slow_down(db, pressure, writer->batch->payload.size + writer->batch->resolved_bytes);
        db_keep_pace(db);
    }
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- the group

struct write_group {
    struct wal_record records[GROUP_MAX_BATCHES];
    struct writer *writers[GROUP_MAX_BATCHES];
    unsigned count;
    uint64_t bytes;
    uint64_t next_sequence;
    bool counted; // the write is a small change that db_little_take() has admitted
};

// Collects the leader's batch and those waiting behind it. Stops at a writer that must not share
// the leader's fate: one without a batch, or with another right to the reserve. A small change that
// is counted goes alone.
static void group_collect(struct lsm *db, struct writer *leader, struct write_group *group)
    REQUIRES(db_lead)
{
    group->next_sequence = db->queue.last_sequence + 1;
    db_queue_lock(db);
    for (struct writer *w = leader; w && group->count < GROUP_MAX_BATCHES; w = w->next) {
        if (!w->batch || w->reserve != leader->reserve || (group->counted && w != leader))
            break;
        size_t size = w->batch->payload.size;
        if (group->count && group->bytes + size > GROUP_MAX_BYTES)
            break;
        group->records[group->count].sequence = group->next_sequence;
        group->records[group->count].payload = buf_slice(&w->batch->payload);
        group->writers[group->count++] = w;
        group->bytes += size;
        group->next_sequence += w->batch->count;
    }
    db_queue_unlock(db);
}

// Sets memory aside for the large entries of a batch, and adds up what its other entries need.
// Called only for a batch that is long enough to have large entries.
static int batch_reserve(struct lsm *db, struct slice payload, size_t *count_sum, size_t *bytes_sum)
    REQUIRES(db_lead)
{
    uint32_t count;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    int rc = LSM_OK;
    while (p < end && !rc) {
        struct batch_op op;
        rc = batch_next(&p, end, &op);
        size_t bytes = rc ? 0 : op.key.size + op.value.size;
        if (!rc && memtable_is_large(db_active_as_lead(db), bytes))
            rc = memtable_reserve_large(db_active_as_lead(db), bytes, &bytes);
        *bytes_sum += bytes;
    }
    *count_sum += count;
    return rc;
}

// The memory for the group's entries: once they are logged they have to get into the memtable.
static int group_reserve(struct lsm *db, const struct write_group *group) REQUIRES(db_lead)
{
    size_t count = 0, bytes = 0;
    int rc = LSM_OK;
    for (unsigned i = 0; i < group->count && !rc; i++) {
        struct slice payload = group->records[i].payload;
        if (memtable_is_large(db_active_as_lead(db), payload.size)) {
            rc = batch_reserve(db, payload, &count, &bytes);
        } else {
            count += group->writers[i]->batch->count;
            bytes += payload.size;
        }
    }
    return rc ? rc : memtable_reserve(db_active_as_lead(db), count, bytes);
}

static int insert_batch(struct lsm *db, const struct wal_record *record) REQUIRES(db_lead)
{
    struct slice payload = record->payload;
    uint32_t count;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    uint64_t sequence = record->sequence;
    while (p < end) {
        struct batch_op op;
        int rc = batch_next(&p, end, &op);
        if (rc)
            return status_fail(rc, "malformed batch in memory");
        enum entry_type type = batch_entry_type(op.type);
        rc = memtable_add(db_active_as_lead(db), op.key, tag_make(sequence++, type), op.value,
                          &db->memtables.hint);
        if (rc)
            return rc;
    }
    return LSM_OK;
}

// The memtable holds the blob files that the group's pointers name before any of them is in it.
static int group_register_blobs(struct lsm *db, struct write_group *group) REQUIRES(db_lead)
{
    int rc = LSM_OK;
    for (unsigned i = 0; i < group->count && !rc; i++) {
        const struct lsm_batch *batch = group->writers[i]->batch;
        if (!batch->resolved_in)
            continue;
        rc = db_blob_register(db_active_as_lead(db), &batch->pins, batch->resolved_bytes);
        counter_add(&db->counters.user_bytes, batch->resolved_values);
    }
    return rc;
}

// Logs the group. One that may use the reserve gets it, or waits a while for it.
static int group_log(struct lsm *db, const struct write_group *group, uint64_t *ret_end)
    REQUIRES(db_lead)
{
    enum reserve_use use = group->writers[0]->reserve;
    int rc = wal_append(db_active_log_as_lead(db)->wal, group->records, group->count, ret_end);
    if (use == RESERVE_USE_LITTLE && rc == LSM_NO_SPACE && group->counted && db_reserve_release(db))
        rc = wal_append(db_active_log_as_lead(db)->wal, group->records, group->count, ret_end);
    if (use != RESERVE_USE_ALL)
        return rc;
    uint64_t give_up_us = clock_us() + SPACE_WAIT_US;
    while (rc == LSM_NO_SPACE && may_try_again(db, give_up_us))
        rc = wal_append(db_active_log_as_lead(db)->wal, group->records, group->count, ret_end);
    return rc;
}

static int group_write(struct lsm *db, struct write_group *group) REQUIRES(db_lead)
{
    uint64_t end, start = wal_end(db_active_log_as_lead(db)->wal);
    int rc = group_reserve(db, group);
    if (!rc)
        rc = group_register_blobs(db, group);
    if (rc)
        return rc;
    rc = group_log(db, group, &end);
    if (rc) {
        if (rc == LSM_NO_SPACE)
            db_note_full(db);
        if (status_is_clean(rc))
            return rc;
        db_lock(db);
        db_set_error(db, rc, "writing the log failed");
        db_unlock(db);
        return rc;
    }
    for (unsigned i = 0; i < group->count && !rc; i++)
        rc = insert_batch(db, &group->records[i]);
    if (rc) {
        db_lock(db);
        db_set_error(db, rc, "a logged write could not be applied");
        db_unlock(db);
        return rc;
    }
    assert(group->count > 0 && group->next_sequence - 1 > db->queue.last_sequence);
    db->queue.last_sequence = group->next_sequence - 1;
    atomic_store_explicit(&db->readers.visible, db->queue.last_sequence, memory_order_release);
    for (unsigned i = 0; i < group->count; i++) {
        if (group->writers[i]->sync || (i == 0 && group->writers[i]->sync_soon)) {
            db_log_ref(db_active_log_as_lead(db));
            group->writers[i]->sync_log = db_active_log_as_lead(db);
            group->writers[i]->sync_end = end;
        }
    }
    counter_add(&db->counters.user_bytes, group->bytes);
    counter_add(&db->counters.wal_bytes, end - start);
    db_behind_appended(db, atomic_load_explicit(&db->counters.wal_bytes, memory_order_relaxed));
    counter_add(&db->counters.writes, group->count);
    counter_add(&db->counters.groups, 1);
    return LSM_OK;
}

// Makes room and writes a group. A small change that finds the disk full is counted from then on,
// and tried again.
static int lead_once(struct lsm *db, struct writer *leader, struct write_group *group)
    REQUIRES(db_lead)
{
    group->count = 0;
    group->bytes = 0;
    group->counted = false;
    int rc = make_room(db, leader, &group->counted);
    if (rc) {
        group->count = 1;
        group->writers[0] = leader;
        return rc;
    }
    group_collect(db, leader, group);
    return group_write(db, group);
}

static void lead(struct lsm *db, struct writer *leader) RELEASES(db_lead)
{
    struct write_group group;
    int rc = lead_once(db, leader, &group);
    if (rc == LSM_NO_SPACE && leader->reserve == RESERVE_USE_LITTLE && !group.counted)
        rc = lead_once(db, leader, &group);
    if (!rc && db_reserve_exceeded(db))
        db_reserve_grow(db);
    for (unsigned i = 0; i < group.count; i++) {
        group.writers[i]->status = rc;
        if (rc && group.writers[i] != leader)
            status_keep(group.writers[i]->kept);
    }
    db_lead_end(db, leader, group.writers[group.count - 1]);
}

static enum reserve_use reserve_use(const struct lsm_write_options *wo)
{
    if (wo && wo->use_reserve)
        return RESERVE_USE_ALL;
    return wo && wo->use_little ? RESERVE_USE_LITTLE : RESERVE_USE_NOT;
}

// Leaves waiting for the log to lsm_write_end(); takes over the writer's reference. What was
// pending before is older, so the new one stands for it too.
static void leave_pending(struct lsm *db, const struct writer *writer, struct lsm_pending *pending)
{
    db_log_unref(db, pending->log);
    *pending = (struct lsm_pending){writer->sync_log, writer->sync_end};
}

static int write_batch(struct lsm *db, const struct lsm_write_options *wo,
                       const struct lsm_batch *batch)
{
    struct status_kept kept;
    assert(batch->count > 0 && batch->unresolved == 0);
    struct writer writer = {.batch = batch,
                            .sync = (wo && wo->sync) || db_log_gathers(db),
                            .sync_soon = wo && wo->sync_soon,
                            .reserve = reserve_use(wo),
                            .kept = &kept};
    if (db_lead_or_wait(db, &writer)) {
        lead(db, &writer);
    } else if (writer.status) {
        status_restore(&kept);
        return writer.status;
    }
    int rc = writer.status;
    if (writer.sync_log && wo && wo->pending && !wo->sync && db_log_gathers(db)) {
        leave_pending(db, &writer, wo->pending);
    } else if (writer.sync_log) {
        if (writer.sync)
            rc = db_log_sync(db, writer.sync_log, writer.sync_end);
        else
            wal_write_out(writer.sync_log->wal, writer.sync_end);
        db_log_unref(db, writer.sync_log);
    }
    return rc;
}

// ------------------------------------------------------------------------------------- interface

static int write_any(struct lsm *db, const struct lsm_write_options *wo, struct lsm_batch *batch)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "%s was opened read-only", db->dir);
    if (batch->count == 0)
        return wo && wo->sync ? lsm_sync(db) : LSM_OK;
    if (batch->resolved_in && batch->resolved_in != db)
        return status_fail(LSM_INVALID, "the batch was staged in another store than %s", db->dir);
    enum reserve_use use = reserve_use(wo);
    bool full = atomic_load_explicit(&db->pace.pressure, memory_order_relaxed) >= DB_PRESSURE_STOP;
    // What a small change takes is counted in the log.
    size_t min = use == RESERVE_USE_LITTLE && full ? SIZE_MAX : db_blob_min(db, wo);
    if (!batch->unresolved && batch->largest < min)
        return write_batch(db, wo, batch);
    int rc = use == RESERVE_USE_NOT ? db_check_space(db) : LSM_OK;
    if (!rc)
        rc = db_resolve(db, batch, min);
    if (rc == LSM_NO_SPACE && use == RESERVE_USE_LITTLE)
        rc = db_resolve(db, batch, SIZE_MAX);
    uint64_t give_up_us = clock_us() + SPACE_WAIT_US;
    while (rc == LSM_NO_SPACE && use == RESERVE_USE_ALL && may_try_again(db, give_up_us))
        rc = db_resolve(db, batch, min);
    if (rc == LSM_NO_SPACE)
        db_note_full(db);
    if (rc)
        return rc;
    rc = write_batch(db, wo, batch->resolved);
    db_resolve_end(batch);
    return rc;
}

int lsm_write(struct lsm *db, const struct lsm_write_options *wo, struct lsm_batch *batch)
{
    uint64_t start = latency_begin();
    int rc = write_any(db, wo, batch);
    latency_end(&db->latency[LATENCY_WRITE], start);
    return rc;
}

int lsm_write_end(struct lsm *db, struct lsm_pending *pending)
{
    struct db_log *log = pending->log;
    int rc = log ? db_log_sync(db, log, pending->end) : LSM_OK;
    db_log_unref(db, log);
    *pending = (struct lsm_pending){0};
    return rc;
}

// A thread's batch for single puts and deletes, so that they allocate nothing.
static _Thread_local struct lsm_batch single;
static pthread_key_t single_key;
static pthread_once_t single_once = PTHREAD_ONCE_INIT;

static void single_release(void *batch)
{
    batch_release(batch);
}

static void single_init(void)
{
    pthread_key_create(&single_key, single_release);
}

static int single_begin(void)
{
    if (single.payload.capacity == 0) {
        pthread_once(&single_once, single_init);
        if (buf_reserve(&single.payload, 256))
            return status_no_memory(256);
        pthread_setspecific(single_key, &single);
    }
    lsm_batch_clear(&single);
    return LSM_OK;
}

// A buffer that a huge value has made large is freed, and does not stay for the thread's life.
static void single_end(void)
{
    if (single.payload.capacity > GROUP_MAX_BYTES)
        buf_release(&single.payload);
}

int lsm_put(struct lsm *db, const struct lsm_write_options *wo, const void *key, size_t key_size,
            const void *value, size_t value_size)
{
    int rc = single_begin();
    if (!rc && value_size >= db_blob_min(db, wo))
        rc = lsm_batch_put_borrowed(&single, key, key_size, value, value_size);
    else if (!rc)
        rc = lsm_batch_put(&single, key, key_size, value, value_size);
    if (!rc)
        rc = lsm_write(db, wo, &single);
    single_end();
    return rc;
}

int lsm_delete(struct lsm *db, const struct lsm_write_options *wo, const void *key, size_t key_size)
{
    int rc = single_begin();
    if (!rc)
        rc = lsm_batch_delete(&single, key, key_size);
    if (!rc)
        rc = lsm_write(db, wo, &single);
    single_end();
    return rc;
}

int lsm_flush(struct lsm *db)
{
    if (db->options.read_only)
        return status_fail(LSM_READ_ONLY, "%s was opened read-only", db->dir);
    struct writer writer;
    db_lead_acquire(db, &writer);
    db_lock(db);
    int rc = db_check_error(db);
    while (!rc && memtable_entries(db_active(db)) && must_wait(db)) {
        if (db->space.full & DB_FULL_JOBS)
            rc = status_fail(LSM_NO_SPACE, "%s: the disk is full", db->dir);
        else if (!(rc = db_check_retry(db, jobs_waited_for(db), DB_RETRY_FLUSH_US)))
            db_wait(db, &db->changed);
        if (!rc)
            rc = db_check_error(db);
    }
    uint64_t number = db_active_log(db)->number;
    db_unlock(db);
    if (!rc && memtable_entries(db_active_as_lead(db)))
        rc = db_switch_memtable(db);
    db_lead_release(db, &writer);

    db_lock(db);
    while (!rc && db_immutables(db) && db_immutable_log(db, 0)->number <= number) {
        // Looked at before each wait, because after a failure nothing is flushed any more.
        rc = db_check_error(db);
        if (!rc && db->space.full & DB_FULL_FLUSH)
            rc = status_fail(LSM_NO_SPACE, "%s: the disk is full", db->dir);
        if (!rc)
            rc = db_check_retry(db, DB_FULL_FLUSH, DB_RETRY_FLUSH_US);
        if (!rc)
            db_wait(db, &db->changed);
    }
    db_unlock(db);
    return rc;
}
