// The concatenation of a sorted level's tables. Holds at most one table iterator, and through it
// one reader. Positioning by key is a binary search over the tables' largest keys.
//
// Belongs to one thread. A table that cannot be opened ends the iteration with its status.
#include "compaction/level_iter.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "memtable/epoch.h"

struct level_iter {
    struct iter base;
    struct table_cache *cache;
    struct file_meta **files;
    unsigned count;
    unsigned index;     // table that `table` iterates; meaningless if table is NULL
    struct iter *table; // NULL: not positioned
    struct sst_iter_options options;
};

int level_iter_of_table(struct table_cache *cache, struct file_meta *file,
                        const struct sst_iter_options *options, struct iter **ret_iter)
{
    struct sst_reader *reader;
    epoch_pin();
    int rc = table_cache_get(cache, file, &reader);
    if (!rc)
        rc = sst_iter_new(reader, options, ret_iter); // takes a reference of its own
    epoch_unpin();
    return rc;
}

// Makes `table` the iterator of table `index`, or sets the failure.
static bool level_iter_open(struct level_iter *it, unsigned index)
{
    assert(index < it->count);
    if (it->table && it->index == index)
        return true;
    iter_free(it->table);
    it->table = NULL;
    it->index = index;
    int rc = level_iter_of_table(it->cache, it->files[index], &it->options, &it->table);
    if (rc) {
        it->base.status = rc;
        it->base.valid = false;
        return false;
    }
    return true;
}

// Takes over the table's position; true if there is one or it failed.
static bool level_iter_take(struct level_iter *it)
{
    it->base.valid = it->table->valid;
    it->base.status = it->table->status;
    it->base.entry = it->table->entry;
    return it->base.valid || it->base.status;
}

// From the end of table `index`, on to the first entry after it.
static void level_iter_forward(struct level_iter *it)
{
    while (!level_iter_take(it) && it->index + 1 < it->count) {
        if (!level_iter_open(it, it->index + 1))
            return;
        iter_seek_first(it->table);
    }
}

static void level_iter_backward(struct level_iter *it)
{
    while (!level_iter_take(it) && it->index > 0) {
        if (!level_iter_open(it, it->index - 1))
            return;
        iter_seek_last(it->table);
    }
}

// The first table that ends at (key, tag) or after it; `count` if there is none.
static unsigned level_iter_find(const struct level_iter *it, struct slice key, uint64_t tag)
{
    unsigned low = 0, high = it->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const struct file_meta *file = it->files[middle];
        if (entry_compare(file->largest, file->largest_tag, key, tag) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void level_iter_seek(struct iter *base, struct slice key, uint64_t tag)
{
    struct level_iter *it = (struct level_iter *)base;
    unsigned index = level_iter_find(it, key, tag);
    base->valid = false;
    base->status = LSM_OK;
    if (index == it->count || !level_iter_open(it, index))
        return;
    iter_seek(it->table, key, tag);
    level_iter_forward(it);
}

static void level_iter_seek_before(struct iter *base, struct slice key, uint64_t tag)
{
    struct level_iter *it = (struct level_iter *)base;
    unsigned index = level_iter_find(it, key, tag);
    base->valid = false;
    base->status = LSM_OK;
    if (it->count == 0 || !level_iter_open(it, index < it->count ? index : index - 1))
        return;
    iter_seek_before(it->table, key, tag);
    level_iter_backward(it);
}

static void level_iter_seek_first(struct iter *base)
{
    struct level_iter *it = (struct level_iter *)base;
    base->valid = false;
    base->status = LSM_OK;
    if (it->count == 0 || !level_iter_open(it, 0))
        return;
    iter_seek_first(it->table);
    level_iter_forward(it);
}

static void level_iter_seek_last(struct iter *base)
{
    struct level_iter *it = (struct level_iter *)base;
    base->valid = false;
    base->status = LSM_OK;
    if (it->count == 0 || !level_iter_open(it, it->count - 1))
        return;
    iter_seek_last(it->table);
    level_iter_backward(it);
}

static void level_iter_next(struct iter *base)
{
    struct level_iter *it = (struct level_iter *)base;
    assert(base->valid && it->table);
    iter_next(it->table);
    if (it->table->valid)
        base->entry = it->table->entry;
    else
        level_iter_forward(it);
}

static void level_iter_prev(struct iter *base)
{
    struct level_iter *it = (struct level_iter *)base;
    assert(base->valid && it->table);
    iter_prev(it->table);
    if (it->table->valid)
        base->entry = it->table->entry;
    else
        level_iter_backward(it);
}

static void level_iter_free(struct iter *base)
{
    struct level_iter *it = (struct level_iter *)base;
    iter_free(it->table);
    free(it);
}

static const struct iter_ops level_iter_ops = {
    .seek = level_iter_seek,
    .seek_before = level_iter_seek_before,
    .seek_first = level_iter_seek_first,
    .seek_last = level_iter_seek_last,
    .next = level_iter_next,
    .prev = level_iter_prev,
    .free = level_iter_free,
};

int level_iter_new(struct table_cache *cache, struct file_meta **files, unsigned count,
                   const struct sst_iter_options *options, struct iter **ret_iter)
{
    struct level_iter *it = calloc(1, sizeof *it);
    if (!it)
        return status_no_memory(sizeof *it);
    it->base.ops = &level_iter_ops;
    it->cache = cache;
    it->files = files;
    it->count = count;
    it->options = *options;
    *ret_iter = &it->base;
    return LSM_OK;
}
