// What a segment of the cache looks like on the local disk (docs/format.md, "A cache on the local
// disk"), in memory: nothing here does I/O.
//
// A file of the store is cut into blocks of CACHE_BLOCK bytes, and 64 of these are a segment, which
// is one local file: a page with its head, then 16 pages for each block. A page has 4088 bytes of
// the file and a checksum of them, of the file's identity and of their place. So a page that was
// torn, belongs elsewhere, or was never written, is none.
#ifndef LSM_ENV_CACHE_CACHE_FORMAT_H
#define LSM_ENV_CACHE_CACHE_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_PAGE           4096u // on disk
#define CACHE_PAGE_DATA      4088u
#define CACHE_BLOCK_PAGES    16u
#define CACHE_BLOCK          (CACHE_BLOCK_PAGES * CACHE_PAGE_DATA) // bytes of a file
#define CACHE_BLOCK_ROOM     (CACHE_BLOCK_PAGES * CACHE_PAGE)      // on disk
#define CACHE_SEGMENT_BLOCKS 64u
#define CACHE_HEAD_SIZE      40u
#define CACHE_NAME_MAX       48u

// A file of the store, apart from all others (env_stat), and a part of it.
struct segment_key {
    uint64_t store, file;
    uint32_t segment;
};

// "<store>-<file>.<segment>", 16, 16 and 8 hex digits.
void segment_name(const struct segment_key *key, char name[CACHE_NAME_MAX]);
bool segment_name_parse(const char *name, struct segment_key *ret_key); // of that form only

void segment_head_encode(const struct segment_key *key, uint8_t head[CACHE_HEAD_SIZE]);
bool segment_head_ok(const struct segment_key *key, const uint8_t head[CACHE_HEAD_SIZE]);

// Where a block is in its segment's file.
uint64_t segment_block_offset(unsigned block);

// A block of up to CACHE_BLOCK bytes as pages; returns their size. What is left of the last one is
// zero.
size_t block_encode(const struct segment_key *key, unsigned block, const uint8_t *data, size_t size,
                    uint8_t pages[CACHE_BLOCK_ROOM]);

enum page_state {
    PAGE_OK,
    PAGE_EMPTY,   // never written
    PAGE_DAMAGED, // something else
};
enum page_state page_check(const struct segment_key *key, unsigned block, unsigned page,
                           const uint8_t bytes[CACHE_PAGE]);

#endif
