// Which tables a compaction needs.
//
// Sorted level to the next: a contiguous run A of the level, widened until no neighbour shares a
// user key with it; then B, all tables of the output level that overlap A's key range, widened in
// the same way. Level 0: a set of tables closed under overlap, so that no older table is left above
// newer data; when that is too many, the oldest of them, which is closed under "overlaps and is
// older".
//
// What runs together. Running compactions are known by their marked inputs only. They must not
// produce overlapping tables of one level:
//  - Two that share an input never run together; so of two from level n to n+1, neither's run lies
//    within the other's, since runs are contiguous, and the output ranges of A + B are disjoint.
//  - Level 0 compacts alone of its kind. Its outputs go to a level n with no tables above it; so
//    nothing else moves into n meanwhile, and what leaves n overlaps no marked table.
//  - A rewrite in place has no inputs above that would show its range between two of its tables: a
//    compaction into a gap whose two neighbours are both marked waits, and a rewrite waits for
//    marked tables of its range in all levels above.
// So a compaction waits if an input is marked, or it lies in such a gap. One that passes over
// levels with tables fits none of this and runs alone (compaction.exclusive).
//
// Pure functions but for the allocation of the result.
#include "compaction/compact_inputs.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"

#define EXPANDED_TABLES 25 // a compaction is not widened beyond the size of so many
// A table is not moved over more than so many tables of the level after.
#define MOVE_OVERLAP_TABLES 10

// Index of the first table of a sorted level whose smallest key is > `key`.
static unsigned find_beyond(const struct version_level *level, struct slice key)
{
    unsigned low = 0, high = level->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (slice_compare(level->files[middle]->smallest, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct run run_overlapping(const struct version_level *level, struct slice smallest,
                           struct slice largest)
{
    struct run run;
    run.first = smallest.data ? version_find(level, smallest) : 0;
    run.end = largest.data ? find_beyond(level, largest) : level->count;
    if (run.end < run.first)
        run.end = run.first;
    return run;
}

// Takes in the neighbours that hold versions of the same user keys.
static struct run run_whole_keys(const struct version_level *level, struct run run)
{
    if (run.first == run.end)
        return run;
    while (run.first > 0 && version_next_shares(level, run.first - 1))
        run.first--;
    while (run.end < level->count && version_next_shares(level, run.end - 1))
        run.end++;
    return run;
}

// A level without tables has no array to point into.
static struct file_meta **run_files(const struct version_level *level, struct run run)
{
    return run.first < run.end ? level->files + run.first : NULL;
}

static bool any_compacting(struct file_meta *const *files, unsigned count) REQUIRES(db_mutex)
{
    for (unsigned i = 0; i < count; i++)
        if (files[i]->compacting)
            return true;
    return false;
}

static bool run_busy(const struct version_level *level, struct run run) REQUIRES(db_mutex)
{
    return any_compacting(run_files(level, run), run.end - run.first);
}

static uint64_t bytes_of(struct file_meta *const *files, unsigned count)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < count; i++)
        bytes += files[i]->size;
    return bytes;
}

static uint64_t run_bytes(const struct version_level *level, struct run run)
{
    return bytes_of(run_files(level, run), run.end - run.first);
}

struct range {
    struct slice smallest, largest;
};

static void range_add(struct range *range, struct slice smallest, struct slice largest)
{
    if (!range->smallest.data || slice_compare(smallest, range->smallest) < 0)
        range->smallest = smallest;
    if (!range->largest.data || slice_compare(largest, range->largest) > 0)
        range->largest = largest;
}

static void range_add_run(struct range *range, const struct version_level *level, struct run run)
{
    if (run.first < run.end)
        range_add(range, level->files[run.first]->smallest, level->files[run.end - 1]->largest);
}

static bool range_overlaps(const struct range *range, const struct file_meta *file)
{
    return (!range->smallest.data || slice_compare(file->largest, range->smallest) >= 0) &&
           (!range->largest.data || slice_compare(file->smallest, range->largest) <= 0);
}

// ------------------------------------------------------------------------------------- finishing

// Copies into a fresh array; none for no files.
static int copy_files(struct file_meta *const *files, unsigned count, struct file_meta ***ret_files)
{
    if (count == 0)
        return 0;
    size_t size = count * sizeof(struct file_meta *);
    struct file_meta **copy = malloc(size);
    if (!copy)
        return status_no_memory(size);
    memcpy(copy, files, size);
    *ret_files = copy;
    return 0;
}

static int copy_run(const struct version_level *level, struct run run,
                    struct file_meta ***ret_files, unsigned *ret_count)
{
    assert(run.first <= run.end && run.end <= level->count);
    *ret_count = run.end - run.first;
    return copy_files(run_files(level, run), *ret_count, ret_files);
}

// Whether moving the one input as it is does all that a rewrite would.
static bool may_move(const struct compaction *c, const struct pick_options *options)
{
    if (c->input_count[0] != 1 || c->input_count[1] != 0 || c->level == c->output_level)
        return false;
    const struct file_meta *file = c->inputs[0][0];
    if (c->bottom && file_meta_tombstone_heavy(file) &&
        file->max_sequence <= options->oldest_snapshot)
        return false;
    // A table above many of the level after would make its next compaction a large one.
    return bytes_of(c->grandparents, c->grandparent_count) <=
           MOVE_OVERLAP_TABLES * options->table_size;
}

static bool deeper_overlap(const struct version *version, unsigned level, const struct range *range)
{
    for (unsigned deeper = level + 1; deeper < VERSION_LEVELS; deeper++)
        if (version_overlaps(version, deeper, range->smallest, range->largest))
            return true;
    return false;
}

// The level that tables of this range may sink to: no further than the first one they overlap.
static unsigned reachable_level(const struct version *version, unsigned level,
                                unsigned output_level, const struct range *range)
{
    for (unsigned next = level + 1; next < output_level; next++)
        if (version_overlaps(version, next, range->smallest, range->largest))
            return next;
    return output_level;
}

static bool passes_over_tables(const struct version *version, unsigned level, unsigned output_level)
{
    if (level > 0)
        return output_level > level + 1;
    for (unsigned between = 1; between < output_level; between++)
        if (version->levels[between].count)
            return true;
    return false;
}

static bool any_running(const struct version *version) REQUIRES(db_mutex)
{
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        if (any_compacting(version->levels[level].files, version->levels[level].count))
            return true;
    return false;
}

// Fills in all that follows from the first inputs (c->inputs[0], already there) and the output run.
static int finish(const struct version *version, const struct pick_options *options,
                  struct compaction *c, struct run output, const struct range *range)
    REQUIRES(db_mutex)
{
    const struct version_level *out = &version->levels[c->output_level];
    assert(c->input_count[0] > 0 && !any_compacting(c->inputs[0], c->input_count[0]));
    assert(!run_busy(out, output));
    c->exclusive = passes_over_tables(version, c->level, c->output_level);
    if (c->exclusive && any_running(version))
        return LSM_BUSY;
    int rc = copy_run(out, output, &c->inputs[1], &c->input_count[1]);
    if (!rc && c->output_level + 1 < VERSION_LEVELS) {
        const struct version_level *after = &version->levels[c->output_level + 1];
        rc = copy_run(after, run_overlapping(after, range->smallest, range->largest),
                      &c->grandparents, &c->grandparent_count);
    }
    if (rc)
        return rc;
    c->bottom = !deeper_overlap(version, c->output_level, range);
    c->trivial_move = may_move(c, options);
    c->input_bytes =
        bytes_of(c->inputs[0], c->input_count[0]) + bytes_of(c->inputs[1], c->input_count[1]);
    return 0;
}

// Whether `run` of a level, empty or not, lies between two tables that may belong to one rewrite.
static bool in_busy_gap(const struct version_level *level, struct run run) REQUIRES(db_mutex)
{
    return run.first > 0 && run.end < level->count && level->files[run.first - 1]->compacting &&
           level->files[run.end]->compacting;
}

static bool busy_above(const struct version *version, unsigned level, const struct range *range)
    REQUIRES(db_mutex)
{
    for (unsigned above = 0; above < level; above++) {
        const struct version_level *l = &version->levels[above];
        for (unsigned i = 0; i < l->count; i++)
            if (l->files[i]->compacting && range_overlaps(range, l->files[i]))
                return true;
    }
    return false;
}

static int new_compaction(unsigned level, unsigned output_level, struct compaction **ret_compaction)
{
    struct compaction *c = calloc(1, sizeof(*c));
    if (!c)
        return status_no_memory(sizeof(*c));
    c->level = level;
    c->output_level = output_level;
    *ret_compaction = c;
    return 0;
}

void compaction_free(struct compaction *compaction)
{
    if (!compaction)
        return;
    free(compaction->inputs[0]);
    free(compaction->inputs[1]);
    free(compaction->grandparents);
    free(compaction);
}

// ----------------------------------------------------------------------------------- sorted runs

// The tables of the output level that overlap `run`; *ret_range is the range of these and of `run`.
static struct run output_of(const struct version *version, unsigned level, unsigned output_level,
                            struct run run, struct range *ret_range)
{
    const struct version_level *in = &version->levels[level], *out = &version->levels[output_level];
    struct range range = {0};
    range_add_run(&range, in, run);
    struct run output = run_whole_keys(out, run_overlapping(out, range.smallest, range.largest));
    range_add_run(&range, out, output);
    *ret_range = range;
    return output;
}

// More of the input level for the same output tables, if the whole stays of a reasonable size.
static struct run grow_run(const struct version *version, const struct pick_options *options,
                           unsigned level, struct run run, struct run output,
                           const struct range *range) REQUIRES(db_mutex)
{
    const struct version_level *in = &version->levels[level], *out = &version->levels[level + 1];
    struct range wider_range;
    struct run wider = run_whole_keys(in, run_overlapping(in, range->smallest, range->largest));
    if (wider.end - wider.first <= run.end - run.first || run_busy(in, wider) ||
        run_bytes(in, wider) + run_bytes(out, output) > EXPANDED_TABLES * options->table_size)
        return run;
    struct run same = output_of(version, level, level + 1, wider, &wider_range);
    return same.first == output.first && same.end == output.end ? wider : run;
}

int compaction_of_run(const struct version *version, const struct pick_options *options,
                      unsigned level, unsigned output_level, struct run run, bool grow,
                      struct compaction **ret_compaction)
{
    const struct version_level *in = &version->levels[level];
    struct range range = {0};
    struct run output = {0};
    run = run_whole_keys(in, run);
    range_add_run(&range, in, run);
    output_level = reachable_level(version, level, output_level, &range);
    const struct version_level *out = &version->levels[output_level];
    if (level == output_level) {
        if (run_busy(in, run) || in_busy_gap(in, run) || busy_above(version, level, &range))
            return LSM_BUSY;
    } else {
        output = output_of(version, level, output_level, run, &range);
        if (run_busy(in, run) || run_busy(out, output) || in_busy_gap(out, output))
            return LSM_BUSY;
        if (grow && output.first < output.end) {
            run = grow_run(version, options, level, run, output, &range);
            range_add_run(&range, in, run);
        }
    }
    struct compaction *c = NULL;
    int rc = new_compaction(level, output_level, &c);
    if (rc)
        return rc;
    rc = copy_run(in, run, &c->inputs[0], &c->input_count[0]);
    if (!rc)
        rc = finish(version, options, c, output, &range);
    if (rc) {
        compaction_free(c);
        return rc;
    }
    *ret_compaction = c;
    return 0;
}

// --------------------------------------------------------------------------------------- level 0

// Moves the level-0 tables connected with `range` by overlap into `set`, newest first, and widens
// `range` to them. Returns how many.
static unsigned close_over(const struct version_level *l0, struct range *range,
                           struct file_meta **set, bool *taken)
{
    unsigned count = 0;
    bool changed = true;
    while (changed) {
        changed = false;
        for (unsigned i = 0; i < l0->count; i++)
            if (!taken[i] && range_overlaps(range, l0->files[i])) {
                taken[i] = changed = true;
                // An end of the range that is unbounded stays unbounded.
                struct file_meta *file = l0->files[i];
                if (range->smallest.data && slice_compare(file->smallest, range->smallest) < 0)
                    range->smallest = file->smallest;
                if (range->largest.data && slice_compare(file->largest, range->largest) > 0)
                    range->largest = file->largest;
            }
    }
    for (unsigned i = 0; i < l0->count; i++)
        if (taken[i])
            set[count++] = l0->files[i];
    return count;
}

static int choose_level_0(const struct version_level *l0, struct range range, unsigned max,
                          struct compaction *c)
{
    size_t size = l0->count * sizeof(*c->inputs[0]);
    bool *taken = calloc(l0->count, sizeof(*taken));
    c->inputs[0] = malloc(size);
    if (!taken || !c->inputs[0]) {
        free(taken);
        return status_no_memory(size);
    }
    unsigned count = close_over(l0, &range, c->inputs[0], taken);
    free(taken);
    if (count > max) {
        memmove(c->inputs[0], c->inputs[0] + (count - max), max * sizeof(*c->inputs[0]));
        count = max;
    }
    c->input_count[0] = count;
    return 0;
}

int compaction_of_level_0(const struct version *version, const struct pick_options *options,
                          unsigned output_level, struct slice smallest, struct slice largest,
                          unsigned max, struct compaction **ret_compaction)
{
    const struct version_level *l0 = &version->levels[0];
    if (l0->count == 0 || any_compacting(l0->files, l0->count))
        return l0->count ? LSM_BUSY : 0;
    struct compaction *c = NULL;
    int rc = new_compaction(0, output_level, &c);
    if (rc)
        return rc;
    rc = choose_level_0(l0, (struct range){smallest, largest}, max, c);
    if (rc || c->input_count[0] == 0) {
        compaction_free(c);
        return rc;
    }
    struct range range = {0};
    for (unsigned i = 0; i < c->input_count[0]; i++)
        range_add(&range, c->inputs[0][i]->smallest, c->inputs[0][i]->largest);
    c->output_level = reachable_level(version, 0, output_level, &range);
    const struct version_level *out = &version->levels[c->output_level];
    struct run output = run_whole_keys(out, run_overlapping(out, range.smallest, range.largest));
    range_add_run(&range, out, output);
    if (run_busy(out, output) || in_busy_gap(out, output))
        rc = LSM_BUSY;
    else
        rc = finish(version, options, c, output, &range);
    if (rc) {
        compaction_free(c);
        return rc;
    }
    *ret_compaction = c;
    return 0;
}
