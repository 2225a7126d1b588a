// Writes one table (SSTable): sorted entries in, a finished, synced file out. Format: sst_format.h.
// Not thread-safe.
#ifndef LSM_SSTABLE_BUILDER_H
#define LSM_SSTABLE_BUILDER_H

#include "entry/iter.h"
#include "env/env.h"

struct sst_build_options {
    size_t block_size;
    unsigned restart_interval;
    unsigned bloom_bits_per_key;
    enum lsm_compression compression;
};

struct sst_builder;

// Borrows `file` (open for writing, empty), which must outlive the builder. LSM_INVALID for options
// out of range; LSM_NO_MEMORY.
int sst_builder_new(struct env_file *file, uint64_t number, const struct sst_build_options *options,
                    struct sst_builder **ret_builder);

// Adds an entry, whose bytes are copied. Entries come with keys ascending and the tags of one key
// descending, else LSM_INVALID. The first failure, also of writing, is returned from then on.
int sst_builder_add(struct sst_builder *builder, struct slice key, uint64_t tag,
                    struct slice value);

// Bytes the file would have if finished now (an estimate that counts the unfinished block).
uint64_t sst_builder_size(const struct sst_builder *builder);

// What the manifest keeps about a table. Keys are malloc'd; sst_info_release() frees them.
struct sst_info {
    uint64_t file_size;
    uint64_t entries;
    uint64_t deletes;
    uint64_t raw_bytes; // of keys and values
    uint64_t min_sequence, max_sequence;
    struct buf smallest_key, largest_key;
    uint64_t smallest_tag, largest_tag;
};
void sst_info_release(struct sst_info *info);

// Writes filter, index, properties, footer; syncs the file. LSM_INVALID without an entry; or the
// first failure. The builder takes no more calls but free after it. *ret_info is the caller's to
// release.
int sst_builder_finish(struct sst_builder *builder, struct sst_info *ret_info);

void sst_builder_free(struct sst_builder *builder); // NULL is allowed; the file stays the caller's

#endif
