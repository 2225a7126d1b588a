// The log's writing side: creation, appending, group commit of syncs.
//
// Creation writes and syncs the header before anything is appended, so that recovery can tell a log
// that was never used from one whose header was damaged.
//
// Appending copies each record into the mapping (or into one buffer for a single pwrite) and then
// publishes the new `end`. It takes no lock and, mapped, makes no system call except to grow. A
// held log's appends gather in one buffer; whoever writes it takes it whole and leaves an empty
// one.
//
// wal_sync() is a group commit: the first caller becomes the leader, notes `end` and syncs the
// file; those who come meanwhile wait, and the first of them whose records that sync did not
// cover leads the next one, which covers all of them. The mapped log is synced through the file
// descriptor too: it costs the same as msync and does not care which part is mapped just now.
//
// Threads that write and sync in a loop come back a moment after the sync that served them, when
// the next one, with those who came meanwhile, has just begun: half of them in each. So a leader
// who has reason to expect company waits for it, for half the time of a sync at most; whoever
// completes the group leads it. Waiting in vain is not tried again for a while.
//
// Invariants: durable <= end; both are multiples of 8 and only grow; all below `end` is whole
// records. After a failed sync the page cache may have forgotten what it could not write, so no
// later sync can be trusted: the failure is final.
//
// Threads: the fields of the appender are its own; sync state and what is held are under
// sync_mutex, what is being written of it is under out_mutex, so that it is written in order;
// `end`, `durable` and `status` are read without.
#include "wal/wal_writer.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/hash.h"
#include "base/lock_check.h"
#include "base/status.h"
#include "base/waits.h"
#include "wal/wal_format.h"
#include "wal/wal_window.h"

#define CACHE_LINE         64
#define CAPACITY_MIN       ((size_t)4096)
#define BATCH_BUFFER_KEPT  ((size_t)1 << 20)
#define RECYCLE_MAX_FACTOR 4u
#define PREPARE            ((uint64_t)64 << 10)
#define PREPARE_AFTER      ((uint64_t)256 << 10) // bytes not synced
#define PREPARE_SYNCED     ((uint64_t)1 << 20)
#define PREPARE_SYNCS      8u                    // during the last PREPARE bytes
#define PREPARE_ALIGN      ((uint64_t)65536)     // whole pages of any size
#define LET_GO             ((uint64_t)512 << 10) // of the mapping at a time
#define LET_GO_ALIGN       ((uint64_t)65536)     // of pages of any size
#define WRITE_OUT_MAX      ((uint64_t)64 << 10)  // more is no single short write
#define GATHER_US_MAX      10000u
#define HELD_MAX           ((size_t)1 << 20)  // bytes of a held log that were not written
#define HELD_PIECE         ((size_t)64 << 10) // a full pool of a cluster takes that much at a time
#define GATHER_PAUSE       16u                // syncs without a wait for company after one in vain

extern struct lock_role wal_sync_mutex; // of the log's writing side; a leaf
extern struct lock_role wal_out_mutex;  // of a held log, while it is written; before wal_sync_mutex

struct wal_writer {
    // The appender's.
    struct wal_window window;      // mapped logs
    struct buf batch;              // written logs: the records of one append
    uint64_t prepared;             // mapped logs: the pages up to here have been prepared
    uint64_t prepared_syncs;       // `syncs` at that time
    uint64_t fresh_from;           // nothing has been written to the file from here on; constant
    uint64_t let_go;               // mapped logs: the mapping holds no pages below this
    bool mapped, holds;            // constant
    uint32_t tag;                  // constant
    uint64_t number;               // constant
    struct env_file *file;         // constant
    int (*before_sync)(void *arg); // constant
    void *arg;                     // constant

    // Stored by the appender (release: the records below are in the page cache), loaded by syncers
    // (acquire).
    _Alignas(CACHE_LINE) _Atomic uint64_t end;

    // Stored under sync_mutex (release), loaded by anyone (acquire).
    _Alignas(CACHE_LINE) _Atomic uint64_t durable;
    _Atomic int status; // the first failed sync; 0: none

    pthread_mutex_t sync_mutex;
    pthread_cond_t sync_done;
    bool syncing GUARDED_BY(wal_sync_mutex);     // a leader is at work
    bool gathering GUARDED_BY(wal_sync_mutex);   // a leader waits for company
    bool behind GUARDED_BY(wal_sync_mutex);      // a thread is in wal_sync_behind(); one at a time
    unsigned pending GUARDED_BY(wal_sync_mutex); // threads in wal_sync whom no sync has served
    // How many of them there are once all threads of the last group are back.
    unsigned expected GUARDED_BY(wal_sync_mutex);
    _Atomic uint64_t syncs; // begun; written under sync_mutex
    _Atomic uint64_t asked; // up to where wal_sync() had to sync; written under sync_mutex
    unsigned pause GUARDED_BY(wal_sync_mutex);   // syncs until the next gathering
    uint64_t sync_us GUARDED_BY(wal_sync_mutex); // what a sync takes, averaged; 0: not known yet

    // Held logs.
    struct buf held GUARDED_BY(wal_sync_mutex);    // appended and not written
    uint64_t held_from GUARDED_BY(wal_sync_mutex); // where it belongs
    pthread_mutex_t out_mutex;
    struct buf out GUARDED_BY(wal_out_mutex); // being written
    struct status_kept kept; // the detail of `status`; written once, before it is set
};

LOCK_FUNCTIONS(sync, struct wal_writer, sync_mutex, wal_sync_mutex)
LOCK_FUNCTIONS(out, struct wal_writer, out_mutex, wal_out_mutex)

// --------------------------------------------------------------------------------------- creation

static uint64_t random_salt(void)
{
    uint64_t salt;
    if (getrandom(&salt, sizeof(salt), GRND_NONBLOCK) == (ssize_t)sizeof(salt))
        return salt;
    // It has to differ, not to be secret.
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed[3] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec, (uint64_t)getpid()};
    return hash64(seed, sizeof(seed));
}

// Opens the new log's file: created, or the recycled one moved into place.
static int open_file(const struct wal_options *options, const char *path, const char *recycle_path,
                     struct env_file **ret_file)
{
    struct env *env = options->env;
    if (!recycle_path)
        return env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_EXCL, ret_file);
    struct env_stat st;
    int rc = env->ops->stat(env, path, &st);
    if (rc != LSM_NOT_FOUND)
        return rc ? rc : status_fail(LSM_EXISTS, "open %s: File exists", path);
    rc = env->ops->rename(env, recycle_path, path);
    if (rc)
        return rc;
    rc = env_open(env, path, ENV_WRITE, ret_file);
    if (rc)
        (void)env->ops->unlink(env, path);
    return rc;
}

static int write_header(struct wal_writer *wal, uint64_t salt)
{
    uint8_t data[WAL_HEADER_SIZE];
    struct wal_header header = {wal->number, salt};
    wal->tag = wal_tag(&header);
    wal_header_encode(data, &header);
    int rc = env_pwrite(wal->file, data, sizeof(data), 0);
    if (rc)
        return rc;
    // Of a recycled file only the header's page is synced: what its former life left dirty is not
    // worth writing.
    if (wal->mapped)
        return wal->file->ops->msync(wal->file, wal_window_at(&wal->window, 0), sizeof(data));
    return env_sync(wal->file);
}

// Decides between mapped and written, and allocates and maps the former.
static int set_up(struct wal_writer *wal, const struct wal_options *options)
{
    uint64_t size;
    size_t capacity = options->capacity < CAPACITY_MIN ? CAPACITY_MIN : options->capacity;
    int rc = wal->file->ops->size(wal->file, &size);
    if (rc)
        return rc;
    // A recycled file is taken as long as it is, unless something made it oversized.
    if (size > (uint64_t)capacity * RECYCLE_MAX_FACTOR) {
        rc = wal->file->ops->truncate(wal->file, capacity);
        size = capacity;
    }
    if (rc || options->mode == LSM_WAL_WRITTEN || options->mode == LSM_WAL_HELD)
        return rc;
    size_t growth = options->growth ? options->growth : capacity;
    uint64_t least = size > CAPACITY_MIN ? size : CAPACITY_MIN;
    uint64_t first = size > capacity ? size : capacity;
    rc = wal_window_init(&wal->window, wal->file, first, growth);
    // On a disk without that much room it starts small, a recycled one as long as it is, and grows
    // as it can.
    while (rc == LSM_NO_SPACE && first > least) {
        first = first / 4 > least ? first / 4 : least;
        rc = wal_window_init(&wal->window, wal->file, first, (size_t)first);
    }
    wal->mapped = rc == 0;
    wal->fresh_from = size;
    // Of the pages ahead just those that are asked for are brought into memory, one by one: to make
    // a part of a large one writable is to have all of it written.
    if (wal->mapped)
        wal->file->ops->advise(wal->file, 0, 0, ENV_ADVISE_RANDOM);
    // A store into a page that has left the page cache would wait for the disk.
    if (wal->mapped && size > 0)
        wal->file->ops->advise(wal->file, 0, size, ENV_ADVISE_WILLNEED);
    return rc == LSM_INVALID && options->mode == LSM_WAL_AUTO ? 0 : rc;
}

static struct wal_writer *writer_alloc(uint64_t number)
{
    struct wal_writer *wal = aligned_alloc(CACHE_LINE, sizeof(*wal));
    if (!wal)
        return NULL;
    memset(wal, 0, sizeof(*wal));
    wal->number = number;
    atomic_init(&wal->end, WAL_HEADER_SIZE);
    atomic_init(&wal->durable, WAL_HEADER_SIZE);
    atomic_init(&wal->status, 0);
    if (pthread_mutex_init(&wal->sync_mutex, NULL)) {
        free(wal);
        return NULL;
    }
    if (cond_init(&wal->sync_done)) {
        pthread_mutex_destroy(&wal->sync_mutex);
        free(wal);
        return NULL;
    }
    pthread_mutex_init(&wal->out_mutex, NULL);
    return wal;
}

int wal_writer_new(const struct wal_options *options, const char *path, uint64_t number,
                   const char *recycle_path, struct wal_writer **ret_wal)
{
    struct wal_writer *wal = writer_alloc(number);
    if (!wal)
        return status_no_memory(sizeof(*wal));
    wal->before_sync = options->before_sync;
    wal->arg = options->arg;
    wal->holds = options->mode == LSM_WAL_HELD;
    int rc = open_file(options, path, recycle_path, &wal->file);
    if (rc)
        goto fail;
    rc = set_up(wal, options);
    if (!rc)
        rc = write_header(wal, random_salt());
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        (void)options->env->ops->unlink(options->env, path);
        status_restore(&kept);
        goto fail;
    }
    *ret_wal = wal;
    return 0;
fail:
    wal_writer_free(wal, false);
    return rc;
}

// Nobody else has the log any more. Records that a held log still has in memory are dropped:
// whoever wanted them to be durable has synced.
void wal_writer_free(struct wal_writer *wal, bool trim) NOT_CHECKED
{
    if (!wal)
        return;
    wal_window_release(&wal->window);
    if (wal->file) {
        // A failure leaves the file longer, which recovery copes with.
        if (trim)
            (void)wal->file->ops->truncate(wal->file, wal_end(wal));
        (void)env_close(wal->file);
    }
    buf_release(&wal->batch);
    buf_release(&wal->held);
    buf_release(&wal->out);
    pthread_mutex_destroy(&wal->out_mutex);
    pthread_cond_destroy(&wal->sync_done);
    pthread_mutex_destroy(&wal->sync_mutex);
    free(wal);
}

// -------------------------------------------------------------------------------------- appending

static int failed(const struct wal_writer *wal, int status)
{
    return status_fail(status, "the log has failed: %s", wal->kept.detail);
}

// Keeps the first failure, and wakes all who wait for a sync: the thread that would have led the
// next sync may have left because of the failure.
static void set_failed(struct wal_writer *wal, int status)
{
    sync_lock(wal);
    if (!atomic_load_explicit(&wal->status, memory_order_relaxed)) {
        status_keep(&wal->kept);
        atomic_store_explicit(&wal->status, status, memory_order_release);
        pthread_cond_broadcast(&wal->sync_done);
    }
    sync_unlock(wal);
}

// A failed pwrite may have left whole records behind that nobody will acknowledge: cuts them off.
static int undo_write(struct wal_writer *wal, uint64_t at, int status)
{
    struct status_kept kept;
    status_keep(&kept);
    int rc = wal->file->ops->truncate(wal->file, at);
    status_restore(&kept);
    if (rc)
        set_failed(wal, status_final(status));
    return status;
}

static void encode_all(const struct wal_writer *wal, uint8_t *p, const struct wal_record *records,
                       size_t count)
{
    uint64_t durable = atomic_load_explicit(&wal->durable, memory_order_relaxed);
    for (size_t i = 0; i < count; i++) {
        wal_record_encode(p, wal->tag, durable, records[i].sequence, records[i].payload);
        p += wal_record_size(records[i].payload.size);
    }
}

static int append_written(struct wal_writer *wal, const struct wal_record *records, size_t count,
                          uint64_t at, uint64_t size)
{
    int rc = buf_reserve(&wal->batch, (size_t)size);
    if (rc)
        return rc;
    encode_all(wal, wal->batch.data, records, count);
    rc = env_pwrite(wal->file, wal->batch.data, (size_t)size, at);
    if (rc)
        rc = undo_write(wal, at, rc);
    if (wal->batch.capacity > BATCH_BUFFER_KEPT)
        buf_release(&wal->batch);
    return rc;
}

// Writes what a held log holds. A failure is final: the records were acknowledged.
static int write_held(struct wal_writer *wal)
{
    out_lock(wal);
    sync_lock(wal);
    struct buf taken = wal->held;
    uint64_t at = wal->held_from;
    wal->held = wal->out; // empty
    wal->held_from = at + taken.size;
    wal->out = taken;
    sync_unlock(wal);
    int rc = LSM_OK;
    for (size_t done = 0, piece = wal->out.size; done < wal->out.size && !rc;) {
        size_t n = wal->out.size - done < piece ? wal->out.size - done : piece;
        rc = env_pwrite(wal->file, wal->out.data + done, n, at + done);
        if (rc == LSM_NO_SPACE && n > HELD_PIECE) {
            piece = HELD_PIECE;
            rc = LSM_OK;
        } else {
            done += n;
        }
    }
    wal->out.size = 0;
    if (wal->out.capacity > 2 * HELD_MAX)
        buf_release(&wal->out);
    out_unlock(wal);
    if (rc)
        set_failed(wal, status_final(rc));
    return atomic_load_explicit(&wal->status, memory_order_acquire); // of another's write as well
}

// The first record of an empty buffer says where the buffer belongs.
static int append_held(struct wal_writer *wal, const struct wal_record *records, size_t count,
                       uint64_t at, uint64_t size)
{
    sync_lock(wal);
    size_t before = wal->held.size;
    sync_unlock(wal);
    int rc = before >= HELD_MAX ? write_held(wal) : LSM_OK;
    if (rc)
        return rc;
    sync_lock(wal);
    rc = buf_reserve(&wal->held, (size_t)size);
    if (!rc) {
        if (!wal->held.size)
            wal->held_from = at;
        assert(wal->held_from + wal->held.size == at);
        encode_all(wal, wal->held.data + wal->held.size, records, count);
        wal->held.size += (size_t)size;
        // Before the lock is released: whoever writes what is held has written up to here.
        atomic_store_explicit(&wal->end, at + size, memory_order_release);
    }
    sync_unlock(wal);
    return rc;
}

// Gives back the mapping's pages below `end`: the page cache keeps them, and in the mapping they
// would count as memory of this process. And a sync would take them from the mapping one by one,
// each with a word to every processor.
static void let_go_behind(struct wal_writer *wal, uint64_t end)
{
    if (wal->let_go < wal->window.start)
        wal->let_go = wal->window.start;
    if (end - wal->let_go < LET_GO + LET_GO_ALIGN)
        return;
    uint64_t to = end - end % LET_GO_ALIGN;
    wal->file->ops->advise_map(wal->file, wal_window_at(&wal->window, wal->let_go),
                               (size_t)(to - wal->let_go), ENV_ADVISE_DONTNEED);
    wal->let_go = to;
}

// While nobody asks for a sync, the pages ahead are made writable 16 at a time: one system call
// instead of 16 page faults. With frequent syncs each sync would have to write all of them. But
// while each sync covers only a little of a fresh file, 256 pages are made writable at a time: the
// next sync writes them all. After that the file system knows these blocks as written, and later
// syncs need not change its records of them. (The first write to a block that was only allocated
// changes these records, and a sync has to write the change as well.)
//
// Whatever is stored to is in memory by then, as a frozen file system asks: see env_posix.c.
static void prepare_ahead(struct wal_writer *wal, uint64_t at, uint64_t size)
{
    uint64_t syncs = atomic_load_explicit(&wal->syncs, memory_order_relaxed);
    uint64_t from = at > wal->prepared ? at - at % PREPARE_ALIGN : wal->prepared;
    uint64_t to = from + PREPARE;
    uint64_t asked = atomic_load_explicit(&wal->asked, memory_order_relaxed);
    bool write = at - asked >= PREPARE_AFTER;
    if (!write && syncs - wal->prepared_syncs >= PREPARE_SYNCS && at >= wal->fresh_from) {
        write = true;
        to = from + PREPARE_SYNCED;
    }
    if (to < at + size)
        to = (at + size + PREPARE_ALIGN - 1) / PREPARE_ALIGN * PREPARE_ALIGN;
    if (to > wal->window.limit)
        to = wal->window.limit;
    wal->prepared = to;
    wal->prepared_syncs = syncs;
    wal->file->ops->advise(wal->file, from, write ? 1 : to - from, ENV_ADVISE_PRESENT);
    wal->file->ops->advise_map(wal->file, wal_window_at(&wal->window, from), (size_t)(to - from),
                               write ? ENV_ADVISE_WRITE : ENV_ADVISE_PRESENT);
    let_go_behind(wal, at);
}

static int append_mapped(struct wal_writer *wal, const struct wal_record *records, size_t count,
                         uint64_t at, uint64_t size)
{
    if (size > wal->window.limit - at) {
        int rc = wal_window_grow(&wal->window, at, size);
        if (rc)
            return rc;
    }
    if (at + size > wal->prepared)
        prepare_ahead(wal, at, size);
    encode_all(wal, wal_window_at(&wal->window, at), records, count);
    return 0;
}

bool wal_give_back(struct wal_writer *wal)
{
    if (!wal->mapped)
        return false;
    bool given = wal_window_shrink(&wal->window, wal_end(wal));
    wal->prepared = 0; // of what is mapped anew nothing is, also if the file could not be cut
    return given;
}

int wal_append(struct wal_writer *wal, const struct wal_record *records, size_t count,
               uint64_t *ret_end)
{
    int rc = atomic_load_explicit(&wal->status, memory_order_acquire);
    if (rc)
        return failed(wal, rc);
    uint64_t at = atomic_load_explicit(&wal->end, memory_order_relaxed);
    assert(at % WAL_ALIGN == 0 && wal_durable(wal) <= at);
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (records[i].payload.size > WAL_PAYLOAD_MAX)
            return status_fail(LSM_INVALID, "%s: a record of %zu bytes is too large",
                               wal->file->path, records[i].payload.size);
        size += wal_record_size(records[i].payload.size);
    }
    if (size > WAL_SIZE_MAX - at)
        return status_fail(LSM_INVALID, "%s: the log would exceed %" PRIu64 " bytes",
                           wal->file->path, WAL_SIZE_MAX);
    rc = wal->mapped  ? append_mapped(wal, records, count, at, size)
         : wal->holds ? append_held(wal, records, count, at, size)
                      : append_written(wal, records, count, at, size);
    if (rc)
        return rc;
    atomic_store_explicit(&wal->end, at + size, memory_order_release);
    *ret_end = at + size;
    return 0;
}

// ---------------------------------------------------------------------------------------- syncing

// Syncs all that is appended, on behalf of everyone waiting. Called and returns with sync_mutex
// held, releases it meanwhile.
static void lead_sync(struct wal_writer *wal) REQUIRES(wal_sync_mutex)
{
    assert(!wal->syncing && wal->pending > 0);
    wal->syncing = true;
    wal->gathering = false;
    wal->syncs++;
    unsigned group = wal->pending; // all their records are below `target`
    uint64_t target = wal_end(wal), start = clock_us();
    sync_unlock(wal);
    int rc = wal->before_sync ? wal->before_sync(wal->arg) : 0;
    if (!rc && wal->holds)
        rc = write_held(wal);
    if (!rc)
        rc = env_sync(wal->file);
    if (rc)
        set_failed(wal, status_final(rc));
    sync_lock(wal);
    if (!rc)
        atomic_store_explicit(&wal->durable, target, memory_order_release);
    uint64_t us = clock_us() - start;
    if (group > 1 || !wal->behind)
        wal->sync_us = wal->sync_us ? wal->sync_us - wal->sync_us / 8 + us / 8 : us;
    // The group, and who has come meanwhile. The one that nobody asks does not come back.
    wal->expected = wal->pending - (wal->behind ? 1 : 0);
    assert(wal->pending >= group);
    wal->pending -= group;
    if (wal->pause)
        wal->pause--;
    wal->syncing = false;
    pthread_cond_broadcast(&wal->sync_done);
}

// Waits for the threads that are expected, in the place of the leader. Called and returns with
// sync_mutex held, releases it meanwhile; another may have led by then.
static void gather(struct wal_writer *wal) REQUIRES(wal_sync_mutex)
{
    unsigned before = wal->pending;
    uint64_t us = wal->sync_us / 2 < GATHER_US_MAX ? wal->sync_us / 2 : GATHER_US_MAX;
    struct timespec until = time_after_us(us);
    wal->gathering = true;
    int rc = 0;
    while (!rc && wal->gathering)
        rc = pthread_cond_timedwait(&wal->sync_done, &wal->sync_mutex, &until);
    if (!wal->gathering)
        return;
    wal->gathering = false;
    if (wal->pending <= before)
        wal->pause = GATHER_PAUSE;
    wal->expected = wal->pending; // nobody else has come in time: those who are here are the group
}

// `asked`: by wal_sync(), and not by wal_sync_behind().
static int sync_up_to(struct wal_writer *wal, uint64_t end, bool asked)
{
    // Nothing beyond the end of the log can become durable.
    uint64_t appended = wal_end(wal);
    if (end > appended)
        end = appended;
    if (wal_durable(wal) < end) {
        uint64_t began = clock_ns();
        sync_lock(wal);
        wal->pending++;
        if (!asked)
            wal->behind = true;
        if (asked && atomic_load_explicit(&wal->asked, memory_order_relaxed) < end)
            atomic_store_explicit(&wal->asked, end, memory_order_relaxed);
        uint64_t syncs = wal->syncs;
        while (wal_durable(wal) < end && !atomic_load(&wal->status)) {
            bool complete = wal->pending >= wal->expected || wal->pause;
            if (wal->syncing || (wal->gathering && !complete))
                pthread_cond_wait(&wal->sync_done, &wal->sync_mutex);
            else if (complete || !asked)
                lead_sync(wal);
            else
                gather(wal);
        }
        // If the sync that was already under way covered this thread's records, no later sync has
        // counted the thread as one of its group.
        if (wal->syncs == syncs) {
            assert(wal->pending > 0);
            wal->pending--;
        }
        if (!asked)
            wal->behind = false;
        sync_unlock(wal);
        wait_end(WAIT_SYNC, began);
    }
    int rc = atomic_load_explicit(&wal->status, memory_order_acquire);
    return rc ? failed(wal, rc) : 0;
}

int wal_sync(struct wal_writer *wal, uint64_t end)
{
    return sync_up_to(wal, end, true);
}

int wal_sync_behind(struct wal_writer *wal)
{
    return sync_up_to(wal, wal_end(wal), false);
}

// What fails is left dirty, or noted by the file, for the sync to find.
void wal_write_out(struct wal_writer *wal, uint64_t end)
{
    uint64_t durable = wal_durable(wal);
    if (end <= durable || end - durable > WRITE_OUT_MAX)
        return;
    sync_lock(wal);
    bool synced_anyway = wal->pending > 0;
    sync_unlock(wal);
    if (!synced_anyway)
        wal->file->ops->advise(wal->file, durable, end - durable, ENV_ADVISE_WRITE_OUT);
}

uint64_t wal_end(const struct wal_writer *wal)
{
    return atomic_load_explicit(&wal->end, memory_order_acquire);
}

uint64_t wal_durable(const struct wal_writer *wal)
{
    return atomic_load_explicit(&wal->durable, memory_order_acquire);
}
