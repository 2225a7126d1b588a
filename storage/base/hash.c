// Hashes and checksums: XXH3 compiled in (short inputs pay no call through the PLT and get their
// length branches inlined), CRC-32 from zlib. Thread-safe: no state.
#define XXH_INLINE_ALL
#include "base/hash.h"

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
