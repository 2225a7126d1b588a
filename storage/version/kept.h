// What a table holds only because snapshots need it: old versions of keys, of which the same table
// has newer ones. They are counted by the snapshots that see them. When these snapshots are gone
// the bytes are garbage, and rewriting the table gives them back.
#ifndef LSM_VERSION_KEPT_H
#define LSM_VERSION_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEPT_RANGES_MAX 32

struct kept_range {
    uint64_t first, last; // sequences of the oldest and the newest snapshot that see the versions
    uint64_t bytes;       // of keys, values and blobs
};

// At most KEPT_RANGES_MAX ranges, ascending by (first, last). Where there would be more, two
// neighbours become one, whose bytes then count as garbage only when the snapshots of both are
// gone.
struct kept_ranges {
    struct kept_range at[KEPT_RANGES_MAX];
    size_t count;
};

void kept_add(struct kept_ranges *kept, uint64_t first, uint64_t last, uint64_t bytes);

// Bytes of the ranges in which none of the snapshots lies. `snapshots`: sequences, ascending.
uint64_t kept_dead_bytes(const struct kept_range *ranges, size_t count, const uint64_t *snapshots,
                         size_t snapshot_count);

// Whether the ranges can be of a table: ascending, not empty, within the limits.
bool kept_legal(const struct kept_range *ranges, size_t count);

#endif
