// Walking a table in both directions.
//
// One data block is open at a time, in place in the mapping or by a reference to the cache;
// compressed blocks that are not kept in the cache (because fill_cache is off or they are not worth
// it) are decompressed into a buffer of the iterator's own.
//
// Readahead. The mapping is advised RANDOM, so that point gets read only what they need; scans ask
// for what lies ahead themselves. After READAHEAD_AFTER blocks in a row in one direction (not
// earlier: the system call costs as much as 20 entries, and short scans are many) the iterator asks
// for a window of the file in that direction, from 64 KiB on, doubling up to 1 MiB. A given size is
// used from the first block on; SIZE_MAX (compaction) means 1 MiB. What comes before the
// READAHEAD_AFTER-th block may be part of a walk of many short scans (sst_ahead.h). Blocks of a run
// not in place, from the STORED_AFTER-th on, are read by the window too, 16 to 256 KiB a system
// call.
//
// A long scan does not clear the cache: after SCAN_BLOCKS blocks in a row it fills free room only.
//
// Invariant: while base.valid, `block_index` is the open block and block.current the entry.
//
// One thread at a time. After a failure base.status has it; a seek may be tried again.
#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "sstable/block.h"
#include "sstable/sst_format.h"
#include "sstable/sst_reader_impl.h"

#define READAHEAD_AFTER  8
#define STORED_AFTER     2
#define STORED_MIN       ((uint64_t)4 << 10) // doubled for each block of the run: 16 KiB after two,
#define STORED_DOUBLINGS 6                   // 256 KiB at most are read at once
#define SCAN_BLOCKS      16                  // in a row: from then on nothing is evicted for them
#define READAHEAD_MIN    (64u << 10)
#define READAHEAD_MAX    (1u << 20)

struct sst_iter {
    struct iter base; // first: struct iter * and struct sst_iter * convert
    struct sst_reader *reader;
    struct block_iter block;
    size_t block_index;
    bool loaded; // block is set to block_index
    bool fill_cache;
    struct cached_block *cached; // referenced; NULL: the block is in place or in `own`
    struct buf own;
    struct buf stored; // bytes of the file from stored_offset on
    uint64_t stored_offset;

    bool adaptive;
    size_t window;              // bytes to ask for next
    unsigned run;               // blocks in a row
    bool backward;              // the direction of the run
    uint64_t asked_from, asked; // [asked_from, asked) has been asked for in this run
};

static void drop_block(struct sst_iter *it)
{
    it->loaded = false;
    if (it->cached) {
        cached_block_unref(it->cached);
        it->cached = NULL;
    }
}

static void readahead_reset(struct sst_iter *it)
{
    it->run = 0;
    it->asked_from = it->asked = 0;
    if (it->adaptive)
        it->window = READAHEAD_MIN;
}

// Called for each block of a run before it is read.
static void readahead(struct sst_iter *it, const struct sst_place *place, bool backward)
{
    if (backward != it->backward) {
        it->backward = backward;
        readahead_reset(it);
    }
    it->run++;
    if (it->adaptive && it->run < READAHEAD_AFTER)
        return;
    uint64_t data_end = sst_index_offset(&it->reader->index, it->reader->index.count);
    uint64_t begin = place->offset, end = place->offset + place->size + SST_TRAILER_SIZE;
    if (it->asked == it->asked_from) // the first window of the run begins at this block
        it->asked_from = it->asked = backward ? end : begin;
    uint64_t from, to;
    if (backward) {
        if (begin >= it->asked_from + it->window / 2 || it->asked_from == 0)
            return;
        to = it->asked_from;
        from = to > it->window ? to - it->window : 0;
        it->asked_from = from;
    } else {
        if (end + it->window / 2 <= it->asked || it->asked >= data_end)
            return;
        from = it->asked;
        to = data_end - from > it->window ? from + it->window : data_end;
        it->asked = to;
    }
    it->reader->file->ops->advise(it->reader->file, from, to - from, ENV_ADVISE_WILLNEED);
    if (it->adaptive && it->window < READAHEAD_MAX)
        it->window *= 2;
}

// The bytes of a block in a run, from a window of the file that is read at once: a system call for
// many blocks. NULL: not in a run, or the mapping is read instead, or the window cannot be read as
// a whole; then the block is read alone.
static const uint8_t *window_bytes(struct sst_iter *it, const struct sst_place *place)
{
    uint64_t begin = place->offset, end = begin + place->size + SST_TRAILER_SIZE;
    if (it->run < STORED_AFTER || sst_mapped(it->reader))
        return NULL;
    if (begin < it->stored_offset || end > it->stored_offset + it->stored.size) {
        unsigned doublings = it->run < STORED_DOUBLINGS ? it->run : STORED_DOUBLINGS;
        uint64_t data_end = sst_index_offset(&it->reader->index, it->reader->index.count);
        uint64_t size = STORED_MIN << doublings;
        if (size < end - begin)
            return NULL;
        if (it->backward)
            begin = end > size ? end - size : 0;
        if (size > data_end - begin)
            size = data_end - begin;
        it->stored.size = 0;
        if (buf_reserve(&it->stored, (size_t)size) ||
            sst_read_exactly(it->reader->file, begin, (size_t)size, it->stored.data))
            return NULL;
        it->stored.size = (size_t)size;
        it->stored_offset = begin;
    }
    return it->stored.data + (place->offset - it->stored_offset);
}

// Whether the block is to be kept in the cache. A scan that has gone on for a while pushes no other
// blocks out, since it will not see its own again.
static bool worth_keeping(const struct sst_iter *it, const struct sst_place *place)
{
    const struct sst_reader *r = it->reader;
    size_t size = place->size * 2; // about what a compressed block comes to
    return it->run < SCAN_BLOCKS ? block_cache_admits(r->cache, r->number, place->offset, size)
                                 : block_cache_has_room(r->cache, r->number, place->offset, size);
}

// Gets the block from the cache, or reads it into the cache. If it is not worth keeping there,
// *ret_contents stays empty.
static int fetch_cached(struct sst_iter *it, const struct sst_place *place,
                        struct slice *ret_contents)
{
    struct sst_reader *r = it->reader;
    int rc = LSM_OK;
    epoch_pin();
    it->cached = block_cache_lookup(r->cache, r->number, place->offset);
    if (!it->cached) {
        sst_want_mapped(r);
        if (it->adaptive && it->run < READAHEAD_AFTER)
            sst_reads(r, place);
    }
    if (!it->cached && worth_keeping(it, place))
        rc = sst_block_fill(r, place, window_bytes(it, place), &it->cached);
    if (!rc && it->cached) {
        cached_block_ref(it->cached);
        *ret_contents = cached_block_data(it->cached);
    }
    epoch_unpin();
    return rc;
}

static int fetch(struct sst_iter *it, const struct sst_place *place, struct slice *ret_contents)
{
    if (sst_in_place(it->reader, place))
        return sst_block_in_place(it->reader, place, ret_contents);
    if (it->fill_cache) {
        int rc = fetch_cached(it, place, ret_contents);
        if (rc || it->cached)
            return rc;
    }
    int rc = sst_block_read(it->reader, place, window_bytes(it, place), &it->own);
    *ret_contents = buf_slice(&it->own);
    return rc;
}

// Opens block `index`. Not positioned after that.
static int load(struct sst_iter *it, size_t index)
{
    assert(index < it->reader->index.count);
    drop_block(it);
    struct sst_place place = sst_place_of(it->reader, index);
    struct slice contents;
    int rc = fetch(it, &place, &contents);
    if (rc)
        return rc;
    rc = block_iter_set(&it->block, contents);
    if (rc)
        return sst_block_failure(it->reader, place.offset, rc, "malformed");
    it->block_index = index;
    it->loaded = true;
    return LSM_OK;
}

static void fail(struct sst_iter *it, int status)
{
    it->base.valid = false;
    it->base.status = status;
    drop_block(it);
}

// Takes the result of a move inside the open block that did not run off its end.
static void settle(struct sst_iter *it, int status)
{
    if (!status) {
        it->base.valid = true;
        it->base.status = LSM_OK;
        return;
    }
    uint64_t offset = sst_index_offset(&it->reader->index, it->block_index);
    fail(it, sst_block_failure(it->reader, offset, status, "malformed"));
}

static void end(struct sst_iter *it)
{
    it->base.valid = false;
    it->base.status = LSM_OK;
}

// Opens block `index` as the next one of a run in that direction. False: it failed.
static bool enter(struct sst_iter *it, size_t index, bool backward)
{
    struct sst_place place = sst_place_of(it->reader, index);
    readahead(it, &place, backward);
    int rc = load(it, index);
    if (rc)
        fail(it, rc);
    return !rc;
}

// Goes to the first entry of block `index`, if there is such a block.
static void enter_forward(struct sst_iter *it, size_t index)
{
    if (index == it->reader->index.count)
        end(it);
    else if (enter(it, index, false))
        settle(it, block_iter_seek_first(&it->block, &it->base.entry));
}

static void enter_backward(struct sst_iter *it, size_t index)
{
    if (enter(it, index, true))
        settle(it, block_iter_seek_last(&it->block, &it->base.entry));
}

// Begins a search: the index of the block in which (key, tag) is, if it is anywhere; the number of
// blocks if it lies behind all of them. *key gets a pointer that is not NULL, which memcmp() wants.
static size_t search_begin(struct sst_iter *it, struct slice *key, uint64_t tag)
{
    if (!key->size)
        key->data = (const uint8_t *)"";
    readahead_reset(it);
    return sst_index_seek(&it->reader->index, *key, tag);
}

// Opens block `index` for a search in it. False: it failed.
static bool enter_for_search(struct sst_iter *it, size_t index)
{
    if (it->loaded && it->block_index == index)
        return true;
    if (!it->adaptive)
        return enter(it, index, false);
    int rc = load(it, index);
    if (rc)
        fail(it, rc);
    return !rc;
}

static void seek(struct iter *base, struct slice key, uint64_t tag)
{
    struct sst_iter *it = (struct sst_iter *)base;
    size_t index = search_begin(it, &key, tag);
    if (index == it->reader->index.count) {
        end(it);
        return;
    }
    if (!enter_for_search(it, index))
        return;
    int rc = block_iter_seek(&it->block, key, tag, &it->base.entry);
    if (rc == 1)
        enter_forward(it, index + 1); // (key, tag) lies between the last entry and the separator
    else
        settle(it, rc);
}

static void seek_before(struct iter *base, struct slice key, uint64_t tag)
{
    struct sst_iter *it = (struct sst_iter *)base;
    size_t index = search_begin(it, &key, tag);
    if (index == it->reader->index.count) {
        enter_backward(it, index - 1);
        return;
    }
    if (!enter_for_search(it, index))
        return;
    int rc = block_iter_seek(&it->block, key, tag, &it->base.entry);
    if (rc == 0)
        rc = block_iter_prev(&it->block, &it->base.entry);
    else if (rc == 1) // (key, tag) lies between the last entry and the separator
        rc = block_iter_seek_last(&it->block, &it->base.entry);
    if (rc != 1)
        settle(it, rc);
    else if (index == 0)
        end(it);
    else
        enter_backward(it, index - 1);
}

static void seek_first(struct iter *base)
{
    struct sst_iter *it = (struct sst_iter *)base;
    readahead_reset(it);
    enter_forward(it, 0);
}

static void seek_last(struct iter *base)
{
    struct sst_iter *it = (struct sst_iter *)base;
    readahead_reset(it);
    enter_backward(it, it->reader->index.count - 1);
}

static void next(struct iter *base)
{
    struct sst_iter *it = (struct sst_iter *)base;
    assert(base->valid && it->loaded);
    int rc = block_iter_next(&it->block, &it->base.entry);
    if (__builtin_expect(rc == 0, 1))
        return;
    if (rc == 1)
        enter_forward(it, it->block_index + 1);
    else
        settle(it, rc);
}

static void prev(struct iter *base)
{
    struct sst_iter *it = (struct sst_iter *)base;
    assert(base->valid && it->loaded);
    int rc = block_iter_prev(&it->block, &it->base.entry);
    if (__builtin_expect(rc == 0, 1))
        return;
    if (rc < 0)
        settle(it, rc);
    else if (it->block_index == 0)
        end(it);
    else
        enter_backward(it, it->block_index - 1);
}

static void iter_release(struct iter *base)
{
    struct sst_iter *it = (struct sst_iter *)base;
    drop_block(it);
    block_iter_release(&it->block);
    buf_release(&it->own);
    buf_release(&it->stored);
    sst_reader_unref(it->reader);
    free(it);
}

int sst_iter_new(struct sst_reader *reader, const struct sst_iter_options *options,
                 struct iter **ret_iter)
{
    static const struct iter_ops ops = {
        .seek = seek,
        .seek_before = seek_before,
        .seek_first = seek_first,
        .seek_last = seek_last,
        .next = next,
        .prev = prev,
        .free = iter_release,
    };
    struct sst_iter *it = calloc(1, sizeof(*it));
    if (!it)
        return status_no_memory(sizeof(*it));
    it->base.ops = &ops;
    it->reader = reader;
    it->fill_cache = options->fill_cache;
    it->adaptive = options->readahead == 0;
    it->window = options->readahead < READAHEAD_MAX ? options->readahead : READAHEAD_MAX;
    if (options->readahead == SIZE_MAX)
        it->fill_cache = false;
    block_iter_init(&it->block);
    readahead_reset(it);
    sst_reader_ref(reader);
    *ret_iter = &it->base;
    return LSM_OK;
}
