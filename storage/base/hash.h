// Hashing and checksums.
//
// hash64 is XXH3 (xxhash): bloom filters, caches, and, cut to 32 bits, the checksum of log records,
// table blocks and blobs, where speed matters. CRC-32 (zlib, the IEEE polynomial) guards manifest
// records, CURRENT, the headers of files and the footers of tables.
#ifndef LSM_BASE_HASH_H
#define LSM_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t hash64(const void *data, size_t size);
uint64_t hash64_seeded(const void *data, size_t size, uint64_t seed);

// XXH3 of the bytes with `seed`, low 32 bits. For records and blocks.
uint32_t checksum32(const void *data, size_t size, uint64_t seed);

uint32_t crc32_of(const void *data, size_t size);

// XXH3-128 of bytes that come in pieces: names the content of whole files. One thread at a time.
#define HASH128_SIZE 16
struct hash128;
struct hash128 *hash128_new(void); // NULL: no memory
void hash128_add(struct hash128 *hash, const void *data, size_t size);
// The hash of all that was added, the most significant byte first; then it begins anew.
void hash128_take(struct hash128 *hash, uint8_t ret_bytes[HASH128_SIZE]);
void hash128_free(struct hash128 *hash); // NULL is allowed

#endif
