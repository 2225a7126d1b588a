// Writing content (content.h). Short content is rewritten with the record while it stays short, and
// moves out to extents when it grows past inline_max; extents under a write are trimmed, new ones
// added.
//
// A small extent that ends exactly where a write begins is merged into it, so that a file built of
// many small appends does not end up as as many extents; this copies less than APPEND_MERGE_MAX
// bytes a write.
//
// Threads and failure: content.h.
#include <assert.h>
#include <errno.h>

#include "ns/content/content.h"
#include "ns/content/extents.h"
#include "ns/content/fragments.h"
#include "ns/content/lost.h"
#include "ns/content/tail.h"
#include "ns/content/unwritten.h"

#define APPEND_MERGE_MAX 4096u
#define STAGE_MIN        4096u // shorter extents stay in the tree, so there is nothing to stage

int content_stage(struct ns *ns, struct op *op, uint64_t ino, struct slice data, uint64_t offset)
{
    if (data.size < STAGE_MIN || data.size <= ns->inline_max || op->sync_soon)
        return 0;
    return extents_stage(ns, op, ino, offset, data);
}

// The extents of the write: staged ones, or of `data`.
static int put_data(struct op *op, struct record *rec, uint64_t offset, struct slice data)
{
    return lsm_batch_count(op->staged) ? extents_put_staged(op, rec, data.size)
                                       : extents_put(op, rec, offset, data);
}

static int write_inline(struct op *op, struct record *rec, struct slice data, uint64_t offset)
{
    uint64_t end = offset + data.size, size = end > rec->size ? end : rec->size;
    int rc = content_edit_inline(op, rec, (size_t)size);
    if (!rc)
        memcpy(op->content.data + offset, data.data, data.size);
    return rc;
}

// A write that is not staged is joined with the inline content to one piece where they touch.
static int write_moving_out(struct ns *ns, struct op *op, struct ns_inode *inode,
                            struct record *rec, struct slice data, uint64_t offset)
    REQUIRES(inode_held)
{
    bool join = !lsm_batch_count(op->staged) && rec->size && offset <= rec->size;
    if (join) {
        int rc = write_inline(op, rec, data, offset);
        return rc ? rc : content_move_out(ns, op, inode, rec, rec->size, rec->size);
    }
    int rc = content_move_out(ns, op, inode, rec, offset, offset + data.size);
    return rc ? rc : put_data(op, rec, offset, data);
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
    op->content.size = 0;
    if (buf_reserve(&op->content, (size_t)e.size + data->size))
        return -ENOMEM;
    int rc = extents_get(ns, rec->ino, e, op->content.data);
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
    int rc = 0;
    op->extents.count = 0;
    if (end <= rec->size && data.size < CONTENT_SHORT_WRITE) { // the page of a database, again
        bool same;
        rc = extents_has(ns, rec->ino, (struct extent){offset, data.size}, &same);
        if (!rc && same)
            rec->data_bytes -= data.size; // the value of the extent is replaced
        if (rc || same)
            return rc ? rc : put_data(op, rec, offset, data);
    }
    if (rec->unwritten_bytes) {
        rc = unwritten_list(ns, rec->ino, offset, end, SIZE_MAX, &op->unwritten);
        if (!rc)
            rc = unwritten_trim(op, rec, &op->unwritten, offset, end);
    }
    if (!rc && offset <= rec->size) // beyond the size there is nothing to trim or to join
        rc = extents_list(ns, rec->ino, offset ? offset - 1 : 0, end, SIZE_MAX, &op->extents);
    if (!rc)
        rc = merge_before(ns, op, rec, &data, &offset);
    if (!rc)
        rc = extents_trim(op, rec, offset, end);
    return rc ? rc : put_data(op, rec, offset, data);
}

int content_write(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec,
                  struct slice data, uint64_t offset)
{
    assert(inode_is_held(&ns->table.locks, inode->ino, true));
    assert(data.size > 0 && offset <= (uint64_t)NS_FILE_MAX - data.size);
    uint64_t end = offset + data.size;
    bool loses = lost_before(inode, rec, offset);
    int rc = 0;
    fragments_changed(ns->fragments, inode->ino, offset, end);
    if (rec->is_inline && end <= ns->inline_max && rec->size <= ns->inline_max && !loses) {
        rc = write_inline(op, rec, data, offset);
    } else if (rec->is_inline) {
        rc = write_moving_out(ns, op, inode, rec, data, offset);
    } else {
        if (end > rec->size)
            rc = tail_settle(ns, inode);
        if (!rc)
            rc = write_extents(ns, op, rec, data, offset);
    }
    if (!rc && rec->lost_bytes) {
        rc = lost_list(ns, NULL, rec->ino, offset, end, SIZE_MAX, &op->extents);
        if (!rc)
            rc = lost_trim(op, rec, &op->extents, offset, end);
    }
    if (!rc && loses)
        rc = lost_grow(ns, op, inode, rec, offset);
    if (!rc && end > rec->size)
        rec->size = end;
    return rc;
}
