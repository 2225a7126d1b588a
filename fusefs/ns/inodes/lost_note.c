// The notes of live inodes of what was lost beyond their ends. See lost_note.h.
//
// A note is made at the first loss and stays as long as the inode, so that a reader who has found
// it may look at it.
#include "ns/inodes/lost_note.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/lock_check.h"

#define BURST_US 300000  // what else is on its way when a write fails comes within this
#define TELL_US  1000000 // for this long after a loss a writer can be told of it

extern struct lock_role lost_mutex;

struct inode_lost {
    pthread_mutex_t mutex;
    struct lost_note note GUARDED_BY(lost_mutex);
    uint64_t last_us GUARDED_BY(lost_mutex); // when the last losses began
    bool untold GUARDED_BY(lost_mutex);
};

LOCK_FUNCTIONS(lost, struct inode_lost, mutex, lost_mutex)

static struct inode_lost *lost_of(struct ns_inode *inode)
{
    return atomic_load_explicit(&inode->lost, memory_order_acquire);
}

static struct inode_lost *lost_make(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (lost)
        return lost;
    assert(inode_is_regular(inode));
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

struct lost_note lost_note_get(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    struct lost_note note = {0};
    if (!lost)
        return note;
    lost_lock(lost);
    note = lost->note;
    lost_unlock(lost);
    return note;
}

int lost_note_add(struct ns_inode *inode, uint64_t from, uint64_t to, bool unsaved)
{
    struct inode_lost *lost = lost_make(inode);
    if (!lost)
        return -ENOMEM;
    lost_lock(lost);
    struct lost_note *note = &lost->note;
    if (from < to && note->from >= note->to)
        *note = (struct lost_note){from, to, false};
    if (from < to) {
        note->from = from < note->from ? from : note->from;
        note->to = to > note->to ? to : note->to;
        note->unsaved |= unsaved;
    }
    // A burst of losses counts from its first one: writes that are refused because of it (late
    // ones, which then are lost too) do not make it last longer.
    uint64_t now = clock_us();
    if (now - lost->last_us >= BURST_US)
        lost->last_us = now;
    lost->untold = true;
    assert(from >= to || (note->from <= from && note->to >= to));
    lost_unlock(lost);
    return 0;
}

void lost_note_stored(struct ns_inode *inode, uint64_t size)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return;
    lost_lock(lost);
    if (!lost->note.unsaved && lost->note.from < size)
        lost->note.from = size;
    lost_unlock(lost);
}

void lost_note_cut(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return;
    lost_lock(lost);
    lost->note = (struct lost_note){0};
    lost->untold = false;
    lost_unlock(lost);
}

bool lost_note_just_before(struct ns_inode *inode, uint64_t offset)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return false;
    lost_lock(lost);
    bool losing = lost->note.from < lost->note.to && offset > lost->note.from &&
                  clock_us() - lost->last_us < BURST_US;
    lost_unlock(lost);
    return losing;
}

bool ns_loss_to_tell(struct ns_inode *inode)
{
    struct inode_lost *lost = lost_of(inode);
    if (!lost)
        return false;
    lost_lock(lost);
    bool tell = lost->untold && clock_us() - lost->last_us < TELL_US;
    lost->untold = false;
    lost_unlock(lost);
    return tell;
}
