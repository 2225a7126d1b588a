// Hashing and checksums.
//
// hash64 is XXH3 (xxhash): bloom filters, caches, and, cut to 32 bits, the checksum of log records
// and table blocks, where speed matters. CRC-32 (zlib, the IEEE polynomial) guards manifest
// records, CURRENT, and the headers and footers of tables.
#ifndef LSM_BASE_HASH_H
#define LSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t size);
uint64_t hash64_seeded(const void *data, size_t size, uint64_t seed);

// XXH3 of the bytes with `seed`, low 32 bits. For records and blocks.
uint32_t checksum32(const void *data, size_t size, uint64_t seed);

uint32_t crc32_of(const void *data, size_t size);

#endif
