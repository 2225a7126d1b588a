// Flushes and compactions: from memtable or tables to new tables, and into the version.
//
// Both run in background threads without locks; only gathering the snapshots and the final switch
// take the mutex. On failure everything written is removed and the version is as before, except
// after a failed manifest write, which keeps all files.
#include "db/db_compact.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/clock.h"
#include "compaction/compact_job.h"
#include "compaction/level_iter.h"
#include "compaction/merge_iter.h"
#include "db/db.h"
#include "db/db_blob.h"

// Bytes of blobs that one job moves at most, since level 0 has to wait for the job; or this many
// times the bytes of the tables that it rewrites for the move, if that is more.
#define MOVE_JOB_BYTES  (32u << 20)
#define MOVE_PER_TABLE  4
#define MOVE_FREE_SHARE 4 // 1/4 of the free space that a compaction in steps does not need itself

static int snapshots_collect(struct lsm *db, uint64_t **ret_sequences, size_t *ret_count)
{
    db_lock(db);
    int rc = db_snapshots_collect(db, ret_sequences, ret_count);
    for (struct lsm_snapshot *s = db->snapshots.list.next; s != &db->snapshots.list; s = s->next)
        s->collected = true;
    db_unlock(db);
    return rc;
}

static struct compact_job job_init(struct lsm *db, bool bottom)
{
    return (struct compact_job){
        .env = db->env,
        .build = {.block_size = db->options.block_size,
                  .restart_interval = db->options.restart_interval,
                  .bloom_bits_per_key = db->options.bloom_bits_per_key,
                  .compression = bottom ? db->options.bottom_compression : db->options.compression},
        .table_size = UINT64_MAX,
        .bottom = bottom,
        .new_number = db_new_file_number,
        .arg = db,
        .blobs = db->blobs,
        .inline_size = db_blob_inline_size(&db->options),
    };
}

// ------------------------------------------------------------------------------------- flush

// What a flush does with values. Large ones that are in the log (a write that syncs keeps them
// there) go to blob files, or each compaction would rewrite them. Values in draining blob files are
// moved. Neither is done while space is short: if the flush fails, what it has appended to blob
// files is not given back.
static void set_blobs(struct lsm *db, struct compact_job *job)
{
    db_lock(db);
    bool space_short = db_space_short(db);
    db_unlock(db);
    job->separate_size = space_short ? 0 : db_blob_min(db, NULL);
    job->move_bytes = space_short ? 0 : MOVE_JOB_BYTES;
}

// `progress` may be NULL.
static int write_level0(struct lsm *db, struct iter *input, _Atomic uint64_t *progress,
                        struct version_edit *edit)
{
    uint64_t *snapshots;
    struct compact_job job = job_init(db, false);
    int rc = snapshots_collect(db, &snapshots, &job.snapshot_count);
    if (rc)
        return rc;
    job.snapshots = snapshots;
    set_blobs(db, &job);
    job.progress = progress;
    job.cancel = &db->jobs.cancel; // nothing is lost: the log, or the caller, still has the entries
    iter_seek_first(input);
    rc = compact_job_run(&job, input);
    free(snapshots);
    if (rc)
        return rc;
    if (progress)
        atomic_store_explicit(progress, job.entries_in, memory_order_relaxed);
    rc = blob_store_sync(db->blobs);
    for (unsigned i = 0; i < job.output_count && !rc; i++) {
        struct file_meta *file = job.outputs[i];
        rc = db_adopt_file(db, file); // holds its blob files from now on
        if (!rc)
            rc = version_edit_add(edit, 0, file);
        if (!edit->has_last_sequence || edit->last_sequence < file->max_sequence)
            edit->last_sequence = file->max_sequence;
        edit->has_last_sequence = true;
    }
    counter_add(&db->counters.flush_bytes, job.bytes_written);
    compact_job_release(&job, rc != LSM_OK);
    return rc;
}

int db_write_level0_from(struct lsm *db, struct iter *input, struct version_edit *edit)
{
    return write_level0(db, input, NULL, edit);
}

int db_write_level0(struct lsm *db, struct memtable *memtable, struct version_edit *edit)
{
    struct iter *input;
    atomic_store_explicit(&db->pace.flush_done, 0, memory_order_relaxed);
    atomic_store_explicit(&db->pace.flush_total, memtable_entries(memtable), memory_order_relaxed);
    int rc = memtable_iter_new(memtable, &input);
    if (rc)
        return rc;
    rc = write_level0(db, input, &db->pace.flush_done, edit);
    iter_free(input);
    return rc;
}

void db_remove_added(struct lsm *db, const struct version_edit *edit)
{
    struct status_kept kept;
    if (atomic_load_explicit(&db->files.keep, memory_order_acquire))
        return;
    status_keep(&kept);
    for (unsigned i = 0; i < edit->added_count; i++) {
        char name[STORE_NAME_MAX];
        store_file_name(name, STORE_TABLE, edit->added[i].file->number);
        (void)!db->env->ops->unlink(db->env, name);
    }
    status_restore(&kept);
}

int db_flush_oldest(struct lsm *db)
{
    db_lock(db);
    assert(db_immutables(db) > 0);
    struct memtable *memtable = db_immutable(db, 0);
    uint64_t next_log =
        db_immutables(db) > 1 ? db_immutable_log(db, 1)->number : db_active_log(db)->number;
    uint64_t last = db_manifest_sequence(db);
    db_unlock(db);

    uint64_t start = clock_us();
    struct version_edit edit = {.has_log_number = true, .log_number = next_log};
    int rc = db_write_level0(db, memtable, &edit);
    if (!rc) {
        if (edit.has_last_sequence && edit.last_sequence < last)
            edit.last_sequence = last;
        unsigned tables = edit.added_count;
        uint64_t bytes = tables ? edit.added[0].file->size : 0;
        rc = db_apply_edit(db, &edit, true);
        if (rc)
            db_remove_added(db, &edit);
        else
            logger_log(&db->logger, LSM_LOG_INFO,
                       "flushed a memtable: %" PRIu64 " bytes in %" PRIu64 " ms", bytes,
                       (clock_us() - start) / 1000);
    }
    if (!rc)
        counter_add(&db->counters.flushes, 1);
    version_edit_release(&edit);
    return rc;
}

// ------------------------------------------------------------------------------------- compaction

static int compaction_input(struct lsm *db, const struct compaction *c, struct iter **ret_iter)
{
    size_t most = c->input_count[0] + 1, count = 0;
    struct iter **iters = calloc(most, sizeof *iters);
    struct sst_iter_options options = {.fill_cache = false, .readahead = SIZE_MAX};
    if (!iters)
        return status_no_memory(most * sizeof *iters);
    int rc = LSM_OK;
    if (c->level == 0) {
        for (unsigned i = 0; i < c->input_count[0] && !rc; i++) {
            rc = level_iter_of_table(db->table_cache, c->inputs[0][i], &options, &iters[count]);
            count += rc == LSM_OK;
        }
    } else {
        rc = level_iter_new(db->table_cache, c->inputs[0], c->input_count[0], &options, &iters[0]);
        count = rc == LSM_OK;
    }
    if (!rc && c->input_count[1]) {
        rc = level_iter_new(db->table_cache, c->inputs[1], c->input_count[1], &options,
                            &iters[count]);
        count += rc == LSM_OK;
    }
    if (!rc) {
        rc = merge_iter_new(iters, count, ret_iter);
    } else {
        for (size_t i = 0; i < count; i++)
            iter_free(iters[i]);
    }
    free(iters);
    return rc;
}

static int edit_remove(struct version_edit *edit, const struct compaction *c, unsigned side,
                       unsigned first, unsigned end)
{
    int rc = LSM_OK;
    for (unsigned i = first; i < end && !rc; i++)
        rc = version_edit_remove(edit, side ? c->output_level : c->level,
                                 c->inputs[side][i]->number);
    return rc;
}

static int run_move(struct lsm *db, const struct compaction *c)
{
    struct version_edit edit = {0};
    assert(c->input_count[0] == 1 && c->input_count[1] == 0);
    int rc = edit_remove(&edit, c, 0, 0, 1);
    if (!rc)
        rc = version_edit_add(&edit, c->output_level, c->inputs[0][0]);
    if (!rc)
        rc = db_apply_edit(db, &edit, false);
    if (!rc)
        counter_add(&db->counters.trivial_moves, 1);
    version_edit_release(&edit);
    return rc;
}

static int tell_merged(void *arg, uint64_t entries)
{
    struct db_progress *progress = arg;
    return progress->tell(progress->arg, progress->done + entries, 0);
}

// A compaction on its way. Where it might not fit beside all of its inputs it goes in steps: each
// merges what lies in the key range of one table of the output level, puts the outputs into the
// version and has that table removed. The other side's tables stay, as long as there are steps to
// come: what a step has merged of them they hold in versions as new as those below, and are read
// first. So the store is whole after each step, and no step needs more room than its part of the
// upper tables and the one table.
struct merge {
    struct lsm *db;
    const struct compaction *c;
    struct db_progress *progress;
    struct iter *input;
    const uint64_t *snapshots;
    size_t snapshot_count;
    unsigned side;            // the inputs that go one by one: those of the output level
    unsigned done;            // so many of these are gone
    struct file_meta **added; // by earlier steps: marked as inputs are, and a reference to each
    unsigned added_count;
    size_t added_capacity;
    unsigned outputs;
    uint64_t bytes_written;
    uint64_t move_left; // bytes of blobs that it may still move
};

// Bytes of blobs that a compaction may move: in steps, a part of what the upper tables' entries
// leave free in the output level until the last step, when these tables go.
static uint64_t move_most(const struct merge *merge, bool in_steps)
{
    const struct compaction *c = merge->c;
    struct lsm *db = merge->db;
    uint64_t free_bytes, total, most = MOVE_JOB_BYTES, need = 0;
    if (!in_steps) {
        if (c->move_blobs && most < MOVE_PER_TABLE * c->input_bytes)
            most = MOVE_PER_TABLE * c->input_bytes;
        return most;
    }
    if (db->env->ops->space(db->env, ENV_HERE, &free_bytes, &total))
        return most;
    for (unsigned i = 0; i < c->input_count[!merge->side]; i++)
        need += (i ? 0 : 2 * db->options.table_size) + c->inputs[!merge->side][i]->size;
    uint64_t share = free_bytes > need ? (free_bytes - need) / MOVE_FREE_SHARE : 0;
    return share < most ? share : most;
}

// The inputs up to which the next step goes. Tables that share a user key go together.
static unsigned step_end(const struct merge *merge)
{
    struct file_meta *const *files = merge->c->inputs[merge->side];
    unsigned count = merge->c->input_count[merge->side], end = merge->done;
    if (end < count)
        end++;
    while (end > 0 && end < count && slice_equal(files[end - 1]->largest, files[end]->smallest))
        end++;
    return end;
}

static struct compact_job step_job(const struct merge *merge, unsigned end, bool in_steps)
{
    const struct compaction *c = merge->c;
    struct lsm *db = merge->db;
    struct compact_job job = job_init(db, c->bottom);
    job.snapshots = merge->snapshots;
    job.snapshot_count = merge->snapshot_count;
    job.table_size = db->options.table_size;
    job.cancel = &db->jobs.cancel;
    job.pressure = &db->pace.pressure;
    if (!in_steps) { // else these may be gone
        job.grandparents = c->grandparents;
        job.grandparent_count = c->grandparent_count;
    } else if (end < c->input_count[merge->side]) {
        job.until = c->inputs[merge->side][end - 1]->largest;
    }
    if (merge->progress) {
        job.told = tell_merged;
        job.told_arg = merge->progress;
    }
    job.move_bytes = merge->move_left;
    return job;
}

// Keeps other compactions off the tables that a step adds. They are in no version yet, so nobody
// else has them, and the mutex is not needed.
static int keep_added(struct merge *merge, const struct compact_job *job) NOT_CHECKED
{
    size_t count = merge->added_count + job->output_count;
    if (!array_reserve(&merge->added, &merge->added_capacity, count, sizeof *merge->added))
        return status_no_memory(count * sizeof *merge->added);
    for (unsigned i = 0; i < job->output_count; i++) {
        job->outputs[i]->compacting = true;
        file_meta_ref(job->outputs[i]);
        merge->added[merge->added_count++] = job->outputs[i];
    }
    return LSM_OK;
}

// The outputs take the place of inputs up to `end`; with the last of these, of all inputs.
static int step_apply(struct merge *merge, const struct compact_job *job, unsigned end)
{
    const struct compaction *c = merge->c;
    struct version_edit edit = {0};
    bool last = end == c->input_count[merge->side];
    unsigned kept = merge->added_count;
    int rc = edit_remove(&edit, c, merge->side, merge->done, end);
    if (!rc && last)
        rc = edit_remove(&edit, c, !merge->side, 0, c->input_count[!merge->side]);
    for (unsigned i = 0; i < job->output_count && !rc; i++)
        rc = version_edit_add(&edit, c->output_level, job->outputs[i]);
    if (!rc && !last && job->output_count)
        rc = keep_added(merge, job);
    if (!rc)
        rc = db_apply_edit(merge->db, &edit, false);
    for (; rc && merge->added_count > kept; merge->added_count--)
        file_meta_unref(merge->added[merge->added_count - 1]);
    version_edit_release(&edit);
    return rc;
}

static int merge_step(struct merge *merge, unsigned end, bool in_steps)
{
    struct compact_job job = step_job(merge, end, in_steps);
    int rc = compact_job_run(&job, merge->input);
    if (rc)
        return rc;
    if (merge->progress)
        merge->progress->done += job.entries_in;
    rc = step_apply(merge, &job, end);
    if (!rc) {
        merge->outputs += job.output_count;
        merge->move_left -= job.moved_bytes < merge->move_left ? job.moved_bytes : merge->move_left;
        merge->bytes_written += job.bytes_written;
        counter_add(&merge->db->counters.compact_written, job.bytes_written);
    }
    bool remove = rc && !atomic_load_explicit(&merge->db->files.keep, memory_order_acquire);
    struct status_kept kept;
    status_keep(&kept);
    compact_job_release(&job, remove);
    status_restore(&kept);
    return rc;
}

// Lets go of inputs [merge->done, end) of the side whose tables go one by one.
static void forget_inputs(struct merge *merge, unsigned end)
{
    struct file_meta **files = merge->c->inputs[merge->side];
    db_lock(merge->db);
    for (unsigned i = merge->done; i < end; i++) {
        assert(files[i]->compacting);
        files[i]->compacting = false;
    }
    db_unlock(merge->db);
    for (; merge->done < end; merge->done++) {
        file_meta_unref(files[merge->done]);
        files[merge->done] = NULL;
    }
}

static int run_steps(struct merge *merge, bool in_steps)
{
    unsigned count = merge->c->input_count[merge->side], end;
    int rc;
    iter_seek_first(merge->input);
    do {
        end = in_steps ? step_end(merge) : count;
        rc = merge_step(merge, end, in_steps);
        if (!rc && end < count) {
            forget_inputs(merge, end);
            db_remove_obsolete(merge->db);
        }
    } while (!rc && end < count);
    return rc;
}

static int run_merge(struct lsm *db, const struct compaction *c, struct db_progress *progress,
                     bool in_steps)
{
    struct merge merge = {
        .db = db, .c = c, .progress = progress, .side = c->level == c->output_level ? 0 : 1};
    uint64_t *snapshots, start = clock_us();
    int rc = snapshots_collect(db, &snapshots, &merge.snapshot_count);
    if (rc)
        return rc;
    merge.snapshots = snapshots;
    merge.move_left = move_most(&merge, in_steps);
    rc = compaction_input(db, c, &merge.input);
    if (!rc) {
        rc = run_steps(&merge, in_steps);
        iter_free(merge.input);
    }
    free(snapshots);
    if (!rc) {
        counter_add(&db->counters.compactions, 1);
        counter_add(&db->counters.compact_read, c->input_bytes);
        logger_log(&db->logger, LSM_LOG_INFO,
                   "compacted %u+%u tables of level %u to %u of level %u: %" PRIu64 " to %" PRIu64
                   " bytes in %" PRIu64 " ms%s",
                   c->input_count[0], c->input_count[1], c->level, merge.outputs, c->output_level,
                   c->input_bytes, merge.bytes_written, (clock_us() - start) / 1000,
                   in_steps ? ", in steps" : "");
    }
    db_lock(db);
    for (unsigned i = 0; i < merge.added_count; i++)
        merge.added[i]->compacting = false;
    db_unlock(db);
    for (unsigned i = 0; i < merge.added_count; i++)
        file_meta_unref(merge.added[i]);
    free(merge.added);
    return rc;
}

int db_run_compaction(struct lsm *db, struct version *version, struct compaction *c,
                      struct db_progress *progress)
{
    db_lock(db);
    bool in_steps = db_space_short(db) || db->jobs.no_room_bytes;
    db_unlock(db);
    // The inputs are kept one by one: a version would keep all of them.
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++)
            file_meta_ref(c->inputs[side][i]);
    if (in_steps)
        version_unref(version);
    int rc = c->trivial_move ? run_move(db, c) : run_merge(db, c, progress, in_steps);
    db_lock(db);
    for (unsigned side = 0; side < 2; side++) {
        for (unsigned i = 0; i < c->input_count[side]; i++) {
            if (!c->inputs[side][i]) // an earlier step has removed the table
                continue;
            assert(c->inputs[side][i]->compacting);
            c->inputs[side][i]->compacting = false;
        }
    }
    db_unlock(db);
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++)
            if (c->inputs[side][i])
                file_meta_unref(c->inputs[side][i]);
    compaction_free(c);
    if (!in_steps)
        version_unref(version);
    return rc;
}
