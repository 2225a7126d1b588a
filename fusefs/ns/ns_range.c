// Operations on ranges of a file: fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range.
//
// Space is not reserved ahead: fallocate's plain mode only extends the size. Long ranges are worked
// off in batches of bounded size; a crash may leave the first part of them done, as POSIX allows
// for these calls.
//
// Locks: the changed inode's, exclusively. What is only read, the source of a copy too, goes by a
// snapshot. Failure: what earlier batches did stays.
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "ns/filedata.h"
#include "ns/ns_internal.h"
#include "ns/tail.h"

#define PUNCH_BATCH_EXTENTS 1024u
#define COPY_BATCH_EXTENTS  512u
#define COPY_MAX_BYTES      (1u << 30) // of one call; the caller asks again for the rest

// Stores the record, commits, and loads it again for the next batch.
static int commit_record(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec)
{
    int rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc)
        op_stored(ns, inode);
    return rc;
}

// ------------------------------------------------------------------------------- fallocate

// Zeroes [from, to) of inline content.
static int punch_inline(struct op *op, struct record *rec, uint64_t from, uint64_t to)
{
    if (from >= rec->size)
        return 0;
    if (to > rec->size)
        to = rec->size;
    if (buf_assign(&op->content, rec->content.data, rec->content.size))
        return -ENOMEM;
    memset(op->content.data + from, 0, (size_t)(to - from));
    rec->content = buf_slice(&op->content);
    return 0;
}

static int punch(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                 uint64_t from, uint64_t to)
{
    if (rec->is_inline)
        return punch_inline(op, rec, from, to);
    if (to > rec->size)
        to = rec->size;
    int rc = 0;
    while (!rc && from < to) {
        uint64_t end = to;
        rc = extents_list(ns, rec->ino, from, to, PUNCH_BATCH_EXTENTS, &op->extents);
        if (!rc && op->extents.count == PUNCH_BATCH_EXTENTS) {
            struct extent last = op->extents.at[op->extents.count - 1];
            end = last.start + last.size < to ? last.start + last.size : to;
        }
        if (!rc)
            rc = extents_trim(op, rec, from, end);
        if (!rc && end < to)
            rc = commit_record(ns, op, inode, rec);
        from = end;
    }
    return rc;
}

static int fallocate_locked(struct ns *ns, struct op *op, struct ns_inode *inode, int mode,
                            uint64_t offset, uint64_t length, unsigned flags)
{
    struct record *rec = &op->rec[0].rec;
    if (filedata_is_gone(inode))
        return -ESTALE;
    int rc = op_load(ns, inode, &op->rec[0]);
    defrag_changed(ns->defrag, inode->ino, offset, offset + length);
    if (!rc && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        rc = punch(ns, op, inode, rec, offset, offset + length);
    if (!rc && !(mode & FALLOC_FL_KEEP_SIZE) && offset + length > rec->size)
        rc = filedata_resize(ns, op, inode, rec, offset + length);
    if (rc)
        return rc;
    ns_content_changed(op, rec, flags);
    return commit_record(ns, op, inode, rec);
}

int ns_fallocate_with(struct ns *ns, struct ns_inode *inode, int mode, uint64_t offset,
                      uint64_t length, unsigned flags, struct ns_attr *ret_attr)
{
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE) &&
        mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
        return -EOPNOTSUPP;
    if (inode_is_dir(inode))
        return -EISDIR;
    if (!inode_is_regular(inode))
        return -ENODEV;
    if (length == 0)
        return -EINVAL;
    if (length > (uint64_t)NS_FILE_MAX || offset > (uint64_t)NS_FILE_MAX - length)
        return -EFBIG;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_lock(&ns->table.locks, &lock, inode->ino, true);
    int rc = fallocate_locked(ns, op, inode, mode, offset, length, flags);
    inode_unlock(&ns->table.locks, &lock);
    if (!rc)
        ns_changed_attr(op, &op->rec[0].rec, ret_attr);
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- seek

// The first offset at or after `offset` that is data, or a hole. Extents that touch are one run.
static int64_t seek_extents(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                            const struct record *rec, uint64_t offset, bool want_data)
{
    uint64_t at = offset;
    for (;;) {
        int rc = extents_list_at(ns, snapshot, rec->ino, at, rec->size, 256, &op->extents);
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
        if (op->extents.count < 256 || at >= rec->size)
            return (int64_t)(at < rec->size ? at : rec->size);
    }
}

int64_t ns_seek(struct ns *ns, struct ns_inode *inode, uint64_t offset, int whence)
{
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return -EINVAL;
    if (!inode_is_regular(inode))
        return -EINVAL;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    const struct lsm_snapshot *snapshot;
    const struct record *rec = &op->rec[0].rec;
    int64_t rc = op_peek(ns, inode, &op->rec[0], &snapshot);
    if (!rc && filedata_is_gone(inode))
        rc = -ESTALE;
    if (!rc) {
        if (offset >= rec->size)
            rc = -ENXIO;
        else if (rec->is_inline)
            rc = (int64_t)(whence == SEEK_DATA ? offset : rec->size);
        else
            rc = seek_extents(ns, snapshot, op, rec, offset, whence == SEEK_DATA);
    }
    lsm_snapshot_free(ns->db, snapshot);
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- copy

struct copying {
    struct ns_inode *from, *to;
    const struct lsm_snapshot *snapshot; // of `from`
    uint64_t from_offset, to_offset, size;
    unsigned flags; // of enum ns_write_flags
};

// Adds to the batch the piece [start, start + size) of extent `e`, at `target`, cut on the grid.
static int copy_piece(struct op *op, const struct copying *c, struct extent e, uint64_t start,
                      uint64_t size, uint64_t target)
{
    struct pathkey key, source;
    int rc = 0;
    pathkey_extent(&source, c->from->ino, e.start);
    while (size && !rc) {
        uint64_t room = NS_EXTENT_MAX - target % NS_EXTENT_MAX;
        uint64_t n = size < room ? size : room;
        pathkey_extent(&key, c->to->ino, target);
        rc = ns_err(lsm_batch_put_slice_at(op->batch, key.data, key.size, c->snapshot, source.data,
                                           source.size, start - e.start, n));
        start += n;
        target += n;
        size -= n;
    }
    return rc;
}

// The extents in [from, from + *size), at most a batch's worth: then *size ends with the last.
static int list_batch(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino,
                      uint64_t from, uint64_t *size, struct extent_list *list)
{
    int rc = extents_list_at(ns, snapshot, ino, from, from + *size, COPY_BATCH_EXTENTS, list);
    if (rc || list->count < COPY_BATCH_EXTENTS)
        return rc;
    struct extent last = list->at[list->count - 1];
    uint64_t covered = last.start + last.size - from;
    *size = covered < *size ? covered : *size;
    return 0;
}

// One batch's worth between two files that both have extents; c->size becomes what it covers.
static int copy_shared(struct ns *ns, struct op *op, struct copying *c, struct record *to)
{
    int rc = list_batch(ns, c->snapshot, c->from->ino, c->from_offset, &c->size, &op->source);
    if (!rc)
        rc = list_batch(ns, NULL, to->ino, c->to_offset, &c->size, &op->extents);
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

// The target of a shared copy must have extents: its inline content becomes one.
static int move_out(struct op *op, struct record *rec)
{
    struct slice old = rec->content;
    if (!rec->is_inline)
        return 0;
    rec->is_inline = false;
    rec->content = slice_of(NULL, 0);
    rec->data_bytes = 0;
    return extents_put(op, rec, 0, old);
}

static int copy_batch(struct ns *ns, struct op *op, struct copying *c)
{
    struct record *to = &op->rec[1].rec;
    int rc = op_load(ns, c->to, &op->rec[1]);
    if (!rc)
        rc = tail_settle(ns, c->to);
    if (!rc && to->is_inline) {
        rc = move_out(op, to);
        if (!rc)
            rc = commit_record(ns, op, c->to, to);
    }
    if (!rc)
        rc = copy_shared(ns, op, c, to);
    if (rc)
        return rc;
    if (c->to_offset + c->size > to->size)
        to->size = c->to_offset + c->size;
    ns_content_changed(op, to, c->flags);
    return commit_record(ns, op, c->to, to);
}

// op->rec[0] is the source as of the snapshot; the target is locked.
static ssize_t copy_locked(struct ns *ns, struct op *op, struct copying *c, bool *ret_plain)
{
    const struct record *from = &op->rec[0].rec;
    if (filedata_is_gone(c->to))
        return -ESTALE;
    if (c->from_offset >= from->size)
        return 0;
    int rc = 0;
    uint64_t left = from->size - c->from_offset;
    left = left < c->size ? left : c->size;
    left = left < COPY_MAX_BYTES ? left : COPY_MAX_BYTES;
    if (c->from == c->to && c->from_offset < c->to_offset + left &&
        c->to_offset < c->from_offset + left)
        return -EINVAL;
    *ret_plain = from->is_inline;
    if (*ret_plain)
        return (ssize_t)left;
    uint64_t done = 0;
    defrag_changed(ns->defrag, c->to->ino, c->to_offset, c->to_offset + left);
    while (done < left && !rc) {
        c->size = left - done;
        rc = copy_batch(ns, op, c);
        if (rc)
            break;
        done += c->size;
        c->from_offset += c->size;
        c->to_offset += c->size;
    }
    return done ? (ssize_t)done : rc;
}

// A short source is read and written as any other data.
static ssize_t copy_plain(struct ns *ns, const struct copying *c, size_t size,
                          struct ns_attr *ret_attr)
{
    struct buf bytes = {0};
    if (buf_reserve(&bytes, size))
        return -ENOMEM;
    ssize_t n = ns_read(ns, c->from, bytes.data, size, c->from_offset);
    if (n > 0)
        n = ns_write(ns, c->to, bytes.data, (size_t)n, c->to_offset, c->flags, ret_attr);
    buf_release(&bytes);
    return n;
}

ssize_t ns_copy_range_with(struct ns *ns, struct ns_inode *from, uint64_t from_offset,
                           struct ns_inode *to, uint64_t to_offset, uint64_t size, unsigned flags,
                           struct ns_attr *ret_attr)
{
    if (inode_is_dir(from) || inode_is_dir(to))
        return -EISDIR;
    if (!inode_is_regular(from) || !inode_is_regular(to))
        return -EINVAL;
    if (size > (uint64_t)NS_FILE_MAX)
        size = (uint64_t)NS_FILE_MAX;
    if (to_offset > (uint64_t)NS_FILE_MAX - size)
        return -EFBIG;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct copying c = {from, to, NULL, from_offset, to_offset, size, flags};
    struct inode_lock lock;
    bool plain = false;
    ssize_t rc = op_peek(ns, from, &op->rec[0], &c.snapshot);
    inode_lock(&ns->table.locks, &lock, to->ino, true);
    if (!rc)
        rc = filedata_is_gone(from) ? -ESTALE : copy_locked(ns, op, &c, &plain);
    inode_unlock(&ns->table.locks, &lock);
    lsm_snapshot_free(ns->db, c.snapshot);
    if (rc > 0 && !plain)
        ns_changed_attr(op, &op->rec[1].rec, ret_attr);
    op_end(ns, op);
    return rc > 0 && plain ? copy_plain(ns, &c, (size_t)rc, ret_attr) : rc;
}
