// Reading and writing files: ns_read, ns_write, ns_readlink.
//
// A read goes from the extents' values straight into the caller's buffer; what no extent covers is
// zeroed. A write is one batch: content (content.h) and the record with size and times. (If a
// snapshot comes in between, the record is stored once more.)
//
// Locks: writes take the inode's exclusively; reads go by a snapshot, without any: nobody who
// changes the file waits for a read from disk, and a read sees the whole of a write or nothing of
// it. A write waits for the engine's log (in a cluster) without the lock, so those of one file wait
// together. Failure: a write that fails has changed nothing; but if the log fails, what was written
// can be seen until the store is opened again, and changes nothing any more.
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "ns/content/content.h"
#include "ns/content/fragments.h"
#include "ns/content/lost.h"
#include "ns/operation/ns_internal.h"

#define PROMISE_WAIT_US  5000000
#define PROMISE_RETRY_US 10000
#define SYNCED_OFTEN     16u // short writes between two fsyncs, at most

// ------------------------------------------------------------------------------- reading

// -EIO if some of [offset, offset + size) is lost, either in the store or by the note. op->file is
// the file's record as of the snapshot.
static int check_lost(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
                      struct lost_note note, uint64_t offset, size_t size)
{
    const struct record *rec = &op->file.rec;
    uint64_t end = size < UINT64_MAX - offset ? offset + size : UINT64_MAX;
    if (rec->lost_bytes) {
        int rc = lost_list(ns, snapshot, rec->ino, offset, end, 1, &op->lost);
        if (rc || op->lost.count)
            return rc ? rc : -EIO;
    }
    uint64_t from = lost_note_from(note, rec->size), to = note.to < end ? note.to : end;
    from = from > offset ? from : offset;
    if (from >= to)
        return 0;
    if (from >= rec->size)
        return -EIO;
    int64_t hole =
        content_seek(ns, snapshot, op, rec, from, false); // a hole here is an unsaved loss
    return hole < 0 ? (int)hole : (uint64_t)hole < to ? -EIO : 0;
}

// With `at_end` lost bytes are read as zeros, provided that the range reaches the end of the file,
// and of what is noted as lost behind it.
static ssize_t read_at(struct ns *ns, struct ns_inode *inode, void *data, size_t size,
                       uint64_t offset, enum ns_access access, bool at_end)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    const struct lsm_snapshot *snapshot;
    const struct record *rec = &op->file.rec;
    struct lost_note note = lost_note_get(inode);
    ssize_t n = op_peek(ns, inode, &op->file, &snapshot);
    if (!n && inode_content_is_gone(inode))
        n = -ESTALE;
    if (!n && !(at_end && offset + size >= rec->size && offset + size >= note.to))
        n = check_lost(ns, snapshot, op, note, offset, size);
    if (!n)
        n = content_read(ns, snapshot, rec, data, size, offset);
    ns_moment_end(ns, snapshot);
    if (n >= 0)
        ns_note_access(ns, inode, rec, access);
    op_end(ns, op);
    return n;
}

ssize_t ns_read_with(struct ns *ns, struct ns_inode *inode, void *data, size_t size,
                     uint64_t offset, enum ns_access access)
{
    if (inode_is_dir(inode))
        return -EISDIR;
    if (!inode_is_regular(inode))
        return -EINVAL;
    return read_at(ns, inode, data, size < SSIZE_MAX ? size : SSIZE_MAX, offset, access, false);
}

ssize_t ns_read_end(struct ns *ns, struct ns_inode *inode, void *data, size_t size, uint64_t offset)
{
    if (!inode_is_regular(inode) || size > (uint64_t)NS_FILE_MAX ||
        offset > (uint64_t)NS_FILE_MAX - size)
        return -EINVAL;
    return read_at(ns, inode, data, size, offset, NS_ACCESS_IGNORED, true);
}

ssize_t ns_readlink_with(struct ns *ns, struct ns_inode *inode, char *target, size_t size,
                         enum ns_access access)
{
    if (!S_ISLNK(inode->type))
        return -EINVAL;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    ssize_t rc = op_peek(ns, inode, &op->file, NULL);
    if (!rc) {
        struct slice content = op->file.rec.content;
        if (content.size > size)
            rc = -ERANGE;
        else if (content.size)
            memcpy(target, content.data, content.size);
        if (!rc) {
            ns_note_access(ns, inode, &op->file.rec, access);
            rc = (ssize_t)content.size;
        }
    }
    op_end(ns, op);
    return rc;
}

// ------------------------------------------------------------------------------- writing

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Whether a write has changed the record, so that it has to be stored (if no snapshot was taken
// since it was stored last). It has not if existing bytes are overwritten and the kernel sends the
// times.
static bool record_differs(const struct record *a, const struct record *b)
{
    return b->is_inline || a->is_inline || a->size != b->size || a->data_bytes != b->data_bytes ||
           a->unwritten_bytes != b->unwritten_bytes || a->lost_bytes != b->lost_bytes ||
           a->mode != b->mode || a->has_xattrs != b->has_xattrs || !same_time(a->mtime, b->mtime) ||
           !same_time(a->ctime, b->ctime);
}

// Notes a short write. True if the file has been synced after every few of them lately: then the
// engine had better keep the data in its log, where one flush of the disk makes it durable.
static bool note_short_write(struct ns_inode *inode)
{
    uint16_t n = atomic_load_explicit(&inode->unsynced, memory_order_relaxed);
    if (n < UINT16_MAX)
        atomic_store_explicit(&inode->unsynced, (uint16_t)(n + 1), memory_order_relaxed);
    return n < SYNCED_OFTEN && atomic_load_explicit(&inode->synced_often, memory_order_relaxed);
}

void ns_fsync_begins(struct ns_inode *inode)
{
    uint16_t n = atomic_exchange_explicit(&inode->unsynced, 0, memory_order_relaxed);
    if (n)
        atomic_store_explicit(&inode->synced_often, n <= SYNCED_OFTEN, memory_order_relaxed);
}

// Whether to refuse a late write because something before it has just been lost (NS_WRITE_LATE). A
// write into promised space is not refused.
static bool is_refused(struct ns_inode *inode, const struct op *op, uint64_t offset, unsigned flags)
{
    return flags & NS_WRITE_LATE && !op->frees_space && lost_note_just_before(inode, offset);
}

// Commits the write, with the record if that has to be stored. A diff finds changed content by the
// file's record; so the first write after a snapshot stores the record even if it is unchanged.
static int commit_content(struct ns *ns, struct op *op, struct ns_inode *inode,
                          const struct record *before) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec;
    uint64_t taken = lsm_snapshots_enter(ns->db);
    bool store = inode_location(inode) == AT_NONE || inode->stored_at != taken ||
                 record_differs(before, rec);
    int rc = store ? op_store(op, inode, rec) : 0;
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc && store) {
        op_stored(ns, inode);
        inode->stored_at = taken;
    } else if (!rc && lsm_snapshots_taken(ns->db) != taken && op_store(op, inode, rec) == 0) {
        // A snapshot was taken meanwhile: without a newer record a diff would not find the content.
        // The write itself has succeeded.
        (void)op_commit(ns, op);
    }
    lsm_snapshots_leave(ns->db, taken);
    return rc;
}

static int write_locked(struct ns *ns, struct op *op, struct ns_inode *inode, struct slice data,
                        uint64_t offset, unsigned flags) REQUIRES(inode_held)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    if (inode_content_is_gone(inode))
        return -ESTALE;
    int rc = op_load(ns, inode, &op->file);
    if (rc)
        return rc;
    struct record *rec = &op->file.rec;
    if ((rec->flags & NS_IMMUTABLE && !(flags & NS_WRITE_EARLIER)) ||
        (rec->flags & NS_APPEND && flags & NS_WRITE_UNOPENED))
        return -EPERM;
    if (is_refused(inode, op, offset, flags))
        return -ENOSPC;
    const struct record before = *rec;
    rc = content_write(ns, op, inode, rec, data, offset);
    if (rc)
        return rc;
    ns_content_changed(op, rec, flags);
    rc = commit_content(ns, op, inode, &before);
    if (rc)
        return rc;
    lost_note_stored(inode, rec->size);
    if (data.size < CONTENT_SHORT_WRITE && !rec->is_inline)
        fragments_note(ns->fragments, inode, 1);
    return 0;
}

// Tries to write once. With `on_promise` the write may use the engine's reserve.
static int write_once(struct ns *ns, struct ns_inode *inode, struct slice data, uint64_t offset,
                      unsigned flags, bool on_promise, struct ns_attr *ret_attr)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    op->sync_soon = data.size < CONTENT_SHORT_WRITE && note_short_write(inode);
    op->frees_space = on_promise;
    op->ends_later = true;
    // Staged bytes are written without the reserve.
    int rc = is_refused(inode, op, offset, flags) ? -ENOSPC : 0;
    if (!rc && !on_promise)
        rc = content_stage(ns, op, inode->ino, data, offset);
    inode_hold(&ns->table.locks, &lock, inode->ino);
    if (!rc)
        rc = write_locked(ns, op, inode, data, offset, flags);
    inode_release(&ns->table.locks, &lock);
    int ended = op_commit_end(ns, op);
    rc = rc ? rc : ended;
    if (!rc)
        ns_changed_attr(op, &op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}

// *ret_promised: the whole range is promised space.
static int look_at_promise(struct ns *ns, struct ns_inode *inode, uint64_t offset, size_t size,
                           bool *ret_promised)
{
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    inode_share(&ns->table.locks, &lock, inode->ino);
    int rc = op_load(ns, inode, &op->file);
    if (!rc)
        rc = content_is_promised(ns, op, &op->file.rec, offset, offset + size, ret_promised);
    inode_unshare(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}

// For a write that has met a full disk: if its range is promised, gives space back to the disk that
// was held for promises, and tries the write again. Jobs of the engine may take that space for a
// moment, so it tries for a while.
static int write_promised(struct ns *ns, struct ns_inode *inode, struct slice data, uint64_t offset,
                          unsigned flags, struct ns_attr *ret_attr)
{
    bool promised = false;
    int rc = look_at_promise(ns, inode, offset, data.size, &promised);
    if (rc || !promised)
        return rc ? rc : -ENOSPC;
    assert(data.size > 0);
    uint64_t give_up_us = clock_us() + PROMISE_WAIT_US;
    promise_spend(ns, data.size);
    while ((rc = write_once(ns, inode, data, offset, flags, true, ret_attr)) == -ENOSPC &&
           clock_us() < give_up_us)
        usleep(PROMISE_RETRY_US);
    promise_spent(ns, data.size);
    return rc;
}

ssize_t ns_write(struct ns *ns, struct ns_inode *inode, const void *data, size_t size,
                 uint64_t offset, unsigned flags, struct ns_attr *ret_attr)
{
    if (inode_is_dir(inode))
        return -EISDIR;
    if (!inode_is_regular(inode))
        return -EINVAL;
    if (size > (uint64_t)NS_FILE_MAX || offset > (uint64_t)NS_FILE_MAX - size)
        return -EFBIG;
    if (size == 0)
        return ret_attr ? ns_getattr(ns, inode, ret_attr) : 0;
    struct slice bytes = slice_of(data, size);
    int rc = write_once(ns, inode, bytes, offset, flags, false, ret_attr);
    if (rc == -ENOSPC)
        rc = write_promised(ns, inode, bytes, offset, flags, ret_attr);
    return rc ? rc : (ssize_t)size;
}
