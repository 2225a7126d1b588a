// A block of arbitrary bytes: searched and walked in both directions. The input is a byte k, k
// bytes of a key to search for, and the block. If the block proves sound as a whole, all ways to
// read it must agree.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "sstable/block.h"

#define ENTRIES_MAX 20000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Both sums are over key, tag and value of each entry, so that every byte of it is touched.
static uint64_t sum_of(const struct entry *e)
{
    return hash64(e->key.data, e->key.size) * 3 + hash64(e->value.data, e->value.size) * 5 + e->tag;
}

static int visit(void *arg, const struct entry *e)
{
    *(uint64_t *)arg += sum_of(e);
    return 0;
}

static void assert_move(int status)
{
    assert(status == 0 || status == 1 || status == LSM_CORRUPTION);
}

static void search(const struct block *block, struct slice bytes, struct slice key)
{
    static const uint64_t tags[] = {0, 1, 256, TAG_MAX};
    struct block_iter it;
    block_iter_init(&it);
    int status = block_iter_set(&it, bytes);
    assert(status == 0);
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        uint64_t tag, sum = 0;
        struct slice value;
        struct entry e;
        status = block_get(block, key, tags[i], &tag, &value);
        assert(status == 0 || status == LSM_NOT_FOUND || status == LSM_CORRUPTION);
        if (status == 0)
            sum += hash64(value.data, value.size);
        status = block_iter_seek(&it, key, tags[i], &e);
        assert_move(status);
        if (status == 0)
            sum += sum_of(&e);
        if (status == 0 && (sum & 1))
            status = block_iter_next(&it, &e);
        if (status == 0)
            status = block_iter_prev(&it, &e);
        if (status == 0)
            status = block_iter_prev(&it, &e);
        assert_move(status);
        if (status == 0)
            assert_move(block_iter_seek(&it, e.key, e.tag, &e));
    }
    block_iter_release(&it);
}

// Forward and backward; returns whether each got to its end, and the sums of what it saw.
static void walk(struct slice bytes, bool sound, uint64_t checked)
{
    struct block_iter it;
    struct entry e;
    uint64_t forward = 0, backward = 0;
    size_t steps = 0;
    block_iter_init(&it);
    int status = block_iter_set(&it, bytes);
    assert(status == 0);
    status = block_iter_seek_first(&it, &e);
    for (; status == 0 && steps < ENTRIES_MAX; steps++) {
        forward += sum_of(&e);
        status = block_iter_next(&it, &e);
    }
    assert(status == 0 || !sound || (status == 1 && forward == checked));
    status = block_iter_seek_last(&it, &e);
    for (steps = 0; status == 0 && steps < ENTRIES_MAX; steps++) {
        backward += sum_of(&e);
        status = block_iter_prev(&it, &e);
    }
    assert(status == 0 || !sound || (status == 1 && backward == checked));
    assert(status == 0 || status == 1 || status == LSM_CORRUPTION);
    block_iter_release(&it);
}

// Every entry of a sound block is found.
static int find_entry(void *arg, const struct entry *e)
{
    const struct block *block = arg;
    uint64_t tag;
    struct slice value;
    int status = block_get(block, e->key, e->tag, &tag, &value);
    assert(status == 0 && tag == e->tag && value.data == e->value.data);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 1 << 16 || (size_t)data[0] + 1 > size)
        return 0;
    struct slice key = slice_of(data + 1, data[0]);
    struct slice bytes = slice_of(key.data + key.size, size - 1 - key.size);
    struct block block;
    if (block_init(&block, bytes))
        return 0;
    search(&block, bytes, key);
    uint64_t sum = 0;
    int status = block_check(&block, visit, &sum);
    assert(status == 0 || status == LSM_CORRUPTION);
    walk(bytes, status == 0, sum);
    if (status == 0) {
        status = block_check(&block, find_entry, &block);
        assert(status == 0);
    }
    return 0;
}
