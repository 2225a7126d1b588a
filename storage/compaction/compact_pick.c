// The order in which compactions are done.
//
// A level beyond its target gives one table (and what must go with it) at a time to the next. The
// table is chosen round robin through the key space, so that no part of it stays behind, but among
// the next few the one with the least overlap below per byte of its own: it is what the write
// amplification of a level is made of.
//
// Level 0 goes by score like the others. Putting it first because writers wait for it makes them
// wait longer: under a sustained load the level it goes to would never be emptied, and each
// compaction into it rewrites all of it (simulated: write amplification 18.6 instead of 8.2). But
// when level 0 is the most urgent and has to wait for compactions out of its target level, no
// further one of these is started.
//
// Pure functions but for the cursors and the allocation of results.
#include "compaction/compact_pick.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>

#include "base/status.h"
#include "compaction/compact_inputs.h"

#define LAST             (VERSION_LEVELS - 1)
#define CANDIDATES       8
#define MAX_L0_INPUTS    64 // tables merged at once
#define IDLE_SHARE       8  // a table with 1/8 of tombstones is worth compacting when idle
#define CLEAR_SHARE      8  // a table of which 1/8 is dead is worth rewriting
#define CLEAR_SHARE_IDLE 64 // the same when idle

struct pick_candidate {
    unsigned index;
    double overlap; // bytes of the next level it overlaps per byte of its own
};

static double overlap_ratio(const struct version *version, unsigned level,
                            const struct file_meta *file)
{
    const struct version_level *next = &version->levels[level + 1];
    struct run run = run_overlapping(next, file->smallest, file->largest);
    uint64_t bytes = 0;
    for (unsigned i = run.first; i < run.end; i++)
        bytes += next->files[i]->size;
    return (double)bytes / (double)(file->size ? file->size : 1);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct pick_candidate *x = a, *y = b;
    if (x->overlap != y->overlap)
        return x->overlap < y->overlap ? -1 : 1;
    return 0;
}

// The next few tables from the cursor on that are not compacting, the least overlap first.
static unsigned find_candidates(const struct version *version, unsigned level,
                                const struct buf *cursor, struct pick_candidate found[CANDIDATES])
    REQUIRES(db_mutex)
{
    const struct version_level *l = &version->levels[level];
    unsigned count = 0, start = 0;
    assert(level > 0 && level < LAST);
    if (cursor->size)
        start = run_overlapping(l, (struct slice){0}, buf_slice(cursor)).end;
    for (unsigned i = 0; i < l->count && count < CANDIDATES; i++) {
        unsigned index = (start + i) % l->count;
        if (!l->files[index]->compacting)
            found[count++] = (struct pick_candidate){
                .index = index, .overlap = overlap_ratio(version, level, l->files[index])};
    }
    qsort(found, count, sizeof(*found), compare_candidates);
    return count;
}

static int pick_from_level(const struct version *version, const struct pick_options *options,
                           unsigned level, struct buf *cursor, struct compaction **ret_compaction)
    REQUIRES(db_mutex)
{
    struct pick_candidate found[CANDIDATES];
    unsigned count = find_candidates(version, level, cursor, found);
    int rc = LSM_BUSY;
    for (unsigned i = 0; i < count && rc == LSM_BUSY; i++) {
        struct run run = {found[i].index, found[i].index + 1};
        struct compaction *c;
        rc = compaction_of_run(version, options, level, level + 1, run, !options->small, &c);
        if (rc)
            continue;
        assert(c->level == level && c->output_level == level + 1);
        struct slice largest = c->inputs[0][c->input_count[0] - 1]->largest;
        rc = buf_assign(cursor, largest.data, largest.size);
        if (rc)
            compaction_free(c);
        else
            *ret_compaction = c;
    }
    return rc;
}

static int pick_from_level_0(const struct version *version, const struct pick_options *options,
                             unsigned base_level, struct compaction **ret_compaction)
    REQUIRES(db_mutex)
{
    const struct version_level *l0 = &version->levels[0];
    assert(l0->count > 0 && base_level > 0);
    const struct file_meta *oldest = l0->files[l0->count - 1];
    return compaction_of_level_0(version, options, base_level, oldest->smallest, oldest->largest,
                                 options->small ? 1 : MAX_L0_INPUTS, ret_compaction);
}

// Levels that want compaction, the most urgent first.
static unsigned rank_levels(const struct level_targets *targets, unsigned ranked[VERSION_LEVELS])
{
    unsigned count = 0;
    for (unsigned level = 0; level < LAST; level++) {
        if (targets->score[level] < 1)
            continue;
        unsigned at = count++;
        while (at > 0 && targets->score[ranked[at - 1]] < targets->score[level]) {
            ranked[at] = ranked[at - 1];
            at--;
        }
        ranked[at] = level;
    }
    return count;
}

static bool level_0_is_running(const struct version *version) REQUIRES(db_mutex)
{
    for (unsigned i = 0; i < version->levels[0].count; i++)
        if (version->levels[0].files[i]->compacting)
            return true;
    return false;
}

static int pick_by_score(const struct version *version, const struct pick_options *options,
                         struct buf cursors[VERSION_LEVELS], struct compaction **ret_compaction)
    REQUIRES(db_mutex)
{
    struct level_targets targets;
    unsigned ranked[VERSION_LEVELS];
    unsigned held = 0; // a level to leave alone; 0: none
    pick_targets(version, options, &targets);
    unsigned count = rank_levels(&targets, ranked);
    int rc = LSM_BUSY;
    for (unsigned i = 0; i < count && rc == LSM_BUSY; i++) {
        unsigned level = ranked[i];
        if (level == 0) {
            rc = pick_from_level_0(version, options, targets.base_level, ret_compaction);
            if (rc == LSM_BUSY && !level_0_is_running(version))
                held = targets.base_level;
        } else if (level != held) {
            rc = pick_from_level(version, options, level, &cursors[level], ret_compaction);
        }
    }
    return rc;
}

// Whether rewriting is worth the tombstones that go, by the need for space and the time there is.
static bool worth_dropping(const struct pick_options *options, const struct file_meta *file)
{
    if (options->reclaim)
        return file->deletes > 0;
    if (options->idle)
        return file->deletes > file->entries / IDLE_SHARE;
    return file_meta_tombstone_heavy(file);
}

// A table that is mostly tombstones: one level down, or, in the last level, rewritten without them.
static int pick_tombstones(const struct version *version, const struct pick_options *options,
                           struct compaction **ret_compaction) REQUIRES(db_mutex)
{
    int rc = LSM_BUSY;
    for (unsigned level = 1; level < VERSION_LEVELS && rc == LSM_BUSY; level++) {
        const struct version_level *l = &version->levels[level];
        unsigned left = options->reclaim || options->idle ? l->count : l->tombstone_heavy;
        for (unsigned i = 0; i < l->count && left > 0 && rc == LSM_BUSY; i++) {
            const struct file_meta *file = l->files[i];
            if (!worth_dropping(options, file))
                continue;
            left--;
            if (file->compacting ||
                (level == LAST && file->max_sequence > options->oldest_snapshot))
                continue;
            rc = compaction_of_run(version, options, level, level < LAST ? level + 1 : LAST,
                                   (struct run){i, i + 1}, false, ret_compaction);
        }
    }
    return rc;
}

// Whether enough of a table is dead to rewrite it.
static bool worth_clearing(const struct pick_options *options, const struct file_meta *file)
    REQUIRES(db_mutex)
{
    uint64_t share = options->idle ? CLEAR_SHARE_IDLE : CLEAR_SHARE;
    if (options->reclaim)
        return file->dead_bytes > 0;
    return file->dead_bytes > (file->raw_bytes + file->blob_bytes) / share;
}

int compact_pick_kept(const struct version *version, const struct pick_options *options,
                      struct compaction **ret_compaction)
{
    const struct version_level *l0 = &version->levels[0];
    int rc = LSM_BUSY;
    *ret_compaction = NULL;
    for (unsigned i = 0; i < l0->count && rc == LSM_BUSY; i++) {
        struct level_targets targets;
        if (!worth_clearing(options, l0->files[i]))
            continue;
        pick_targets(version, options, &targets);
        rc = pick_from_level_0(version, options, targets.base_level, ret_compaction);
        break;
    }
    for (unsigned level = LAST; level > 0 && rc == LSM_BUSY; level--) {
        const struct version_level *l = &version->levels[level];
        for (unsigned i = 0; i < l->count && rc == LSM_BUSY; i++)
            if (!l->files[i]->compacting && worth_clearing(options, l->files[i]))
                rc = compaction_of_run(version, options, level, level, (struct run){i, i + 1},
                                       false, ret_compaction);
    }
    if (!rc && *ret_compaction)
        (*ret_compaction)->trivial_move = false;
    return rc == LSM_BUSY ? 0 : rc;
}

static bool refers_to_draining(const struct file_meta *file)
{
    return file->blob_count && blob_refs_draining(file->blobs, file->blob_count) > 0;
}

// The first table of a sorted level that refers to a draining blob file and can be rewritten.
static int drain_level(const struct version *version, const struct pick_options *options,
                       unsigned level, struct compaction **ret_compaction) REQUIRES(db_mutex)
{
    const struct version_level *l = &version->levels[level];
    int rc = LSM_BUSY;
    for (unsigned i = 0; i < l->count && rc == LSM_BUSY; i++)
        if (!l->files[i]->compacting && refers_to_draining(l->files[i]))
            rc = compaction_of_run(version, options, level, level, (struct run){i, i + 1}, false,
                                   ret_compaction);
    return rc;
}

int compact_pick_drain(const struct version *version, const struct pick_options *options,
                       struct compaction **ret_compaction)
{
    const struct version_level *l0 = &version->levels[0];
    struct level_targets targets;
    bool draining = false;
    int rc = LSM_BUSY;
    *ret_compaction = NULL;
    for (unsigned i = 0; i < l0->count; i++)
        draining = draining || refers_to_draining(l0->files[i]);
    if (draining) {
        pick_targets(version, options, &targets);
        rc = pick_from_level_0(version, options, targets.base_level, ret_compaction);
    }
    for (unsigned level = LAST; level > 0 && rc == LSM_BUSY; level--)
        rc = drain_level(version, options, level, ret_compaction);
    if (!rc && *ret_compaction) {
        (*ret_compaction)->trivial_move = false;
        (*ret_compaction)->move_blobs = true;
    }
    return rc == LSM_BUSY ? 0 : rc;
}

// Level 0, if it has tombstones, though it is small; when idle, if they are many.
static int pick_level_0_tombstones(const struct version *version,
                                   const struct pick_options *options,
                                   struct compaction **ret_compaction) REQUIRES(db_mutex)
{
    const struct version_level *l0 = &version->levels[0];
    struct level_targets targets;
    uint64_t deletes = 0;
    for (unsigned i = 0; i < l0->count; i++)
        deletes += l0->files[i]->deletes;
    if (deletes == 0)
        return LSM_BUSY;
    pick_targets(version, options, &targets);
    if (!options->reclaim &&
        deletes <= (version_level_entries(l0) +
                    version_level_entries(&version->levels[targets.base_level])) /
                       IDLE_SHARE)
        return LSM_BUSY;
    return pick_from_level_0(version, options, targets.base_level, ret_compaction);
}

int compact_pick(const struct version *version, const struct pick_options *options,
                 struct buf cursors[VERSION_LEVELS], struct compaction **ret_compaction)
{
    *ret_compaction = NULL;
    int rc = pick_by_score(version, options, cursors, ret_compaction);
    if (rc == LSM_BUSY && (options->reclaim || options->idle))
        rc = pick_level_0_tombstones(version, options, ret_compaction);
    if (rc == LSM_BUSY)
        rc = pick_tombstones(version, options, ret_compaction);
    return rc == LSM_BUSY ? 0 : rc;
}

int compact_pick_range(const struct version *version, const struct pick_options *options,
                       unsigned level, unsigned output_level, struct slice lower,
                       struct slice upper, struct compaction **ret_compaction)
{
    *ret_compaction = NULL;
    if (output_level >= VERSION_LEVELS || output_level == 0 || level > output_level)
        return status_fail(LSM_INVALID, "no compaction from level %u to %u", level, output_level);
    int rc = 0;
    struct run run = {0};
    if (level > 0)
        run = run_overlapping(&version->levels[level], lower, upper);
    if (level == 0)
        rc = compaction_of_level_0(version, options, output_level, lower, upper, UINT_MAX,
                                   ret_compaction);
    else if (run.first < run.end)
        rc = compaction_of_run(version, options, level, output_level, run, false, ret_compaction);
    // A manual compaction is to drop tombstones: at the bottom a table that has some is rewritten
    // and not just moved.
    struct compaction *c = *ret_compaction;
    if (c && c->bottom && c->inputs[0][0]->deletes > 0)
        c->trivial_move = false;
    return rc;
}
