// Making and searching the index (layout: sst_index.h).
//
// Invariants: separators ascend in (key, tag) order; all begin with `common`, so the order of the
// rests is that of the separators; locations ascend and end at the end of the data.
#include "sstable/sst_index.h"

#include <stdlib.h>

#include "base/coding.h"
#include "base/status.h"
#include "sstable/block.h"
#include "sstable/sst_format.h"

static struct slice rest_of(const struct sst_index *ix, size_t i)
{
    uint64_t begin = i ? ix->key_ends[i - 1] : 0;
    return slice_of(ix->rests.data + begin, (size_t)(ix->key_ends[i] - begin));
}

// The first 8 bytes, big-endian, padded with zeros: prefixes are in the order of the keys, except
// that equal ones do not tell.
static uint64_t prefix_of(struct slice key)
{
    if (key.size >= 8)
        return get_big64(key.data);
    uint8_t bytes[8] = {0};
    if (key.size)
        memcpy(bytes, key.data, key.size);
    return get_big64(bytes);
}

void sst_index_release(struct sst_index *index)
{
    buf_release(&index->common);
    buf_release(&index->rests);
    free(index->prefixes);
    free(index->locations);
    free(index->key_ends);
    free(index->tags);
    *index = (struct sst_index){0};
}

size_t sst_index_memory(const struct sst_index *index)
{
    return index->common.capacity + index->rests.capacity +
           (index->count * (index->tags ? 4 : 3) + 1) * sizeof(uint64_t);
}

static int allocate(struct sst_index *ix, size_t count)
{
    ix->prefixes = malloc(count * sizeof(uint64_t));
    ix->locations = malloc((count + 1) * sizeof(uint64_t));
    ix->key_ends = malloc(count * sizeof(uint64_t));
    if (!ix->prefixes || !ix->locations || !ix->key_ends)
        return status_no_memory(count * 3 * sizeof(uint64_t));
    return LSM_OK;
}

static int add_tag(struct sst_index *ix, size_t capacity, uint64_t tag)
{
    if (tag && !ix->tags) {
        ix->tags = calloc(capacity, sizeof(uint64_t));
        if (!ix->tags)
            return status_no_memory(capacity * sizeof(uint64_t));
    }
    if (ix->tags)
        ix->tags[ix->count] = tag;
    return LSM_OK;
}

// Takes one entry of the index block: a separator, the size and compression of a data block that
// begins at *offset.
static int add_block(struct sst_index *ix, size_t capacity, const struct entry *e, uint64_t *offset,
                     uint64_t data_end)
{
    uint64_t size;
    const uint8_t *end = e->value.data + e->value.size;
    const uint8_t *p = get_varint64(e->value.data, end, &size);
    if (!p || end - p != 1 || *p > LSM_COMPRESSION_ZLIB || ix->count == capacity)
        return LSM_CORRUPTION;
    uint64_t room = data_end - *offset;
    if (room < SST_TRAILER_SIZE || size > room - SST_TRAILER_SIZE || size > UINT32_MAX)
        return LSM_CORRUPTION;
    int status = buf_append(&ix->rests, e->key.data, e->key.size);
    if (!status)
        status = add_tag(ix, capacity, e->tag);
    if (status)
        return status;
    ix->locations[ix->count] = *offset << 8 | *p;
    ix->key_ends[ix->count] = ix->rests.size;
    *offset += size + SST_TRAILER_SIZE;
    ix->count++;
    return LSM_OK;
}

// Reads the index block, keeping whole separators as rests; strip_common() shortens them.
static int read_blocks(struct sst_index *ix, struct slice contents, size_t count, uint64_t data_end)
{
    struct block_iter it;
    struct entry e;
    uint64_t offset = 0;
    block_iter_init(&it);
    int status = block_iter_set(&it, contents);
    if (!status)
        status = block_iter_seek_first(&it, &e);
    while (!status) {
        if (ix->count) {
            struct slice before = rest_of(ix, ix->count - 1);
            uint64_t before_tag = ix->tags ? ix->tags[ix->count - 1] : 0;
            if (entry_compare(before, before_tag, e.key, e.tag) >= 0) {
                status = LSM_CORRUPTION;
                break;
            }
        }
        status = add_block(ix, count, &e, &offset, data_end);
        if (!status)
            status = block_iter_next(&it, &e);
    }
    block_iter_release(&it);
    if (status < 0)
        return status;
    if (ix->count != count || offset != data_end)
        return LSM_CORRUPTION;
    ix->locations[count] = offset << 8;
    return LSM_OK;
}

// Moves what all separators share to `common` and computes the prefixes.
static int strip_common(struct sst_index *ix)
{
    struct slice first = rest_of(ix, 0), last = rest_of(ix, ix->count - 1);
    size_t n = first.size < last.size ? first.size : last.size;
    size_t common = n ? common_prefix(first.data, last.data, n) : 0;
    int status = buf_assign(&ix->common, first.data, common);
    if (status)
        return status;
    uint64_t from = 0, to = 0;
    for (size_t i = 0; i < ix->count; i++) {
        size_t size = (size_t)(ix->key_ends[i] - from) - common;
        if (size)
            memmove(ix->rests.data + to, ix->rests.data + from + common, size);
        from = ix->key_ends[i];
        to += size;
        ix->key_ends[i] = to;
        ix->prefixes[i] = prefix_of(rest_of(ix, i));
    }
    ix->rests.size = (size_t)to;
    uint8_t *fit = realloc(ix->rests.data, to ? (size_t)to : 1);
    if (fit) {
        ix->rests.data = fit;
        ix->rests.capacity = to ? (size_t)to : 1;
    }
    return LSM_OK;
}

int sst_index_new(struct slice contents, uint64_t count, uint64_t data_end,
                  struct sst_index *ret_index)
{
    // An entry takes at least 4 bytes of header and 2 of value.
    if (count == 0 || count > contents.size / 6 || data_end >> 56)
        return LSM_CORRUPTION;
    struct sst_index ix = {0};
    int status = allocate(&ix, (size_t)count);
    if (!status)
        status = buf_reserve(&ix.rests, 1);
    if (!status)
        status = read_blocks(&ix, contents, (size_t)count, data_end);
    if (!status)
        status = strip_common(&ix);
    if (status) {
        sst_index_release(&ix);
        return status;
    }
    *ret_index = ix;
    return LSM_OK;
}

static int compare_rest(const struct sst_index *ix, size_t i, struct slice rest, uint64_t tag)
{
    return entry_compare(rest_of(ix, i), ix->tags ? ix->tags[i] : 0, rest, tag);
}

// Where a key lies if it does not begin with what all separators do: before all (<0) or after all
// (>0); else 0.
static int compare_common(const struct sst_index *ix, struct slice key)
{
    size_t common = ix->common.size;
    size_t n = key.size < common ? key.size : common;
    int c = n ? memcmp(key.data, ix->common.data, n) : 0;
    return c ? c : -(key.size < common);
}

// The number of prefixes below `prefix` among `count` >= 1 from `base` on, without branches on
// their values; asks for both places that the next step may look at, so that misses overlap.
static size_t lower_bound(const uint64_t *base, size_t count, uint64_t prefix)
{
    const uint64_t *at = base;
    while (count > 1) {
        size_t half = count / 2, next = (count - half) / 2;
        __builtin_prefetch(at + next);
        __builtin_prefetch(at + half + next);
        at += at[half - 1] < prefix ? half : 0;
        count -= half;
    }
    return (size_t)(at - base) + (*at < prefix);
}

size_t sst_index_seek(const struct sst_index *index, struct slice key, uint64_t tag)
{
    int c = compare_common(index, key);
    if (c)
        return c < 0 ? 0 : index->count;
    struct slice rest = slice_of(key.data + index->common.size, key.size - index->common.size);
    uint64_t prefix = prefix_of(rest);
    size_t low = lower_bound(index->prefixes, index->count, prefix);
    if (low == index->count || index->prefixes[low] != prefix)
        return low;
    size_t high = index->count;
    if (prefix != UINT64_MAX)
        high = low + lower_bound(index->prefixes + low, index->count - low, prefix + 1);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_rest(index, middle, rest, tag) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int sst_index_compare(const struct sst_index *index, size_t block, struct slice key, uint64_t tag)
{
    int c = compare_common(index, key);
    if (c)
        return -c;
    size_t common = index->common.size;
    return compare_rest(index, block, slice_of(key.data + common, key.size - common), tag);
}

int sst_separator(struct slice a, struct slice b, struct buf *out)
{
    size_t n = a.size < b.size ? a.size : b.size;
    size_t d = common_prefix(a.data, b.data, n); // a[d] < b[d] unless a is a prefix of b
    if (d == a.size)
        return buf_assign(out, a.data, a.size);
    if (b.size > d + 1)
        return buf_assign(out, b.data, d + 1);
    size_t k = d;
    if (a.data[d] + 1 >= b.data[d]) {
        k = d + 1;
        while (k < a.size && a.data[k] == 0xff)
            k++;
    }
    if (k == a.size)
        return buf_assign(out, a.data, a.size);
    int status = buf_assign(out, a.data, k + 1);
    if (!status)
        out->data[k]++;
    return status;
}
