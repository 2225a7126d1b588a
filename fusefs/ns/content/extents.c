// Extents: finding, reading, trimming, adding. See extents.h.
//
// Extents do not overlap, so the one that covers an offset is the last that begins at or before it.
// None crosses a multiple of NS_EXTENT_MAX (the grid): long writes are cut there, so that most
// extents begin where a cell does and one point get finds them.
//
// Thread safety: the inode's lock is the caller's; what reads as of a snapshot needs none.
// Failure: the batch may hold part of the change; the caller drops it.
#include "ns/content/extents.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/array.h"

int extent_list_add(struct extent_list *list, struct extent extent)
{
    if (!array_grow(&list->at, &list->capacity, list->count, sizeof *list->at))
        return -ENOMEM;
    list->at[list->count++] = extent;
    return 0;
}

// The extent the iterator is on, or none (size 0) at the end.
static int extent_walk_load(struct extent_walk *walk)
{
    size_t size;
    uint64_t ino;
    walk->at = (struct extent){0, 0};
    if (!lsm_iter_valid(walk->iter))
        return ns_err(lsm_iter_status(walk->iter));
    const void *key = lsm_iter_key(walk->iter, &size);
    if (!pathkey_parse_extent(slice_of(key, size), &ino, &walk->at.start))
        return -EIO;
    walk->at.size = lsm_iter_value_size(walk->iter);
    return walk->at.size ? 0 : -EIO;
}

int extent_walk_start(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                      uint64_t from, uint64_t to, struct extent_walk *ret_walk)
{
    struct pathkey key, lower, upper;
    pathkey_extent(&key, ino, from);
    pathkey_ino_bounds(KEY_EXTENT, ino, &lower, &upper);
    if (to != UINT64_MAX)
        pathkey_extent(&upper, ino, to);
    struct lsm_iter_options options =
        ns_between(snapshot ? snapshot : ns->at.snapshot, &lower, &upper);
    int rc = ns_err(lsm_iter_new(ns->db, &options, &ret_walk->iter));
    if (rc)
        return rc;
    // The one that covers `from` is the last that begins at or before it.
    lsm_iter_seek_prev(ret_walk->iter, key.data, key.size);
    if (!lsm_iter_valid(ret_walk->iter) && !lsm_iter_status(ret_walk->iter))
        lsm_iter_seek(ret_walk->iter, key.data, key.size);
    rc = extent_walk_load(ret_walk);
    if (!rc && ret_walk->at.size && ret_walk->at.start + ret_walk->at.size <= from)
        rc = extent_walk_next(ret_walk);
    if (rc)
        extent_walk_end(ret_walk);
    return rc;
}

int extent_walk_next(struct extent_walk *walk)
{
    lsm_iter_next(walk->iter);
    return extent_walk_load(walk);
}

void extent_walk_end(struct extent_walk *walk)
{
    lsm_iter_free(walk->iter);
    walk->iter = NULL;
}

int extents_list(struct ns *ns, uint64_t ino, uint64_t from, uint64_t to, size_t most,
                 struct extent_list *list)
{
    return extents_list_at(ns, NULL, ino, from, to, most, list);
}

int extents_list_at(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
                    uint64_t to, size_t most, struct extent_list *list)
{
    struct extent_walk walk;
    list->count = 0;
    if (from >= to)
        return 0;
    int rc = extent_walk_start(ns, snapshot, ino, from, to, &walk);
    if (rc)
        return rc;
    while (!rc && extent_walk_valid(&walk) && list->count < most) {
        rc = extent_list_add(list, walk.at);
        if (!rc)
            rc = extent_walk_next(&walk);
    }
    extent_walk_end(&walk);
    return rc;
}

int extents_has(struct ns *ns, uint64_t ino, struct extent extent, bool *ret_has)
{
    struct pathkey key;
    size_t got;
    uint64_t value_size = 0;
    pathkey_extent(&key, ino, extent.start);
    int rc = lsm_get_range(ns->db, &ns->at, key.data, key.size, 0, NULL, 0, &got, &value_size);
    *ret_has = !rc && value_size == extent.size;
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

// ------------------------------------------------------------------------------- reading

// Reads [from, to) by walking the extents, and zeroes what none covers.
static int read_walk(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                     uint8_t *data, uint64_t from, uint64_t to)
{
    struct extent_walk walk;
    uint64_t at = from; // read or zeroed up to here
    int rc = extent_walk_start(ns, snapshot, ino, from, to, &walk);
    if (rc)
        return rc;
    for (; extent_walk_valid(&walk) && !rc; rc = extent_walk_next(&walk)) {
        uint64_t end = walk.at.start + walk.at.size, got_from = walk.at.start;
        size_t got;
        if (got_from < at)
            got_from = at;
        if (end > to)
            end = to;
        memset(data + (at - from), 0, (size_t)(got_from - at));
        rc = ns_err(lsm_iter_read(walk.iter, got_from - walk.at.start, data + (got_from - from),
                                  (size_t)(end - got_from), &got));
        if (!rc && got != end - got_from)
            rc = -EIO;
        if (rc)
            break;
        at = end;
    }
    extent_walk_end(&walk);
    if (!rc)
        memset(data + (at - from), 0, (size_t)(to - at));
    return rc;
}

// Reads what the extent at `start` has of [from, to); *ret_got is 0 if it has nothing.
static int read_extent(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                       uint64_t start, uint8_t *data, uint64_t from, uint64_t to, size_t *ret_got)
{
    struct lsm_read_options options = {.snapshot = snapshot};
    struct pathkey key;
    pathkey_extent(&key, ino, start);
    *ret_got = 0;
    int rc = lsm_get_range(ns->db, &options, key.data, key.size, from - start, data,
                           (size_t)(to - from), ret_got, NULL);
    return rc == LSM_NOT_FOUND ? 0 : ns_err(rc);
}

// Most reads are of a file written in long pieces, which begin where a cell does, or of a piece as
// it was written: one point get. The rest walks.
int extents_read(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint8_t *data,
                 uint64_t from, uint64_t to)
{
    int rc = 0;
    while (from < to && !rc) {
        uint64_t cell = from - from % NS_EXTENT_MAX;
        size_t got;
        rc = read_extent(ns, snapshot, ino, cell, data, from, to, &got);
        if (!rc && !got && cell != from)
            rc = read_extent(ns, snapshot, ino, from, data, from, to, &got);
        if (!rc && !got)
            return read_walk(ns, snapshot, ino, data, from, to);
        data += got;
        from += got;
    }
    return rc;
}

int extents_get(struct ns *ns, uint64_t ino, struct extent extent, uint8_t *data)
{
    size_t got;
    int rc = read_extent(ns, NULL, ino, extent.start, data, extent.start,
                         extent.start + extent.size, &got);
    return !rc && got != extent.size ? -EIO : rc;
}

// ------------------------------------------------------------------------------- changing

static int share_slice(struct op *op, uint64_t ino, uint64_t start, uint64_t source,
                       uint64_t offset, uint64_t length)
{
    struct pathkey key, source_key;
    pathkey_extent(&key, ino, start);
    pathkey_extent(&source_key, ino, source);
    return ns_err(lsm_batch_put_part(op->batch, key.data, key.size, source_key.data,
                                     source_key.size, offset, length));
}

int extents_trim(struct op *op, struct record *rec, uint64_t from, uint64_t to)
{
    int rc = 0;
    for (size_t i = 0; i < op->extents.count && !rc; i++) {
        struct extent e = op->extents.at[i];
        uint64_t end = e.start + e.size;
        assert(end > from && e.start < to);
        if (e.start >= from) {
            struct pathkey key;
            pathkey_extent(&key, rec->ino, e.start);
            rc = op_delete(op, &key);
        } else {
            rc = share_slice(op, rec->ino, e.start, e.start, 0, from - e.start);
        }
        if (!rc && end > to)
            rc = share_slice(op, rec->ino, to, e.start, to - e.start, end - to);
        rec->data_bytes -= (end < to ? end : to) - (e.start > from ? e.start : from);
    }
    return rc;
}

// The extents of `data`, cut on the grid.
static int put_pieces(struct lsm_batch *batch, uint64_t ino, uint64_t offset, struct slice data)
{
    int rc = 0;
    while (data.size && !rc) {
        uint64_t room = NS_EXTENT_MAX - offset % NS_EXTENT_MAX;
        size_t n = data.size < room ? data.size : (size_t)room;
        assert(offset / NS_EXTENT_MAX == (offset + n - 1) / NS_EXTENT_MAX);
        struct pathkey key;
        pathkey_extent(&key, ino, offset);
        rc = lsm_batch_put_borrowed(batch, key.data, key.size, data.data, n);
        offset += n;
        data.data += n;
        data.size -= n;
    }
    return ns_err(rc);
}

int extents_put(struct op *op, struct record *rec, uint64_t offset, struct slice data)
{
    rec->data_bytes += data.size;
    return put_pieces(op->batch, rec->ino, offset, data);
}

int extents_stage(struct ns *ns, struct op *op, uint64_t ino, uint64_t offset, struct slice data)
{
    int rc = put_pieces(op->staged, ino, offset, data);
    if (!rc && ns->at.snapshot)
        rc = -EROFS;
    return rc ? rc : ns_err(lsm_stage(ns->db, op->staged));
}

int extents_put_staged(struct op *op, struct record *rec, size_t size)
{
    rec->data_bytes += size;
    return ns_err(lsm_batch_append(op->batch, op->staged));
}
