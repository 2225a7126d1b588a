// Lost ranges. See lost.h.
//
// Thread safety: the inode's lock is the caller's. Failure: the batch may hold part of the change;
// the caller drops it, and the record.
#include "ns/content/lost.h"

#include <assert.h>

#include "ns/content/ranges.h"

int lost_list(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
              uint64_t to, size_t most, struct extent_list *list)
{
    return ranges_list(ns, snapshot, KEY_LOST, ino, from, to, most, list);
}

int lost_put(struct op *op, struct record *rec, uint64_t start, uint64_t size)
{
    assert(size > 0 && !rec->is_inline);
    rec->lost_bytes += size;
    return ranges_put(op, KEY_LOST, rec->ino, start, size);
}

int lost_trim(struct op *op, struct record *rec, const struct extent_list *list, uint64_t from,
              uint64_t to)
{
    uint64_t taken;
    int rc = ranges_trim(op, KEY_LOST, rec->ino, list, from, to, &taken);
    rec->lost_bytes -= taken;
    return rc;
}

bool lost_before(struct ns_inode *inode, const struct record *rec, uint64_t to)
{
    struct lost_note note = lost_note_get(inode);
    uint64_t from = note.from > rec->size ? note.from : rec->size;
    return from < (note.to < to ? note.to : to);
}

int lost_grow(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec, uint64_t to)
{
    struct lost_note note = lost_note_get(inode);
    uint64_t from = note.from > rec->size ? note.from : rec->size;
    to = note.to < to ? note.to : to;
    if (from >= to)
        return 0;
    assert(from >= rec->size);
    int rc = ns_err(ns_mark_feature(ns, FEATURE_LOST));
    return rc ? rc : lost_put(op, rec, from, to - from);
}
