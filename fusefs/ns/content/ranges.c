// The keys of ranges. See ranges.h.
#include "ns/content/ranges.h"

#include <assert.h>
#include <errno.h>

#include "ns/content/extents.h"

// The range the iterator is on; size 0 at the end.
static int load(struct lsm_iter *iter, enum pathkey_type type, uint64_t *ret_ino,
                struct extent *ret_range)
{
    size_t size;
    *ret_range = (struct extent){0, 0};
    if (!lsm_iter_valid(iter))
        return ns_err(lsm_iter_status(iter));
    const void *key = lsm_iter_key(iter, &size);
    if (!pathkey_parse_range(slice_of(key, size), type, ret_ino, &ret_range->start))
        return -EIO;
    const void *value = lsm_iter_value(iter, &size);
    if (!value)
        return ns_err(lsm_iter_status(iter));
    if (size != 8)
        return -EIO;
    ret_range->size = get_big64(value);
    bool sound = ret_range->size && ret_range->start <= (uint64_t)NS_FILE_MAX &&
                 ret_range->size <= (uint64_t)NS_FILE_MAX + 1 - ret_range->start;
    return sound ? 0 : -EIO;
}

static int open_iter(struct ns *ns, const struct lsm_snapshot *snapshot,
                     const struct pathkey *lower, const struct pathkey *upper,
                     struct lsm_iter **ret_iter)
{
    struct lsm_iter_options options =
        ns_between(snapshot ? snapshot : ns->at.snapshot, lower, upper);
    return lsm_iter_new(ns->db, &options, ret_iter);
}

int ranges_list(struct ns *ns, const struct lsm_snapshot *snapshot, enum pathkey_type type,
                uint64_t ino, uint64_t from, uint64_t to, size_t most, struct extent_list *list)
{
    struct pathkey key, lower, upper;
    struct lsm_iter *iter;
    struct extent range;
    list->count = 0;
    pathkey_ino_bounds(type, ino, &lower, &upper);
    pathkey_range(&key, type, ino, from);
    int rc = ns_err(open_iter(ns, snapshot, &lower, &upper, &iter));
    if (rc)
        return rc;
    lsm_iter_seek_prev(iter, key.data, key.size); // the last that begins at or before `from`
    if (!lsm_iter_valid(iter) && !lsm_iter_status(iter))
        lsm_iter_seek(iter, key.data, key.size);
    for (;;) {
        rc = load(iter, type, &ino, &range);
        if (rc || !range.size || range.start >= to || list->count == most)
            break;
        if (range.start + range.size > from)
            rc = extent_list_add(list, range);
        if (rc)
            break;
        lsm_iter_next(iter);
    }
    lsm_iter_free(iter);
    return rc;
}

int ranges_put(struct op *op, enum pathkey_type type, uint64_t ino, uint64_t start, uint64_t size)
{
    struct pathkey key;
    uint8_t length[8];
    assert(size > 0 && start <= (uint64_t)NS_FILE_MAX);
    pathkey_range(&key, type, ino, start);
    put_big64(length, size);
    return op_put(op, &key, slice_of(length, sizeof length));
}

int ranges_trim(struct op *op, enum pathkey_type type, uint64_t ino, const struct extent_list *list,
                uint64_t from, uint64_t to, uint64_t *ret_taken)
{
    int rc = 0;
    *ret_taken = 0;
    for (size_t i = 0; i < list->count && !rc; i++) {
        struct extent range = list->at[i];
        struct pathkey key;
        uint64_t end = range.start + range.size;
        if (range.start >= to)
            break;
        assert(end > from);
        pathkey_range(&key, type, ino, range.start);
        if (range.start >= from)
            rc = op_delete(op, &key);
        else
            rc = ranges_put(op, type, ino, range.start, from - range.start);
        if (!rc && end > to)
            rc = ranges_put(op, type, ino, to, end - to);
        *ret_taken += (end < to ? end : to) - (range.start > from ? range.start : from);
    }
    return rc;
}

int ranges_take(struct ns *ns, struct lsm_batch *batch, enum pathkey_type type, uint64_t ino,
                unsigned most, unsigned *ret_count, uint64_t *ret_bytes)
{
    struct pathkey key, lower, upper;
    struct lsm_iter *iter;
    struct extent range;
    *ret_count = 0;
    *ret_bytes = 0;
    pathkey_ino_bounds(type, ino, &lower, &upper);
    int rc = ns_err(open_iter(ns, NULL, &lower, &upper, &iter));
    if (rc)
        return rc;
    lsm_iter_seek_first(iter);
    while (!rc && *ret_count < most) {
        rc = load(iter, type, &ino, &range);
        if (rc || !range.size)
            break;
        pathkey_range(&key, type, ino, range.start);
        rc = ns_err(lsm_batch_delete(batch, key.data, key.size));
        *ret_bytes += range.size;
        ++*ret_count;
        lsm_iter_next(iter);
    }
    lsm_iter_free(iter);
    return rc;
}

int ranges_sum(struct ns *ns, enum pathkey_type type, uint64_t *ret_bytes)
{
    struct pathkey lower, upper;
    struct lsm_iter *iter;
    struct extent range;
    uint64_t ino;
    *ret_bytes = 0;
    pathkey_type_bounds(type, &lower, &upper);
    int rc = open_iter(ns, NULL, &lower, &upper, &iter);
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter); lsm_iter_next(iter))
        if (!load(iter, type, &ino, &range)) // a malformed key is passed over; ns_check reports it
            *ret_bytes += range.size;
    rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return rc;
}
