// A table's index in memory: where each data block lies and which keys it may hold, in flat arrays.
//
// 24 bytes a block and the rest of its separator past what all separators of the table share. A
// search compares 8-byte prefixes of those rests without branches: first the last prefix of each
// group (these are few enough to stay in the processor's cache), then those of one group. Whole
// separators are compared only where prefixes are equal. Immutable once made; thread-safe.
#ifndef LSM_SSTABLE_INDEX_H
#define LSM_SSTABLE_INDEX_H

#include "base/slice.h"
#include "lsm.h"

#define SST_INDEX_GROUP 32

struct sst_index {
    size_t count;        // data blocks
    struct slice common; // what all separators begin with
    uint64_t *tops;      // the last prefix of each whole group
    uint64_t *prefixes;  // the first 8 bytes after `common`, big-endian, padded with zeros
    uint64_t *locations; // offset << 8 | compression; [count]: the end of the data
    uint64_t *key_ends;  // rest i is rests[key_ends[i - 1], key_ends[i])
    uint64_t *tags;      // of the separators; NULL: all are 0
    uint8_t *rests;
    void *memory; // a span: all of these
    size_t memory_size;
};

// From the contents of an index block for `count` data blocks that end at `data_end`.
// LSM_CORRUPTION (without a detail) or LSM_NO_MEMORY. Nothing is borrowed.
int sst_index_new(struct slice contents, uint64_t count, uint64_t data_end,
                  struct sst_index *ret_index);
void sst_index_release(struct sst_index *index);
size_t sst_index_memory(const struct sst_index *index);

// The first block whose separator is >= (key, tag), `count` if there is none: what the table has of
// (key, tag) and the entries after it begins there. key.data is not NULL.
size_t sst_index_seek(const struct sst_index *index, struct slice key, uint64_t tag);

// <0, 0, >0 as the separator of `block` is before, at or after (key, tag).
int sst_index_compare(const struct sst_index *index, size_t block, struct slice key, uint64_t tag);

static inline uint64_t sst_index_offset(const struct sst_index *index, size_t block)
{
    return index->locations[block] >> 8;
}

static inline enum lsm_compression sst_index_compression(const struct sst_index *index,
                                                         size_t block)
{
    return (enum lsm_compression)(index->locations[block] & 0xff);
}

// The shortest separator of a < b that this knows how to make, into `out`: a <= s < b.
int sst_separator(struct slice a, struct slice b, struct buf *out);

#endif
