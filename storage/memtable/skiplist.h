// A lock-free skip list of entries in internal-key order (key ascending, tag descending), its nodes
// in arenas. The memtable's only data structure.
//
// Inserts run concurrently with each other and with readers; readers never wait and never retry.
// Nodes are immutable but for their links, and live as long as the arenas.
#ifndef LSM_MEMTABLE_SKIPLIST_H
#define LSM_MEMTABLE_SKIPLIST_H

#include <stdatomic.h>

#include "entry/iter.h"
#include "memory/arena.h"
#include "memtable/memtable.h"

// A node of height h: links of levels h-1 .. 1, then this struct. The link of level i is i pointers
// before `next`, so that whatever the height, the level-0 link and the fields a comparison reads
// lie side by side. Key and value follow the struct if h is 1; else they are elsewhere: the taller
// nodes, which searches go by, are packed into memory of their own.
struct skiplist_node {
    _Atomic(struct skiplist_node *) next; // store/CAS release, load acquire; NULL at the end
    uint64_t prefix[2];                   // the key's first 16 bytes, big-endian, zero-padded
    uint64_t tag;
    const uint8_t *bytes; // key, value
    uint32_t value_size;
    uint16_t key_size;
};

// What an entry takes at most of the arenas, besides key and value.
#define SKIPLIST_NODE_ROOM  (sizeof(struct skiplist_node) + 8)
#define SKIPLIST_TOWER_ROOM (sizeof(struct skiplist_node) + MEMTABLE_MAX_HEIGHT * sizeof(void *))

struct skiplist {
    struct arena *entries;      // borrowed: nodes of height 1; keys and values
    struct arena *towers;       // borrowed: taller nodes without key and value
    struct skiplist_node *head; // of full height; its key is never compared
    _Atomic int height;         // of the highest node; only grows; relaxed: a stale value is a
                                // valid place to start from
};

// 0 or LSM_NO_MEMORY.
int skiplist_init(struct skiplist *list, struct arena *entries, struct arena *towers);

// Copies the entry in. (key, tag) must not be in the list. `hint` as in memtable.h, not NULL.
// 0 or LSM_NO_MEMORY (list and hint unchanged).
int skiplist_insert(struct skiplist *list, const struct entry *entry, struct memtable_hint *hint);

// The first entry at or after (key, tag), or NULL.
struct skiplist_node *skiplist_seek(const struct skiplist *list, struct slice key, uint64_t tag);

// The last entry before (key, tag), or NULL.
struct skiplist_node *skiplist_seek_before(const struct skiplist *list, struct slice key,
                                           uint64_t tag);

struct skiplist_node *skiplist_last(const struct skiplist *list);

static inline struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
    return atomic_load_explicit(&node->next, memory_order_acquire);
}

static inline struct skiplist_node *skiplist_first(const struct skiplist *list)
{
    return skiplist_next(list->head);
}

static inline struct slice skiplist_key(const struct skiplist_node *node)
{
    return slice_of(node->bytes, node->key_size);
}

static inline struct slice skiplist_value(const struct skiplist_node *node)
{
    return slice_of(node->bytes + node->key_size, node->value_size);
}

// The version that the entry which was just inserted with this hint has superseded, or NULL.
static inline const struct skiplist_node *skiplist_older(const struct memtable_hint *hint)
{
    const struct skiplist_node *node = hint->prev[0], *next = hint->next[0];
    if (!next || next->prefix[0] != node->prefix[0] || next->prefix[1] != node->prefix[1] ||
        !slice_equal(skiplist_key(next), skiplist_key(node)))
        return NULL;
    return next;
}

// What a node takes in the arenas, about.
static inline size_t skiplist_node_bytes(const struct skiplist_node *node)
{
    return sizeof *node + node->key_size + node->value_size;
}

#endif
