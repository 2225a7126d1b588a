// Which files are fragmented: those that were written in many short pieces. Noted by who writes,
// worked off by one thread (defrag.c), which watches the cell of a file that it merges.
//
// Notes are counted in the inode; every FRAGMENTS_NOTES of them put its number on a short list, or
// put off its turn if it is there already (though not for ever). When the list is full the note is
// lost; later ones will do.
//
// Thread safety: any thread notes and waits; one takes. Lock: the list's mutex, a leaf. What is
// watched is written and read with the inode's lock held.
#ifndef NS_FRAGMENTS_H
#define NS_FRAGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ns/inodes/inode_lock.h"

#define FRAGMENTS_NOTES 64u

struct ns_inode;
struct fragments;

// `delay_ms`: without a write before the file's turn comes. NULL: no memory.
struct fragments *fragments_new(unsigned delay_ms);
void fragments_free(struct fragments *fragments); // NULL is legal

// Notes that `count` short pieces were written to the file. Cheap: only every 64th note of an inode
// takes a lock. NULL is legal (read-only).
void fragments_note(struct fragments *fragments, struct ns_inode *inode, unsigned count);

// Whoever changes content in [from, to) says so, with the inode's exclusive lock held and before
// the change: a cell that is being merged is then left as it is. A few loads. NULL is legal.
void fragments_changed(struct fragments *fragments, uint64_t ino, uint64_t from, uint64_t to)
    REQUIRES(inode_held);

// Waits until every file that was noted often enough has been looked at, without the usual delay.
void fragments_wait(struct fragments *fragments);

// ---- for the thread

// Waits until it is a file's turn and takes that file off the list. False: the thread is to end.
// The file that was taken before counts as done.
bool fragments_take(struct fragments *fragments, uint64_t *ret_ino);
// Sleeps for that time; less if somebody begins to wait, or the thread is to end.
void fragments_pause(struct fragments *fragments, uint64_t us);
bool fragments_is_stopping(struct fragments *fragments);
void fragments_stop(struct fragments *fragments); // the thread is to end

// From now on changes of the cell, NS_EXTENT_MAX bytes at `cell`, are noted. Exclusive lock.
void fragments_watch(struct fragments *fragments, uint64_t ino, uint64_t cell) REQUIRES(inode_held);
// Whether the cell has been changed since. Exclusive lock.
bool fragments_watched_changed(struct fragments *fragments) REQUIRES(inode_held);
void fragments_unwatch(struct fragments *fragments);

#endif
