// Reads one table. Index and filter are resident. The blocks of a table that is mostly uncompressed
// are read in place from the mapping; those of others go through the block cache, which is filled
// from the mapping or with pread. Thread-safe.
//
// Lifetime: a reader is reference-counted. Point gets run under an epoch pin without touching the
// count; iterators hold a reference.
#ifndef LSM_SSTABLE_READER_H
#define LSM_SSTABLE_READER_H

#include "cache/block_cache.h"
#include "entry/iter.h"
#include "env/env.h"

struct sst_reader;

// How many bytes of tables may be read through their mappings although they are compressed. A table
// is read so from the first point get or seek that misses the cache until it is closed, if all of
// it fits into what is left then. Any thread.
struct sst_map_budget {
    _Atomic uint64_t left;
};

struct sst_read_options {
    enum lsm_checksums checksums;
    struct block_cache *cache; // borrowed; outlives the reader
    struct sst_map_budget
        *map_budget; // borrowed too; NULL: no compressed table is read through a mapping
    bool unmapped;   // no table is mapped at all, whatever the budget
};

// Opens table `number`, file `path` of `file_size` bytes as the manifest has it. One reference, the
// caller's. Verifies footer, index, filter and properties: LSM_CORRUPTION or LSM_NEWER_FORMAT with
// the path in the detail. Else LSM_NO_MEMORY or what opening and reading the file fail with.
int sst_open(struct env *env, const char *path, uint64_t number, uint64_t file_size,
             const struct sst_read_options *options, struct sst_reader **ret_reader);
void sst_reader_ref(struct sst_reader *reader);
void sst_reader_unref(struct sst_reader *reader); // freed at zero
// Drops the owner's reference a grace period after nobody can find the reader any more: who found
// it while pinned may use it until the unpin, or take a reference.
void sst_reader_retire(struct sst_reader *reader);

// What to look for, and what is found.
struct sst_lookup {
    struct slice key;
    uint64_t hash;     // hash64 of the key
    uint64_t sequence; // the newest version at or below it
    bool fill_cache;   // false: blocks read are not kept
    // Room for a block that is not kept, or NULL. Such a block then costs no allocation, and if the
    // room is on the caller's stack, its memory is likely to be in the processor's cache.
    uint8_t *scratch;
    size_t scratch_size;
    // Set when something is found.
    uint64_t tag;
    struct slice value; // valid until the unpin, and while the scratch is left alone
};

// The newest version of the key in this table. Returns 0, LSM_NOT_FOUND if the table has none (no
// detail), or a failure. The caller must be pinned.
int sst_get(struct sst_reader *reader, struct sst_lookup *lookup);

// Ask for the memory that a get reads first, and do not wait for it: the reader itself, then what
// it leads to for a key of this hash. Whoever asks several tables takes the first step for all of
// them before the second for any. Pinned.
void sst_prefetch(const struct sst_reader *reader);
void sst_prefetch_key(const struct sst_reader *reader, uint64_t hash);

// False if the filter excludes the key.
bool sst_may_contain(const struct sst_reader *reader, uint64_t hash);

struct sst_iter_options {
    bool fill_cache;  // blocks read may be kept in the cache
    size_t readahead; // bytes; 0: adaptive; SIZE_MAX: the whole table at once (compaction)
};
// Not positioned yet. Holds a reference to the reader until it is freed (iter_free). LSM_NO_MEMORY.
int sst_iter_new(struct sst_reader *reader, const struct sst_iter_options *options,
                 struct iter **ret_iter);

struct sst_properties {
    uint64_t entries, deletes, raw_bytes, data_blocks, data_bytes, index_bytes, filter_bytes;
    uint64_t min_sequence, max_sequence;
};
void sst_reader_properties(const struct sst_reader *reader, struct sst_properties *ret_properties);
size_t sst_reader_memory(const struct sst_reader *reader); // bytes of index, filter, bookkeeping

// Reads the whole table: checksums, key order, counts against the properties. Stops at the first
// problem: LSM_CORRUPTION with file and offset, or what reading fails with.
int sst_verify(struct sst_reader *reader);

#endif
