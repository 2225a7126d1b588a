// Copying content so that both files share the bytes (content.h): the target's extents are parts
// of the source's, cut on the grid. A crash may leave the first batches of a copy.
//
// Threads and failure: content.h.
#include <assert.h>

#include "ns/content/content.h"
#include "ns/content/extents.h"
#include "ns/content/fragments.h"
#include "ns/content/lost.h"
#include "ns/content/tail.h"
#include "ns/content/unwritten.h"

#define COPY_BATCH_EXTENTS 512u

// Adds to the batch the piece [start, start + size) of extent `e`, at `target`, cut on the grid.
static int copy_piece(struct op *op, const struct content_copy *c, struct extent e, uint64_t start,
                      uint64_t size, uint64_t target)
{
    struct pathkey key, source;
    int rc = 0;
    pathkey_extent(&source, c->from->ino, e.start);
    while (size && !rc) {
        uint64_t room = NS_EXTENT_MAX - target % NS_EXTENT_MAX;
        uint64_t n = size < room ? size : room;
        pathkey_extent(&key, c->to->ino, target);
        rc = ns_err(lsm_batch_put_part_at(op->batch, key.data, key.size, c->snapshot, source.data,
                                          source.size, start - e.start, n));
        start += n;
        target += n;
        size -= n;
    }
    return rc;
}

// A list with a batch's worth of ranges may not be complete: shortens *size, counted from `from`,
// to the end of the list's last range.
static void shorten(const struct extent_list *list, uint64_t from, uint64_t *size)
{
    if (list->count < COPY_BATCH_EXTENTS)
        return;
    struct extent last = list->at[list->count - 1];
    uint64_t covered = last.start + last.size - from;
    *size = covered < *size ? covered : *size;
}

// Lists the source's extents and what the copy replaces in the target: extents, promised and lost
// ranges. Shortens the copy to a batch's worth of each.
static int list_batch(struct ns *ns, struct op *op, struct content_copy *c, const struct record *to)
{
    uint64_t from = c->from_offset;
    int rc = extents_list_at(ns, c->snapshot, c->from->ino, from, from + c->size,
                             COPY_BATCH_EXTENTS, &op->source);
    if (rc)
        return rc;
    shorten(&op->source, from, &c->size);
    from = c->to_offset;
    op->unwritten.count = 0;
    if (to->unwritten_bytes)
        rc = unwritten_list(ns, to->ino, from, from + c->size, COPY_BATCH_EXTENTS, &op->unwritten);
    if (rc)
        return rc;
    shorten(&op->unwritten, from, &c->size);
    op->lost.count = 0;
    if (to->lost_bytes)
        rc = lost_list(ns, NULL, to->ino, from, from + c->size, COPY_BATCH_EXTENTS, &op->lost);
    if (rc)
        return rc;
    shorten(&op->lost, from, &c->size);
    rc = extents_list(ns, to->ino, from, from + c->size, COPY_BATCH_EXTENTS, &op->extents);
    if (!rc)
        shorten(&op->extents, from, &c->size);
    return rc;
}

static int share(struct ns *ns, struct op *op, struct content_copy *c, struct record *to)
{
    int rc = list_batch(ns, op, c, to);
    if (!rc)
        rc = unwritten_trim(op, to, &op->unwritten, c->to_offset, c->to_offset + c->size);
    if (!rc)
        rc = lost_trim(op, to, &op->lost, c->to_offset, c->to_offset + c->size);
    if (!rc)
        rc = extents_trim(op, to, c->to_offset, c->to_offset + c->size);
    uint64_t from_end = c->from_offset + c->size;
    for (size_t i = 0; i < op->source.count && !rc; i++) {
        struct extent e = op->source.at[i];
        uint64_t start = e.start > c->from_offset ? e.start : c->from_offset;
        uint64_t end = e.start + e.size < from_end ? e.start + e.size : from_end;
        if (start >= end)
            break;
        rc = copy_piece(op, c, e, start, end - start, start - c->from_offset + c->to_offset);
        to->data_bytes += end - start;
    }
    return rc;
}

int content_copy(struct ns *ns, struct op *op, struct content_copy *copy, struct record *to)
{
    int rc = 0;
    assert(inode_is_held(&ns->table.locks, copy->to->ino, true));
    assert(copy->size > 0);
    fragments_changed(ns->fragments, copy->to->ino, copy->to_offset, copy->to_offset + copy->size);
    if (to->is_inline) {
        rc = content_move_out(ns, op, copy->to, to, to->size, to->size);
        if (!rc) // committed first: only extents in the store can be trimmed
            rc = content_commit(ns, op, copy->to, to);
    } else {
        rc = tail_settle(ns, copy->to);
    }
    if (!rc)
        rc = share(ns, op, copy, to);
    if (!rc && lost_before(copy->to, to, copy->to_offset))
        rc = lost_grow(ns, op, copy->to, to, copy->to_offset);
    if (!rc && copy->to_offset + copy->size > to->size)
        to->size = copy->to_offset + copy->size;
    return rc;
}
