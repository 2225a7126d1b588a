// Making and searching the index (layout: sst_index.h).
//
// Invariants: separators ascend in (key, tag) order; all begin with `common`, so the order of the
// rests is that of the separators; locations ascend and end at the end of the data.
#include "sstable/sst_index.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "entry/key_prefix.h"
#include "memory/span.h"
#include "sstable/block.h"
#include "sstable/sst_format.h"

static struct slice rest_of(const struct sst_index *ix, size_t i)
{
    uint64_t begin = i ? ix->key_ends[i - 1] : 0;
    return slice_of(ix->rests + begin, (size_t)(ix->key_ends[i] - begin));
}

void sst_index_release(struct sst_index *index)
{
    span_free(index->memory, index->memory_size);
    *index = (struct sst_index){0};
}

size_t sst_index_memory(const struct sst_index *index)
{
    return index->memory_size;
}

// ------------------------------------------------------------------------------------- making

// An index being read: whole separators.
struct making {
    size_t count;
    uint64_t *locations; // as in the index
    uint64_t *key_ends;  // as in the index, but into `keys`
    uint64_t *tags;      // as in the index
    struct buf keys;
};

static void making_release(struct making *m)
{
    free(m->locations);
    free(m->key_ends);
    free(m->tags);
    buf_release(&m->keys);
}

static int making_init(struct making *m, size_t count)
{
    *m = (struct making){.locations = malloc((count + 1) * sizeof(uint64_t)),
                         .key_ends = malloc(count * sizeof(uint64_t))};
    if (!m->locations || !m->key_ends)
        return status_no_memory(count * 2 * sizeof(uint64_t));
    return buf_reserve(&m->keys, 1);
}

static struct slice key_of(const struct making *m, size_t i)
{
    uint64_t begin = i ? m->key_ends[i - 1] : 0;
    return slice_of(m->keys.data + begin, (size_t)(m->key_ends[i] - begin));
}

static int add_tag(struct making *m, size_t capacity, uint64_t tag)
{
    if (tag && !m->tags) {
        m->tags = calloc(capacity, sizeof(uint64_t));
        if (!m->tags)
            return status_no_memory(capacity * sizeof(uint64_t));
    }
    if (m->tags)
        m->tags[m->count] = tag;
    return LSM_OK;
}

// Takes one entry of the index block: a separator, the size and compression of a data block that
// begins at *offset.
static int add_block(struct making *m, size_t capacity, const struct entry *e, uint64_t *offset,
                     uint64_t data_end)
{
    uint64_t size;
    const uint8_t *end = e->value.data + e->value.size;
    const uint8_t *p = get_varint64(e->value.data, end, &size);
    if (!p || end - p != 1 || *p > LSM_COMPRESSION_ZLIB || m->count == capacity)
        return LSM_CORRUPTION;
    uint64_t room = data_end - *offset;
    if (room < SST_TRAILER_SIZE || size > room - SST_TRAILER_SIZE || size > UINT32_MAX)
        return LSM_CORRUPTION;
    int rc = buf_append(&m->keys, e->key.data, e->key.size);
    if (!rc)
        rc = add_tag(m, capacity, e->tag);
    if (rc)
        return rc;
    m->locations[m->count] = *offset << 8 | *p;
    m->key_ends[m->count] = m->keys.size;
    *offset += size + SST_TRAILER_SIZE;
    m->count++;
    return LSM_OK;
}

static int read_blocks(struct making *m, struct slice contents, size_t count, uint64_t data_end)
{
    struct block_iter it;
    struct entry e;
    uint64_t offset = 0;
    block_iter_init(&it);
    int rc = block_iter_set(&it, contents);
    if (!rc)
        rc = block_iter_seek_first(&it, &e);
    while (!rc) {
        if (m->count) {
            uint64_t before_tag = m->tags ? m->tags[m->count - 1] : 0;
            if (entry_compare(key_of(m, m->count - 1), before_tag, e.key, e.tag) >= 0) {
                rc = LSM_CORRUPTION;
                break;
            }
        }
        rc = add_block(m, count, &e, &offset, data_end);
        if (!rc)
            rc = block_iter_next(&it, &e);
    }
    block_iter_release(&it);
    if (rc < 0)
        return rc;
    if (m->count != count || offset != data_end)
        return LSM_CORRUPTION;
    m->locations[count] = offset << 8;
    return LSM_OK;
}

// One span for all of the index: the integers first, then the bytes.
static int allocate(struct sst_index *ix, size_t count, bool tags, size_t bytes)
{
    size_t groups = count / SST_INDEX_GROUP;
    size_t words = groups + count * (tags ? 4 : 3) + 1;
    ix->memory_size = words * sizeof(uint64_t) + bytes;
    ix->memory = span_alloc(ix->memory_size);
    if (!ix->memory)
        return status_no_memory(ix->memory_size);
    uint64_t *next = ix->memory;
    ix->count = count;
    ix->prefixes = next; // aligned: a group fills whole lines
    ix->locations = next += count;
    ix->key_ends = next += count + 1;
    ix->tops = next += count;
    next += groups;
    if (tags) {
        ix->tags = next;
        next += count;
    }
    ix->rests = (uint8_t *)next;
    return LSM_OK;
}

// Separates what all separators begin with from the rests.
static int settle(const struct making *m, struct sst_index *ix)
{
    struct slice first = key_of(m, 0), last = key_of(m, m->count - 1);
    size_t n = first.size < last.size ? first.size : last.size;
    size_t common = n ? common_prefix(first.data, last.data, n) : 0;
    int rc = allocate(ix, m->count, m->tags, m->keys.size - (m->count - 1) * common);
    if (rc)
        return rc;
    if (common)
        memcpy(ix->rests, first.data, common);
    ix->common = slice_of(ix->rests, common);
    ix->rests += common;
    memcpy(ix->locations, m->locations, (m->count + 1) * sizeof(uint64_t));
    if (m->tags)
        memcpy(ix->tags, m->tags, m->count * sizeof(uint64_t));
    uint64_t end = 0;
    for (size_t i = 0; i < m->count; i++) {
        struct slice key = key_of(m, i);
        if (key.size > common)
            memcpy(ix->rests + end, key.data + common, key.size - common);
        end += key.size - common;
        ix->key_ends[i] = end;
        ix->prefixes[i] = key_prefix(rest_of(ix, i));
        if (i % SST_INDEX_GROUP == SST_INDEX_GROUP - 1)
            ix->tops[i / SST_INDEX_GROUP] = ix->prefixes[i];
    }
    return LSM_OK;
}

int sst_index_new(struct slice contents, uint64_t count, uint64_t data_end,
                  struct sst_index *ret_index)
{
    // An entry takes at least 4 bytes of header and 2 of value.
    if (count == 0 || count > contents.size / 6 || data_end >> 56)
        return LSM_CORRUPTION;
    struct making m;
    struct sst_index ix = {0};
    int rc = making_init(&m, (size_t)count);
    if (!rc)
        rc = read_blocks(&m, contents, (size_t)count, data_end);
    if (!rc)
        rc = settle(&m, &ix);
    making_release(&m);
    if (!rc)
        *ret_index = ix;
    return rc;
}

// ------------------------------------------------------------------------------------- searching

static int compare_rest(const struct sst_index *ix, size_t i, struct slice rest, uint64_t tag)
{
    return entry_compare(rest_of(ix, i), ix->tags ? ix->tags[i] : 0, rest, tag);
}

// The number of prefixes below `prefix`. The group that decides is asked for as a whole, and where
// its blocks lie.
static size_t prefixes_below(const struct sst_index *ix, uint64_t prefix)
{
    size_t groups = ix->count / SST_INDEX_GROUP;
    size_t from = key_prefix_lower_bound(ix->tops, groups, prefix) * SST_INDEX_GROUP;
    // The place may lie past the end, which is harmless for a prefetch.
    for (size_t i = 0; i < SST_INDEX_GROUP; i += 8) {
        __builtin_prefetch(ix->prefixes + from + i);
        __builtin_prefetch(ix->locations + from + i);
    }
    size_t n = ix->count - from < SST_INDEX_GROUP ? ix->count - from : SST_INDEX_GROUP;
    return from + key_prefix_lower_bound(ix->prefixes + from, n, prefix);
}

size_t sst_index_seek(const struct sst_index *index, struct slice key, uint64_t tag)
{
    assert(key.data && index->count > 0);
    int c = key_prefix_compare_common(index->common, key);
    if (c)
        return c < 0 ? 0 : index->count;
    struct slice rest = slice_of(key.data + index->common.size, key.size - index->common.size);
    uint64_t prefix = key_prefix(rest);
    size_t low = prefixes_below(index, prefix);
    if (low == index->count || index->prefixes[low] != prefix)
        return low;
    size_t high = index->count;
    if (prefix != UINT64_MAX)
        high = prefixes_below(index, prefix + 1);
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
    int c = key_prefix_compare_common(index->common, key);
    if (c)
        return -c;
    size_t common = index->common.size;
    return compare_rest(index, block, slice_of(key.data + common, key.size - common), tag);
}

int sst_separator(struct slice a, struct slice b, struct buf *out)
{
    assert(slice_compare(a, b) < 0);
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
    int rc = buf_assign(out, a.data, k + 1);
    if (!rc)
        out->data[k]++;
    assert(rc || (slice_compare(a, buf_slice(out)) <= 0 && slice_compare(buf_slice(out), b) < 0));
    return rc;
}
