// How writers are slowed before they have to be stopped.
//
// Two brakes, so that neither the stop at too many level-0 tables nor the wait for a memtable to be
// flushed is a wall. Under pressure (level 0 grows beyond l0_slowdown) writes get a rate. While a
// flush stands between the active memtable and its switch, the memtable's second half fills no
// faster than the flush proceeds: a write that would be ahead sleeps for a millisecond.
//
// The pressure is computed whenever something changes that it depends on, and read by the leader.
#include <assert.h>
#include <time.h>

#include "base/waits.h"
#include "db/db.h"
#include "env_rados/env_rados.h"

#define OWED_MIN_NS          UINT64_C(1000000)  // less than this is not worth a sleep
#define OWED_MAX_NS          UINT64_C(10000000) // more is remitted
#define PACE_SLEEP_NS        UINT64_C(1000000)
#define PER_MILLE            1000u
#define FLUSH_ENTRIES        900u // per mille of a flush; the rest stands for the table's sync
#define FREE_PART            500u // per mille of a memtable that fill at any speed
#define GARBAGE_STORE_SHARE  4    // of the store's bytes
#define GARBAGE_BUFFER_SHARE 8    // and of the write buffer
#define GARBAGE_MIN          (1u << 20)
#define RETRY_PRESSURE       (DB_PRESSURE_STOP / 2) // on writers while a failed job is tried again

// When writers begin to be slowed so that garbage in blob files does not grow without bound, and
// when they are stopped: per cent of blob bytes that sorted tables do not refer to, above
// blob_garbage_ratio.
#define UNSETTLED_SLOW  6
#define UNSETTLED_STOP  12
#define BLOB_SLOW_FILES 2                   // never for less than the size of so many blob files
#define BLOB_SLOW_MIN   ((uint64_t)1 << 20) // or for less than these bytes
#define REMOTE_MORE     8                   // times as much in a cluster, where flushes take long

static void sleep_ns(struct lsm *db, uint64_t ns)
{
    struct timespec time = {.tv_nsec = (long)ns};
    uint64_t began = clock_ns();
    nanosleep(&time, NULL);
    wait_end(WAIT_STALL, began);
    counter_add(&db->counters.slowdown_us, ns / 1000);
}

// From pressure 1 to DB_PRESSURE_STOP the rate falls exponentially from 256 MB/s to 1 MB/s.
void db_slow_down(struct lsm *db, unsigned pressure, size_t bytes)
{
    static const double ns_per_byte[] = {3.9, 7.8, 15.6, 31.2, 62.5, 125, 250, 500, 1000};
    const unsigned steps = sizeof ns_per_byte / sizeof ns_per_byte[0] - 1;
    if (pressure == 0)
        return;
    assert(pressure <= DB_PRESSURE_STOP);
    double position = (double)pressure * steps / DB_PRESSURE_STOP;
    unsigned step = (unsigned)position;
    double rate = ns_per_byte[step];
    if (step < steps)
        rate += (ns_per_byte[step + 1] - rate) * (position - step);
    db->pace.debt_ns += (uint64_t)(rate * (double)bytes);
    if (db->pace.debt_ns < OWED_MIN_NS)
        return;
    uint64_t delay = db->pace.debt_ns > OWED_MAX_NS ? OWED_MAX_NS : db->pace.debt_ns;
    db->pace.debt_ns = 0;
    sleep_ns(db, delay);
}

// Parts of a thousand of the running flush that are done.
static uint64_t flush_progress(const struct lsm *db)
{
    uint64_t total = atomic_load_explicit(&db->pace.flush_total, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&db->pace.flush_done, memory_order_relaxed);
    return done < total ? done * FLUSH_ENTRIES / total : PER_MILLE;
}

void db_keep_pace(struct lsm *db)
{
    size_t bytes = memtable_bytes(db_active_as_lead(db)), size = db->options.write_buffer_size;
    if (bytes == db->pace.bytes)
        return;
    db_lock(db);
    bool flush_needed = db_immutables(db) + 1 >= db->options.max_write_buffers;
    db_unlock(db);
    uint64_t allowed = FREE_PART + flush_progress(db) * (PER_MILLE - FREE_PART) / PER_MILLE;
    if (flush_needed && bytes < size && bytes * PER_MILLE / size > allowed)
        sleep_ns(db, PACE_SLEEP_NS);
    else
        db->pace.bytes = bytes;
}

// ------------------------------------------------------------------------------------- pressure

// 0 .. DB_PRESSURE_STOP - 1: where `value` lies between where writers begin to be slowed and where
// they stop.
static unsigned pressure_between(uint64_t value, uint64_t slow, uint64_t stop)
{
    if (value <= slow)
        return 0;
    assert(slow <= stop);
    const unsigned most = DB_PRESSURE_STOP - 1;
    return value >= stop ? most : (unsigned)((value - slow) * most / (stop - slow));
}

// How far reclaim is behind, and how far flushes and compactions are behind with finding out what
// is garbage. Blob bytes that sorted tables do not refer to are garbage, or were written
// lately and may have superseded as much. Sets flush_soon when files are drained but for what
// memtables refer to, and when writers are slowed while memtables refer to much: such bytes count
// twice, and hide garbage.
static unsigned blob_pressure(struct lsm *db) REQUIRES(db_mutex)
{
    struct blob_stats stats = {0};
    uint64_t file = db->options.blob_file_size, ratio = db->options.blob_garbage_ratio;
    uint64_t little = BLOB_SLOW_FILES * file, worth_a_flush = file / 2;
    if (little < BLOB_SLOW_MIN)
        little = BLOB_SLOW_MIN;
    if (env_rados_named(db->dir))
        little *= REMOTE_MORE;
    if (blob_store_bytes(db->blobs) >= little)
        blob_store_stats(db->blobs, &stats);
    unsigned pressure = 0;
    if (stats.unsettled >= little)
        pressure = pressure_between(stats.unsettled * 100, stats.in_use * (ratio + UNSETTLED_SLOW),
                                    stats.in_use * (ratio + UNSETTLED_STOP));
    bool soon = stats.waiting >= worth_a_flush || (pressure && stats.mem >= worth_a_flush);
    atomic_store_explicit(&db->pace.flush_soon, soon, memory_order_relaxed);
    return pressure;
}

// Bytes of superseded entries from which on a memtable is flushed early: its log is to be no more
// than a part of the store, and a flush of what is left costs little. But a small one is not worth
// a flush.
static uint64_t garbage_max(struct lsm *db) REQUIRES(db_mutex)
{
    uint64_t store = version_bytes(db_version(db)) + blob_store_bytes(db->blobs);
    uint64_t little = db->options.write_buffer_size / GARBAGE_BUFFER_SHARE;
    if (little < GARBAGE_MIN)
        little = GARBAGE_MIN;
    return store / GARBAGE_STORE_SHARE > little ? store / GARBAGE_STORE_SHARE : little;
}

void db_update_pressure(struct lsm *db)
{
    atomic_store_explicit(&db->pace.garbage_max, garbage_max(db), memory_order_relaxed);
    unsigned count = db_level0_tables(db), pressure = 0;
    unsigned slow = db->options.l0_slowdown, stop = db->options.l0_stop;
    if (count >= slow)
        pressure = count >= stop ? DB_PRESSURE_STOP
                                 : 1 + (count - slow) * (DB_PRESSURE_STOP - 2) / (stop - slow);
    unsigned blobs = blob_pressure(db);
    if (blobs > pressure)
        pressure = blobs;
    if (db->jobs.retry.jobs && pressure < RETRY_PRESSURE)
        pressure = RETRY_PRESSURE;
    bool full = db_disk_is_full(db);
    if (db_has_failed(db) || full)
        pressure = DB_PRESSURE_STOP;
    if (!full)
        db_little_end(db);
    atomic_store_explicit(&db->pace.pressure, pressure, memory_order_release);
}
