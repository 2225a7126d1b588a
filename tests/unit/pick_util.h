// Shared by the tests of compaction picking.
#ifndef LSM_TESTS_PICK_UTIL_H
#define LSM_TESTS_PICK_UTIL_H

#include "compaction/compact_pick.h"
#include "version_util.h"

// A test of picking has one thread, so nothing here is checked for the mutex that guards the marks.
static inline struct compaction *pick(const struct version *v, const struct pick_options *options,
                                      struct buf *cursors) NOT_CHECKED
{
    struct compaction *c;
    ck_assert_int_eq(compact_pick(v, options, cursors, &c), 0);
    return c;
}

static inline int pick_range(const struct version *v, const struct pick_options *options,
                             unsigned level, unsigned output_level, struct slice lower,
                             struct slice upper, struct compaction **ret_compaction) NOT_CHECKED
{
    return compact_pick_range(v, options, level, output_level, lower, upper, ret_compaction);
}

static inline void find_targets(const struct version *v, const struct pick_options *options,
                                struct level_targets *ret_targets) NOT_CHECKED
{
    pick_targets(v, options, ret_targets);
}

// Takes the inputs, or gives them back; each must have been the other way.
static inline void mark(const struct compaction *c, bool compacting) NOT_CHECKED
{
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < c->input_count[side]; i++) {
            if (c->inputs[side][i]->compacting == compacting)
                ck_abort_msg("table %" PRIu64, c->inputs[side][i]->number);
            c->inputs[side][i]->compacting = compacting;
        }
}

static inline void release_cursors(struct buf *cursors)
{
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        buf_release(&cursors[level]);
}

#endif
