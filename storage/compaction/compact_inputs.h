// Making a whole compaction from the tables it is to start with: the tables that must come along,
// the overlap below, and whether it can run beside those that are running. Internal to this folder.
#ifndef LSM_COMPACTION_COMPACT_INPUTS_H
#define LSM_COMPACTION_COMPACT_INPUTS_H

#include "compaction/compact_pick.h"

// Tables [first, end) of a sorted level.
struct run {
    unsigned first, end;
};

// The tables of a sorted level that overlap [smallest, largest] (NULL data: unbounded).
struct run run_overlapping(const struct version_level *level, struct slice smallest,
                           struct slice largest);

// Both go to `output_level`, or to the first level before it that the inputs overlap.

// Starts with the non-empty `run` of sorted level `level`. `grow` allows more tables of that level
// if they overlap no more of the next. 0, LSM_NO_MEMORY, or LSM_BUSY (no detail).
int compaction_of_run(const struct version *version, const struct pick_options *options,
                      unsigned level, unsigned output_level, struct run run, bool grow,
                      struct compaction **ret_compaction) REQUIRES(db_mutex);

// Starts with all level-0 tables that overlap [smallest, largest] (NULL data: unbounded) and takes
// all that these overlap, and so on; of the result the oldest `max` tables.
int compaction_of_level_0(const struct version *version, const struct pick_options *options,
                          unsigned output_level, struct slice smallest, struct slice largest,
                          unsigned max, struct compaction **ret_compaction) REQUIRES(db_mutex);

#endif
