// Point reads and snapshots.
//
// A get pins an epoch, loads the view, and looks from the newest place to the oldest: active
// memtable, immutable memtables, level 0 from its newest table on, then one table of each deeper
// level. The first version found at or below the read sequence is the answer. Nothing shared is
// written and no lock is taken unless a block or table has to be brought in.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"

// Scratch for a get: a block as large as they usually are.
#define SCRATCH_SIZE 8192

static int lookup_table(struct lsm *db, struct file_meta *file, struct sst_lookup *lookup)
{
    struct sst_reader *reader;
    int rc = table_cache_get(db->table_cache, file, &reader);
    if (rc)
        return rc;
    return sst_get(reader, lookup);
}

// The table of a sorted level that may hold the key, or NULL.
static struct file_meta *table_for(const struct version_level *level, struct slice key)
{
    if (level->count == 0)
        return NULL;
    unsigned i = version_find(level, key);
    bool within = i < level->count && slice_compare(key, level->files[i]->smallest) >= 0;
    return within ? level->files[i] : NULL;
}

// The table's reader if it is open; valid while the caller is pinned.
static struct sst_reader *reader_of(const struct file_meta *file)
{
    return atomic_load_explicit(&file->reader, memory_order_acquire);
}

// Asks for what the look-up reads first of each of these tables before it looks into any: lines
// that are in no cache come all at the same time.
static void prefetch_tables(struct file_meta *const *files, unsigned count, uint64_t hash)
{
    struct sst_reader *reader;
    for (unsigned i = 0; i < count; i++)
        if ((reader = reader_of(files[i])))
            sst_prefetch(reader);
    for (unsigned i = 0; i < count; i++)
        if ((reader = reader_of(files[i]))) // the table may have been closed meanwhile
            sst_prefetch_key(reader, hash);
}

static bool in_range(const struct file_meta *file, struct slice key)
{
    return slice_compare(key, file->smallest) >= 0 && slice_compare(key, file->largest) <= 0;
}

static int lookup_level0(struct lsm *db, const struct version_level *level,
                         struct sst_lookup *lookup)
{
    int rc = LSM_NOT_FOUND;
    prefetch_tables(level->files, level->count, lookup->hash);
    for (unsigned i = 0; i < level->count && rc == LSM_NOT_FOUND; i++)
        if (in_range(level->files[i], lookup->key))
            rc = lookup_table(db, level->files[i], lookup);
    return rc;
}

static int lookup_tables(struct lsm *db, const struct version *version, struct sst_lookup *lookup)
{
    struct file_meta *files[VERSION_LEVELS] = {0};
    unsigned count = 0;
    int rc = lookup_level0(db, &version->levels[0], lookup);
    for (unsigned n = 1; n < VERSION_LEVELS && rc == LSM_NOT_FOUND; n++)
        if ((files[count] = table_for(&version->levels[n], lookup->key)))
            count++;
    prefetch_tables(files, count, lookup->hash);
    for (unsigned i = 0; i < count && rc == LSM_NOT_FOUND; i++)
        rc = lookup_table(db, files[i], lookup);
    return rc;
}

// Finds the newest visible version; pinned. LSM_NOT_FOUND also for a delete.
static int lookup_run(struct lsm *db, const struct lsm_read_options *ro, struct sst_lookup *lookup)
{
    assert(epoch_is_pinned());
    const struct lsm_snapshot *snapshot = ro ? ro->snapshot : NULL;
    const struct read_view *view =
        snapshot && snapshot->view ? snapshot->view
                                   : atomic_load_explicit(&db->readers.view, memory_order_acquire);
    lookup->sequence = db_read_sequence(db, view, snapshot);
    lookup->fill_cache = !ro || !ro->no_fill_cache;
    int rc = LSM_OK;
    bool found =
        memtable_get(view->active, lookup->key, lookup->sequence, &lookup->tag, &lookup->value);
    for (unsigned i = 0; !found && i < view->immutable_count; i++)
        found = memtable_get(view->immutables[i], lookup->key, lookup->sequence, &lookup->tag,
                             &lookup->value);
    if (!found) {
        lookup->hash = hash64(lookup->key.data, lookup->key.size);
        rc = lookup_tables(db, view->version, lookup);
    }
    if (!rc && tag_type(lookup->tag) == ENTRY_DELETE)
        rc = LSM_NOT_FOUND;
    return rc;
}

int db_lookup(struct lsm *db, const struct lsm_read_options *ro, struct slice key,
              uint64_t *ret_tag, struct slice *ret_value)
{
    struct sst_lookup lookup = {.key = key};
    int rc = lookup_run(db, ro, &lookup);
    if (!rc) {
        *ret_tag = lookup.tag;
        *ret_value = lookup.value;
    }
    return rc;
}

static int value_reserve(struct lsm_buf *out, size_t size)
{
    if (out->capacity < size || !out->data) {
        size_t capacity = size < 64 ? 64 : size;
        void *data = malloc(capacity);
        if (!data)
            return status_no_memory(capacity);
        free(out->data);
        out->data = data;
        out->capacity = capacity;
    }
    return LSM_OK;
}

// Reads a value in a blob file that was found pinned; unpins, since reading may wait for the disk.
static int read_blob(struct lsm *db, struct slice encoded, struct lsm_buf *value)
{
    struct blob_pointer pointer;
    struct blob_file *file;
    int rc = db_blob_open(db, encoded, &pointer, &file);
    epoch_unpin();
    if (rc)
        return rc;
    rc = value_reserve(value, pointer.length);
    if (!rc)
        rc = blob_file_read(file, &pointer, 0, value->data, pointer.length);
    if (!rc)
        value->size = pointer.length;
    blob_file_unref(file);
    return rc;
}

static int read_blob_range(struct lsm *db, struct slice encoded, uint64_t offset, void *data,
                           size_t size, size_t *ret_size, uint64_t *ret_value_size)
{
    struct blob_pointer pointer;
    struct blob_file *file;
    int rc = db_blob_open(db, encoded, &pointer, &file);
    epoch_unpin();
    if (rc)
        return rc;
    size_t n = 0;
    if (offset < pointer.length)
        n = pointer.length - offset < size ? (size_t)(pointer.length - offset) : size;
    rc = blob_file_read(file, &pointer, (uint32_t)offset, data, n);
    if (!rc) {
        *ret_size = n;
        if (ret_value_size)
            *ret_value_size = pointer.length;
    }
    blob_file_unref(file);
    return rc;
}

static int value_copy(struct lsm_buf *out, struct slice value)
{
    int rc = value_reserve(out, value.size);
    if (rc)
        return rc;
    if (value.size)
        memcpy(out->data, value.data, value.size);
    out->size = value.size;
    return LSM_OK;
}

void lsm_buf_release(struct lsm_buf *buf)
{
    free(buf->data);
    *buf = (struct lsm_buf){0};
}

static int get_value(struct lsm *db, const struct lsm_read_options *ro, const void *key,
                     size_t key_size, struct lsm_buf *value)
{
    int rc = batch_check_key(key_size);
    if (rc)
        return rc;
    uint8_t scratch[SCRATCH_SIZE];
    struct sst_lookup lookup = {
        .key = slice_of(key, key_size), .scratch = scratch, .scratch_size = sizeof scratch};
    epoch_pin();
    rc = lookup_run(db, ro, &lookup);
    if (!rc && tag_type(lookup.tag) == ENTRY_BLOB)
        return read_blob(db, lookup.value, value);
    if (!rc)
        rc = value_copy(value, lookup.value);
    epoch_unpin();
    return rc;
}

int lsm_get(struct lsm *db, const struct lsm_read_options *ro, const void *key, size_t key_size,
            struct lsm_buf *value)
{
    uint64_t start = latency_begin();
    counter_add(&db_tally(db)->gets, 1);
    int rc = get_value(db, ro, key, key_size, value);
    latency_end(&db->latency[LATENCY_GET], start);
    return rc;
}

int lsm_get_range(struct lsm *db, const struct lsm_read_options *ro, const void *key,
                  size_t key_size, uint64_t offset, void *data, size_t size, size_t *ret_size,
                  uint64_t *ret_value_size)
{
    int rc = batch_check_key(key_size);
    if (rc)
        return rc;
    uint8_t scratch[SCRATCH_SIZE];
    struct sst_lookup lookup = {
        .key = slice_of(key, key_size), .scratch = scratch, .scratch_size = sizeof scratch};
    counter_add(&db_tally(db)->gets, 1);
    epoch_pin();
    rc = lookup_run(db, ro, &lookup);
    if (!rc && tag_type(lookup.tag) == ENTRY_BLOB)
        return read_blob_range(db, lookup.value, offset, data, size, ret_size, ret_value_size);
    if (!rc) {
        size_t n = 0;
        if (offset < lookup.value.size) {
            n = lookup.value.size - (size_t)offset;
            if (n > size)
                n = size;
            if (n)
                memcpy(data, lookup.value.data + offset, n);
        }
        *ret_size = n;
        if (ret_value_size)
            *ret_value_size = lookup.value.size;
    }
    epoch_unpin();
    return rc;
}

// ------------------------------------------------------------------------------------- snapshots

// Waits for those that entered (lsm_snapshots_enter()) before the last snapshot was taken and have
// not left. Whoever enters meanwhile is counted in the other place, so the wait ends. Mutex held.
static void wait_for_entered(struct lsm *db) REQUIRES(db_mutex)
{
    atomic_fetch_add(&db->readers.entered_waits, 1);
    while (atomic_load(&db->readers.entered[(atomic_load(&db->readers.snapshots_taken) + 1) % 2]))
        db_wait(db, &db->changed);
    atomic_fetch_sub(&db->readers.entered_waits, 1);
}

int lsm_snapshot_new(struct lsm *db, const struct lsm_snapshot **ret_snapshot)
{
    // The process that compacts does not know of the snapshot: the view has to keep what it sees.
    if (db->options.follow)
        return lsm_snapshot_brief(db, ret_snapshot);
    struct lsm_snapshot *snapshot = malloc(sizeof *snapshot);
    if (!snapshot)
        return status_no_memory(sizeof *snapshot);
    snapshot->view = NULL;
    snapshot->id = 0;
    db_lock(db);
    wait_for_entered(db);
    // Pairs with the fence of lsm_snapshots_taken(). A writer that calls it after its write has
    // either made the write visible before the load below, or gets the new count.
    atomic_fetch_add(&db->readers.snapshots_taken, 1);
    atomic_thread_fence(memory_order_seq_cst);
    snapshot->sequence = atomic_load_explicit(&db->readers.visible, memory_order_acquire);
    snapshot->collected = false;
    snapshot->prev = db->snapshots.list.prev; // the newest: the list stays ordered
    snapshot->next = &db->snapshots.list;
    assert(snapshot->prev == &db->snapshots.list || snapshot->prev->sequence <= snapshot->sequence);
    snapshot->prev->next = snapshot;
    snapshot->next->prev = snapshot;
    db_unlock(db);
    *ret_snapshot = snapshot;
    return LSM_OK;
}

int lsm_snapshot_brief(struct lsm *db, const struct lsm_snapshot **ret_snapshot)
{
    struct lsm_snapshot *snapshot = malloc(sizeof *snapshot);
    if (!snapshot)
        return status_no_memory(sizeof *snapshot);
    snapshot->view = db_view_ref(db, NULL);
    snapshot->id = 0;
    snapshot->sequence = db_read_sequence(db, snapshot->view, NULL);
    *ret_snapshot = snapshot;
    return LSM_OK;
}

uint64_t lsm_snapshots_taken(struct lsm *db)
{
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&db->readers.snapshots_taken, memory_order_relaxed) + 1;
}

static void leave(struct lsm *db, uint64_t taken)
{
    if (atomic_fetch_sub(&db->readers.entered[taken % 2], 1) > 1 ||
        !atomic_load(&db->readers.entered_waits))
        return;
    db_lock(db);
    pthread_cond_broadcast(&db->changed);
    db_unlock(db);
}

uint64_t lsm_snapshots_enter(struct lsm *db)
{
    for (;;) {
        uint64_t taken = atomic_load(&db->readers.snapshots_taken);
        atomic_fetch_add(&db->readers.entered[taken % 2], 1);
        if (atomic_load(&db->readers.snapshots_taken) == taken)
            return taken + 1;
        leave(db, taken); // a snapshot was taken meanwhile, and may not have waited for this place
    }
}

void lsm_snapshots_leave(struct lsm *db, uint64_t entered)
{
    assert(entered > 0);
    leave(db, entered - 1);
}

uint64_t lsm_sequence(struct lsm *db)
{
    if (!db->options.follow)
        return atomic_load_explicit(&db->readers.visible, memory_order_acquire);
    epoch_pin();
    const struct read_view *view = atomic_load_explicit(&db->readers.view, memory_order_acquire);
    uint64_t sequence = db_read_sequence(db, view, NULL);
    epoch_unpin();
    return sequence;
}

// Whether there may be a table that compaction can pick once the oldest snapshot is gone; mutex
// held.
static bool snapshots_hold_back(struct lsm *db) REQUIRES(db_mutex)
{
    return db_version(db)->levels[VERSION_LEVELS - 1].tombstone_heavy > 0 || db_space_short(db);
}

void lsm_snapshot_free(struct lsm *db, const struct lsm_snapshot *snapshot)
{
    if (!snapshot)
        return;
    if (snapshot->view) {
        db_view_unref(snapshot->view);
        free((struct lsm_snapshot *)(uintptr_t)snapshot);
        return;
    }
    db_lock(db);
    snapshot->prev->next = snapshot->next;
    snapshot->next->prev = snapshot->prev;
    db->snapshots.dead_stale = db->snapshots.dead_stale || snapshot->collected;
    if (snapshot->prev == &db->snapshots.list && snapshots_hold_back(db))
        pthread_cond_broadcast(&db->work);
    db_unlock(db);
    free((struct lsm_snapshot *)(uintptr_t)snapshot);
}
