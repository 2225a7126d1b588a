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
// Pure functions.
#include "compaction/compact_pick.h"

#define LAST (VERSION_LEVELS - 1)

// Bytes of a level's tables that no running compaction has.
static uint64_t idle_bytes(const struct version_level *level, unsigned *ret_count)
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
    if (size / ratio >= base_size / ratio / 2)
        targets->target[base - 1] = at_least_1(size / ratio);
}

void pick_targets(const struct version *version, const struct pick_options *options,
                  struct level_targets *ret_targets)
{
    struct level_targets targets = {0};
    double base_size = (double)options->level_base_size;
    unsigned count;
    set_targets(version, options, &targets);
    double bytes = (double)idle_bytes(&version->levels[0], &count);
    targets.score[0] = count / (double)options->l0_compact;
    if (bytes / base_size > targets.score[0])
        targets.score[0] = bytes / base_size;
    for (unsigned level = 1; level < LAST; level++) {
        bytes = (double)idle_bytes(&version->levels[level], &count);
        if (targets.target[level])
            targets.score[level] = bytes / (double)targets.target[level];
        else if (count)
            targets.score[level] = 1 + bytes / base_size;
    }
    *ret_targets = targets;
}
