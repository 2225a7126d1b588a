// Extents: finding, trimming, adding, and changing a file's size. See filedata.h.
//
// Extents do not overlap, so the one that covers an offset is the last that begins at or before it.
// None crosses a multiple of NS_EXTENT_MAX (the grid): long writes are cut there, so that most
// extents begin where a cell does and one point get finds them.
//
// Thread safety: the inode's lock is the caller's; what reads as of a snapshot needs none.
// Failure: the batch may hold part of the change; the caller drops it.
#include "ns/filedata.h"

#include <errno.h>
#include <stdlib.h>

#include "ns/tail.h"

bool filedata_is_gone(const struct ns_inode *inode)
{
    return inode->data_gone;
}

static int list_add(struct extent_list *list, struct extent extent)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity ? 2 * list->capacity : 16;
        struct extent *at = realloc(list->at, capacity * sizeof *at);
        if (!at)
            return -ENOMEM;
        list->at = at;
        list->capacity = capacity;
    }
    list->at[list->count++] = extent;
    return 0;
}

// The extent the iterator is on, or none (size 0) at the end.
static int walk_load(struct extent_walk *walk)
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
    struct lsm_iter_options options = {.snapshot = snapshot,
                                       .lower = lower.data,
                                       .lower_size = lower.size,
                                       .upper = upper.data,
                                       .upper_size = upper.size};
    int rc = ns_err(lsm_iter_new(ns->db, &options, &ret_walk->iter));
    if (rc)
        return rc;
    // The one that covers `from` is the last that begins at or before it.
    lsm_iter_seek_prev(ret_walk->iter, key.data, key.size);
    if (!lsm_iter_valid(ret_walk->iter) && !lsm_iter_status(ret_walk->iter))
        lsm_iter_seek(ret_walk->iter, key.data, key.size);
    rc = walk_load(ret_walk);
    if (!rc && ret_walk->at.size && ret_walk->at.start + ret_walk->at.size <= from)
        rc = extent_walk_next(ret_walk);
    if (rc)
        extent_walk_end(ret_walk);
    return rc;
}

int extent_walk_next(struct extent_walk *walk)
{
    lsm_iter_next(walk->iter);
    return walk_load(walk);
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
        rc = list_add(list, walk.at);
        if (!rc)
            rc = extent_walk_next(&walk);
    }
    extent_walk_end(&walk);
    return rc;
}

static int share_slice(struct op *op, uint64_t ino, uint64_t start, uint64_t source,
                       uint64_t offset, uint64_t length)
{
    struct pathkey key, source_key;
    pathkey_extent(&key, ino, start);
    pathkey_extent(&source_key, ino, source);
    return ns_err(lsm_batch_put_slice(op->batch, key.data, key.size, source_key.data,
                                      source_key.size, offset, length));
}

int extents_trim(struct op *op, struct record *rec, uint64_t from, uint64_t to)
{
    int rc = 0;
    for (size_t i = 0; i < op->extents.count && !rc; i++) {
        struct extent e = op->extents.at[i];
        uint64_t end = e.start + e.size;
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
    int status = 0;
    while (data.size && !status) {
        uint64_t room = NS_EXTENT_MAX - offset % NS_EXTENT_MAX;
        size_t n = data.size < room ? data.size : (size_t)room;
        struct pathkey key;
        pathkey_extent(&key, ino, offset);
        status = lsm_batch_put_borrowed(batch, key.data, key.size, data.data, n);
        offset += n;
        data.data += n;
        data.size -= n;
    }
    return ns_err(status);
}

int extents_put(struct op *op, struct record *rec, uint64_t offset, struct slice data)
{
    rec->data_bytes += data.size;
    return put_pieces(op->batch, rec->ino, offset, data);
}

int extents_stage(struct ns *ns, struct op *op, uint64_t ino, uint64_t offset, struct slice data)
{
    int rc = put_pieces(op->staged, ino, offset, data);
    return rc ? rc : ns_err(lsm_stage(ns->db, op->staged));
}

int extents_put_staged(struct op *op, struct record *rec, size_t size)
{
    rec->data_bytes += size;
    return ns_err(lsm_batch_append(op->batch, op->staged));
}

// ------------------------------------------------------------------------------- size

static int shrink(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  uint64_t size)
{
    size_t most = (size_t)ns->cut_extents + 1;
    int rc = extents_list(ns, rec->ino, size, rec->size, most, &op->extents);
    if (!rc && op->extents.count == most)
        rc = tail_leave(ns, op, inode, rec, size);
    else if (!rc)
        rc = extents_trim(op, rec, size, UINT64_MAX);
    if (rc)
        return rc;
    rec->size = size;
    rec->is_inline = size == 0;
    rec->content = slice_of(NULL, 0);
    return 0;
}

static int resize_inline(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                         uint64_t size)
{
    struct slice old = rec->content;
    if (size <= old.size) {
        rec->content.size = (size_t)size;
    } else if (size <= ns->inline_max) {
        op->content.size = 0;
        if (buf_assign(&op->content, old.data, old.size) ||
            buf_reserve(&op->content, (size_t)size - old.size))
            return -ENOMEM;
        memset(op->content.data + old.size, 0, (size_t)size - old.size);
        op->content.size = (size_t)size;
        rec->content = buf_slice(&op->content);
    } else {
        int rc = tail_settle(ns, inode);
        rec->is_inline = false;
        rec->content = slice_of(NULL, 0);
        rec->data_bytes = 0;
        rec->size = size;
        return rc ? rc : extents_put(op, rec, 0, old);
    }
    rec->size = size;
    return 0;
}

int filedata_resize(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                    uint64_t size)
{
    if (size > (uint64_t)NS_FILE_MAX)
        return -EFBIG;
    if (filedata_is_gone(inode))
        return -ESTALE;
    if (size == rec->size)
        return 0;
    defrag_changed(ns->defrag, inode->ino, 0, UINT64_MAX);
    if (rec->is_inline)
        return resize_inline(ns, op, inode, rec, size);
    if (size < rec->size)
        return shrink(ns, op, inode, rec, size);
    int rc = tail_settle(ns, inode);
    rec->size = size; // a hole
    return rc;
}
