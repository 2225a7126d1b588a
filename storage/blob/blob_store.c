// The registry of blob files, their open handles, appending and syncing.
//
// Files are found by number in a hash table. An entry lives as long as it has references, then
// goes on the list of unused ones and is removed, with its file, by blob_store_remove_unused().
// The last reference is only ever dropped under the mutex, so an entry that is found there can be
// referenced again.
//
// Appending. A stream has one current file. A thread reserves a range of it under the mutex and
// writes without; `written` counts finished writes and `synced` how many of them a sync has
// covered. Files that may have unsynced writes, or space behind their ends (blob_trim.c), are on
// the list `dirty`, with a reference, and keep their handle. A sync notes `written`, syncs the
// file, and publishes the note as `synced`; one thread at a time does so for a file, others wait
// and look again.
//
// Handles. At most handles_max files that are only read stay open; then the clock closes one that
// has not been read since it last passed.
//
// Failure: a failed append has used up its range, which stays a gap unless it is the last. A failed
// sync is final: the page cache may have dropped what it could not write.
#include "blob/blob_store.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/status.h"
#include "blob/blob_internal.h"
#include "blob/blob_record.h"

#define BUCKETS_FIRST 64
#define PROBE_REST    15 // records taken unprobed after incompressible ones, at most

// ----------------------------------------------------------------------------------- the registry

static size_t bucket_of(const struct blob_store *store, uint64_t number) REQUIRES(blob_mutex)
{
    return (size_t)(number * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (store->bucket_count - 1);
}

static struct blob_file *find(const struct blob_store *store, uint64_t number) REQUIRES(blob_mutex)
{
    struct blob_file *file = store->buckets[bucket_of(store, number)];
    while (file && file->number != number)
        file = file->next;
    return file;
}

// More buckets, if there is memory for them.
static void grow_buckets(struct blob_store *store) REQUIRES(blob_mutex)
{
    size_t old_count = store->bucket_count;
    struct blob_file **old = store->buckets;
    struct blob_file **buckets = calloc(2 * old_count, sizeof(struct blob_file *));
    if (!buckets)
        return;
    store->buckets = buckets;
    store->bucket_count = 2 * old_count;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct blob_file *file = old[i];
            size_t to = bucket_of(store, file->number);
            old[i] = file->next;
            file->next = buckets[to];
            buckets[to] = file;
        }
    }
    free(old);
}

// Takes a new entry in; its size counts from now on. Mutex held.
static void insert(struct blob_store *store, struct blob_file *file) REQUIRES(blob_mutex)
{
    if (store->file_count >= store->bucket_count)
        grow_buckets(store);
    size_t to = bucket_of(store, file->number);
    file->next = store->buckets[to];
    store->buckets[to] = file;
    store->file_count++;
    atomic_fetch_add_explicit(&store->bytes, file->size, memory_order_relaxed);
}

static void take_out(struct blob_store *store, struct blob_file *file) REQUIRES(blob_mutex)
{
    struct blob_file **link = &store->buckets[bucket_of(store, file->number)];
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    store->file_count--;
    atomic_fetch_sub_explicit(&store->bytes, file->size, memory_order_relaxed);
}

static struct blob_file *file_alloc(struct blob_store *store, uint64_t number)
{
    struct blob_file *file = calloc(1, sizeof *file);
    if (!file) {
        (void)status_no_memory(sizeof *file);
        return NULL;
    }
    file->store = store;
    file->number = number;
    atomic_init(&file->refs, 1);
    return file;
}

// 0 for a file that cannot be looked at: reading it will say why.
static int size_on_disk(struct blob_store *store, uint64_t number, uint64_t *ret_size)
{
    char name[BLOB_NAME_MAX];
    struct env_stat stat;
    store->name(number, name);
    int rc = store->env->ops->stat(store->env, name, &stat);
    if (status_is_passing(rc))
        return rc;
    if (rc)
        logger_log(&store->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
    *ret_size = rc ? 0 : stat.size;
    return LSM_OK;
}

int blob_store_get(struct blob_store *store, uint64_t number, struct blob_file **ret_file)
{
    store_lock(store);
    struct blob_file *file = find(store, number);
    if (file)
        atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    store_unlock(store);
    if (!file) {
        struct blob_file *fresh = file_alloc(store, number);
        if (!fresh)
            return LSM_NO_MEMORY;
        uint64_t size = 0;
        int rc = size_on_disk(store, number, &size);
        if (rc) {
            free(fresh);
            return rc;
        }
        store_lock(store);
        fresh->size = size;
        file = find(store, number);
        if (file) {
            atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
            free(fresh);
        } else {
            file = fresh;
            insert(store, file);
        }
        store_unlock(store);
    }
    *ret_file = file;
    return LSM_OK;
}

bool blob_store_knows(struct blob_store *store, uint64_t number)
{
    store_lock(store);
    bool known = find(store, number) != NULL;
    store_unlock(store);
    return known;
}

void blob_file_ref(struct blob_file *file)
{
    uint64_t before = atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void blob_file_unref_locked(struct blob_file *file)
{
    struct blob_store *store = file->store;
    uint64_t before = atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1 || file->listed)
        return;
    file->listed = true;
    file->unused_us = clock_us();
    file->next_unused = store->unused;
    store->unused = file;
}

void blob_file_unref(struct blob_file *file)
{
    if (!file)
        return;
    uint64_t refs = atomic_load_explicit(&file->refs, memory_order_relaxed);
    while (refs > 1)
        if (atomic_compare_exchange_weak_explicit(&file->refs, &refs, refs - 1,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return;
    struct blob_store *store = file->store;
    store_lock(store);
    blob_file_unref_locked(file);
    store_unlock(store);
}

void blob_refs_unref(struct blob_refs *set)
{
    for (size_t i = 0; i < set->count; i++) {
        blob_file_unref(set->refs[i].file);
        set->refs[i].file = NULL;
    }
}

void blob_refs_drop(struct blob_refs *set)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->refs[i].file)
            blob_file_add_mem(set->refs[i].file, -(int64_t)set->refs[i].bytes);
    blob_refs_unref(set);
}

void blob_store_hold(struct blob_store *store, bool hold)
{
    store_lock(store);
    store->held = hold;
    store_unlock(store);
}

// Files that will not be written any more, are synced and trimmed leave the list, as do those that
// nobody refers to but the list. Mutex held.
static void tidy_dirty(struct blob_store *store) REQUIRES(blob_mutex)
{
    bool unsynced = false;
    struct blob_file **link = &store->dirty;
    while (*link) {
        struct blob_file *file = *link;
        bool busy = file->current || file->writing || file->syncing || file->trimming;
        bool wanted = (file->written != file->synced || !file->trimmed) &&
                      atomic_load_explicit(&file->refs, memory_order_acquire) > 1;
        if (busy || wanted) {
            unsynced = unsynced || file->written != file->synced;
            link = &file->next_dirty;
            continue;
        }
        *link = file->next_dirty;
        assert(file->users > 0);
        file->users--;
        blob_file_unref_locked(file);
    }
    if (!unsynced)
        atomic_store_explicit(&store->unsynced, false, memory_order_relaxed);
}

bool blob_store_has_unused(struct blob_store *store)
{
    store_lock(store);
    tidy_dirty(store);
    bool has = store->unused && !store->held;
    store_unlock(store);
    return has;
}

// Removes a file that nobody can find any more, and frees its entry. No locks held.
static void remove_file(struct blob_store *store, struct blob_file *file, struct env_file *handle)
{
    char name[BLOB_NAME_MAX];
    (void)env_close(handle);
    store->name(file->number, name);
    if (!store->read_only && store->env->ops->unlink(store->env, name))
        logger_log(&store->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
    free(file);
}

void blob_store_remove_unused(struct blob_store *store, uint64_t until_us)
{
    struct blob_file *gone = NULL, *kept = NULL, *next; // `gone` is linked by next_unused
    store_lock(store);
    tidy_dirty(store);
    for (struct blob_file *file = store->held ? NULL : store->unused; file; file = next) {
        next = file->next_unused;
        store->unused = next;
        file->listed = false;
        if (atomic_load_explicit(&file->refs, memory_order_acquire) > 0)
            continue;
        if (file->users > 0 || file->unused_us > until_us) { // a user closes the handle just now
            file->listed = true;
            file->next_unused = kept;
            kept = file;
            continue;
        }
        take_out(store, file);
        file->next_unused = gone;
        gone = file;
    }
    if (kept)
        store->unused = kept;
    while (gone) {
        struct blob_file *file = gone;
        gone = file->next_unused;
        struct env_file *handle = file->handle;
        store->handles -= handle != NULL;
        store_unlock(store);
        remove_file(store, file, handle);
        store_lock(store);
    }
    store_unlock(store);
}

// Nobody else has the store yet.
int blob_store_new(const struct blob_store_options *options,
                   struct blob_store **ret_store) NOT_CHECKED
{
    struct blob_store *store = calloc(1, sizeof *store);
    if (!store)
        return status_no_memory(sizeof *store);
    store->env = options->env;
    store->name = options->name;
    store->compression = options->compression;
    store->read_only = options->read_only;
    store->file_size = options->file_size;
    store->new_number = options->new_number;
    store->arg = options->arg;
    store->handles_max = options->handles_max;
    store->logger = options->logger;
    store->held = true;
    store->bucket_count = BUCKETS_FIRST;
    store->buckets = calloc(BUCKETS_FIRST, sizeof(struct blob_file *));
    if (!store->buckets) {
        free(store);
        return status_no_memory(BUCKETS_FIRST * sizeof(struct blob_file *));
    }
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->sync_done, NULL);
    for (int i = 0; i < BLOB_STREAMS; i++)
        pthread_mutex_init(&store->streams[i].mutex, NULL);
    *ret_store = store;
    return LSM_OK;
}

// Nobody else has the store any more.
void blob_store_free(struct blob_store *store) NOT_CHECKED
{
    if (!store)
        return;
    for (size_t i = 0; i < store->bucket_count; i++) {
        while (store->buckets[i]) {
            struct blob_file *file = store->buckets[i];
            store->buckets[i] = file->next;
            (void)env_close(file->handle); // all bytes that somebody refers to were synced
            free(file);
        }
    }
    for (int i = 0; i < BLOB_STREAMS; i++)
        pthread_mutex_destroy(&store->streams[i].mutex);
    pthread_cond_destroy(&store->sync_done);
    pthread_mutex_destroy(&store->mutex);
    free(store->buckets);
    free(store);
}

// ---------------------------------------------------------------------------------------- handles

// A handle to close to stay within the limit, or NULL; mutex held.
static struct env_file *evict_handle(struct blob_store *store) REQUIRES(blob_mutex)
{
    if (store->handles < store->handles_max)
        return NULL;
    for (size_t i = 0; i < 2 * store->bucket_count; i++) {
        size_t at = store->hand++ & (store->bucket_count - 1);
        for (struct blob_file *file = store->buckets[at]; file; file = file->next) {
            if (!file->handle || file->users)
                continue;
            if (!file->used) {
                struct env_file *handle = file->handle;
                file->handle = NULL;
                store->handles--;
                return handle;
            }
            file->used = false;
        }
    }
    return NULL;
}

static int open_handle(struct blob_store *store, uint64_t number, struct env_file **ret_handle)
{
    char name[BLOB_NAME_MAX], path[STATUS_DETAIL_MAX];
    uint8_t header[BLOB_FILE_HEADER];
    struct env_file *handle;
    size_t got;
    store->name(number, name);
    env_full_name(store->env, name, path, sizeof path);
    int rc = env_open(store->env, name, ENV_READ, &handle);
    if (rc == LSM_NOT_FOUND) // a missing file must not look like a key that is not there
        return status_fail(LSM_CORRUPTION, "%s: the blob file is missing", path);
    if (rc)
        return rc;
    rc = env_pread(handle, header, sizeof header, 0, &got);
    if (!rc && got < sizeof header)
        rc = status_fail(LSM_CORRUPTION, "%s: too short for a blob file", path);
    if (!rc)
        rc = blob_file_header_decode(header, number, path);
    if (rc) {
        (void)env_close(handle);
        return rc;
    }
    *ret_handle = handle;
    return LSM_OK;
}

// Opens the file if need be and keeps the handle open until handle_put().
static int handle_take(struct blob_file *file, struct env_file **ret_handle)
{
    struct blob_store *store = file->store;
    store_lock(store);
    if (!file->handle) {
        struct env_file *handle, *drop = NULL, *evicted = NULL;
        store_unlock(store);
        int rc = open_handle(store, file->number, &handle);
        if (rc)
            return rc;
        store_lock(store);
        if (file->handle) {
            drop = handle;
        } else {
            evicted = evict_handle(store);
            file->handle = handle;
            store->handles++;
        }
        file->users++;
        *ret_handle = file->handle;
        store_unlock(store);
        (void)env_close(drop);
        (void)env_close(evicted);
        return LSM_OK;
    }
    file->users++;
    file->used = true;
    *ret_handle = file->handle;
    store_unlock(store);
    return LSM_OK;
}

static void handle_put(struct blob_file *file)
{
    store_lock(file->store);
    assert(file->users > 0);
    file->users--;
    store_unlock(file->store);
}

int blob_file_read(struct blob_file *file, const struct blob_pointer *pointer, uint32_t offset,
                   void *data, size_t size)
{
    struct env_file *handle;
    if (size == 0)
        return LSM_OK;
    int rc = handle_take(file, &handle);
    if (rc)
        return rc;
    rc = blob_record_read(handle, pointer, offset, data, size);
    handle_put(file);
    return rc;
}

int blob_file_verify(struct blob_file *file, const struct blob_pointer *pointer)
{
    struct env_file *handle;
    int rc = handle_take(file, &handle);
    if (rc)
        return rc;
    rc = blob_record_verify(handle, pointer);
    handle_put(file);
    return rc;
}

int blob_file_verify_head(struct blob_file *file, const struct blob_pointer *pointer)
{
    struct env_file *handle;
    int rc = handle_take(file, &handle);
    if (rc)
        return rc;
    rc = blob_record_verify_head(handle, pointer);
    handle_put(file);
    return rc;
}

// -------------------------------------------------------------------------------------- appending

static int create_file(struct blob_store *store, uint64_t number, struct env_file **ret_handle)
    REQUIRES(blob_roll)
{
    char name[BLOB_NAME_MAX];
    uint8_t header[BLOB_FILE_HEADER];
    struct env_file *handle;
    store->name(number, name);
    int rc = env_open(store->env, name, ENV_WRITE | ENV_CREATE | ENV_EXCL, &handle);
    if (rc)
        return rc;
    blob_file_header_encode(number, header);
    rc = env_pwrite(handle, header, sizeof header, 0);
    if (!rc)
        rc = store->env->ops->sync_dir(store->env, ENV_HERE);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        (void)env_close(handle);
        (void)!store->env->ops->unlink(store->env, name);
        status_restore(&kept);
        return rc;
    }
    *ret_handle = handle;
    return LSM_OK;
}

static bool fits(const struct blob_store *store, const struct blob_file *file, uint64_t size)
    REQUIRES(blob_mutex)
{
    uint64_t limit = atomic_load_explicit(&store->bytes, memory_order_relaxed) / 64;
    if (limit < store->file_size)
        limit = store->file_size;
    if (limit > 4 * store->file_size)
        limit = 4 * store->file_size;
    return file && (file->size == BLOB_FILE_HEADER || file->size + size <= limit);
}

void blob_stream_end(struct blob_store *store, enum blob_stream stream)
{
    struct blob_file *file = store->streams[stream].current;
    store->streams[stream].current = NULL;
    if (!file)
        return;
    file->current = false;
    blob_file_unref_locked(file);
}

// Begins a new file of the stream, unless somebody else has meanwhile.
static int roll(struct blob_store *store, enum blob_stream stream, uint64_t size)
    EXCLUDES(blob_mutex)
{
    struct env_file *handle = NULL;
    int rc = LSM_OK;
    roll_lock(&store->streams[stream]);
    store_lock(store);
    bool done = fits(store, store->streams[stream].current, size);
    store_unlock(store);
    struct blob_file *file = NULL;
    if (!done) {
        file = file_alloc(store, store->new_number(store->arg));
        rc = file ? create_file(store, file->number, &handle) : LSM_NO_MEMORY;
    }
    if (!done && !rc) {
        atomic_store_explicit(&file->refs, 2, memory_order_relaxed); // the stream's and the list's
        store_lock(store);
        file->size = BLOB_FILE_HEADER;
        file->handle = handle;
        file->users = 1; // the list's, so that the handle stays
        file->current = true;
        blob_stream_end(store, stream);
        store->handles++;
        insert(store, file);
        store->streams[stream].current = file;
        file->next_dirty = store->dirty;
        store->dirty = file;
        store_unlock(store);
    } else {
        free(file);
    }
    roll_unlock(&store->streams[stream]);
    return rc;
}

// A range of `size` bytes in the stream's current file, with a reference to that. The handle stays
// open until the write is counted as finished: the file is on the list of dirty ones.
static int reserve(struct blob_store *store, enum blob_stream stream, uint64_t size,
                   struct blob_file **ret_file, struct env_file **ret_handle, uint64_t *ret_offset)
{
    struct blob_file *file;
    store_lock(store);
    while (!fits(store, file = store->streams[stream].current, size) || file->trimming) {
        if (file && file->trimming) {
            blob_store_wait(store);
            continue;
        }
        store_unlock(store);
        int rc = roll(store, stream, size);
        if (rc)
            return rc;
        store_lock(store);
    }
    assert(file->current && file->users > 0);
    *ret_offset = file->size;
    *ret_handle = file->handle;
    file->size += size;
    file->writing++;
    blob_file_ref(file);
    // Counts as referenced, so that it is not garbage on its way into a memtable or a table.
    blob_file_add_mem(file, (int64_t)size);
    atomic_fetch_add_explicit(&store->bytes, size, memory_order_relaxed);
    store->written[stream] += size;
    store_unlock(store);
    *ret_file = file;
    return LSM_OK;
}

// The codec for a value. Streams of incompressible values are probed ever more seldom.
static enum lsm_compression choose_codec(struct blob_store *store, struct slice value)
{
    if (store->compression == LSM_COMPRESSION_NONE)
        return LSM_COMPRESSION_NONE;
    unsigned rest = atomic_load_explicit(&store->probe_rest, memory_order_relaxed);
    if (rest > 0) {
        atomic_store_explicit(&store->probe_rest, rest - 1, memory_order_relaxed);
        return LSM_COMPRESSION_NONE;
    }
    unsigned step = atomic_load_explicit(&store->probe_step, memory_order_relaxed);
    bool pays = blob_probe(value);
    step = pays ? 0 : 2 * step + 1 > PROBE_REST ? PROBE_REST : 2 * step + 1;
    atomic_store_explicit(&store->probe_step, step, memory_order_relaxed);
    atomic_store_explicit(&store->probe_rest, step, memory_order_relaxed);
    return pays ? store->compression : LSM_COMPRESSION_NONE;
}

// Gives the range back, if nobody has reserved one after it, and the space on a full disk that a
// part of the record may have. A file that could not be written, for another reason than a full
// disk or one that passes, is not written again. Mutex held, perhaps released meanwhile.
static void append_failed(struct blob_store *store, enum blob_stream stream, struct blob_file *file,
                          uint64_t offset, uint64_t size, int status) REQUIRES(blob_mutex)
{
    blob_file_add_mem(file, -(int64_t)size);
    if (file->size == offset + size) {
        file->size = offset;
        atomic_fetch_sub_explicit(&store->bytes, size, memory_order_relaxed);
        if (status == LSM_NO_SPACE && !file->writing && !file->trimming)
            (void)blob_file_cut(file);
    }
    if (!status_is_clean(status) && store->streams[stream].current == file)
        blob_stream_end(store, stream);
    blob_file_unref_locked(file);
}

int blob_store_append(struct blob_store *store, enum blob_stream stream, struct slice value,
                      struct blob_pointer *ret_pointer, struct blob_file **ret_file)
{
    struct blob_record record;
    struct blob_file *file = NULL;
    struct env_file *handle = NULL;
    uint64_t offset = 0;
    int rc = blob_record_init(&record, value, choose_codec(store, value));
    if (rc)
        return rc;
    rc = reserve(store, stream, blob_record_size(&record), &file, &handle, &offset);
    if (!rc) {
        rc = blob_record_write(&record, handle, file->number, offset);
        store_lock(store);
        assert(file->writing > 0);
        file->writing--;
        file->written++;
        atomic_store_explicit(&store->unsynced, true, memory_order_release);
        if (!file->writing && !file->current)
            pthread_cond_broadcast(&store->sync_done);
        if (rc)
            append_failed(store, stream, file, offset, blob_record_size(&record), rc);
        store_unlock(store);
    }
    if (!rc) {
        *ret_pointer = (struct blob_pointer){.file = file->number,
                                             .offset = offset,
                                             .value_size = record.head.value_size,
                                             .stored_size = record.head.stored_size,
                                             .length = record.head.value_size,
                                             .codec = record.head.codec};
        *ret_file = file;
    }
    blob_record_release(&record);
    return rc;
}

void blob_store_seal(struct blob_store *store)
{
    store_lock(store);
    for (int i = 0; i < BLOB_STREAMS; i++)
        if (store->streams[i].current && store->streams[i].current->size > BLOB_FILE_HEADER)
            blob_stream_end(store, (enum blob_stream)i);
    store_unlock(store);
}

// ---------------------------------------------------------------------------------------- syncing

static int sync_failed(const struct blob_store *store) REQUIRES(blob_mutex)
{
    return status_fail(store->sync_status, "an earlier sync of blobs failed: %s",
                       store->sync_kept.detail);
}

// Returns when the first `target` writes of the file are durable. Mutex held, released meanwhile.
static int sync_file(struct blob_store *store, struct blob_file *file, uint64_t target)
    REQUIRES(blob_mutex)
{
    assert(target <= file->written);
    while (file->synced < target && !store->sync_status) {
        if (file->syncing) {
            blob_store_wait(store);
            continue;
        }
        file->syncing = true;
        uint64_t upto = file->written;
        struct env_file *handle = file->handle; // stays open: the file is dirty
        store_unlock(store);
        int rc = env_sync(handle);
        store_lock(store);
        file->syncing = false;
        if (!rc) {
            assert(file->synced <= upto);
            file->synced = upto;
        } else if (!store->sync_status) {
            store->sync_status = status_final(rc);
            status_keep(&store->sync_kept);
        }
        pthread_cond_broadcast(&store->sync_done);
    }
    return store->sync_status;
}

// The unsynced file with the lowest number above `after`, or NULL; mutex held.
static struct blob_file *next_unsynced(struct blob_store *store, uint64_t after)
    REQUIRES(blob_mutex)
{
    struct blob_file *found = NULL;
    for (struct blob_file *file = store->dirty; file; file = file->next_dirty)
        if (file->number > after && file->written != file->synced &&
            (!found || file->number < found->number))
            found = file;
    return found;
}

int blob_store_sync(struct blob_store *store)
{
    if (!atomic_load_explicit(&store->unsynced, memory_order_acquire))
        return LSM_OK;
    store_lock(store);
    int rc = store->sync_status;
    struct blob_file *file;
    uint64_t after = 0;
    while (!rc && (file = next_unsynced(store, after))) {
        blob_file_ref(file);
        rc = sync_file(store, file, file->written);
        after = file->number;
        blob_file_unref_locked(file);
    }
    if (rc)
        rc = sync_failed(store);
    else
        tidy_dirty(store);
    store_unlock(store);
    return rc;
}

int blob_refs_sync(const struct blob_refs *set)
{
    for (size_t i = 0; i < set->count; i++) {
        struct env_file *handle;
        struct blob_file *file = set->refs[i].file;
        int rc = file ? handle_take(file, &handle) : LSM_OK;
        if (!rc && file) {
            rc = env_sync(handle);
            handle_put(file);
        }
        if (rc)
            return rc;
    }
    return LSM_OK;
}
