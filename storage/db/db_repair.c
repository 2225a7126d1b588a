// Repair of a store that is not open.
//
// Repair trusts nothing but what verifies: every table that opens and checks, every log record that
// is valid. All of it is merged by key and sequence number, so the newest surviving version of each
// key wins wherever it was, and is written to the last level as one sorted run, with a new manifest
// on top. What does not verify is moved to the folder `lost` and never deleted. Repair needs room
// for a second copy of what the tables hold. Blob files stay as they are: an entry is kept if the
// record it points to is there, also if pages of the record are damaged; reading these reports it.
//
// Which tables and logs count is said by the manifest that CURRENT names or, without CURRENT, by
// the newest one that is whole (a manifest is complete, with all it refers to, before CURRENT names
// it). If none is left all of them count; then a table or log that was superseded, but whose
// removal a power cut undid, may bring back an old value or a deleted key. Of two logs that hold
// one sequence number the newer counts: the older one's records were given up by a recovery. Of two
// versions with equal numbers, which compactions give to those at the bottom, that in the newer
// table is the newer.
//
// What is superseded goes as soon as the new manifest is in force. A repair that fails leaves the
// store as it was, but for the reserve, which it gives back as far as there is room.
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/numbers.h"
#include "compaction/compact_job.h"
#include "compaction/merge_iter.h"
#include "db/batch.h"
#include "db/db.h"
#include "db/db_blob.h"
#include "db/db_place.h"
#include "wal/wal_reader.h"

struct repair {
    struct env *env; // the directory
    struct logger logger;
    const char *dir; // for messages
    struct block_cache *cache;
    struct blob_store *blobs;
    bool log_ended;    // a record of the current log lacks its blobs: the log ends before it
    size_t logs_ended; // logs that have ended so
    size_t missing;    // tables that the manifest names
    uint64_t dropped;  // entries that point at what is not there
    struct lsm_options options;
    struct number_list tables, log_numbers, manifests;
    uint64_t first_new;          // files with numbers below were there before
    uint64_t reserve;            // bytes given back by remove_reserve()
    bool unknown;                // writing the manifest failed, and yet CURRENT may name it
    struct number_list aside[2]; // damaged tables, damaged logs
    uint64_t log_first;          // sequence of the current log's first record
    uint64_t log_limit;          // from here on records are in newer logs
    struct iter **sources;
    size_t source_count;
    struct memtable *memtable; // of all logs' records
    uint64_t last_sequence;
    struct snapshot_set snapshots; // the manifest's
    _Atomic uint64_t next_file;
};

static int repair_name(void *arg, const char *name)
{
    struct repair *repair = arg;
    uint64_t number = 0;
    enum store_file kind = store_file_parse(name, &number);
    if (kind == STORE_UNKNOWN)
        return LSM_OK;
    if (number >= atomic_load(&repair->next_file))
        atomic_store(&repair->next_file, number + 1);
    if (kind == STORE_TABLE)
        return number_list_add(&repair->tables, number);
    if (kind == STORE_LOG)
        return number_list_add(&repair->log_numbers, number);
    if (kind == STORE_MANIFEST)
        return number_list_add(&repair->manifests, number);
    return LSM_OK;
}

static int compare_newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

static void sort_newest_first(uint64_t *numbers, size_t count)
{
    if (count)
        qsort(numbers, count, sizeof *numbers, compare_newest_first);
}

// Gives a file a second name in `lost`. Its first one goes when the new manifest is in force: until
// then a repair that was interrupted must find everything where it was.
static int set_aside(struct repair *repair, enum store_file kind, uint64_t number)
{
    struct env *env = repair->env, *lost;
    assert(kind == STORE_TABLE || kind == STORE_LOG);
    char name[STORE_NAME_MAX];
    logger_log(&repair->logger, LSM_LOG_WARN, "%s: set aside in lost", lsm_error_detail());
    int rc = env->ops->mkdir(env, "lost");
    if (!rc || rc == LSM_EXISTS)
        rc = env->ops->open_dir(env, "lost", &lost);
    if (rc)
        return rc;
    store_file_name(name, kind, number);
    rc = env->ops->link(env, name, lost, name);
    if (!rc)
        rc = lost->ops->sync_dir(lost, ENV_HERE);
    env->ops->close_dir(lost);
    if (rc && rc != LSM_EXISTS)
        return rc;
    return number_list_add(&repair->aside[kind == STORE_LOG], number);
}

// After a failure: the second names go, the first ones are still there.
static void undo_set_aside(struct repair *repair)
{
    for (unsigned log = 0; log < 2; log++)
        for (size_t i = 0; i < repair->aside[log].count; i++) {
            char name[STORE_NAME_MAX], path[STORE_NAME_MAX + 8];
            store_file_name(name, log ? STORE_LOG : STORE_TABLE, repair->aside[log].at[i]);
            snprintf(path, sizeof path, "lost/%s", name);
            (void)!repair->env->ops->unlink(repair->env, path);
        }
    if (repair->aside[0].count + repair->aside[1].count)
        // The folder stays if something else is in it.
        (void)!repair->env->ops->rmdir(repair->env, "lost");
}

// What is worth nothing now that the new manifest is in force.
static int remove_superseded(void *arg, const char *name)
{
    struct repair *repair = arg;
    uint64_t number;
    enum store_file kind = store_file_parse(name, &number);
    if ((kind == STORE_TABLE || kind == STORE_LOG || kind == STORE_MANIFEST) &&
        number < repair->first_new)
        (void)!repair->env->ops->unlink(repair->env, name);
    return LSM_OK;
}

// Repair on a full disk may take the space that is kept for the next opening.
static int remove_reserve(void *arg, const char *name)
{
    struct repair *repair = arg;
    uint64_t number;
    struct env_stat stat;
    if (store_file_parse(name, &number) != STORE_RECYCLED)
        return LSM_OK;
    if (!repair->env->ops->stat(repair->env, name, &stat))
        repair->reserve += stat.allocated_bytes;
    (void)!repair->env->ops->unlink(repair->env, name);
    return LSM_OK;
}

// ------------------------------------------------------------------------------------- gathering

static int take_table(struct repair *repair, uint64_t number)
{
    assert(repair->source_count <= repair->tables.count); // the logs' memtable is one more
    char name[STORE_NAME_MAX];
    struct env_stat stat;
    struct sst_reader *reader = NULL;
    struct sst_read_options options = {.checksums = LSM_CHECKSUMS_ALWAYS, .cache = repair->cache};
    store_file_name(name, STORE_TABLE, number);
    int rc = repair->env->ops->stat(repair->env, name, &stat);
    if (!rc)
        rc = sst_open(repair->env, name, number, stat.size, &options, &reader);
    if (!rc)
        rc = sst_verify(reader);
    if (rc == LSM_CORRUPTION) {
        rc = set_aside(repair, STORE_TABLE, number);
        if (reader)
            sst_reader_unref(reader);
        return rc;
    }
    struct sst_properties properties;
    if (!rc) {
        sst_reader_properties(reader, &properties);
        if (properties.max_sequence > repair->last_sequence)
            repair->last_sequence = properties.max_sequence;
        struct sst_iter_options iter_options = {.readahead = SIZE_MAX};
        rc = sst_iter_new(reader, &iter_options, &repair->sources[repair->source_count]);
    }
    if (!rc)
        repair->source_count++;
    if (reader)
        sst_reader_unref(reader);
    return rc;
}

// *ret_whole: whether all blobs of a log's record are there, whole.
static int has_blobs(struct repair *repair, struct slice payload, bool *ret_whole)
{
    uint32_t count;
    bool whole = true;
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    while (p < end && whole) {
        struct batch_op op;
        struct blob_pointer pointer;
        struct blob_file *file;
        whole = batch_next(&p, end, &op) == LSM_OK;
        if (!whole || op.type != BATCH_PUT_BLOB)
            continue;
        whole = blob_pointer_decode(op.value, &pointer) == LSM_OK;
        if (!whole)
            continue;
        int rc = blob_store_get(repair->blobs, pointer.file, &file);
        if (rc)
            return rc;
        rc = blob_file_verify(file, &pointer);
        blob_file_unref(file);
        if (status_is_passing(rc))
            return rc;
        whole = rc == LSM_OK;
    }
    *ret_whole = whole;
    return LSM_OK;
}

static int take_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    struct repair *repair = arg;
    uint32_t count;
    bool blobs;
    (void)offset;
    if (sequence < repair->log_first)
        repair->log_first = sequence;
    if (sequence >= repair->log_limit || repair->log_ended || !batch_valid(payload, &blobs))
        return LSM_OK;
    bool whole = true;
    int rc = blobs ? has_blobs(repair, payload, &whole) : LSM_OK;
    if (rc)
        return rc;
    if (!whole) {
        logger_log(&repair->logger, LSM_LOG_WARN, "%s: the log ends here", lsm_error_detail());
        repair->log_ended = true;
        repair->logs_ended++;
        return LSM_OK;
    }
    const uint8_t *p = batch_begin(payload, &count), *end = payload.data + payload.size;
    while (p < end) {
        struct batch_op op;
        rc = batch_next(&p, end, &op);
        if (rc)
            return rc;
        enum entry_type type = batch_entry_type(op.type);
        if (sequence > repair->last_sequence)
            repair->last_sequence = sequence;
        rc = memtable_add(repair->memtable, op.key, tag_make(sequence++, type), op.value, NULL);
        if (rc)
            return rc;
    }
    return LSM_OK;
}

static int take_log(struct repair *repair, uint64_t number)
{
    char name[STORE_NAME_MAX];
    struct wal_read_result result;
    store_file_name(name, STORE_LOG, number);
    repair->log_ended = false;
    repair->log_first = UINT64_MAX;
    int rc = wal_read(repair->env, name, number, take_record, repair, &result);
    if (repair->log_first < repair->log_limit)
        repair->log_limit = repair->log_first;
    if (rc == LSM_CORRUPTION) // the records before the damage have been taken
        rc = set_aside(repair, STORE_LOG, number);
    return rc;
}

// Only what is live by `state` counts; the rest is garbage of a crash.
static int keep_live(struct repair *repair, const struct manifest_state *state)
{
    int rc = LSM_OK;
    repair->tables.count = 0;
    for (unsigned n = 0; n < VERSION_LEVELS && !rc; n++)
        for (unsigned i = 0; i < state->version->levels[n].count && !rc; i++)
            rc = number_list_add(&repair->tables, state->version->levels[n].files[i]->number);
    repair->last_sequence = state->last_sequence;
    // A snapshot may see more than the logs hold, if a log's end is lost.
    for (size_t i = 0; i < state->snapshots.count; i++)
        if (repair->last_sequence < state->snapshots.at[i].sequence)
            repair->last_sequence = state->snapshots.at[i].sequence;
    if (!rc)
        rc = snapshot_set_copy(&state->snapshots, &repair->snapshots);
    size_t live = 0;
    for (size_t i = 0; i < repair->log_numbers.count; i++)
        if (repair->log_numbers.at[i] >= state->log_number)
            repair->log_numbers.at[live++] = repair->log_numbers.at[i];
    repair->log_numbers.count = live;
    return rc;
}

static int apply_manifest(struct repair *repair)
{
    struct manifest_state state = {0};
    int rc = manifest_recover(repair->env, &state);
    for (size_t i = 0; i < repair->manifests.count && (rc == LSM_NOT_FOUND || rc == LSM_CORRUPTION);
         i++)
        rc = manifest_read(repair->env, repair->manifests.at[i], &state, NULL);
    if (rc == LSM_NOT_FOUND || rc == LSM_CORRUPTION)
        return LSM_OK; // no manifest is left
    if (rc)
        return rc; // the store is another program's, or of a later version, and is left alone
    rc = keep_live(repair, &state);
    manifest_state_release(&state);
    return rc;
}

static int gather(struct repair *repair)
{
    int rc = repair->env->ops->list(repair->env, ENV_HERE, repair_name, repair);
    if (!rc && repair->tables.count + repair->log_numbers.count == 0)
        return status_fail(LSM_NOT_A_STORE, "%s holds no tables and no logs to repair from",
                           repair->dir);
    sort_newest_first(repair->manifests.at, repair->manifests.count);
    if (!rc)
        rc = apply_manifest(repair);
    sort_newest_first(repair->tables.at, repair->tables.count);
    sort_newest_first(repair->log_numbers.at, repair->log_numbers.count);
    if (!rc)
        rc = memtable_new(repair->options.write_buffer_size, NULL, &repair->memtable);
    repair->sources = calloc(repair->tables.count + 1, sizeof(struct iter *));
    if (!rc && !repair->sources)
        rc = status_no_memory((repair->tables.count + 1) * sizeof(struct iter *));
    for (size_t i = 0; i < repair->log_numbers.count && !rc; i++)
        rc = take_log(repair, repair->log_numbers.at[i]);
    if (!rc)
        rc = memtable_iter_new(repair->memtable, &repair->sources[0]);
    repair->source_count = !rc;
    for (size_t i = 0; i < repair->tables.count && !rc; i++) {
        rc = take_table(repair, repair->tables.at[i]);
        if (rc == LSM_NOT_FOUND) { // the manifest names a table that is gone
            logger_log(&repair->logger, LSM_LOG_WARN, "%s", lsm_error_detail());
            repair->missing++;
            rc = LSM_OK;
        }
    }
    return rc;
}

// ------------------------------------------------------------------------------------- rewriting

static uint64_t repair_number(void *arg)
{
    return atomic_fetch_add(&((struct repair *)arg)->next_file, 1);
}

// A failure that may pass says nothing about the entry: repair ends with it.
static int keep_pointer(void *arg, const struct blob_pointer *pointer, bool *ret_keep)
{
    struct repair *repair = arg;
    struct blob_file *file;
    int rc = blob_store_get(repair->blobs, pointer->file, &file);
    if (rc)
        return rc;
    rc = blob_file_verify_head(file, pointer);
    blob_file_unref(file);
    if (status_is_passing(rc))
        return rc;
    if (rc && repair->dropped++ == 0)
        logger_log(&repair->logger, LSM_LOG_WARN, "%s: entries that point there are dropped",
                   lsm_error_detail());
    *ret_keep = !rc;
    return LSM_OK;
}

static int write_manifest(struct repair *repair, const struct compact_job *job)
{
    struct env_stat stat;
    struct version *empty, *version = NULL;
    struct version_edit edit = {0};
    struct manifest *manifest = NULL;
    int rc = version_new(&empty);
    if (rc)
        return rc;
    for (unsigned i = 0; i < job->output_count && !rc; i++)
        rc = version_edit_add(&edit, VERSION_LEVELS - 1, job->outputs[i]);
    if (!rc)
        rc = version_apply(empty, &edit, &version);
    if (!rc) {
        uint64_t number = repair_number(repair);
        assert(number >= repair->first_new);
        struct manifest_state state = {.version = version,
                                       .log_number = number + 1,
                                       .next_file = number + 1,
                                       .last_sequence = repair->last_sequence,
                                       .snapshots = repair->snapshots};
        rc = manifest_create(repair->env, number, &state, &manifest);
        struct status_kept kept;
        char name[STORE_NAME_MAX];
        status_keep(&kept);
        store_file_name(name, STORE_MANIFEST, number);
        repair->unknown = rc && repair->env->ops->stat(repair->env, name, &stat) != LSM_NOT_FOUND;
        status_restore(&kept);
    }
    manifest_free(manifest);
    if (version)
        version_unref(version);
    version_unref(empty);
    version_edit_release(&edit);
    return rc;
}

// Blob bytes that only the page cache has, after the death of a process, would be the torn end of a
// log; once tables point at them they must not get lost.
static int sync_blob(void *arg, const char *name)
{
    struct repair *repair = arg;
    struct env_file *file;
    uint64_t number;
    if (store_file_parse(name, &number) != STORE_BLOB)
        return LSM_OK;
    int rc = env_open(repair->env, name, ENV_WRITE, &file);
    if (rc)
        return rc;
    rc = env_sync(file);
    int closed = env_close(file);
    return rc ? rc : closed;
}

// What was lost, and what was kept. Superseded versions and deletions are no loss.
static void report(struct repair *repair, uint64_t kept)
{
    size_t damaged = repair->aside[0].count + repair->aside[1].count;
    if (!damaged && !repair->missing && !repair->dropped && !repair->logs_ended) {
        logger_log(&repair->logger, LSM_LOG_INFO, "repaired: all %" PRIu64 " entries kept", kept);
        return;
    }
    logger_log(&repair->logger, LSM_LOG_INFO,
               "repaired: %" PRIu64 " entries kept; lost: %" PRIu64
               " whose values are gone, what was in %zu missing tables, in %zu damaged tables and "
               "logs (in %s/lost), and at the end of %zu logs",
               kept, repair->dropped, repair->missing, damaged, repair->dir, repair->logs_ended);
}

static int rewrite(struct repair *repair)
{
    struct compact_job job = {
        .env = repair->env,
        .build = {.block_size = repair->options.block_size,
                  .restart_interval = repair->options.restart_interval,
                  .bloom_bits_per_key = repair->options.bloom_bits_per_key,
                  .compression = repair->options.bottom_compression},
        .table_size = repair->options.table_size,
        .bottom = true,
        .new_number = repair_number,
        .arg = repair,
        .keep_pointer = keep_pointer,
    };
    struct iter *input;
    uint64_t *sequences;
    int rc = snapshot_set_sequences(&repair->snapshots, &sequences);
    if (rc)
        return rc;
    job.snapshots = sequences;
    job.snapshot_count = repair->snapshots.count;
    rc = merge_iter_new(repair->sources, repair->source_count, &input);
    repair->source_count = 0; // the merge has taken the sources over
    if (!rc) {
        iter_seek_first(input);
        rc = compact_job_run(&job, input);
        iter_free(input);
    }
    free(sequences);
    if (rc)
        return rc;
    rc = repair->env->ops->list(repair->env, ENV_HERE, sync_blob, repair);
    if (!rc)
        rc = write_manifest(repair, &job);
    if (!rc) {
        (void)!repair->env->ops->list(repair->env, ENV_HERE, remove_superseded, repair);
        report(repair, job.entries_out);
    }
    struct status_kept kept;
    status_keep(&kept);
    compact_job_release(&job, rc && !repair->unknown);
    status_restore(&kept);
    return rc;
}

static void repair_release(struct repair *repair)
{
    for (size_t i = 0; i < repair->source_count; i++)
        iter_free(repair->sources[i]);
    free(repair->sources);
    number_list_release(&repair->tables);
    number_list_release(&repair->log_numbers);
    number_list_release(&repair->manifests);
    snapshot_set_release(&repair->snapshots);
    number_list_release(&repair->aside[0]);
    number_list_release(&repair->aside[1]);
    if (repair->memtable)
        memtable_unref(repair->memtable);
    epoch_barrier();
    blob_store_free(repair->blobs);
    if (repair->cache)
        block_cache_free(repair->cache);
}

static int is_repairable(struct env *dir)
{
    struct db_place place;
    int rc = db_place_look(dir, &place);
    if (!rc && place.unfinished)
        rc = db_place_unfinished(dir);
    else if (!rc && !place.sources)
        rc = status_fail(LSM_NOT_A_STORE, "%s is not a store: no tables, no logs", dir->path);
    return rc;
}

int lsm_repair(const char *path, const struct lsm_options *options)
{
    struct repair repair = {.dir = path};
    struct env_lock *lock;
    if (options)
        repair.options = *options;
    else
        lsm_options_init(&repair.options);
    int rc = db_options_check(&repair.options);
    if (rc)
        return rc;
    struct env *base = db_base_env(&repair.options, path);
    repair.logger = (struct logger){repair.options.log, repair.options.log_arg};
    repair.log_limit = UINT64_MAX;
    atomic_init(&repair.next_file, 1);
    rc = db_place_lock(base, path, is_repairable, &repair.env, &lock);
    if (rc)
        return rc;
    rc = block_cache_new(0, &repair.cache);
    if (!rc)
        rc = db_blob_store_new(repair.env, &repair.options, DB_BLOB_HANDLES / 8, repair.logger,
                               repair_number, &repair, &repair.blobs);
    if (!rc)
        rc = gather(&repair);
    repair.first_new = atomic_load(&repair.next_file);
    if (!rc)
        rc = repair.env->ops->list(repair.env, ENV_HERE, remove_reserve, &repair);
    if (!rc)
        rc = rewrite(&repair);
    struct status_kept kept;
    status_keep(&kept);
    if (rc && !repair.unknown)
        undo_set_aside(&repair);
    repair_release(&repair);
    db_reserve_file(repair.env, atomic_load(&repair.next_file), repair.reserve);
    status_restore(&kept);
    repair.env->ops->unlock(repair.env, lock);
    base->ops->close_dir(repair.env);
    return rc;
}
