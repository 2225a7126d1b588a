// The merge loop of flushes and compactions.
//
// Which versions of a key stay: the snapshots divide sequence numbers into strata, and a reader at
// a snapshot sees the newest version at or below it, so of each stratum only the newest version is
// kept. At the bottom a delete of the oldest stratum has nothing left to hide and goes, and a put
// of the oldest stratum gets sequence 0, which encodes shorter and compares as older than all else.
//
// Blobs: each output keeps count of what it references of each blob file. A value in a blob file
// that is being drained is read and appended to another, or taken into the table if it is small. A
// flush puts large values that came with the log into blob files.
//
// All versions of a user key go into one table, so that sorted levels are disjoint by user key.
//
// Runs in one thread without locks. On failure every table written is removed.
#include "compaction/compact_job.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/status.h"
#include "version/table_cache.h"

#define GRANDPARENT_TABLES_MAX 10
#define CHECK_ENTRIES          256
#define MOVE_STEP_BYTES        (4u << 20) // blob bytes moved before each pause
#define MOVE_PAUSE_MAX_US      100000

struct output {
    struct sst_builder *builder;
    struct env_file *file;
    uint64_t number;
    char name[STORE_NAME_MAX];
};

struct job_state {
    struct compact_job *job;
    struct output out;
    struct buf key; // last user key seen
    bool has_key;
    size_t stratum;                      // of the last version seen of `key`
    unsigned grandparent;                // first one whose largest key is >= the current key
    uint64_t overlapped_bytes;           // of grandparents passed by the current output
    struct blob_refs blobs;              // referenced by the current output
    struct kept_ranges kept;             // in the current output
    struct buf value;                    // a moved blob
    uint64_t moved_bytes, move_start_us; // of the present step
    uint8_t pointer[BLOB_POINTER_MAX];
};

static int output_open(struct job_state *state)
{
    struct compact_job *job = state->job;
    struct output *out = &state->out;
    assert(!out->builder && !out->file);
    out->number = job->new_number(job->arg);
    store_file_name(out->name, STORE_TABLE, out->number);
    int rc = env_open(job->env, out->name, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &out->file);
    if (rc)
        return rc;
    rc = sst_builder_new(out->file, out->number, &job->build, &out->builder);
    if (rc) {
        env_close(out->file);
        out->file = NULL;
        job->env->ops->unlink(job->env, out->name);
    }
    state->overlapped_bytes = 0;
    state->blobs.count = 0;
    state->kept.count = 0;
    return rc;
}

// Closes the current output's file; removes it unless it is to be kept.
static int output_close(struct job_state *state, bool keep)
{
    struct output *out = &state->out;
    sst_builder_free(out->builder);
    out->builder = NULL;
    int rc = env_close(out->file);
    out->file = NULL;
    if (rc || !keep)
        state->job->env->ops->unlink(state->job->env, out->name);
    return rc;
}

static int output_to_meta(const struct output *out, const struct sst_info *info,
                          const struct blob_refs *blobs, const struct kept_ranges *kept,
                          struct file_meta **ret_file)
{
    struct file_meta *file =
        file_meta_new(buf_slice(&info->smallest_key), buf_slice(&info->largest_key));
    if (!file)
        return status_no_memory(sizeof *file);
    file->number = out->number;
    file->size = info->file_size;
    file->entries = info->entries;
    file->deletes = info->deletes;
    file->raw_bytes = info->raw_bytes;
    file->max_sequence = info->max_sequence;
    file->smallest_tag = info->smallest_tag;
    file->largest_tag = info->largest_tag;
    int rc = file_meta_set_blobs(file, blobs->refs, blobs->count);
    if (!rc)
        rc = file_meta_set_kept(file, kept->at, kept->count);
    if (rc) {
        file_meta_unref(file);
        return rc;
    }
    *ret_file = file;
    return LSM_OK;
}

static int output_finish(struct job_state *state)
{
    struct compact_job *job = state->job;
    struct sst_info info = {0};
    struct file_meta *file = NULL;
    assert(state->out.builder);
    int rc = sst_builder_finish(state->out.builder, &info);
    if (!rc) {
        rc = output_to_meta(&state->out, &info, &state->blobs, &state->kept, &file);
        if (!rc && !array_grow(&job->outputs, &job->output_capacity, job->output_count,
                               sizeof(struct file_meta *))) {
            rc = status_no_memory(sizeof(struct file_meta *));
            file_meta_unref(file);
        }
        sst_info_release(&info);
    }
    int close_rc = output_close(state, rc == LSM_OK);
    if (rc)
        return rc;
    if (close_rc) {
        file_meta_unref(file);
        return close_rc;
    }
    job->bytes_written += file->size;
    job->entries_out += file->entries;
    job->outputs[job->output_count++] = file;
    return LSM_OK;
}

// Before a new user key: whether the current output should end here.
static bool output_full(struct job_state *state, struct slice key)
{
    struct compact_job *job = state->job;
    while (state->grandparent < job->grandparent_count &&
           slice_compare(job->grandparents[state->grandparent]->largest, key) < 0)
        state->overlapped_bytes += job->grandparents[state->grandparent++]->size;
    if (!state->out.builder)
        return false;
    return sst_builder_size(state->out.builder) >= job->table_size ||
           state->overlapped_bytes / GRANDPARENT_TABLES_MAX > job->table_size;
}

// The number of snapshots older than `sequence`: versions with equal numbers are seen by the same
// readers. `near` is where to look first: what follows in a table was often written at that time.
// Whatever is newer or older than all snapshots is not searched for at all.
static size_t stratum_of(const struct compact_job *job, uint64_t sequence, size_t near)
{
    size_t low = 0, high = job->snapshot_count;
    if (high == 0 || job->snapshots[0] >= sequence)
        return 0;
    if (job->snapshots[high - 1] < sequence)
        return high;
    if ((near == 0 || job->snapshots[near - 1] < sequence) &&
        (near == high || job->snapshots[near] >= sequence))
        return near;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (job->snapshots[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// After each step of moving, a pause as long as the step took.
static void move_pause(struct job_state *state, uint32_t bytes)
{
    const struct compact_job *job = state->job;
    uint64_t now = clock_us();
    if (state->moved_bytes == 0)
        state->move_start_us = now;
    state->moved_bytes += bytes;
    if (state->moved_bytes < MOVE_STEP_BYTES)
        return;
    uint64_t pause = now - state->move_start_us;
    state->moved_bytes = 0;
    if (!job->pressure || atomic_load_explicit(job->pressure, memory_order_relaxed))
        return;
    if (pause > MOVE_PAUSE_MAX_US)
        pause = MOVE_PAUSE_MAX_US;
    nanosleep(&(struct timespec){.tv_nsec = (long)pause * 1000}, NULL);
}

// Puts a value into a blob file, and a pointer to there in its place.
static int append_blob(struct job_state *state, enum blob_stream stream,
                       struct blob_pointer *pointer, struct slice *value)
{
    struct compact_job *job = state->job;
    struct blob_file *file;
    struct blob_ref *ref = NULL;
    int rc = blob_store_append(job->blobs, stream, *value, pointer, &file);
    if (rc)
        return rc;
    uint64_t bytes = blob_pointer_bytes(pointer); // count until the outputs are in a version
    rc = blob_refs_add(&job->moved, pointer->file, bytes, &ref);
    if (rc)
        blob_file_add_mem(file, -(int64_t)bytes);
    if (rc || ref->file)
        blob_file_unref(file);
    else
        ref->file = file;
    if (rc)
        return rc;
    *value = slice_of(state->pointer, blob_pointer_encode(pointer, state->pointer));
    return LSM_OK;
}

// Copies a value to another blob file, or hands it out to be kept in the table.
static int move_blob(struct job_state *state, struct blob_file *from, struct blob_pointer *pointer,
                     enum entry_type *type, struct slice *value)
{
    struct compact_job *job = state->job;
    move_pause(state, pointer->length);
    state->value.size = 0;
    if (buf_reserve(&state->value, pointer->length))
        return status_no_memory(pointer->length);
    int rc = blob_file_read(from, pointer, 0, state->value.data, pointer->length);
    if (rc)
        return rc;
    *value = slice_of(state->value.data, pointer->length);
    if (pointer->length < job->inline_size) {
        *type = ENTRY_PUT;
        return LSM_OK;
    }
    return append_blob(state, BLOB_MOVES, pointer, value);
}

static int move_if_draining(struct job_state *state, struct blob_pointer *pointer,
                            enum entry_type *type, struct slice *value)
{
    struct blob_file *file;
    int rc = blob_store_get(state->job->blobs, pointer->file, &file);
    if (rc)
        return rc;
    if (blob_file_draining(file)) {
        state->job->moved_bytes += pointer->length;
        rc = move_blob(state, file, pointer, type, value);
        // A damaged value stays where it is, and is reported when it is read. It must not stop
        // compaction.
        if (rc == LSM_CORRUPTION) {
            blob_file_set_damaged(file);
            rc = LSM_OK;
        }
    }
    blob_file_unref(file);
    return rc;
}

// An entry whose value is a pointer, on its way into the output. *ret_drop: it is not to go there.
static int job_pointer(struct job_state *state, enum entry_type *type, struct slice *value,
                       struct blob_ref *ret_ref, bool *ret_drop)
{
    struct compact_job *job = state->job;
    struct blob_pointer pointer;
    if (blob_pointer_decode(*value, &pointer))
        return status_fail(LSM_CORRUPTION, "%s: a malformed blob pointer in a table",
                           job->env->path);
    bool keep = true;
    int rc = job->keep_pointer ? job->keep_pointer(job->arg, &pointer, &keep) : LSM_OK;
    if (rc || !keep) {
        *ret_drop = !keep;
        return rc;
    }
    if (job->moved_bytes < job->move_bytes)
        rc = move_if_draining(state, &pointer, type, value);
    if (!rc && *type == ENTRY_BLOB)
        *ret_ref = (struct blob_ref){.number = pointer.file, .bytes = blob_pointer_bytes(&pointer)};
    return rc;
}

// Where an entry's value is to be: sets tag, value and reference for the output.
static int job_value(struct job_state *state, uint64_t *tag, struct slice *value,
                     struct blob_ref *ret_ref, bool *ret_drop)
{
    struct compact_job *job = state->job;
    enum entry_type type = tag_type(*tag);
    int rc = LSM_OK;
    if (type == ENTRY_PUT && job->separate_size && value->size >= job->separate_size) {
        struct blob_pointer pointer;
        rc = append_blob(state, BLOB_WRITES, &pointer, value);
        if (!rc)
            *ret_ref =
                (struct blob_ref){.number = pointer.file, .bytes = blob_pointer_bytes(&pointer)};
        type = ENTRY_BLOB;
    } else if (type == ENTRY_BLOB) {
        rc = job_pointer(state, &type, value, ret_ref, ret_drop);
    }
    *tag = tag_make(tag_sequence(*tag), type);
    return rc;
}

static int job_entry(struct job_state *state, const struct entry *entry)
{
    struct compact_job *job = state->job;
    uint64_t tag = entry->tag;
    size_t stratum = stratum_of(job, tag_sequence(tag), state->stratum);
    bool same_key = state->has_key && slice_equal(buf_slice(&state->key), entry->key);

    if (same_key && stratum == state->stratum)
        return LSM_OK; // a newer version hides this one from all readers
    if (same_key && stratum > state->stratum)
        return status_fail(LSM_CORRUPTION, "%s: versions of a key are out of order",
                           job->env->path);
    if (!same_key) {
        if (buf_assign(&state->key, entry->key.data, entry->key.size))
            return status_no_memory(entry->key.size);
        state->has_key = true;
        if (output_full(state, entry->key)) {
            int rc = output_finish(state);
            if (rc)
                return rc;
        }
    }
    // A version that is superseded here is seen by the snapshots from its own stratum's on to the
    // one before the newer version.
    uint64_t first = 0, last = 0;
    bool kept = same_key;
    if (kept) {
        first = job->snapshots[stratum];
        last = job->snapshots[state->stratum - 1];
    }
    state->stratum = stratum;
    if (job->bottom && stratum == 0) {
        if (tag_type(tag) == ENTRY_DELETE)
            return LSM_OK;
        tag = tag_make(0, tag_type(tag));
    }
    struct slice value = entry->value;
    struct blob_ref ref = {0};
    bool drop = false;
    int rc = job_value(state, &tag, &value, &ref, &drop);
    if (rc || drop)
        return rc;
    if (!state->out.builder)
        rc = output_open(state);
    if (!rc && ref.number)
        rc = blob_refs_add(&state->blobs, ref.number, ref.bytes, NULL);
    if (!rc)
        rc = sst_builder_add(state->out.builder, entry->key, tag, value);
    if (!rc && kept)
        kept_add(&state->kept, first, last, entry->key.size + value.size + ref.bytes);
    return rc;
}

// Tells how far it is, and sees whether it should go on.
static int check_stop(struct compact_job *job)
{
    if (job->progress)
        atomic_store_explicit(job->progress, job->entries_in, memory_order_relaxed);
    if (job->cancel && atomic_load_explicit(job->cancel, memory_order_relaxed))
        return status_fail(LSM_CLOSED, "cancelled: the store is closing");
    if (job->told && job->told(job->told_arg, job->entries_in))
        return status_fail(LSM_CANCELLED, "cancelled");
    return LSM_OK;
}

static int job_loop(struct job_state *state, struct iter *input)
{
    struct compact_job *job = state->job;
    for (; input->valid; iter_next(input)) {
        if (job->until.data && slice_compare(input->entry.key, job->until) > 0)
            break;
        int rc = job->entries_in++ % CHECK_ENTRIES ? LSM_OK : check_stop(job);
        if (!rc)
            rc = job_entry(state, &input->entry);
        if (rc)
            return rc;
    }
    if (input->status)
        return input->status;
    return state->out.builder ? output_finish(state) : LSM_OK;
}

int compact_job_run(struct compact_job *job, struct iter *input)
{
    struct job_state state = {.job = job};
    assert(!job->outputs && !job->moved.count);
    for (size_t i = 1; i < job->snapshot_count; i++)
        assert(job->snapshots[i - 1] <= job->snapshots[i]);
    int rc = job_loop(&state, input);
    assert(rc || !state.out.builder);
    if (!rc && job->moved.count)
        rc = blob_store_sync(job->blobs);
    if (!rc && job->output_count)
        rc = job->env->ops->sync_dir(job->env, ENV_HERE);
    buf_release(&state.key);
    buf_release(&state.value);
    blob_refs_release(&state.blobs);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        if (state.out.builder)
            output_close(&state, false);
        compact_job_release(job, true);
        status_restore(&kept);
    }
    return rc;
}

void compact_job_release(struct compact_job *job, bool remove)
{
    for (unsigned i = 0; i < job->output_count; i++) {
        char name[STORE_NAME_MAX];
        store_file_name(name, STORE_TABLE, job->outputs[i]->number);
        if (remove)
            job->env->ops->unlink(job->env, name);
        file_meta_unref(job->outputs[i]);
    }
    free(job->outputs);
    job->outputs = NULL;
    job->output_count = 0;
    job->output_capacity = 0;
    blob_refs_drop(&job->moved);
    blob_refs_release(&job->moved);
}
