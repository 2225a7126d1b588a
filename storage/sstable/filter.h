// A cache-line-blocked Bloom filter (Putze, Sanders, Singler 2007; probes as in RocksDB's
// FastLocalBloom): all probes of a key fall into one 64-byte line, so a look-up costs one cache
// miss and no second hash.
//
//   lines            64 bytes each, at least one
//   fixed32 probes   bits set a key, 1 .. FILTER_PROBES_MAX
//
// hash64 of the key gives all: its upper half picks the line (multiply, shift), its lower half,
// multiplied by an odd constant before each probe, gives the bit (its top 9 bits).
#ifndef LSM_SSTABLE_FILTER_H
#define LSM_SSTABLE_FILTER_H

#include "base/slice.h"

#define FILTER_LINE       64u
#define FILTER_PROBES_MAX 16

// Hashes of the keys to come into a filter. Zero-initialise.
struct filter_builder {
    uint64_t *hashes;
    size_t count, capacity;
};

int filter_builder_add(struct filter_builder *builder, uint64_t hash); // 0 or LSM_NO_MEMORY
void filter_builder_release(struct filter_builder *builder);

// Bytes of the filter as it is now. 0 if there are no keys.
size_t filter_builder_size(const struct filter_builder *builder, unsigned bits_per_key);

// Writes filter_builder_size() bytes.
void filter_builder_finish(const struct filter_builder *builder, unsigned bits_per_key,
                           uint8_t *out);

// A filter to ask. Immutable; thread-safe.
struct filter {
    const uint8_t *lines; // NULL: no filter, all keys match
    uint64_t line_count;
    unsigned probes;
};

// Borrows `contents` (best aligned to FILTER_LINE). LSM_CORRUPTION, without a detail, if they are
// not a filter.
int filter_init(struct filter *filter, struct slice contents);

// The line that tells of a key; meaningless without a filter.
static inline const uint8_t *filter_line(const struct filter *filter, uint64_t hash)
{
    return filter->lines + ((hash >> 32) * filter->line_count >> 32) * FILTER_LINE;
}

// False if no key with this hash was added.
static inline bool filter_may_contain(const struct filter *filter, uint64_t hash)
{
    if (!filter->lines)
        return true;
    const uint8_t *line = filter_line(filter, hash);
    uint32_t h = (uint32_t)hash;
    for (unsigned i = 0; i < filter->probes; i++) {
        h *= 0x9E3779B9u;
        if (!(line[h >> 26] & 1u << (h >> 23 & 7)))
            return false;
    }
    return true;
}

#endif
