// Internal iterators: over a memtable, a block, a table, a level, or a merge of those.
//
// They yield every version of every key, in (key ascending, tag descending) order. The current
// entry is kept in the struct itself, so that a merge reads it without a call. An iterator belongs
// to one thread; its entry's slices stay valid until it is moved or freed.
//
// Positioning sets `valid`. If it is false, `status` tells the end (0) from a failure (<0).
// next and prev need valid; after running off either end only seeks are allowed.
#ifndef LSM_ENTRY_ITER_H
#define LSM_ENTRY_ITER_H

#include "base/slice.h"

// A tag is sequence << 8 | type. Of two versions of a key the one with the higher tag is newer and
// comes first.
// ENTRY_BLOB: the value is a pointer into a blob file (blob/blob_format.h).
enum entry_type { ENTRY_DELETE = 0, ENTRY_PUT = 1, ENTRY_BLOB = 2 };

#define SEQUENCE_MAX ((UINT64_C(1) << 56) - 1)
#define TAG_MAX      UINT64_MAX

static inline uint64_t tag_make(uint64_t sequence, enum entry_type type)
{
    return sequence << 8 | (uint64_t)type;
}
// Where a reader of that moment seeks a key: not behind any version that it sees.
static inline uint64_t tag_seek(uint64_t sequence)
{
    return sequence << 8 | 0xff;
}
static inline uint64_t tag_sequence(uint64_t tag)
{
    return tag >> 8;
}
static inline enum entry_type tag_type(uint64_t tag)
{
    return (enum entry_type)(tag & 0xff);
}

struct entry {
    struct slice key;
    uint64_t tag;
    struct slice value;
};

// Order of internal keys.
static inline int entry_compare(struct slice a, uint64_t a_tag, struct slice b, uint64_t b_tag)
{
    int c = slice_compare(a, b);
    if (c)
        return c;
    return a_tag > b_tag ? -1 : a_tag < b_tag;
}

struct iter;

struct iter_ops {
    void (*seek)(struct iter *it, struct slice key, uint64_t tag); // first entry >= (key, tag)
    void (*seek_before)(struct iter *it, struct slice key, uint64_t tag); // last entry < (key, tag)
    void (*seek_first)(struct iter *it);
    void (*seek_last)(struct iter *it);
    void (*next)(struct iter *it);
    void (*prev)(struct iter *it);
    void (*free)(struct iter *it);
};

struct iter {
    const struct iter_ops *ops;
    struct entry entry;
    int status;
    bool valid;
};

static inline void iter_seek(struct iter *it, struct slice key, uint64_t tag)
{
    it->ops->seek(it, key, tag);
}
static inline void iter_seek_before(struct iter *it, struct slice key, uint64_t tag)
{
    it->ops->seek_before(it, key, tag);
}
static inline void iter_seek_first(struct iter *it)
{
    it->ops->seek_first(it);
}
static inline void iter_seek_last(struct iter *it)
{
    it->ops->seek_last(it);
}
static inline void iter_next(struct iter *it)
{
    it->ops->next(it);
}
static inline void iter_prev(struct iter *it)
{
    it->ops->prev(it);
}
static inline void iter_free(struct iter *it)
{
    if (it)
        it->ops->free(it);
}

#endif
