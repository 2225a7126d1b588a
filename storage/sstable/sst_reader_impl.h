// What the parts of the table reader (sst_reader.c, sst_iter.c, sst_verify.c) share.
#ifndef LSM_SSTABLE_READER_IMPL_H
#define LSM_SSTABLE_READER_IMPL_H

#include <stdatomic.h>

#include "memtable/epoch.h"
#include "sstable/filter.h"
#include "sstable/sst_ahead.h"
#include "sstable/sst_format.h"
#include "sstable/sst_index.h"
#include "sstable/sst_reader.h"

// Immutable once open, but for `refs`, `in_budget`, `verified` and `ahead`. What a get needs comes
// first.
struct sst_reader {
    struct filter filter;
    struct sst_index index;
    uint64_t number, size;
    struct env_file *file;
    uint8_t *map;                  // the whole file; NULL if it is not mapped
    bool plain;                    // most of it is not compressed
    struct block_cache *cache;     // borrowed
    struct sst_map_budget *budget; // borrowed; NULL: compressed blocks are read with pread
    _Atomic bool in_budget; // `size` bytes of the budget are taken, and compressed blocks are read
                            // through the mapping. Relaxed
    enum lsm_checksums checksums;
    _Atomic uint64_t *verified; // a bit a data block: its mapped bytes have been verified. Relaxed:
                                // the bytes do not change, so nothing needs to be ordered by it
    uint8_t *filter_memory;     // a span of filter_room bytes
    size_t filter_room;
    struct sst_properties properties;
    struct sst_ahead ahead; // guards itself
    struct epoch_node node; // for the retirement
    _Atomic uint32_t refs;  // dropped with release, the last one with acquire
} __attribute__((aligned(64)));

// Where a data block is, without trailer.
struct sst_place {
    size_t block; // its number
    uint64_t offset;
    size_t size;
    enum lsm_compression compression;
};

static inline struct sst_place sst_place_of(const struct sst_reader *reader, size_t block)
{
    uint64_t offset = sst_index_offset(&reader->index, block);
    uint64_t end = sst_index_offset(&reader->index, block + 1);
    return (struct sst_place){block, offset, (size_t)(end - offset) - SST_TRAILER_SIZE,
                              sst_index_compression(&reader->index, block)};
}

// Whether compressed blocks are read through the mapping.
static inline bool sst_mapped(const struct sst_reader *reader)
{
    return atomic_load_explicit(&reader->in_budget, memory_order_relaxed);
}

// To be called before a block is read that the cache does not have, and that is no part of a scan
// which reads ahead itself.
static inline void sst_reads(struct sst_reader *reader, const struct sst_place *place)
{
    sst_ahead_note(&reader->ahead, reader->file, place->offset,
                   place->offset + place->size + SST_TRAILER_SIZE,
                   sst_index_offset(&reader->index, reader->index.count));
}

// For a reader that jumps about: puts the table into the budget, if it fits.
void sst_want_mapped(struct sst_reader *reader);

// Whether the block can be used where it lies in the mapping. In a table that is mostly compressed
// no block can, not even one that is stored as it is: touching a page of the mapping maps up to
// 2 MiB around it, which would then count as memory of this process.
static inline bool sst_in_place(const struct sst_reader *reader, const struct sst_place *place)
{
    return reader->map && place->compression == LSM_COMPRESSION_NONE &&
           (reader->plain || sst_mapped(reader));
}

// The bytes of a block in the mapping, verified as the reader's options ask.
int sst_block_in_place(struct sst_reader *reader, const struct sst_place *place,
                       struct slice *ret_contents);

// The next two take the bytes that the block has in the file, with trailer, from `stored`; if that
// is NULL they read them.

// Brings a block that was not found in the cache into it. The caller must be pinned; the block is
// valid until the unpin, and for as long as the caller holds a reference to *ret_cached.
int sst_block_fill(struct sst_reader *reader, const struct sst_place *place, const uint8_t *stored,
                   struct cached_block **ret_cached);

// Reads and decompresses any block into `out` (replacing what is there), past the cache.
int sst_block_read(struct sst_reader *reader, const struct sst_place *place, const uint8_t *stored,
                   struct buf *out);

// Reads and decompresses any block into `out` as sst_block_read() does, but from the file itself,
// past the mapping, and verifies it whatever the options say.
int sst_block_reread(struct sst_reader *reader, const struct sst_place *place, struct buf *out);

// pread of exactly `size` bytes.
int sst_read_exactly(struct env_file *file, uint64_t offset, size_t size, uint8_t *out);

// LSM_CORRUPTION with file, offset and `what` in the detail; other failures as they are.
int sst_block_failure(const struct sst_reader *reader, uint64_t offset, int status,
                      const char *what);

#endif
