// Builds one block (block.h describes its bytes) in memory. Not thread-safe.
#ifndef LSM_SSTABLE_BLOCK_BUILDER_H
#define LSM_SSTABLE_BLOCK_BUILDER_H

#include "entry/iter.h"

struct block_builder {
    struct buf data;           // entries so far
    struct buf restarts;       // fixed32 each
    struct buf last_key;       // of the entry added last; survives reset
    unsigned restart_interval; // entries between restart points
    unsigned since_restart;
    size_t entries;
};

void block_builder_init(struct block_builder *builder, unsigned restart_interval);
void block_builder_release(struct block_builder *builder);

// Appends an entry. The caller sees to the order, the sizes (key <= LSM_MAX_KEY, value <=
// LSM_MAX_VALUE), and that the block stays below 4 GiB. LSM_NO_MEMORY leaves the block as it was.
int block_builder_add(struct block_builder *builder, struct slice key, uint64_t tag,
                      struct slice value);

// Bytes the block has if finished now. At most what it would have with one more entry of these
// sizes.
size_t block_builder_size(const struct block_builder *builder);
size_t block_builder_size_with(const struct block_builder *builder, size_t key_size,
                               size_t value_size);

// Appends the restart array, with room for `extra` bytes behind it. The block is in builder->data
// until reset. At least one entry must have been added.
int block_builder_finish(struct block_builder *builder, size_t extra);

// Begins a new block. Memory grown beyond `keep_capacity` bytes is given back.
void block_builder_reset(struct block_builder *builder, size_t keep_capacity);

#endif
