// Lost ranges and the notes of live inodes. See lost.h.
//
// A note is made at the first loss and stays as long as the inode, so that a reader who has found
// it may look at it.
#include "ns/content/lost.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "ns/content/content.h"
#include "ns/content/ranges.h"

#define BURST_US 300000  // what else is on its way when a write fails comes within this
#define TELL_US  1000000 // so long after a loss somebody who did not ask then is told

struct inode_lost {
    pthread_mutex_t mutex; // guards what follows
    struct lost_note note;
    uint64_t last_us; // when the last losses began
    bool untold;
};

// ------------------------------------------------------------------------------- notes

static struct inode_lost *lost_of(struct ns_inode *inode)
{
    return atomic_load_explicit(&inode->lost, memory_order_acquire);
}

static struct inode_lost *lost_make(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (lost)
        return lost;
    lost = calloc(1, sizeof *lost);
    if (!lost)
        return NULL;
    pthread_mutex_init(&lost->mutex, NULL);
    atomic_store_explicit(&inode->lost, lost, memory_order_release);
    return lost;
}

void lost_note_free(struct inode_lost *lost)
{
    if (!lost)
        return;
    pthread_mutex_destroy(&lost->mutex);
    free(lost);
}

struct lost_note lost_noted(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    struct lost_note note = {0};
    if (!lost)
        return note;
    pthread_mutex_lock(&lost->mutex);
    note = lost->note;
    pthread_mutex_unlock(&lost->mutex);
    return note;
}

int lost_note(struct ns_inode *inode, uint64_t from, uint64_t to, bool unsaved)
{
    struct inode_lost *lost = lost_make(inode);
    if (!lost)
        return -ENOMEM;
    pthread_mutex_lock(&lost->mutex);
    struct lost_note *note = &lost->note;
    if (from < to && note->from >= note->to)
        *note = (struct lost_note){from, to, false};
    if (from < to) {
        note->from = from < note->from ? from : note->from;
        note->to = to > note->to ? to : note->to;
        note->unsaved |= unsaved;
    }
    // What is refused for that reason does not make it last longer.
    uint64_t now = clock_us();
    if (now - lost->last_us >= BURST_US)
        lost->last_us = now;
    lost->untold = true;
    pthread_mutex_unlock(&lost->mutex);
    return 0;
}

void lost_stored(struct ns_inode *inode, uint64_t size)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return;
    pthread_mutex_lock(&lost->mutex);
    if (!lost->note.unsaved && lost->note.from < size)
        lost->note.from = size;
    pthread_mutex_unlock(&lost->mutex);
}

void lost_cut(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return;
    pthread_mutex_lock(&lost->mutex);
    lost->note = (struct lost_note){0};
    lost->untold = false;
    pthread_mutex_unlock(&lost->mutex);
}

bool lost_just_before(struct ns_inode *inode, uint64_t offset)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return false;
    pthread_mutex_lock(&lost->mutex);
    bool losing = lost->note.from < lost->note.to && offset > lost->note.from &&
                  clock_us() - lost->last_us < BURST_US;
    pthread_mutex_unlock(&lost->mutex);
    return losing;
}

bool ns_loss_to_tell(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return false;
    pthread_mutex_lock(&lost->mutex);
    bool tell = lost->untold && clock_us() - lost->last_us < TELL_US;
    lost->untold = false;
    pthread_mutex_unlock(&lost->mutex);
    return tell;
}

// ------------------------------------------------------------------------------- ranges

int lost_list(struct ns *ns, const struct lsm_snapshot *snapshot, uint64_t ino, uint64_t from,
              uint64_t to, size_t most, struct extent_list *list)
{
    return ranges_list(ns, snapshot, KEY_LOST, ino, from, to, most, list);
}

int lost_put(struct op *op, struct record *rec, uint64_t start, uint64_t size)
{
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

int lost_check(struct ns *ns, const struct lsm_snapshot *snapshot, struct op *op,
               struct lost_note note, uint64_t offset, size_t size)
{
    const struct record *rec = &op->file.rec;
    uint64_t end = size < UINT64_MAX - offset ? offset + size : UINT64_MAX;
    if (rec->lost_bytes) {
        int rc = lost_list(ns, snapshot, rec->ino, offset, end, 1, &op->lost);
        if (rc || op->lost.count)
            return rc ? rc : -EIO;
    }
    uint64_t from = lost_from(note, rec->size), to = note.to < end ? note.to : end;
    from = from > offset ? from : offset;
    if (from >= to)
        return 0;
    if (from >= rec->size)
        return -EIO;
    int64_t hole = content_seek(ns, snapshot, op, rec, from, false); // it is unsaved
    return hole < 0 ? (int)hole : (uint64_t)hole < to ? -EIO : 0;
}

bool lost_before(struct ns_inode *inode, const struct record *rec, uint64_t to)
{
    struct lost_note note = lost_noted(inode);
    uint64_t from = note.from > rec->size ? note.from : rec->size;
    return from < (note.to < to ? note.to : to);
}

int lost_grow(struct ns *ns, struct op *op, struct ns_inode *inode, struct record *rec, uint64_t to)
{
    struct lost_note note = lost_noted(inode);
    uint64_t from = note.from > rec->size ? note.from : rec->size;
    to = note.to < to ? note.to : to;
    if (from >= to)
        return 0;
    int rc = ns_err(ns_mark_feature(ns, FEATURE_LOST));
    return rc ? rc : lost_put(op, rec, from, to - from);
}

// ------------------------------------------------------------------------------- a loss

// Stores what is lost inside the file.
static int lose_inside(struct ns *ns, struct op *op, struct ns_inode *inode, uint64_t from,
                       uint64_t to)
{
    struct record *rec = &op->file.rec;
    uint64_t bytes;
    op->small_change = true; // no more than a record and a few keys
    int rc = content_gaps(ns, op, inode, rec, from, to, GAP_LOST, false, &bytes);
    if (rc || !bytes)
        return rc;
    rc = ns_err(ns_mark_feature(ns, FEATURE_LOST));
    if (!rc)
        rc = content_gaps(ns, op, inode, rec, from, to, GAP_LOST, true, &bytes);
    return rc ? rc : content_commit(ns, op, inode, rec);
}

static int lose_locked(struct ns *ns, struct op *op, struct ns_inode *inode, uint64_t from,
                       uint64_t to)
{
    if (content_is_gone(inode))
        return 0;
    const struct record *rec = &op->file.rec;
    int rc = op_load(ns, inode, &op->file);
    uint64_t size = rc ? 0 : rec->size, inside = to < size ? to : size;
    if (!rc && !rec->is_inline && from < size) {
        rc = lose_inside(ns, op, inode, from, inside);
        // What small changes may have is used up, or its flush takes long. A hole that reads as
        // zeros would be worse than a little less for deleting.
        op->frees_space = rc == -ENOSPC;
        if (op->frees_space && !(rc = op_load(ns, inode, &op->file)))
            rc = lose_inside(ns, op, inode, from, inside);
    }
    if (rc)
        return lost_note(inode, from, to, true);
    return lost_note(inode, from > size ? from : size, to, false);
}

int ns_lose(struct ns *ns, struct ns_inode *inode, uint64_t offset, uint64_t size)
{
    if (!inode_is_regular(inode) || offset > (uint64_t)NS_FILE_MAX ||
        size > (uint64_t)NS_FILE_MAX - offset)
        return -EINVAL;
    struct op *op = op_begin(ns);
    struct inode_lock lock;
    inode_lock(&ns->table.locks, &lock, inode->ino, true);
    int rc = op ? lose_locked(ns, op, inode, offset, offset + size)
                : lost_note(inode, offset, offset + size, true);
    inode_unlock(&ns->table.locks, &lock);
    op_end(ns, op);
    return rc;
}
