// Reading a block: search, and iteration both ways.
//
// Search. A binary search over the restart points, whose keys are whole, then a scan. The scan
// compares without putting keys together: it keeps `matched`, the number of leading bytes the
// target shares with the entry before, which was smaller. An entry that shares more than that with
// its predecessor differs from the target where the predecessor did, so it is smaller too and is
// skipped unseen; otherwise only the bytes past `shared` need comparing, from there on.
//
// Going back. Entries can be decoded forward only, so prev decodes from the restart point before
// the entry up to it, and keeps what it found (`run`): walking back over an interval decodes it
// once.
//
// Checks. Every entry lies inside [data, limit); `shared` is at most the size of the key before; a
// key is at most LSM_MAX_KEY bytes. At least 8 bytes (a restart offset and the count) lie between
// limit and the end of the block, so 8 bytes can be loaded at any place below limit.
#include "sstable/block.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/coding.h"
#include "sstable/sst_format.h"

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

// Keys are copied in pieces of this many bytes where there is room to do so.
#define COPY_CHUNK 16

// A search asks the memory for this many bytes of the restart interval at once: its loads hop from
// header to header, each place known only from the one before.
#define SCAN_AHEAD 2048

struct decoded {
    uint64_t tag;
    const uint8_t *delta; // the unshared bytes; the value follows
    uint32_t shared, unshared, value_size;
};

// One entry of a decoded restart interval; its key lies in block_run.keys.
struct run_entry {
    const uint8_t *start, *value;
    size_t key_offset;
    uint64_t tag;
    uint32_t key_size, value_size;
};

struct block_run {
    struct buf keys;
    size_t count, capacity;
    struct run_entry *entries;
};

// A varint at p < limit, of at most 8 bytes in the fast path. NULL if it runs past limit.
static inline const uint8_t *read_varint(const uint8_t *p, const uint8_t *limit, uint64_t *ret)
{
    if (unlikely(p >= limit))
        return NULL;
    uint64_t w;
    memcpy(&w, p, 8);
    if (likely(!(w & 0x80))) {
        *ret = w & 0x7f;
        return p + 1;
    }
    uint64_t stops = ~w & UINT64_C(0x8080808080808080);
    if (unlikely(!stops))
        return get_varint64_slow(p, limit, ret);
    unsigned bits = (unsigned)__builtin_ctzll(stops) + 1; // of the varint, 8 a byte
    w &= UINT64_C(0x7f7f7f7f7f7f7f7f) & (UINT64_MAX >> (64 - bits));
    w = (w & UINT64_C(0x007f007f007f007f)) | (w & UINT64_C(0x7f007f007f007f00)) >> 1;
    w = (w & UINT64_C(0x00003fff00003fff)) | (w & UINT64_C(0x3fff00003fff0000)) >> 2;
    w = (w & UINT64_C(0x000000000fffffff)) | (w & UINT64_C(0x0fffffff00000000)) >> 4;
    *ret = w;
    p += bits >> 3;
    return likely(p <= limit) ? p : NULL;
}

// Decodes the entry at p < limit. False if it does not fit.
static inline __attribute__((always_inline)) bool decode(const uint8_t *p, const uint8_t *limit,
                                                         struct decoded *d)
{
    uint64_t w;
    memcpy(&w, p, 8);
    if (likely(!(w & 0x808080))) {
        d->shared = w & 0x7f;
        d->unshared = (w >> 8) & 0x7f;
        d->value_size = (w >> 16) & 0x7f;
        p += 3;
    } else {
        uint64_t shared, unshared, value_size;
        if (!(p = read_varint(p, limit, &shared)) || !(p = read_varint(p, limit, &unshared)) ||
            !(p = read_varint(p, limit, &value_size)))
            return false;
        if (shared > LSM_MAX_KEY || unshared > LSM_MAX_KEY - shared || value_size > LSM_MAX_VALUE)
            return false;
        d->shared = (uint32_t)shared;
        d->unshared = (uint32_t)unshared;
        d->value_size = (uint32_t)value_size;
    }
    p = read_varint(p, limit, &d->tag);
    if (unlikely(!p))
        return false;
    d->delta = p;
    return likely((size_t)(limit - p) >= (size_t)d->unshared + d->value_size);
}

static inline const uint8_t *decoded_value(const struct decoded *d)
{
    return d->delta + d->unshared;
}

static inline const uint8_t *decoded_end(const struct decoded *d)
{
    return d->delta + d->unshared + d->value_size;
}

int block_init(struct block *block, struct slice contents)
{
    if (contents.size < 8)
        return LSM_CORRUPTION;
    uint32_t count = get_fixed32(contents.data + contents.size - 4);
    if (count == 0 || count > (contents.size - 4) / 4)
        return LSM_CORRUPTION;
    const uint8_t *end = contents.data + contents.size;
    const uint8_t *limit = end - 4 - (size_t)count * 4;
    if (limit == contents.data || get_fixed32(limit) != 0)
        return LSM_CORRUPTION;
    *block = (struct block){contents.data, limit, end, count};
    return LSM_OK;
}

// The entry at restart point `index`, or NULL if the offset is out of range.
static inline const uint8_t *restart_point(const struct block *b, uint32_t index)
{
    uint32_t offset = get_fixed32(b->limit + (size_t)index * 4);
    return offset < (size_t)(b->limit - b->data) ? b->data + offset : NULL;
}

// Finds the last restart point whose entry is < (key, tag), or the first one.
static int find_restart(const struct block *b, struct slice key, uint64_t tag, const uint8_t **ret)
{
    uint32_t low = 0, high = b->restart_count; // restarts below low are smaller, from high on not
    const uint8_t *start = b->data;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint8_t *p = restart_point(b, middle);
        struct decoded d;
        if (!p || !decode(p, b->limit, &d) || d.shared)
            return LSM_CORRUPTION;
        if (entry_compare(slice_of(d.delta, d.unshared), d.tag, key, tag) < 0) {
            low = middle + 1;
            start = p;
        } else {
            high = middle;
        }
    }
    *ret = start;
    return 0;
}

// Finds the first entry >= (key, tag): 0, its place, and whether its key is `key`. 1 if all are
// smaller. The entry's first d->shared bytes are those of `key`.
static int find(const struct block *b, struct slice key, uint64_t tag, const uint8_t **ret_entry,
                struct decoded *d, bool *ret_equal)
{
    const uint8_t *p;
    int rc = find_restart(b, key, tag, &p);
    if (rc)
        return rc;
    size_t ahead = (size_t)(b->limit - p) < SCAN_AHEAD ? (size_t)(b->limit - p) : SCAN_AHEAD;
    for (size_t i = 0; i < ahead; i += 64)
        __builtin_prefetch(p + i);
    size_t matched = 0, before = 0; // `before`: size of the key before
    while (p < b->limit) {
        if (unlikely(!decode(p, b->limit, d) || d->shared > before))
            return LSM_CORRUPTION;
        before = (size_t)d->shared + d->unshared;
        if (d->shared <= matched) {
            const uint8_t *rest = key.data + d->shared;
            size_t rest_size = key.size - d->shared;
            size_t n = d->unshared < rest_size ? d->unshared : rest_size;
            size_t same = common_prefix(d->delta, rest, n);
            matched = d->shared + same;
            bool greater = same < n ? d->delta[same] > rest[same] : d->unshared > rest_size;
            bool equal = same == n && d->unshared == rest_size;
            if (greater || (equal && d->tag <= tag)) {
                *ret_entry = p;
                *ret_equal = equal;
                return 0;
            }
        }
        p = decoded_end(d);
    }
    return 1;
}

int block_get(const struct block *block, struct slice key, uint64_t tag, uint64_t *ret_tag,
              struct slice *ret_value)
{
    const uint8_t *p;
    struct decoded d;
    bool equal;
    int rc = find(block, key, tag, &p, &d, &equal);
    if (rc < 0)
        return rc;
    if (rc || !equal)
        return LSM_NOT_FOUND;
    *ret_tag = d.tag;
    *ret_value = slice_of(decoded_value(&d), d.value_size);
    return 0;
}

void block_iter_init(struct block_iter *it)
{
    *it = (struct block_iter){0};
}

void block_iter_release(struct block_iter *it)
{
    buf_release(&it->key);
    if (it->run) {
        buf_release(&it->run->keys);
        free(it->run->entries);
        free(it->run);
    }
    *it = (struct block_iter){0};
}

int block_iter_set(struct block_iter *it, struct slice contents)
{
    it->run_position = 0;
    it->in_run = false;
    it->key.size = 0;
    it->current = it->next = NULL;
    return block_init(&it->block, contents);
}

// Room for `size` bytes of key in all, and COPY_CHUNK more.
static int reserve_key(struct block_iter *it, size_t size)
{
    it->key.size = 0;
    return buf_reserve(&it->key, size + COPY_CHUNK);
}

// Makes the decoded entry at p the current one. The key buffer holds its first d->shared bytes.
static inline int take(struct block_iter *it, const uint8_t *p, const struct decoded *d,
                       struct entry *e)
{
    size_t size = (size_t)d->shared + d->unshared;
    if (unlikely(size + COPY_CHUNK > it->key.capacity)) {
        int rc = reserve_key(it, size);
        if (rc)
            return rc;
    }
    uint8_t *to = it->key.data + d->shared;
    if (likely(d->unshared <= COPY_CHUNK && it->block.end - d->delta >= COPY_CHUNK))
        memcpy(to, d->delta, COPY_CHUNK);
    else
        memcpy(to, d->delta, d->unshared);
    it->key.size = size;
    it->current = p;
    it->next = decoded_end(d);
    it->run_position = 0;
    it->in_run = false;
    e->key = slice_of(it->key.data, size);
    e->tag = d->tag;
    e->value = slice_of(decoded_value(d), d->value_size);
    return 0;
}

// After a step back the entry's key is in the run. The next entry is decoded on top of that key, so
// the key is copied to the key buffer first.
static int key_from_run(struct block_iter *it)
{
    assert(it->run_position < it->run->count);
    const struct run_entry *r = &it->run->entries[it->run_position];
    int rc = reserve_key(it, r->key_size);
    if (rc)
        return rc;
    memcpy(it->key.data, it->run->keys.data + r->key_offset, r->key_size);
    it->key.size = r->key_size;
    it->in_run = false;
    return 0;
}

int block_iter_next(struct block_iter *it, struct entry *ret_entry)
{
    if (unlikely(it->in_run)) {
        int rc = key_from_run(it);
        if (rc)
            return rc;
    }
    const uint8_t *p = it->next;
    if (unlikely(p >= it->block.limit))
        return 1;
    struct decoded d;
    if (unlikely(!decode(p, it->block.limit, &d) || d.shared > it->key.size))
        return LSM_CORRUPTION;
    return take(it, p, &d, ret_entry);
}

int block_iter_seek_first(struct block_iter *it, struct entry *ret_entry)
{
    it->key.size = 0;
    it->in_run = false;
    it->next = it->block.data;
    return block_iter_next(it, ret_entry);
}

int block_iter_seek(struct block_iter *it, struct slice key, uint64_t tag, struct entry *ret_entry)
{
    const uint8_t *p;
    struct decoded d;
    bool equal;
    int rc = find(&it->block, key, tag, &p, &d, &equal);
    if (rc)
        return rc;
    // `key` may be the current entry's and move with the buffer.
    uintptr_t offset = (uintptr_t)key.data - (uintptr_t)it->key.data;
    bool own = offset < it->key.capacity;
    rc = reserve_key(it, (size_t)d.shared + d.unshared);
    if (rc)
        return rc;
    memmove(it->key.data, own ? it->key.data + offset : key.data, d.shared);
    return take(it, p, &d, ret_entry);
}

static int run_push(struct block_run *run, const uint8_t *start, const struct decoded *d)
{
    if (run->count == SST_RESTART_MAX)
        return LSM_CORRUPTION;
    if (!array_grow(&run->entries, &run->capacity, run->count, sizeof *run->entries))
        return LSM_NO_MEMORY;
    size_t before = run->count ? run->entries[run->count - 1].key_offset : 0;
    size_t before_size = run->count ? run->entries[run->count - 1].key_size : 0;
    size_t size = (size_t)d->shared + d->unshared;
    if (d->shared > before_size)
        return LSM_CORRUPTION;
    int rc = buf_reserve(&run->keys, size + COPY_CHUNK);
    if (rc)
        return rc;
    uint8_t *key = run->keys.data + run->keys.size;
    if (likely(d->shared <= COPY_CHUNK)) { // they may overlap
        uint8_t chunk[COPY_CHUNK];
        memcpy(chunk, run->keys.data + before, COPY_CHUNK);
        memcpy(key, chunk, COPY_CHUNK);
    } else {
        memcpy(key, run->keys.data + before, d->shared);
    }
    memcpy(key + d->shared, d->delta, d->unshared);
    run->entries[run->count++] = (struct run_entry){
        .start = start,
        .value = decoded_value(d),
        .key_offset = run->keys.size,
        .tag = d->tag,
        .key_size = (uint32_t)size,
        .value_size = d->value_size,
    };
    run->keys.size += size;
    return 0;
}

// Decodes the entries from the last restart point before `stop` up to `stop`.
static int run_decode(struct block_iter *it, const uint8_t *stop)
{
    const struct block *b = &it->block;
    uint32_t low = 0, high = b->restart_count; // restarts below low are before stop
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const uint8_t *p = restart_point(b, middle);
        if (!p)
            return LSM_CORRUPTION;
        if (p < stop)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return LSM_CORRUPTION;
    const uint8_t *p = restart_point(b, low - 1);
    if (!it->run) {
        it->run = calloc(1, sizeof(*it->run));
        if (!it->run)
            return LSM_NO_MEMORY;
    }
    it->run->count = 0;
    it->run->keys.size = 0;
    while (p < stop) {
        struct decoded d;
        if (!decode(p, b->limit, &d))
            return LSM_CORRUPTION;
        int rc = run_push(it->run, p, &d);
        if (rc)
            return rc;
        p = decoded_end(&d);
    }
    return p == stop ? 0 : LSM_CORRUPTION;
}

// Makes the entry before `stop` the current one.
static int step_back(struct block_iter *it, const uint8_t *stop, struct entry *e)
{
    if (it->run_position == 0) {
        int rc = run_decode(it, stop);
        if (rc)
            return rc;
        it->run_position = it->run->count;
    }
    assert(it->run_position <= it->run->count);
    size_t position = it->run_position - 1;
    const struct run_entry *r = &it->run->entries[position];
    it->current = r->start;
    it->next = r->value + r->value_size;
    it->run_position = position;
    it->in_run = true;
    e->key = slice_of(it->run->keys.data + r->key_offset, r->key_size);
    e->tag = r->tag;
    e->value = slice_of(r->value, r->value_size);
    return 0;
}

int block_iter_prev(struct block_iter *it, struct entry *ret_entry)
{
    assert(it->current);
    if (it->current == it->block.data)
        return 1;
    return step_back(it, it->current, ret_entry);
}

int block_iter_seek_last(struct block_iter *it, struct entry *ret_entry)
{
    it->run_position = 0;
    return step_back(it, it->block.limit, ret_entry);
}

int block_check(const struct block *block, block_visit_fn *fn, void *arg)
{
    struct block_iter it;
    block_iter_init(&it);
    it.block = *block;
    struct buf before = {0};
    uint64_t before_tag = 0;
    uint32_t restart = 0;
    size_t since_restart = 0;
    struct entry e;
    int rc = block_iter_seek_first(&it, &e);
    for (bool first = true; rc == 0; first = false) {
        bool at_restart =
            restart < block->restart_count && it.current == restart_point(block, restart);
        restart += at_restart;
        since_restart = at_restart ? 1 : since_restart + 1;
        if (since_restart > SST_RESTART_MAX || (at_restart && *it.current != 0) ||
            (!first && entry_compare(buf_slice(&before), before_tag, e.key, e.tag) >= 0))
            rc = LSM_CORRUPTION;
        if (!rc)
            rc = buf_assign(&before, e.key.data, e.key.size);
        before_tag = e.tag;
        if (!rc && fn)
            rc = fn(arg, &e);
        if (!rc)
            rc = block_iter_next(&it, &e);
    }
    if (rc == 1)
        rc = restart == block->restart_count ? LSM_OK : LSM_CORRUPTION;
    buf_release(&before);
    block_iter_release(&it);
    return rc;
}
