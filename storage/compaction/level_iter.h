// An iterator over one sorted level: tables that do not overlap, opened one at a time.
#ifndef LSM_COMPACTION_LEVEL_ITER_H
#define LSM_COMPACTION_LEVEL_ITER_H

#include "entry/iter.h"
#include "version/table_cache.h"

// Borrows `files` (ascending, disjoint), which the caller keeps alive (through a version or
// references) until the iterator is freed.
int level_iter_new(struct table_cache *cache, struct file_meta **files, unsigned count,
                   const struct sst_iter_options *options, struct iter **ret_iter);

// The iterator of one table, opened through the cache.
int level_iter_of_table(struct table_cache *cache, struct file_meta *file,
                        const struct sst_iter_options *options, struct iter **ret_iter);

#endif
