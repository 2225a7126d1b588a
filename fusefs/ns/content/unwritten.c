// Unwritten ranges, and what of them counts. See unwritten.h.
//
// Thread safety: the inode's lock is the caller's. Failure: the batch may hold part of the change;
// the caller drops it, and the record.
#include "ns/content/unwritten.h"

#include <assert.h>

#include "ns/content/ranges.h"

int unwritten_list(struct ns *ns, uint64_t ino, uint64_t from, uint64_t to, size_t most,
                   struct extent_list *list)
{
    return ranges_list(ns, NULL, KEY_UNWRITTEN, ino, from, to, most, list);
}

int unwritten_put(struct op *op, struct record *rec, uint64_t start, uint64_t size)
{
    assert(size > 0 && !rec->is_inline && S_ISREG(rec->mode));
    rec->unwritten_bytes += size;
    op->unwritten_change += (int64_t)size;
    return ranges_put(op, KEY_UNWRITTEN, rec->ino, start, size);
}

int unwritten_trim(struct op *op, struct record *rec, const struct extent_list *list, uint64_t from,
                   uint64_t to)
{
    uint64_t taken;
    assert(from < to);
    int rc = ranges_trim(op, KEY_UNWRITTEN, rec->ino, list, from, to, &taken);
    rec->unwritten_bytes -= taken;
    op->unwritten_change -= (int64_t)taken;
    return rc;
}

int unwritten_take(struct ns *ns, struct lsm_batch *batch, uint64_t ino, unsigned most,
                   unsigned *ret_count, uint64_t *ret_bytes)
{
    return ranges_take(ns, batch, KEY_UNWRITTEN, ino, most, ret_count, ret_bytes);
}

int unwritten_sum(struct ns *ns, uint64_t *ret_bytes)
{
    return ranges_sum(ns, KEY_UNWRITTEN, ret_bytes);
}
