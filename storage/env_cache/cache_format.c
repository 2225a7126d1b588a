// Names, heads and pages of the cache's files. Thread-safe: no state.
#include "env_cache/cache_format.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"

#define MAGIC   "LSMCACHE"
#define VERSION 1u

void segment_name(const struct segment_key *key, char name[CACHE_NAME_MAX])
{
    snprintf(name, CACHE_NAME_MAX, "%016" PRIx64 "-%016" PRIx64 ".%08" PRIx32, key->store,
             key->file, key->segment);
}

bool segment_name_parse(const char *name, struct segment_key *ret_key)
{
    char canonical[CACHE_NAME_MAX], *end;
    if (strlen(name) != 42 || name[16] != '-' || name[33] != '.')
        return false;
    struct segment_key key = {.store = strtoull(name, &end, 16),
                              .file = strtoull(name + 17, &end, 16),
                              .segment = (uint32_t)strtoul(name + 34, &end, 16)};
    segment_name(&key, canonical);
    if (strcmp(name, canonical) != 0)
        return false;
    *ret_key = key;
    return true;
}

void segment_head_encode(const struct segment_key *key, uint8_t head[CACHE_HEAD_SIZE])
{
    memcpy(head, MAGIC, 8);
    uint8_t *p = put_fixed32(head + 8, VERSION);
    p = put_fixed32(p, key->segment);
    p = put_fixed64(p, key->store);
    p = put_fixed64(p, key->file);
    put_fixed64(p, hash64(head, CACHE_HEAD_SIZE - 8));
}

bool segment_head_ok(const struct segment_key *key, const uint8_t head[CACHE_HEAD_SIZE])
{
    uint8_t expected[CACHE_HEAD_SIZE];
    segment_head_encode(key, expected);
    return memcmp(head, expected, sizeof expected) == 0;
}

uint64_t segment_block_offset(unsigned block)
{
    assert(block < CACHE_SEGMENT_BLOCKS);
    return CACHE_PAGE + (uint64_t)block * CACHE_BLOCK_ROOM;
}

// The checksum of the 4088 bytes of a page.
static uint64_t page_sum(const struct segment_key *key, unsigned block, unsigned page,
                         const uint8_t *data)
{
    uint8_t place[24];
    uint64_t number = ((uint64_t)key->segment * CACHE_SEGMENT_BLOCKS + block) * CACHE_BLOCK_PAGES;
    uint8_t *p = put_fixed64(place, key->store);
    p = put_fixed64(p, key->file);
    put_fixed64(p, number + page);
    return hash64_seeded(data, CACHE_PAGE_DATA, hash64(place, sizeof place));
}

size_t block_encode(const struct segment_key *key, unsigned block, const uint8_t *data, size_t size,
                    uint8_t pages[CACHE_BLOCK_ROOM])
{
    unsigned count = 0;
    assert(size > 0 && size <= CACHE_BLOCK);
    for (size_t done = 0; done < size; count++) {
        uint8_t *page = pages + (size_t)count * CACHE_PAGE;
        size_t n = size - done < CACHE_PAGE_DATA ? size - done : CACHE_PAGE_DATA;
        memcpy(page, data + done, n);
        memset(page + n, 0, CACHE_PAGE_DATA - n);
        put_fixed64(page + CACHE_PAGE_DATA, page_sum(key, block, count, page));
        done += n;
    }
    return (size_t)count * CACHE_PAGE;
}

enum page_state page_check(const struct segment_key *key, unsigned block, unsigned page,
                           const uint8_t bytes[CACHE_PAGE])
{
    static const uint8_t nothing[CACHE_PAGE];
    if (get_fixed64(bytes + CACHE_PAGE_DATA) == page_sum(key, block, page, bytes))
        return PAGE_OK;
    return memcmp(bytes, nothing, CACHE_PAGE) == 0 ? PAGE_EMPTY : PAGE_DAMAGED;
}
