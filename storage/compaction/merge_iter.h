// A k-way merge of internal iterators that is one itself. While one source leads, a step costs one
// comparison, with the runner-up (as in TimSort's galloping and RocksDB's MergingIterator); else a
// heap of the others is adjusted.
#ifndef LSM_COMPACTION_MERGE_ITER_H
#define LSM_COMPACTION_MERGE_ITER_H

#include "entry/iter.h"

// Takes over the `count` sources and frees them with itself (also on failure). The array is copied.
// With one source, the source is returned as it is; with none, an empty iterator. The merge's entry
// points into the leading source's. A failed source ends the merge with its status.
int merge_iter_new(struct iter **sources, size_t count, struct iter **ret_iter);

#endif
