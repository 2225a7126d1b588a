// Content as a whole: reading, looking for holes, moving out of the record, size, zeroes, removal.
// See content.h.
//
// Invariants: an inline record's content has `size` bytes and there is no extent of the file but in
// a tail; data_bytes is the sum of the extents that are content. Whatever makes extents at or
// behind the old size, or moves content out, settles the tail first.
//
// Threads and failure: content.h.
#include "ns/content/content.h"

#include <assert.h>
#include <errno.h>

#include "ns/content/extents.h"
#include "ns/content/fragments.h"
#include "ns/content/lost.h"
#include "ns/content/ranges.h"
#include "ns/content/tail.h"
#include "ns/content/unwritten.h"

#define ZERO_BATCH_EXTENTS 1024u
#define RANGE_BATCH        1024u // unwritten or lost ranges in one batch
#define SEEK_EXTENTS       256u  // looked at in one go

// Content of at most this many bytes and extents goes with the last name, at once.
#define REMOVE_AT_ONCE_BYTES   (4u << 20)
#define REMOVE_AT_ONCE_EXTENTS 256u

int content_commit(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    int rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc) {
        op_stored(ns, inode);
        lost_note_stored(inode, rec->size);
    }
    return rc;
}

// ------------------------------------------------------------------------------- reading

ssize_t content_read(struct ns *ns, const struct lsm_snapshot *snapshot, const struct record *rec,
                     uint8_t *data, size_t size, uint64_t offset)
{
    if (offset >= rec->size)
        return 0;
    if (size > rec->size - offset)
        size = (size_t)(rec->size - offset);
    if (rec->is_inline) {
        memcpy(data, rec->content.data + offset, size);
        return (ssize_t)size;
    }
    int rc = extents_read(ns, snapshot, rec->ino, data, offset, offset + size);
    return rc ? rc : (ssize_t)size;
}

// Extents that touch are one run.
static int64_t seek_extents(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                            const struct record *rec, uint64_t offset, bool want_data)
{
    uint64_t at = offset;
    for (;;) {
        int rc = extents_list_at(ns, snapshot, rec->ino, at, rec->size, SEEK_EXTENTS, &op->extents);
        if (rc)
            return rc;
        for (size_t i = 0; i < op->extents.count; i++) {
            struct extent e = op->extents.at[i];
            if (want_data)
                return (int64_t)(e.start > offset ? e.start : offset);
            if (e.start > at)
                return (int64_t)at;
            at = e.start + e.size;
        }
        if (want_data)
            return -ENXIO;
        if (op->extents.count < SEEK_EXTENTS || at >= rec->size)
            return (int64_t)(at < rec->size ? at : rec->size);
    }
}

int64_t content_seek(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                     const struct record *rec, uint64_t offset, bool want_data)
{
    if (rec->is_inline)
        return (int64_t)(want_data ? offset : rec->size);
    int64_t at = seek_extents(ns, snapshot, op, rec, offset, want_data);
    while (rec->lost_bytes && (at >= 0 || at == -ENXIO)) {
        uint64_t from = want_data ? offset : (uint64_t)at;
        int rc = lost_list(ns, snapshot, rec->ino, from, rec->size, 1, &op->extents);
        if (rc)
            return rc;
        if (!op->extents.count)
            break;
        struct extent lost = op->extents.at[0];
        if (want_data)
            return (int64_t)at < 0 || lost.start < (uint64_t)at
                       ? (int64_t)(lost.start > offset ? lost.start : offset)
                       : at;
        if (lost.start > from || from >= rec->size) // `from` is in a hole, or at the end
            break;
        from = lost.start + lost.size;
        at = from < rec->size ? seek_extents(ns, snapshot, op, rec, from, false)
                              : (int64_t)rec->size;
    }
    return at;
}

// ------------------------------------------------------------------------------- in the record

int content_edit_inline(struct op *op, struct record *rec, size_t size)
{
    struct slice old = rec->content;
    size_t keep = old.size < size ? old.size : size;
    if (old.data != op->content.data) { // otherwise the content is in op->content already
        op->content.size = 0;
        if (buf_append(&op->content, old.data, keep))
            return -ENOMEM;
    }
    op->content.size = keep;
    if (buf_reserve(&op->content, size - keep))
        return -ENOMEM;
    if (size > keep)
        memset(op->content.data + keep, 0, size - keep);
    op->content.size = size;
    rec->content = buf_slice(&op->content);
    rec->size = size;
    assert(rec->is_inline && rec->content.size == size);
    return 0;
}

int content_move_out(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                     uint64_t from, uint64_t to)
{
    assert(rec->is_inline && from <= to);
    struct slice old = rec->content;
    size_t head = old.size < from ? old.size : (size_t)from;
    int rc = tail_settle(ns, inode);
    if (rc)
        return rc;
    rec->is_inline = false;
    rec->content = slice_of(NULL, 0);
    rec->data_bytes = 0;
    rc = extents_put(op, rec, 0, slice_of(old.data, head));
    if (!rc && to < old.size)
        rc = extents_put(op, rec, to, slice_of(old.data + to, old.size - (size_t)to));
    assert(rec->data_bytes <= old.size);
    return rc;
}

// ------------------------------------------------------------------------------- ranges

// Takes [from, to) out of the file's ranges of one type, KEY_LOST or KEY_UNWRITTEN, with a commit
// after each full batch. `list` is room for a batch of them.
static int drop_ranges(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                       enum pathkey_type type, uint64_t from, uint64_t to, struct extent_list *list)
    REQUIRES(inode_held)
{
    const uint64_t *left = type == KEY_LOST ? &rec->lost_bytes : &rec->unwritten_bytes;
    int rc = 0;
    while (!rc && *left) {
        rc = ranges_list(ns, NULL, type, rec->ino, from, to, RANGE_BATCH, list);
        if (!rc)
            rc = type == KEY_LOST ? lost_trim(op, rec, list, from, to)
                                  : unwritten_trim(op, rec, list, from, to);
        if (rc || list->count < RANGE_BATCH)
            break;
        rc = content_commit(ns, op, inode, rec);
    }
    return rc;
}

// What was lost of [from, to) is content or a hole from now on.
static int unlose(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  uint64_t from, uint64_t to) REQUIRES(inode_held)
{
    return drop_ranges(ns, op, inode, rec, KEY_LOST, from, to, &op->extents);
}

int content_unpromise(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                      uint64_t from, uint64_t to)
{
    return drop_ranges(ns, op, inode, rec, KEY_UNWRITTEN, from, to, &op->unwritten);
}

// ------------------------------------------------------------------------------- size

static int shrink(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  uint64_t size) REQUIRES(inode_held)
{
    size_t most = (size_t)ns->cut_extents + 1;
    int rc = content_unpromise(ns, op, inode, rec, size, UINT64_MAX);
    if (!rc)
        rc = unlose(ns, op, inode, rec, size, UINT64_MAX);
    if (!rc)
        rc = extents_list(ns, rec->ino, size, rec->size, most, &op->extents);
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

int content_resize(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                   uint64_t size)
{
    if (size > (uint64_t)NS_FILE_MAX)
        return -EFBIG;
    if (inode_content_is_gone(inode))
        return -ESTALE;
    if (size == rec->size)
        return content_unpromise(ns, op, inode, rec, size, UINT64_MAX);
    fragments_changed(ns->fragments, inode->ino, 0, UINT64_MAX);
    bool loses = !op->is_zeroed && lost_before(inode, rec, size);
    if (rec->is_inline && (size <= rec->size || (size <= ns->inline_max && !loses)))
        return content_edit_inline(op, rec, (size_t)size);
    if (size < rec->size)
        return shrink(ns, op, inode, rec, size);
    int rc = rec->is_inline ? content_move_out(ns, op, inode, rec, rec->size, rec->size)
                            : tail_settle(ns, inode);
    if (!rc && loses)
        rc = lost_grow(ns, op, inode, rec, size);
    rec->size = size; // a hole
    return rc;
}

// ------------------------------------------------------------------------------- zeroes

static int zero_inline(struct op *op, struct record *rec, uint64_t from, uint64_t to)
{
    int rc = content_edit_inline(op, rec, (size_t)rec->size);
    if (!rc)
        memset(op->content.data + from, 0, (size_t)(to - from));
    return rc;
}

int content_zero(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to)
{
    int rc = 0;
    to = to < rec->size ? to : rec->size;
    if (from >= to)
        return 0;
    fragments_changed(ns->fragments, inode->ino, from, to);
    if (rec->is_inline)
        return zero_inline(op, rec, from, to);
    rc = unlose(ns, op, inode, rec, from, to);
    while (!rc && from < to) {
        uint64_t end = to;
        rc = extents_list(ns, rec->ino, from, to, ZERO_BATCH_EXTENTS, &op->extents);
        if (!rc && op->extents.count == ZERO_BATCH_EXTENTS) {
            struct extent last = op->extents.at[op->extents.count - 1];
            end = last.start + last.size < to ? last.start + last.size : to;
        }
        if (!rc)
            rc = extents_trim(op, rec, from, end);
        if (!rc && end < to)
            rc = content_commit(ns, op, inode, rec);
        from = end;
    }
    return rc;
}

// ------------------------------------------------------------------------------- promises

// Up to where the list is complete: `to`, or, for a list that is full, the end of its last range.
static uint64_t known_end(const struct extent_list *list, uint64_t to)
{
    if (list->count < RANGE_BATCH)
        return to;
    struct extent last = list->at[list->count - 1];
    return last.start + last.size < to ? last.start + last.size : to;
}

// The next range in two ascending lists whose ranges do not overlap; NULL: there are no more.
static const struct extent *next_of(const struct extent_list *a, const struct extent_list *b,
                                    size_t *i, size_t *k)
{
    if (*k >= b->count || (*i < a->count && a->at[*i].start < b->at[*k].start))
        return *i < a->count ? &a->at[(*i)++] : NULL;
    return &b->at[(*k)++];
}

static int put_gap(struct op *op, struct record *rec, enum content_gap kind, uint64_t start,
                   uint64_t size)
{
    return kind == GAP_LOST ? lost_put(op, rec, start, size) : unwritten_put(op, rec, start, size);
}

// Finds the gaps in [from, to) between the ranges in op's lists, and adds their sizes to
// *ret_bytes. The lists may end earlier: *ret_end is up to where they tell.
static int gaps_batch(struct op *op, struct record *rec, uint64_t from, uint64_t to,
                      enum content_gap kind, bool fill, uint64_t *ret_bytes, uint64_t *ret_end)
{
    uint64_t end = known_end(&op->unwritten, known_end(&op->extents, to));
    size_t i = 0, k = 0;
    int rc = 0;
    while (from < end && !rc) {
        const struct extent *next = next_of(&op->extents, &op->unwritten, &i, &k);
        uint64_t stop = next && next->start < end ? next->start : end;
        if (stop > from) {
            *ret_bytes += stop - from;
            rc = fill ? put_gap(op, rec, kind, from, stop - from) : 0;
        }
        from = next && stop < end ? next->start + next->size : end;
    }
    *ret_end = from;
    return rc;
}

int content_gaps(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to, enum content_gap kind, bool fill, uint64_t *ret_bytes)
{
    enum pathkey_type type = kind == GAP_LOST ? KEY_LOST : KEY_UNWRITTEN;
    int rc = 0;
    *ret_bytes = 0;
    while (from < to && !rc) {
        rc = extents_list(ns, rec->ino, from, to, RANGE_BATCH, &op->extents);
        if (!rc)
            rc = ranges_list(ns, NULL, type, rec->ino, from, to, RANGE_BATCH, &op->unwritten);
        if (!rc)
            rc = gaps_batch(op, rec, from, to, kind, fill, ret_bytes, &from);
        if (!rc && fill && from < to)
            rc = content_commit(ns, op, inode, rec);
    }
    return rc;
}

int content_promise(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                    uint64_t from, uint64_t to, uint64_t *ret_promised)
{
    uint64_t bytes = 0;
    *ret_promised = 0;
    if (rec->is_inline && to <= rec->size)
        return 0;
    int rc = rec->is_inline ? content_move_out(ns, op, inode, rec, rec->size, rec->size)
                            : tail_settle(ns, inode);
    if (!rc) // the keys are looked at in the store
        rc = content_commit(ns, op, inode, rec);
    from -= from % PROMISE_UNIT;
    to = (to + PROMISE_UNIT - 1) / PROMISE_UNIT * PROMISE_UNIT;
    if (to > (uint64_t)NS_FILE_MAX)
        to = (uint64_t)NS_FILE_MAX;
    if (!rc)
        rc = content_gaps(ns, op, inode, rec, from, to, GAP_PROMISED, false, &bytes);
    if (!rc && bytes)
        rc = promise_begin(ns, bytes);
    if (rc || !bytes)
        return rc;
    *ret_promised = bytes;
    return content_gaps(ns, op, inode, rec, from, to, GAP_PROMISED, true, &bytes);
}

int content_is_promised(struct ns *ns, struct op *op, const struct record *rec, uint64_t from,
                        uint64_t to, bool *ret_promised)
{
    *ret_promised = false;
    if (!rec->unwritten_bytes)
        return 0;
    int rc = unwritten_list(ns, rec->ino, from, to, RANGE_BATCH, &op->unwritten);
    for (size_t i = 0; i < op->unwritten.count && op->unwritten.at[i].start <= from; i++)
        from = op->unwritten.at[i].start + op->unwritten.at[i].size;
    *ret_promised = !rc && from >= to;
    return rc;
}

// ------------------------------------------------------------------------------- removal

int content_remove(struct ns *ns, struct op *op, const struct record *rec, bool *ret_done)
{
    *ret_done = false;
    if (rec->data_bytes > REMOVE_AT_ONCE_BYTES)
        return 0;
    if (rec->unwritten_bytes) {
        unsigned count;
        uint64_t bytes;
        int taken = unwritten_take(ns, op->batch, rec->ino, REMOVE_AT_ONCE_EXTENTS, &count, &bytes);
        op->unwritten_change -= (int64_t)bytes;
        if (taken || count == REMOVE_AT_ONCE_EXTENTS) // a full list may not show all extents
            return taken;
    }
    if (rec->lost_bytes) {
        unsigned count;
        uint64_t bytes;
        int taken =
            ranges_take(ns, op->batch, KEY_LOST, rec->ino, REMOVE_AT_ONCE_EXTENTS, &count, &bytes);
        if (taken || count == REMOVE_AT_ONCE_EXTENTS)
            return taken;
    }
    *ret_done = rec->data_bytes == 0;
    if (*ret_done)
        return 0;
    int rc = extents_list(ns, rec->ino, 0, UINT64_MAX, REMOVE_AT_ONCE_EXTENTS, &op->extents);
    if (rc || op->extents.count == REMOVE_AT_ONCE_EXTENTS)
        return rc;
    for (size_t i = 0; i < op->extents.count && !rc; i++) {
        struct pathkey key;
        pathkey_extent(&key, rec->ino, op->extents.at[i].start);
        rc = op_delete(op, &key);
    }
    *ret_done = !rc;
    return rc;
}
