// How large each level should be, and how far it is beyond that.
//
// The largest sorted level stands for the size S of the last one (they are the same but for odd
// shapes). Going up, each level's target is the one below it divided by the ratio. The first level
// whose target is within the base size is the ideal base; level 0 compacts straight into it, and
// the levels above stay empty. So a store of up to the base size has a single sorted level, and
// each further level comes when the one below is large enough to need it.
//
// Levels above the ideal base that still hold tables (the store has shrunk, or was given so) are to
// be emptied: target 0. The first of them is kept while it would still have half the smallest
// regular size, or a store whose size wavers around a threshold would be rewritten at each
// crossing. Level 0 must not go past a level that has tables, hence base_level is the first of
// these.
//
// Blobs. An entry of level 0 may supersede one below whose blob could be freed, which is not known
// before they meet. So level 0 also wants compaction when its entries refer to 1/BLOB_SHARE of all
// blob bytes, unless that is less than what the compaction would have to rewrite; and, when nothing
// is being written, as soon as it could free any.
//
// Snapshots. A compaction of level 0 rewrites its part of the base level, and with it the versions
// that only snapshots see. So that each table of level 0 has to pay for no more than without them,
// level 0 gathers more tables first, by as much as these versions make the base level larger. Not
// when nothing is being written, when space is short, and not beyond l0_most.
//
// Pure functions.
#include "compaction/compact_pick.h"

#include <assert.h>

#define LAST       (VERSION_LEVELS - 1)
#define BLOB_SHARE 64

// Bytes of a level's tables that no running compaction has.
static uint64_t idle_bytes(const struct version_level *level, unsigned *ret_count)
    REQUIRES(db_mutex)
{
    uint64_t bytes = 0;
    unsigned count = 0;
    for (unsigned i = 0; i < level->count; i++)
        if (!level->files[i]->compacting) {
            bytes += level->files[i]->size;
            count++;
        }
    *ret_count = count;
    return bytes;
}

static uint64_t at_least_1(double bytes)
{
    return bytes < 1 ? 1 : (uint64_t)bytes;
}

static void set_targets(const struct version *version, const struct pick_options *options,
                        struct level_targets *targets)
{
    double base_size = (double)options->level_base_size, ratio = options->level_ratio;
    double size = 1;
    unsigned first = LAST; // the first sorted level that has tables
    for (unsigned level = LAST; level >= 1; level--) {
        if ((double)version->levels[level].bytes > size)
            size = (double)version->levels[level].bytes;
        if (version->levels[level].count)
            first = level;
    }
    unsigned base = LAST;
    targets->target[LAST] = at_least_1(size);
    while (base > 1 && size > base_size) {
        size /= ratio;
        targets->target[--base] = at_least_1(size);
    }
    if (first >= base) {
        targets->base_level = base;
        return;
    }
    targets->base_level = first;
    assert(base > 1 && first >= 1); // a level with tables is above the ideal base
    if (size / ratio >= base_size / ratio / 2)
        targets->target[base - 1] = at_least_1(size / ratio);
}

// The score of level 0 for the sake of blobs.
static double blob_score(const struct version *version, const struct pick_options *options,
                         unsigned base_level) REQUIRES(db_mutex)
{
    const struct version_level *l0 = &version->levels[0];
    double all = 0, idle_blobs = 0;
    bool useful = false;
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        all += (double)version->levels[level].blob_bytes;
    if (all < 1 || l0->count == 0)
        return 0;
    for (unsigned i = 0; i < l0->count; i++) {
        const struct file_meta *file = l0->files[i];
        if (file->compacting)
            continue;
        idle_blobs += (double)file->blob_bytes;
        useful = useful || file->blob_count || file->deletes;
    }
    double worth = all / BLOB_SHARE;
    double rewritten = (double)(l0->bytes + version->levels[base_level].bytes);
    if (worth < rewritten)
        worth = rewritten;
    double score = idle_blobs / worth;
    return options->idle && useful && score < 1 ? 1 : score;
}

// How many tables of level 0 start a compaction. `base`: where they go.
static unsigned l0_count(const struct version_level *base, const struct pick_options *options)
    REQUIRES(db_mutex)
{
    double all = 0, kept = 0;
    if (options->idle || options->reclaim || options->small)
        return options->l0_compact;
    for (unsigned i = 0; i < base->count; i++) {
        const struct file_meta *file = base->files[i];
        all += (double)(file->raw_bytes + file->blob_bytes);
        if (file->kept_bytes > file->dead_bytes)
            kept += (double)(file->kept_bytes - file->dead_bytes);
    }
    double most = options->l0_most, count = options->l0_compact;
    if (kept > 0 && most > count)
        count = kept < all && count * all < most * (all - kept) ? count * all / (all - kept) : most;
    return (unsigned)count;
}

void pick_targets(const struct version *version, const struct pick_options *options,
                  struct level_targets *ret_targets)
{
    struct level_targets targets = {0};
    double base_size = (double)options->level_base_size;
    unsigned count;
    set_targets(version, options, &targets);
    double bytes = (double)idle_bytes(&version->levels[0], &count);
    targets.l0_compact = l0_count(&version->levels[targets.base_level], options);
    targets.score[0] = count / (double)targets.l0_compact;
    if (bytes / base_size > targets.score[0])
        targets.score[0] = bytes / base_size;
    double blobs = blob_score(version, options, targets.base_level);
    if (blobs > targets.score[0])
        targets.score[0] = blobs;
    for (unsigned level = 1; level < LAST; level++) {
        bytes = (double)idle_bytes(&version->levels[level], &count);
        if (targets.target[level])
            targets.score[level] = bytes / (double)targets.target[level];
        else if (count)
            targets.score[level] = 1 + bytes / base_size;
    }
    assert(targets.base_level >= 1 && targets.base_level <= LAST && targets.target[0] == 0);
    *ret_targets = targets;
}
