// Reads one block: sorted entries with prefix-compressed keys.
//
//   entry 0, entry 1, ...        at least one
//   restart offsets              fixed32 each
//   restart count                fixed32
//
// Entry: varint shared, varint unshared, varint value size, varint tag, then `unshared` bytes of
// key and the value. The key is the first `shared` bytes of the key before, then those bytes. At a
// restart point `shared` is 0; the first entry is one.
//
// The bytes may come from a damaged file: all decoding is checked, and what is not a block is
// LSM_CORRUPTION, without a detail (only the caller knows file and offset). Nothing is allocated
// but an iterator's key buffer. A block is immutable and may be read by many threads; an iterator
// belongs to one.
#ifndef LSM_SSTABLE_BLOCK_H
#define LSM_SSTABLE_BLOCK_H

#include "entry/iter.h"
#include "lsm.h"

struct block {
    const uint8_t *data;  // entries
    const uint8_t *limit; // end of the entries, start of the restart array
    const uint8_t *end;   // of the block
    uint32_t restart_count;
};

// Borrows `contents`. LSM_CORRUPTION if the restart array does not fit.
int block_init(struct block *block, struct slice contents);

// The newest entry with `key` and a tag <= `tag`: 0; LSM_NOT_FOUND if there is none. The value
// points into the block. Copies and allocates nothing.
int block_get(const struct block *block, struct slice key, uint64_t tag, uint64_t *ret_tag,
              struct slice *ret_value);

// Checks every entry and restart point: bounds, order, sizes. Hands each to `fn` (may be NULL),
// whose non-zero result stops and is returned.
typedef int block_visit_fn(void *arg, const struct entry *entry);
int block_check(const struct block *block, block_visit_fn *fn, void *arg);

struct block_run;

// Moves return 0 and fill *ret_entry, 1 at the end (or before the beginning), LSM_CORRUPTION, or
// LSM_NO_MEMORY. After anything but 0 only seeks are allowed. The entry's key is valid until the
// next move, its value as long as the block.
struct block_iter {
    struct block block;
    const uint8_t *current; // the entry; unset if there is none
    const uint8_t *next;    // the one after
    struct buf key;         // of the entry, unless in_run
    struct block_run *run;  // for prev: the decoded restart interval around the entry
    size_t run_position;    // entries of `run` before the current one; 0: decode anew
    bool in_run;            // the entry's key is in `run`, not in `key`
};

void block_iter_init(struct block_iter *it); // no block yet
void block_iter_release(struct block_iter *it);
int block_iter_set(struct block_iter *it, struct slice contents); // another block; not positioned

int block_iter_seek(struct block_iter *it, struct slice key, uint64_t tag,
                    struct entry *ret_entry); // first >= (key, tag)
int block_iter_seek_first(struct block_iter *it, struct entry *ret_entry);
int block_iter_seek_last(struct block_iter *it, struct entry *ret_entry);
int block_iter_next(struct block_iter *it, struct entry *ret_entry);
int block_iter_prev(struct block_iter *it, struct entry *ret_entry);

#endif
