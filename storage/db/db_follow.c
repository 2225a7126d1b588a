// Following a store that another process has open.
//
// The writer keeps everything that a reader needs in files that grow at their ends: the manifest
// says which tables there are and which log is the first that counts, and each log holds the
// entries of a memtable. So whoever follows reads the manifest and the logs on, each from where it
// has come to: edits make the next version, records go into memtables of its own, one for each log.
// Then a view with the sequence number of the last record is published by one store: readers have
// the state before or the one after, each a prefix of what was written.
//
// A refresh, in this order:
//   1. the manifest is read on
//   2. the log is read to its end, and those after it, as long as their records continue the
//      sequence numbers without a gap
//   3. memtables whose logs the manifest does not need any more go: their entries are in tables
//   4. the manifest is looked at again; if it has changed, from 2 on
// In the end the manifest is as it was before the logs were read, so none of the logs that counted
// was recycled meanwhile, and what the writer had acknowledged when the refresh began was there to
// be found: in a table or in such a log.
//
// What can happen to the files meanwhile, and how that is seen:
//  - a record that is being written: its checksum does not hold yet; it is the end for now
//  - a log is recycled: the last record read is not there any more, or there are no more records,
//    and the manifest says that the log is not needed. What was not read is in tables: the sequence
//    number goes to theirs, and which keys have changed is not known
//  - a new manifest, by size or because the store was opened again: CURRENT names another. All is
//    read anew. The state may even be older then: after a power cut, by what was never synced
//  - the writer takes back a record, since its write failed in part: the last record is not there
//  - a file is removed: whoever writes keeps it for a while (db_files.c). Readers that meet a
//    missing one report it, and a refresh brings a state without it
//
// When a store at rest is opened its logs may have been torn by a power cut. Then the rules of
// recovery hold: a log ends at a record whose blobs are not there unless it was synced, and at a
// gap. Each refresh looks at such a record again: blobs that could not be read may be there by now,
// or tables with what the record says.
//
// Thread safety: refreshes take turns. Failure: what was read so far is thrown away, what readers
// see stays, and the next refresh reads all anew.
#include "db/db_follow.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/coding.h"
#include "base/numbers.h"
#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_replay.h"
#include "wal/wal_reader.h"

#define MEMTABLES_MAX (DB_MAX_IMMUTABLES + 1)
#define KEYS_MAX      ((size_t)16 << 20) // bytes of changed keys that are kept
#define LOADS_MAX     10                 // attempts at reading a store that changes meanwhile
#define LOAD_PAUSE_US 1000u              // after the first; doubled each time
#define CATCH_UPS_MAX 1000

// How far the store was read.
struct followed {
    struct manifest_state state;
    struct {
        struct memtable *memtable;
        uint64_t log;           // the last one it has records of
    } memtables[MEMTABLES_MAX]; // oldest first; the last one takes what comes
    unsigned count;
    struct memtable_hint hint; // of the last one
    uint64_t sequence;         // of the last record
    struct wal_tail *tail;     // the log that is read; NULL: none was found yet
    struct wal_tail *next;     // the one after it, which is made before it is used; NULL: not found
    bool loading;              // from the start: not all may be there
    bool torn;                 // what was read ends before a record that lacks its blobs
    bool doubted;              // the logs were torn when they were read before
};

struct db_follow {
    pthread_mutex_t mutex;
    struct followed now GUARDED_BY(db_follow_mutex);
    bool lost GUARDED_BY(db_follow_mutex);        // `now` cannot be read on
    bool unpublished GUARDED_BY(db_follow_mutex); // there is something that readers do not see
    struct buf keys GUARDED_BY(db_follow_mutex);  // changed since the last publication: size, bytes
    bool unknown GUARDED_BY(db_follow_mutex);     // other keys may have changed as well
};

LOCK_FUNCTIONS(follow, struct db_follow, mutex, db_follow_mutex)

static void followed_release(struct followed *f)
{
    for (unsigned i = 0; i < f->count; i++)
        memtable_unref(f->memtables[i].memtable);
    wal_tail_free(f->tail);
    wal_tail_free(f->next);
    manifest_state_release(&f->state);
    *f = (struct followed){0};
}

// ------------------------------------------------------------------------------------- records

static int add_memtable(struct lsm *db, struct followed *f, uint64_t log)
{
    assert(f->count < MEMTABLES_MAX);
    int rc = db_memtable_new(db, &f->memtables[f->count].memtable);
    if (rc)
        return rc;
    f->memtables[f->count++].log = log;
    memset(&f->hint, 0, sizeof f->hint);
    return LSM_OK;
}

// The memtable for the records of `log`. One that is empty, or the last that there can be, takes
// those of several logs.
static int memtable_for(struct lsm *db, struct followed *f, uint64_t log,
                        struct memtable **ret_memtable)
{
    unsigned last = f->count - 1;
    bool takes = f->count && (f->memtables[last].log == log || f->count == MEMTABLES_MAX ||
                              memtable_entries(f->memtables[last].memtable) == 0);
    int rc = takes ? LSM_OK : add_memtable(db, f, log);
    if (rc)
        return rc;
    f->memtables[f->count - 1].log = log;
    *ret_memtable = f->memtables[f->count - 1].memtable;
    return LSM_OK;
}

static void drop_flushed(struct followed *f)
{
    unsigned gone = 0;
    while (gone < f->count && f->memtables[gone].log < f->state.log_number)
        memtable_unref(f->memtables[gone++].memtable);
    f->count -= gone;
    memmove(f->memtables, f->memtables + gone, f->count * sizeof *f->memtables);
    if (f->count == 0)
        memset(&f->hint, 0, sizeof f->hint);
}

// Notes the keys of a batch that decodes. Without memory for them they are not known.
static void note_keys(struct db_follow *follow, struct slice payload) REQUIRES(db_follow_mutex)
{
    uint32_t count;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    struct batch_op op;
    while (!follow->unknown && p < end && !batch_next(&p, end, &op)) {
        uint8_t size[4];
        put_fixed32(size, (uint32_t)op.key.size);
        follow->unknown = follow->keys.size > KEYS_MAX ||
                          buf_append(&follow->keys, size, sizeof size) ||
                          buf_append(&follow->keys, op.key.data, op.key.size);
    }
    if (follow->unknown)
        buf_release(&follow->keys);
}

struct log_reading {
    struct lsm *db;
    struct followed *f;
    uint64_t log;
    uint64_t durable; // the log was synced up to this offset
    bool gap;         // the next record does not continue those before
};

// Called by wal_tail_read(), with the mutex of who refreshes, which clang does not see through it.
static int read_record(void *arg, uint64_t sequence, struct slice payload,
                       uint64_t offset) NOT_CHECKED
{
    struct log_reading *r = arg;
    struct followed *f = r->f;
    struct memtable *memtable;
    uint64_t last;
    if (sequence != f->sequence + 1) {
        r->gap = true;
        return 1;
    }
    int rc = memtable_for(r->db, f, r->log, &memtable);
    if (!rc)
        rc = db_replay_batch(r->db, memtable, &f->hint, payload, sequence,
                             (f->loading || f->doubted) && offset >= r->durable, &last);
    if (rc > 0)
        f->torn = true;
    if (rc > 0 && !f->doubted)
        logger_log(&r->db->logger, LSM_LOG_INFO,
                   "log %" PRIu64 ": the unsynced record at %" PRIu64 " lacks its blobs: %s",
                   r->log, offset, lsm_error_detail());
    if (rc)
        return rc;
    f->sequence = last;
    if (!f->loading)
        note_keys(r->db->follow, payload);
    r->db->follow->unpublished = true;
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- logs

struct next_log {
    uint64_t after, least;
    uint64_t number; // 0: there is none
};

static int look_for_log(void *arg, const char *name)
{
    struct next_log *next = arg;
    uint64_t number;
    if (store_file_parse(name, &number) == STORE_LOG && number > next->after &&
        number >= next->least && (!next->number || number < next->number))
        next->number = number;
    return LSM_OK;
}

// The first log behind number `after` that counts; NULL: there is none.
static int open_log(struct lsm *db, const struct followed *f, uint64_t after,
                    struct wal_tail **ret_tail)
{
    char name[STORE_NAME_MAX];
    struct next_log next = {.after = after, .least = f->state.log_number};
    int rc = db->env->ops->list(db->env, ENV_HERE, look_for_log, &next);
    if (rc || !next.number)
        return rc;
    store_file_name(name, STORE_LOG, next.number);
    rc = wal_tail_open(db->env, name, next.number, ret_tail);
    return rc == LSM_NOT_FOUND ? LSM_OK : rc; // it has just been recycled, as the manifest will say
}

static bool log_exists(struct lsm *db, const struct wal_tail *tail)
{
    char name[STORE_NAME_MAX];
    struct env_stat stat;
    store_file_name(name, STORE_LOG, wal_tail_number(tail));
    return !db->env->ops->stat(db->env, name, &stat);
}

// Reads a log on. *ret_gap: it goes on with a record that does not continue those before.
static int read_log(struct lsm *db, struct followed *f, struct wal_tail *tail, uint64_t *ret_count,
                    bool *ret_gap)
{
    struct log_reading reading = {.db = db, .f = f, .log = wal_tail_number(tail)};
    *ret_count = 0;
    int rc = f->loading || f->doubted ? wal_tail_ahead(tail, &reading.durable) : LSM_OK;
    if (!rc)
        rc = wal_tail_read(tail, read_record, &reading, ret_count);
    *ret_gap = reading.gap;
    // The file of a log that is not needed any more can have become another's. What was missed is
    // in tables.
    if (rc == LSM_NOT_FOUND && reading.log < f->state.log_number)
        rc = LSM_OK;
    return rc > 0 ? LSM_OK : rc;
}

// Goes on to the next log if it has begun where the present one has ended: *ret_moved.
static int next_log(struct lsm *db, struct followed *f, bool *ret_moved)
{
    uint64_t count = 0;
    bool gap = false, ignored;
    int rc = LSM_OK;
    *ret_moved = false;
    if (f->next && (wal_tail_number(f->next) < f->state.log_number || !log_exists(db, f->next))) {
        wal_tail_free(f->next); // it was recycled, or never used
        f->next = NULL;
    }
    if (!f->next)
        rc = open_log(db, f, wal_tail_number(f->tail), &f->next);
    if (rc || !f->next)
        return rc;
    assert(wal_tail_number(f->next) > wal_tail_number(f->tail));
    rc = read_log(db, f, f->next, &count, &gap);
    if (!rc && gap && !count) { // the present one has been written on since it was read
        rc = read_log(db, f, f->tail, &count, &ignored);
        if (!rc)
            rc = read_log(db, f, f->next, &count, &gap);
    }
    if (rc || !count)
        return rc;
    wal_tail_free(f->tail);
    f->tail = f->next;
    f->next = NULL;
    *ret_moved = true;
    return LSM_OK;
}

// Reads the logs to their end. Where a record lacked its blobs it is tried again: its writer may
// have been at it still.
static int read_logs(struct lsm *db, struct followed *f)
{
    bool moved = true, gap;
    uint64_t count;
    f->doubted = f->torn;
    f->torn = false;
    int rc = f->tail ? LSM_OK : open_log(db, f, 0, &f->tail);
    if (!rc && f->tail)
        rc = read_log(db, f, f->tail, &count, &gap);
    while (!rc && f->tail && moved && !f->torn)
        rc = next_log(db, f, &moved);
    return rc;
}

// ------------------------------------------------------------------------------------- manifest

// What is in tables by now, and was not read from a log, is passed over. Returns whether there may
// be more to read in logs then.
static bool skip_to_tables(struct db_follow *follow, struct followed *f) REQUIRES(db_follow_mutex)
{
    bool again = false;
    if (f->tail && wal_tail_number(f->tail) < f->state.log_number) {
        wal_tail_free(f->tail);
        wal_tail_free(f->next);
        f->tail = f->next = NULL;
        f->torn = false;
        again = true;
    }
    if (f->sequence < f->state.last_sequence) {
        f->sequence = f->state.last_sequence;
        follow->unknown = follow->unpublished = again = true;
    }
    return again;
}

// Reads logs and manifest until the manifest has not changed while the logs were read.
static int catch_up(struct lsm *db, struct followed *f) REQUIRES(db_follow_mutex)
{
    bool changed = true;
    int rc = LSM_OK;
    for (unsigned i = 0; !rc && changed && i < CATCH_UPS_MAX; i++) {
        rc = read_logs(db, f); // also those that have just become superfluous, for their keys
        if (!rc)
            drop_flushed(f);
        if (!rc && skip_to_tables(db->follow, f))
            rc = read_logs(db, f);
        if (!rc)
            rc = manifest_follow(db->env, &f->state, &changed);
        if (!rc && changed)
            rc = db_adopt_tables(db, f->state.version);
        db->follow->unpublished = db->follow->unpublished || changed;
    }
    return rc || !changed ? rc : status_fail(LSM_TRY_AGAIN, "%s: changes all the time", db->dir);
}

static int load_once(struct lsm *db, struct followed *f) REQUIRES(db_follow_mutex)
{
    followed_release(f);
    int rc = manifest_recover(db->env, &f->state);
    if (rc)
        return rc;
    f->loading = true;
    f->sequence = f->state.last_sequence;
    rc = db_adopt_tables(db, f->state.version);
    if (!rc)
        rc = catch_up(db, f);
    f->loading = false;
    return rc;
}

// Reads everything. What the writer replaces meanwhile is missing or damaged for a moment.
static int load(struct lsm *db, struct followed *f) REQUIRES(db_follow_mutex)
{
    int rc = LSM_TRY_AGAIN;
    for (unsigned i = 0; i < LOADS_MAX && rc; i++) {
        if (i)
            usleep(LOAD_PAUSE_US << (i - 1));
        rc = load_once(db, f);
        if (rc && rc != LSM_NOT_FOUND && rc != LSM_CORRUPTION && rc != LSM_TRY_AGAIN)
            break;
    }
    db->follow->unknown = db->follow->unpublished = true;
    return rc;
}

// ------------------------------------------------------------------------------------- publishing

// What the store has for its readers, of `f`. Mutex held; nobody leads writers, for there are none.
static void install(struct lsm *db, const struct followed *f, struct read_view *view)
    REQUIRES(db_mutex) REQUIRES(db_lead)
{
    assert(f->count > 0 && !f->loading);
    struct memtable *active = f->memtables[f->count - 1].memtable;
    db_set_active(db, active, NULL);
    memtable_ref(active);
    for (unsigned i = 0; i + 1 < f->count; i++) {
        db_add_immutable(db, f->memtables[i].memtable, NULL);
        memtable_ref(f->memtables[i].memtable);
    }
    db->manifest.version = f->state.version;
    version_ref(db->manifest.version);
    db->queue.last_sequence = f->sequence;
    view->sequence = f->sequence;
    atomic_store_explicit(&db->readers.visible, f->sequence, memory_order_release);
    db_view_install(db, view);
}

// A store that is followed has no writers, so nobody leads them: who has the follower's mutex
// writes what is the lead's, or the manifest lead's.
static int publish(struct lsm *db, struct followed *f) NOT_CHECKED
{
    struct memtable *old[MEMTABLES_MAX];
    struct snapshot_set named = {0};
    struct read_view *view;
    unsigned count = 0;
    int rc = f->count ? LSM_OK : add_memtable(db, f, f->state.log_number);
    if (!rc)
        rc = snapshot_set_copy(&f->state.snapshots, &named);
    if (!rc)
        rc = db_view_new(&view);
    if (rc) {
        snapshot_set_release(&named);
        return rc;
    }
    db_lock(db);
    for (; db_immutables(db); db_drop_oldest_immutable(db))
        old[count++] = db_immutable(db, 0);
    if (db_active(db))
        old[count++] = db_active(db);
    struct version *version = db->manifest.version;
    db_swap_named(db, &named);
    install(db, f, view);
    db_unlock(db);
    snapshot_set_release(&named);
    for (unsigned i = 0; i < count; i++)
        memtable_unref(old[i]);
    if (version)
        version_unref(version);
    return LSM_OK;
}

static void tell(struct db_follow *follow, lsm_changed_fn *fn, void *arg) REQUIRES(db_follow_mutex)
{
    const uint8_t *p = follow->keys.data, *end = p + follow->keys.size;
    if (fn && follow->unknown)
        fn(arg, NULL, 0);
    while (fn && !follow->unknown && p < end) {
        size_t size = get_fixed32(p);
        assert(size <= (size_t)(end - p) - 4);
        fn(arg, p + 4, size);
        p += 4 + size;
    }
}

static int refresh(struct lsm *db) REQUIRES(db_follow_mutex)
{
    struct db_follow *follow = db->follow;
    struct followed *f = &follow->now;
    bool changed = false;
    int rc = follow->lost ? LSM_NOT_FOUND : manifest_follow(db->env, &f->state, &changed);
    follow->unpublished = follow->unpublished || changed;
    if (!rc && changed)
        rc = db_adopt_tables(db, f->state.version);
    if (!rc)
        rc = catch_up(db, f);
    if (!rc)
        return LSM_OK;
    if (!follow->lost)
        logger_log(&db->logger, LSM_LOG_INFO, "%s: is read anew: %s", db->dir, lsm_error_detail());
    follow->lost = true;
    rc = load(db, f);
    follow->lost = rc != LSM_OK;
    return rc;
}

int lsm_refresh(struct lsm *db, lsm_changed_fn *fn, void *arg)
{
    struct db_follow *follow = db->follow;
    if (!follow)
        return status_fail(LSM_INVALID, "%s is not followed", db->dir);
    follow_lock(follow);
    int rc = refresh(db);
    bool news = !rc && follow->unpublished;
    if (news)
        rc = publish(db, &follow->now);
    if (news && !rc) {
        tell(follow, fn, arg);
        follow->unpublished = follow->unknown = false;
        follow->keys.size = 0;
        rc = 1;
    }
    follow_unlock(follow);
    struct status_kept kept;
    status_keep(&kept);
    if (news)
        db_remove_obsolete(db); // forgets blob files that nobody refers to any more
    status_restore(&kept);
    return rc;
}

// Nobody else has the store yet.
int db_follow_open(struct lsm *db) NOT_CHECKED
{
    struct db_follow *follow = calloc(1, sizeof *follow);
    if (!follow)
        return status_no_memory(sizeof *follow);
    pthread_mutex_init(&follow->mutex, NULL);
    db->follow = follow;
    blob_store_hold(db->blobs, false);
    int rc = load(db, &follow->now);
    if (!rc)
        rc = publish(db, &follow->now);
    follow->unknown = follow->unpublished = false;
    return rc;
}

// Nobody else has the store any more.
void db_follow_close(struct lsm *db) NOT_CHECKED
{
    struct db_follow *follow = db->follow;
    if (!follow)
        return;
    db->follow = NULL;
    followed_release(&follow->now);
    buf_release(&follow->keys);
    pthread_mutex_destroy(&follow->mutex);
    free(follow);
}
