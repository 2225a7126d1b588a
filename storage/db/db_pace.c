// How writers are slowed before they have to be stopped.
//
// Two brakes, so that neither the stop at too many level-0 tables nor the wait for a memtable to be
// flushed is a wall. Under pressure (level 0 grows beyond l0_slowdown) writes get a rate. While a
// flush stands between the active memtable and its switch, the memtable's second half fills no
// faster than the flush proceeds: a write that would be ahead sleeps for a millisecond.
//
// All functions are called by the leader, without locks.
#include <time.h>

#include "db/db.h"

#define PACE_SLEEP_NS 1000000

static void sleep_ns(struct lsm *db, uint64_t ns)
{
    struct timespec time = {.tv_nsec = (long)ns};
    nanosleep(&time, NULL);
    counter_add(&db->counters.slowdown_us, ns / 1000);
}

// From pressure 1 to 1000 the rate falls exponentially from 256 MB/s to 1 MB/s.
void db_slow_down(struct lsm *db, unsigned pressure, size_t bytes)
{
    static const double ns_per_byte[] = {3.9, 7.8, 15.6, 31.2, 62.5, 125, 250, 500, 1000};
    if (pressure == 0)
        return;
    double position = (double)(pressure > 1000 ? 1000 : pressure) * 8 / 1000;
    unsigned step = (unsigned)position;
    double rate = ns_per_byte[step];
    if (step < 8)
        rate += (ns_per_byte[step + 1] - rate) * (position - step);
    db->delay_debt_ns += (uint64_t)(rate * (double)bytes);
    if (db->delay_debt_ns < 1000000)
        return;
    uint64_t delay = db->delay_debt_ns > 10000000 ? 10000000 : db->delay_debt_ns;
    db->delay_debt_ns = 0;
    sleep_ns(db, delay);
}

// Parts of a thousand of the running flush that are done.
static uint64_t flush_progress(const struct lsm *db)
{
    uint64_t total = atomic_load_explicit(&db->flush_total, memory_order_relaxed);
    uint64_t done = atomic_load_explicit(&db->flush_done, memory_order_relaxed);
    return done < total ? done * 900 / total : 1000; // the last tenth stands for the table's sync
}

void db_pace(struct lsm *db)
{
    size_t bytes = memtable_bytes(db->active), size = db->options.write_buffer_size;
    if (bytes == db->paced_bytes)
        return;
    pthread_mutex_lock(&db->mutex);
    bool flush_needed = db->immutable_count + 1 >= db->options.max_write_buffers;
    pthread_mutex_unlock(&db->mutex);
    if (flush_needed && bytes < size && bytes * 1000 / size > 500 + flush_progress(db) / 2)
        sleep_ns(db, PACE_SLEEP_NS);
    else
        db->paced_bytes = bytes;
}
