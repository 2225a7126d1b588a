// Hashes and checksums: XXH3 compiled in (short inputs pay no call through the PLT and get their
// length branches inlined), CRC-32 from zlib. Thread-safe: no state.
#define XXH_INLINE_ALL
#include "base/hash.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>
#include <zlib.h>

uint64_t hash64(const void *data, size_t size)
{
    return XXH3_64bits(data, size);
}

uint64_t hash64_seeded(const void *data, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, size, seed);
}

uint32_t checksum32(const void *data, size_t size, uint64_t seed)
{
    return (uint32_t)XXH3_64bits_withSeed(data, size, seed);
}

uint32_t crc32_of(const void *data, size_t size)
{
    return (uint32_t)crc32_z(0, data, size);
}

// An XXH3 state has to be aligned, which the library's own allocator sees to.
static XXH3_state_t *state_of(struct hash128 *hash)
{
    assert((uintptr_t)hash % _Alignof(XXH3_state_t) == 0);
    return (XXH3_state_t *)hash;
}

struct hash128 *hash128_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_128bits_reset(state);
    return (struct hash128 *)state;
}

void hash128_add(struct hash128 *hash, const void *data, size_t size)
{
    XXH3_128bits_update(state_of(hash), data, size);
}

void hash128_take(struct hash128 *hash, uint8_t ret_bytes[HASH128_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_of(hash)));
    _Static_assert(sizeof canonical == HASH128_SIZE, "128 bits");
    memcpy(ret_bytes, canonical.digest, HASH128_SIZE);
    XXH3_128bits_reset(state_of(hash));
}

void hash128_free(struct hash128 *hash)
{
    XXH3_freeState(state_of(hash));
}
