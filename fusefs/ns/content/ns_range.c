// Operations on ranges of a file: fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range.
//
// fallocate promises space (promise.h), durably, for what the range does not store yet. Long ranges
// are worked off in batches of bounded size; a crash may leave the first part of them done, as
// POSIX allows for these calls.
//
// Locks: the changed inode's, exclusively. What is only read, the source of a copy too, goes by a
// snapshot. Failure: what earlier batches did stays.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "ns/content/content.h"
#include "ns/content/lost.h"
#include "ns/operation/ns_internal.h"

#define COPY_MAX_BYTES (1u << 30) // in one call; the caller asks again for the rest

// ------------------------------------------------------------------------------- fallocate

// The size that the call leaves the file with.
static uint64_t size_after(const struct record *rec, int mode, uint64_t end)
{
    return mode & FALLOC_FL_KEEP_SIZE || end < rec->size ? rec->size : end;
}

// *ret_promised says how much was promised, also on failure.
static int change_range(struct ns *ns, struct op *op, struct ns_inode *inode, int mode,
                        uint64_t offset, uint64_t end, uint64_t *ret_promised) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    uint64_t size = size_after(rec, mode, end);
    int rc = 0;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        rc = content_unpromise(ns, op, inode, rec, offset, end);
    if (!rc && mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE))
        rc = content_zero(ns, op, inode, rec, offset, end);
    bool short_enough = rec->is_inline && end <= size && size <= ns->inline_max;
    // Inline content is stored as a whole and needs no promise.
    if (!rc && !(mode & FALLOC_FL_PUNCH_HOLE) && !short_enough)
        rc = content_promise(ns, op, inode, rec, offset, end, ret_promised);
    if (!rc && mode & FALLOC_FL_ZERO_RANGE && rec->size < size) {
        if (rec->size < offset) // between the old end and `offset` losses stay lost
            rc = content_resize(ns, op, inode, rec, offset);
        op->is_zeroed = true;
    }
    return rc || size == rec->size ? rc : content_resize(ns, op, inode, rec, size);
}

static int fallocate_locked(struct ns *ns, struct op *op, struct ns_inode *inode, int mode,
                            uint64_t offset, uint64_t length, unsigned flags) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    uint64_t promised = 0;
    assert(length > 0 && length <= (uint64_t)NS_FILE_MAX - offset);
    if (inode_content_is_gone(inode))
        return -ESTALE;
    int rc = op_load(ns, inode, &op->file);
    if (!rc &&
        (rec->flags & NS_IMMUTABLE || (rec->flags & NS_APPEND && mode & ~FALLOC_FL_KEEP_SIZE)))
        rc = -EPERM;
    op->frees_space = mode & FALLOC_FL_PUNCH_HOLE;
    if (!rc)
        rc = change_range(ns, op, inode, mode, offset, offset + length, &promised);
    if (!rc) {
        ns_content_changed(op, rec, flags);
        rc = content_commit(ns, op, inode, rec);
    }
    if (promised)
        promise_end(ns, promised);
    return rc;
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
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int rc = fallocate_locked(ns, op, inode, mode, offset, length, flags);
    inode_release(&ns->table.locks, &lock);
    if (!rc)
        ns_changed_attr(op, &op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- seek

// Finds data or a hole; what is noted as lost in memory counts as data.
static int64_t seek_with(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                         struct lost_note note, uint64_t offset, bool want_data)
{
    const struct record *rec = &op->file.rec;
    uint64_t from = lost_note_from(note, rec->size), to = note.to;
    int64_t at = offset < rec->size ? content_seek(ns, snapshot, op, rec, offset, want_data)
                 : want_data || offset >= to ? -ENXIO
                                             : (int64_t)offset;
    if (from >= to || offset >= to || (at < 0 && at != -ENXIO))
        return at;
    if (!want_data)
        return (uint64_t)at >= from && (uint64_t)at < to ? (int64_t)to : at;
    from = from > offset ? from : offset;
    return at < 0 || from < (uint64_t)at ? (int64_t)from : at;
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
    struct lost_note note = lost_note_get(inode);
    int64_t rc = op_peek(ns, inode, &op->file, &snapshot);
    if (!rc && inode_content_is_gone(inode))
        rc = -ESTALE;
    if (!rc)
        rc = seek_with(ns, snapshot, op, note, offset, whence == SEEK_DATA);
    ns_moment_end(ns, snapshot);
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- copy

static int copy_batch(struct ns *ns, struct op *op, struct content_copy *c, unsigned flags)
    REQUIRES(inode_held)
{
    struct record *to = &op->target_file.rec;
    int rc = op_load(ns, c->to, &op->target_file);
    if (!rc && to->flags & NS_IMMUTABLE)
        rc = -EPERM;
    if (!rc)
        rc = content_copy(ns, op, c, to);
    if (rc)
        return rc;
    ns_content_changed(op, to, flags);
    return content_commit(ns, op, c->to, to);
}

// Shortens *size so that nothing of it is lost in the source. -EIO: the first byte is lost.
static int copy_until_lost(struct ns *source, struct op *op, const struct content_copy *c,
                           struct lost_note note, uint64_t *size)
{
    const struct record *from = &op->file.rec;
    uint64_t end = c->from_offset + *size,
             lost = note.unsaved && note.to > c->from_offset ? note.from : UINT64_MAX;
    if (from->lost_bytes) {
        int rc = lost_list(source, c->snapshot, from->ino, c->from_offset, end, 1, &op->lost);
        if (rc)
            return rc;
        if (op->lost.count && op->lost.at[0].start < lost)
            lost = op->lost.at[0].start;
    }
    if (lost <= c->from_offset)
        return -EIO;
    *size = (lost < end ? lost : end) - c->from_offset;
    return 0;
}

// op->file is the source as of the snapshot; the target is locked.
static ssize_t copy_locked(struct ns *ns, struct ns *source, struct op *op, struct content_copy *c,
                           struct lost_note note, unsigned flags, bool *ret_plain)
    REQUIRES(inode_held)
{
    const struct record *from = &op->file.rec;
    if (inode_content_is_gone(c->to))
        return -ESTALE;
    if (c->from_offset >= from->size)
        return lost_note_from(note, from->size) <= c->from_offset && c->from_offset < note.to ? -EIO
                                                                                              : 0;
    uint64_t left = from->size - c->from_offset;
    left = left < c->size ? left : c->size;
    left = left < COPY_MAX_BYTES ? left : COPY_MAX_BYTES;
    int rc = copy_until_lost(source, op, c, note, &left);
    if (rc)
        return rc;
    if (c->from == c->to && c->from_offset < c->to_offset + left &&
        c->to_offset < c->from_offset + left)
        return -EINVAL;
    *ret_plain = from->is_inline;
    if (*ret_plain)
        return (ssize_t)left;
    uint64_t done = 0;
    while (done < left && !rc) {
        c->size = left - done;
        rc = copy_batch(ns, op, c, flags);
        if (rc)
            break;
        assert(c->size > 0 && c->size <= left - done);
        done += c->size;
        c->from_offset += c->size;
        c->to_offset += c->size;
    }
    return done ? (ssize_t)done : rc;
}

// Copies from a source whose content is inline, by reading and writing.
static ssize_t copy_plain(struct ns *ns, struct ns *source, const struct content_copy *c,
                          size_t size, unsigned flags, struct ns_attr *ret_attr)
{
    struct buf bytes = {0};
    if (buf_reserve(&bytes, size))
        return -ENOMEM;
    ssize_t n = ns_read(source, c->from, bytes.data, size, c->from_offset);
    if (n > 0)
        n = ns_write(ns, c->to, bytes.data, (size_t)n, c->to_offset, flags, ret_attr);
    buf_release(&bytes);
    return n;
}

ssize_t ns_copy_range_from(struct ns *ns, struct ns *source, struct ns_inode *from,
                           uint64_t from_offset, struct ns_inode *to, uint64_t to_offset,
                           uint64_t size, unsigned flags, struct ns_attr *ret_attr)
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
    struct content_copy c = {from, to, NULL, from_offset, to_offset, size};
    struct inode_lock lock;
    bool plain = false;
    struct lost_note note = lost_note_get(from);
    ssize_t rc = op_peek(source, from, &op->file, &c.snapshot);
    inode_hold(&ns->table.locks, &lock, to->ino);
    if (!rc)
        rc = inode_content_is_gone(from) ? -ESTALE
                                         : copy_locked(ns, source, op, &c, note, flags, &plain);
    inode_release(&ns->table.locks, &lock);
    ns_moment_end(source, c.snapshot);
    if (rc > 0 && !plain)
        ns_changed_attr(op, &op->target_file.rec, ret_attr);
    op_end(ns, op);
    return rc > 0 && plain ? copy_plain(ns, source, &c, (size_t)rc, flags, ret_attr) : rc;
}
