// Reading and writing file content.
//
// A read copies from the extents' values straight into the caller's buffer; what no extent covers
// is zeroed. A write is one batch: extents under it trimmed, new ones added, the record with size
// and times. Inline content is rewritten with the record while it stays short, and moves out to
// extents when it grows past inline_max.
//
// A small extent that ends exactly where a write begins is merged into it, so that a file built of
// many small appends does not end up as as many extents; this copies less than APPEND_MERGE_MAX
// bytes a write.
//
// Locks: the inode's stripe, shared to read, exclusive to write.
// Failure: a write that fails has changed nothing.
#include <errno.h>
#include <limits.h>

#include "ns/filedata.h"
#include "ns/ns_internal.h"

#define APPEND_MERGE_MAX 4096u

// ------------------------------------------------------------------------------- reading

// Copies [from, from + size), which lies within one cell, by walking the cell's extents.
static int read_walk(struct ns *ns, uint64_t ino, uint8_t *data, uint64_t from, uint64_t to)
{
    struct pathkey lower, upper;
    pathkey_extent(&lower, ino, from - from % NS_EXTENT_MAX);
    pathkey_extent(&upper, ino, to);
    struct lsm_iter_options options = {.lower = lower.data,
                                       .lower_size = lower.size,
                                       .upper = upper.data,
                                       .upper_size = upper.size};
    struct lsm_iter *iter;
    int rc = ns_err(lsm_iter_new(ns->db, &options, &iter));
    if (rc)
        return rc;
    memset(data, 0, (size_t)(to - from));
    for (lsm_iter_seek_first(iter); lsm_iter_valid(iter) && !rc; lsm_iter_next(iter)) {
        size_t key_size, got;
        uint64_t key_ino, start;
        const void *key = lsm_iter_key(iter, &key_size);
        if (!pathkey_parse_extent(slice_of(key, key_size), &key_ino, &start)) {
            rc = -EIO;
            break;
        }
        uint64_t end = start + lsm_iter_value_size(iter);
        if (end <= from)
            continue;
        uint64_t first = start > from ? start : from, last = end < to ? end : to;
        rc = ns_err(lsm_iter_read(iter, first - start, data + (first - from),
                                  (size_t)(last - first), &got));
    }
    if (!rc && !lsm_iter_valid(iter))
        rc = ns_err(lsm_iter_status(iter));
    lsm_iter_free(iter);
    return rc;
}

// One cell's part: a point get if the extent at the cell's start covers it.
static int read_cell(struct ns *ns, uint64_t ino, uint8_t *data, uint64_t from, uint64_t to)
{
    struct pathkey key;
    uint64_t cell = from - from % NS_EXTENT_MAX, value_size = 0;
    size_t got;
    pathkey_extent(&key, ino, cell);
    int status = lsm_get_range(ns->db, NULL, key.data, key.size, from - cell, data,
                               (size_t)(to - from), &got, &value_size);
    if (!status && got == to - from)
        return 0;
    if (status && status != LSM_NOT_FOUND)
        return ns_err(status);
    return read_walk(ns, ino, data, from, to);
}

static ssize_t read_locked(struct ns *ns, struct op *op, struct ns_inode *inode, uint8_t *data,
                           size_t size, uint64_t offset)
{
    if (filedata_is_gone(inode))
        return -ESTALE;
    int rc = op_load(ns, inode, &op->rec[0]);
    const struct record *rec = &op->rec[0].rec;
    if (rc || offset >= rec->size)
        return rc;
    if (size > rec->size - offset)
        size = (size_t)(rec->size - offset);
    if (rec->is_inline) {
        memcpy(data, rec->content.data + offset, size);
        return (ssize_t)size;
    }
    for (uint64_t from = offset, end = offset + size; from < end && !rc;) {
        uint64_t to = from - from % NS_EXTENT_MAX + NS_EXTENT_MAX;
        if (to > end)
            to = end;
        rc = read_cell(ns, inode->ino, data + (from - offset), from, to);
        from = to;
    }
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
    inode_lock(&ns->table, inode->ino, false);
    ssize_t n = read_locked(ns, op, inode, data, size, offset);
    inode_unlock(&ns->table, inode->ino);
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

// Inline content moves out: what the write leaves of it becomes extents. Content that the write
// continues is put before it as one piece of data.
static int write_move_out(struct op *op, struct record *rec, struct slice data, uint64_t offset)
{
    struct slice old = rec->content;
    uint64_t end = offset + data.size;
    int rc = 0;
    rec->is_inline = false;
    rec->content = slice_of(NULL, 0);
    rec->data_bytes = 0;
    if (old.size && old.size >= offset) {
        op->content.size = 0;
        if (buf_append(&op->content, old.data, (size_t)offset) ||
            buf_append(&op->content, data.data, data.size) ||
            (end < old.size && buf_append(&op->content, old.data + end, old.size - (size_t)end)))
            return -ENOMEM;
        return extents_put(op, rec, 0, buf_slice(&op->content));
    }
    if (old.size)
        rc = extents_put(op, rec, 0, old);
    return rc ? rc : extents_put(op, rec, offset, data);
}

// If a small extent ends at `offset`, puts its bytes before the data: *data and *offset become the
// merged write.
static int merge_before(struct ns *ns, struct op *op, struct record *rec, struct slice *data,
                        uint64_t *offset)
{
    uint64_t at = *offset, cell = at - at % NS_EXTENT_MAX;
    if (at == cell || at > rec->size || data->size >= NS_EXTENT_MAX / 2)
        return 0;
    int rc = extents_list(ns, rec->ino, at - 1, at, 2, &op->source);
    if (rc || op->source.count == 0)
        return rc;
    struct extent e = op->source.at[op->source.count - 1];
    if (e.start + e.size != at || e.size >= APPEND_MERGE_MAX)
        return 0;
    struct pathkey key;
    size_t got;
    uint64_t size;
    pathkey_extent(&key, rec->ino, e.start);
    op->content.size = 0;
    if (buf_reserve(&op->content, (size_t)e.size + data->size))
        return -ENOMEM;
    rc = ns_err(lsm_get_range(ns->db, NULL, key.data, key.size, 0, op->content.data, (size_t)e.size,
                              &got, &size));
    if (!rc && (got != e.size || size != e.size))
        rc = -EIO;
    if (rc)
        return rc;
    memcpy(op->content.data + e.size, data->data, data->size);
    op->content.size = (size_t)e.size + data->size;
    *data = buf_slice(&op->content);
    *offset = e.start;
    return 0;
}

static int write_extents(struct ns *ns, struct op *op, struct record *rec, struct slice data,
                         uint64_t offset)
{
    uint64_t end = offset + data.size;
    int rc = merge_before(ns, op, rec, &data, &offset);
    op->extents.count = 0;
    if (!rc && offset < rec->size) // beyond the size there is nothing to trim
        rc = extents_list(ns, rec->ino, offset, end, SIZE_MAX, &op->extents);
    if (!rc)
        rc = extents_trim(op, rec, offset, end);
    return rc ? rc : extents_put(op, rec, offset, data);
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
    uint64_t end = offset + data.size;
    if (!rec->is_inline)
        rc = write_extents(ns, op, rec, data, offset);
    else if (end <= ns->inline_max && rec->size <= ns->inline_max)
        rc = write_inline(op, rec, data, offset);
    else
        rc = write_move_out(op, rec, data, offset);
    if (rc)
        return rc;
    if (end > rec->size)
        rec->size = end;
    ns_content_changed(op, rec, flags);
    rc = op_store(op, inode, rec);
    if (!rc)
        rc = op_commit(ns, op);
    if (!rc)
        op_stored(inode);
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
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    inode_lock(&ns->table, inode->ino, true);
    int rc = write_locked(ns, op, inode, slice_of(data, size), offset, flags);
    inode_unlock(&ns->table, inode->ino);
    if (!rc)
        ns_changed_attr(op, &op->rec[0].rec, ret_attr);
    op_end(ns, op);
    return rc ? rc : (ssize_t)size;
}

int ns_fsync(struct ns *ns, struct ns_inode *inode, bool data_only)
{
    // The log is one for all files; no lock is held while the disk works.
    (void)inode;
    (void)data_only;
    return ns_err(lsm_sync(ns->db));
}
