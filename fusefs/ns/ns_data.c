// Reading and writing file content.
//
// A read goes from the extents' values straight into the caller's buffer; what no extent covers is
// zeroed. A write is one batch: extents under it trimmed, new ones added, the record with size
// and times. Inline content is rewritten with the record while it stays short, and moves out to
// extents when it grows past inline_max.
//
// A small extent that ends exactly where a write begins is merged into it, so that a file built of
// many small appends does not end up as as many extents; this copies less than APPEND_MERGE_MAX
// bytes a write.
//
// Locks: writes take the inode's exclusively; reads go by a snapshot, without any: nobody who
// changes the file waits for a read from disk, and a read sees the whole of a write or nothing of
// it. Failure: a write that fails has changed nothing.
#include <errno.h>
#include <limits.h>

#include "ns/filedata.h"
#include "ns/ns_internal.h"
#include "ns/tail.h"

#define APPEND_MERGE_MAX 4096u
#define SHORT_PIECE      (64u << 10) // writes below this fragment a file
#define STAGE_MIN        4096u       // what is shorter is no blob
#define SYNCED_OFTEN     16u         // short writes between two fsyncs, at most

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
    int status = lsm_get_range(ns->db, &options, key.data, key.size, from - start, data,
                               (size_t)(to - from), ret_got, NULL);
    return status == LSM_NOT_FOUND ? 0 : ns_err(status);
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

static ssize_t read_record(struct ns *ns, const struct lsm_snapshot *snapshot,
                           const struct record *rec, uint8_t *data, size_t size, uint64_t offset)
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

ssize_t ns_read(struct ns *ns, struct ns_inode *inode, void *data, size_t size, uint64_t offset)
{
    if (inode_is_dir(inode))
        return -EISDIR;
    if (!inode_is_regular(inode))
        return -EINVAL;
    if (size > SSIZE_MAX)
        size = SSIZE_MAX;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    const struct lsm_snapshot *snapshot;
    ssize_t n = op_peek(ns, inode, &op->rec[0], &snapshot);
    if (!n)
        n = filedata_is_gone(inode)
                ? -ESTALE
                : read_record(ns, snapshot, &op->rec[0].rec, data, size, offset);
    lsm_snapshot_free(ns->db, snapshot);
    op_end(ns, op);
    return n;
}

// ------------------------------------------------------------------------------- writing

// The new inline content: old content, zeros up to the write, the write.
static int write_inline(struct op *op, struct record *rec, struct slice data, uint64_t offset)
{
    size_t end = (size_t)offset + data.size, old = rec->content.size;
    size_t size = end > old ? end : old;
    op->content.size = 0;
    if (buf_reserve(&op->content, size))
        return -ENOMEM;
    uint8_t *bytes = op->content.data;
    if (old)
        memcpy(bytes, rec->content.data, old);
    if (offset > old)
        memset(bytes + old, 0, (size_t)offset - old);
    memcpy(bytes + offset, data.data, data.size);
    op->content.size = size;
    rec->content = buf_slice(&op->content);
    rec->size = size;
    return 0;
}

// The extents of the write: staged ones, or of `data`.
static int put_data(struct op *op, struct record *rec, uint64_t offset, struct slice data)
{
    return lsm_batch_count(op->staged) ? extents_put_staged(op, rec, data.size)
                                       : extents_put(op, rec, offset, data);
}

// Inline content moves out: what the write leaves of it becomes extents, on both sides: it may be
// longer than inline_max, which another mount has set. A write that is not staged is joined with it
// to one piece of data where they touch.
static int write_move_out(struct op *op, struct record *rec, struct slice data, uint64_t offset)
{
    const bool is_staged = lsm_batch_count(op->staged) > 0;
    struct slice old = rec->content;
    uint64_t end = offset + data.size;
    size_t head = old.size < offset ? old.size : (size_t)offset;
    struct slice rest = slice_of(NULL, 0);
    if (end < old.size)
        rest = slice_of(old.data + end, old.size - (size_t)end);
    rec->is_inline = false;
    rec->content = slice_of(NULL, 0);
    rec->data_bytes = 0;
    if (!is_staged && old.size && old.size >= offset) {
        op->content.size = 0;
        if (buf_append(&op->content, old.data, head) ||
            buf_append(&op->content, data.data, data.size) ||
            buf_append(&op->content, rest.data, rest.size))
            return -ENOMEM;
        return extents_put(op, rec, 0, buf_slice(&op->content));
    }
    int rc = extents_put(op, rec, 0, slice_of(old.data, head));
    if (!rc)
        rc = put_data(op, rec, offset, data);
    return rc ? rc : extents_put(op, rec, end, rest);
}

// If a small extent ends at *offset, puts its bytes before the data: *data and *offset become the
// merged write. op->extents holds the extents from *offset - 1 on; one that only touches the write
// is taken off the list.
static int merge_before(struct ns *ns, struct op *op, struct record *rec, struct slice *data,
                        uint64_t *offset)
{
    uint64_t at = *offset;
    if (op->extents.count == 0)
        return 0;
    struct extent e = op->extents.at[0];
    if (e.start + e.size != at)
        return 0;
    if (e.size >= APPEND_MERGE_MAX || at % NS_EXTENT_MAX == 0 || lsm_batch_count(op->staged)) {
        op->extents.count--;
        memmove(op->extents.at, op->extents.at + 1, op->extents.count * sizeof(e));
        return 0;
    }
    size_t got;
    op->content.size = 0;
    if (buf_reserve(&op->content, (size_t)e.size + data->size))
        return -ENOMEM;
    int rc = read_extent(ns, NULL, rec->ino, e.start, op->content.data, e.start, at, &got);
    if (!rc && got != e.size)
        rc = -EIO;
    if (rc)
        return rc;
    memcpy(op->content.data + e.size, data->data, data->size);
    op->content.size = (size_t)e.size + data->size;
    *data = buf_slice(&op->content);
    *offset = e.start;
    return 0;
}

// Whether there is an extent of just that size: then the write replaces its value.
static int same_extent(struct ns *ns, uint64_t ino, uint64_t offset, size_t size, bool *ret_same)
{
    struct pathkey key;
    size_t got;
    uint64_t value_size = 0;
    pathkey_extent(&key, ino, offset);
    int status = lsm_get_range(ns->db, NULL, key.data, key.size, 0, NULL, 0, &got, &value_size);
    *ret_same = !status && value_size == size;
    return status == LSM_NOT_FOUND ? 0 : ns_err(status);
}

static int write_extents(struct ns *ns, struct op *op, struct record *rec, struct slice data,
                         uint64_t offset)
{
    uint64_t end = offset + data.size;
    int rc = 0;
    op->extents.count = 0;
    if (end <= rec->size && data.size < SHORT_PIECE) { // the page of a database, again
        bool same;
        rc = same_extent(ns, rec->ino, offset, data.size, &same);
        if (!rc && same)
            rec->data_bytes -= data.size;
        if (rc || same)
            return rc ? rc : put_data(op, rec, offset, data);
    }
    if (offset <= rec->size) // beyond the size there is nothing to trim or to join
        rc = extents_list(ns, rec->ino, offset ? offset - 1 : 0, end, SIZE_MAX, &op->extents);
    if (!rc)
        rc = merge_before(ns, op, rec, &data, &offset);
    if (!rc)
        rc = extents_trim(op, rec, offset, end);
    return rc ? rc : put_data(op, rec, offset, data);
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Whether the record has to be written back: not when cached pages are overwritten, whose times the
// kernel sends.
static bool record_differs(const struct record *a, const struct record *b)
{
    return b->is_inline || a->is_inline || a->size != b->size || a->data_bytes != b->data_bytes ||
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

static int write_locked(struct ns *ns, struct op *op, struct ns_inode *inode, struct slice data,
                        uint64_t offset, unsigned flags)
{
    if (filedata_is_gone(inode))
        return -ESTALE;
    int rc = op_load(ns, inode, &op->rec[0]);
    if (rc)
        return rc;
    struct record *rec = &op->rec[0].rec;
    const struct record before = *rec;
    uint64_t end = offset + data.size;
    bool stays_inline = rec->is_inline && end <= ns->inline_max && rec->size <= ns->inline_max;
    defrag_changed(ns->defrag, inode->ino, offset, end);
    if (!stays_inline && (rec->is_inline || end > rec->size))
        rc = tail_settle(ns, inode);
    if (!rc && stays_inline)
        rc = write_inline(op, rec, data, offset);
    else if (!rc && rec->is_inline)
        rc = write_move_out(op, rec, data, offset);
    else if (!rc)
        rc = write_extents(ns, op, rec, data, offset);
    if (rc)
        return rc;
    if (end > rec->size)
        rec->size = end;
    ns_content_changed(op, rec, flags);
    bool store = inode_location(inode) == AT_NONE || record_differs(&before, rec);
    if (store)
        rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (rc)
        return rc;
    if (store)
        op_stored(ns, inode);
    if (data.size < SHORT_PIECE && !rec->is_inline)
        defrag_note(ns->defrag, inode, 1);
    return 0;
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
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_lock lock;
    int rc = 0;
    op->sync_soon = size < SHORT_PIECE && note_short_write(inode);
    if (size >= STAGE_MIN && size > ns->inline_max && !op->sync_soon)
        rc = extents_stage(ns, op, inode->ino, offset, slice_of(data, size));
    inode_lock(&ns->table.locks, &lock, inode->ino, true);
    if (!rc)
        rc = write_locked(ns, op, inode, slice_of(data, size), offset, flags);
    inode_unlock(&ns->table.locks, &lock);
    if (!rc)
        ns_changed_attr(op, &op->rec[0].rec, ret_attr);
    op_end(ns, op);
    return rc ? rc : (ssize_t)size;
}
