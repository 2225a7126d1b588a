// The memtable: a skip list, its arenas, counts, and an iterator.
//
// Lifetime: reference-counted by whoever keeps it beyond a pin (the read view, a flush, iterators).
// The last unref retires it, so that a reader that found it while pinned can use it until it
// unpins. All its entries go with the arenas.
//
// Thread safety: see memtable.h. The counts are relaxed: they are statistics and are exact once the
// writers are done. On failure nothing was added or made.
#include "memtable/memtable.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "memory/arena.h"
#include "memtable/epoch.h"
#include "memtable/skiplist.h"

// Chunks of the arenas: an eighth of what the memtable is to hold, so that a small one is not far
// over its size, and at most one huge page.
#define CHUNK_MIN ((size_t)16 << 10)
#define CHUNK_MAX ((size_t)2 << 20)

struct memtable {
    struct arena nodes, towers; // see skiplist.h
    struct skiplist list;
    struct epoch_node retired;
    _Atomic uint32_t refs; // acq_rel at zero
    void *owner;           // constant once shared
    void (*release_owner)(void *owner);
    // On a line of their own: adding threads write them, reading ones need what is above.
    __attribute__((aligned(64))) _Atomic uint64_t entries; // relaxed
    _Atomic uint64_t deletes;                              // relaxed
    _Atomic uint64_t superseded;                           // relaxed
};

int memtable_new(size_t size_hint, struct arena_pool *pool, struct memtable **ret_memtable)
{
    size_t chunk = size_hint / 8;
    struct memtable *mt = aligned_alloc(_Alignof(struct memtable), sizeof(*mt));

    if (!mt)
        return status_no_memory(sizeof(*mt));
    if (chunk < CHUNK_MIN)
        chunk = CHUNK_MIN;
    if (chunk > CHUNK_MAX)
        chunk = CHUNK_MAX;
    int rc = arena_init(&mt->nodes, chunk, pool);
    if (rc)
        goto fail;
    rc = arena_init(&mt->towers, chunk, pool);
    if (rc)
        goto fail_nodes;
    rc = skiplist_init(&mt->list, &mt->nodes, &mt->towers);
    if (rc)
        goto fail_towers;
    mt->owner = NULL;
    atomic_init(&mt->refs, 1);
    atomic_init(&mt->entries, 0);
    atomic_init(&mt->deletes, 0);
    atomic_init(&mt->superseded, 0);
    *ret_memtable = mt;
    return 0;
fail_towers:
    arena_release(&mt->towers);
fail_nodes:
    arena_release(&mt->nodes);
fail:
    free(mt);
    return rc;
}

static void memtable_free(struct epoch_node *node)
{
    struct memtable *mt =
        (struct memtable *)(void *)((char *)node - offsetof(struct memtable, retired));

    if (mt->owner)
        mt->release_owner(mt->owner);
    arena_release(&mt->nodes);
    arena_release(&mt->towers);
    free(mt);
}

void memtable_set_owner(struct memtable *mt, void *owner, void (*release)(void *owner))
{
    mt->owner = owner;
    mt->release_owner = release;
}

void *memtable_owner(const struct memtable *mt)
{
    return mt->owner;
}

void memtable_ref(struct memtable *mt)
{
    atomic_fetch_add_explicit(&mt->refs, 1, memory_order_relaxed);
}

void memtable_unref(struct memtable *mt)
{
    if (atomic_fetch_sub_explicit(&mt->refs, 1, memory_order_acq_rel) == 1)
        epoch_retire(&mt->retired, memtable_free);
}

int memtable_add(struct memtable *mt, struct slice key, uint64_t tag, struct slice value,
                 struct memtable_hint *hint)
{
    struct entry entry = {key, tag, value};
    struct memtable_hint none;

    if (!hint) {
        none.height = 0;
        hint = &none;
    }
    int rc = skiplist_insert(&mt->list, &entry, hint);
    if (rc)
        return rc;
    atomic_fetch_add_explicit(&mt->entries, 1, memory_order_relaxed);
    if (tag_type(tag) == ENTRY_DELETE)
        atomic_fetch_add_explicit(&mt->deletes, 1, memory_order_relaxed);
    const struct skiplist_node *older = skiplist_older(hint);
    if (older)
        atomic_fetch_add_explicit(&mt->superseded, skiplist_node_bytes(older),
                                  memory_order_relaxed);
    return 0;
}

int memtable_reserve(struct memtable *mt, size_t count, size_t bytes)
{
    int rc = arena_reserve(&mt->nodes, bytes + count * SKIPLIST_NODE_ROOM);
    return rc ? rc : arena_reserve(&mt->towers, count * SKIPLIST_TOWER_ROOM);
}

bool memtable_is_large(const struct memtable *mt, size_t bytes)
{
    return bytes + SKIPLIST_NODE_ROOM > arena_chunk_share(&mt->nodes);
}

int memtable_reserve_large(struct memtable *mt, size_t bytes, size_t *ret_counted)
{
    // The node's height is not drawn yet. A node of height 1 is one piece with the bytes, which is
    // a large one; of a taller node the bytes are a piece of their own, which may be an ordinary
    // one. Room for both is set aside.
    *ret_counted = bytes <= arena_chunk_share(&mt->nodes) ? bytes : 0;
    return arena_reserve_large(&mt->nodes, bytes + sizeof(struct skiplist_node));
}

bool memtable_get(struct memtable *mt, struct slice key, uint64_t sequence, uint64_t *ret_tag,
                  struct slice *ret_value)
{
    // No entry type is above 0xff: this is just before the first version that may be seen.
    const struct skiplist_node *node = skiplist_seek(&mt->list, key, tag_seek(sequence));

    if (!node || !slice_equal(skiplist_key(node), key))
        return false;
    *ret_tag = node->tag;
    *ret_value = skiplist_value(node);
    return true;
}

size_t memtable_bytes(const struct memtable *mt)
{
    return arena_bytes(&mt->nodes) + arena_bytes(&mt->towers);
}

uint64_t memtable_entries(const struct memtable *mt)
{
    return atomic_load_explicit(&mt->entries, memory_order_relaxed);
}

uint64_t memtable_deletes(const struct memtable *mt)
{
    return atomic_load_explicit(&mt->deletes, memory_order_relaxed);
}

uint64_t memtable_superseded(const struct memtable *mt)
{
    return atomic_load_explicit(&mt->superseded, memory_order_relaxed);
}

// ---------------------------------------------------------------------------------------- iterator

struct memtable_iter {
    struct iter iter;
    struct memtable *mt; // a reference
    struct skiplist_node *node;
};

static void set_node(struct iter *it, struct skiplist_node *node)
{
    ((struct memtable_iter *)it)->node = node;
    it->valid = node != NULL;
    if (!node)
        return;
    it->entry.key = skiplist_key(node);
    it->entry.tag = node->tag;
    it->entry.value = skiplist_value(node);
}

static const struct skiplist *list_of(const struct iter *it)
{
    return &((const struct memtable_iter *)it)->mt->list;
}

static void iter_do_seek(struct iter *it, struct slice key, uint64_t tag)
{
    set_node(it, skiplist_seek(list_of(it), key, tag));
}

static void iter_do_seek_before(struct iter *it, struct slice key, uint64_t tag)
{
    set_node(it, skiplist_seek_before(list_of(it), key, tag));
}

static void iter_do_seek_first(struct iter *it)
{
    set_node(it, skiplist_first(list_of(it)));
}

static void iter_do_seek_last(struct iter *it)
{
    set_node(it, skiplist_last(list_of(it)));
}

static void iter_do_next(struct iter *it)
{
    assert(it->valid);
    struct skiplist_node *node = skiplist_next(((struct memtable_iter *)it)->node);
    // The node after the next is on its way while the caller uses this one.
    if (node)
        __builtin_prefetch(atomic_load_explicit(&node->next, memory_order_relaxed));
    set_node(it, node);
}

// The list has no links backwards: a step back is a search.
static void iter_do_prev(struct iter *it)
{
    assert(it->valid);
    set_node(it, skiplist_seek_before(list_of(it), it->entry.key, it->entry.tag));
}

static void iter_do_free(struct iter *it)
{
    memtable_unref(((struct memtable_iter *)it)->mt);
    free(it);
}

static const struct iter_ops memtable_iter_ops = {
    .seek = iter_do_seek,
    .seek_before = iter_do_seek_before,
    .seek_first = iter_do_seek_first,
    .seek_last = iter_do_seek_last,
    .next = iter_do_next,
    .prev = iter_do_prev,
    .free = iter_do_free,
};

int memtable_iter_new(struct memtable *mt, struct iter **ret_iter)
{
    struct memtable_iter *it = calloc(1, sizeof(*it));

    if (!it)
        return status_no_memory(sizeof(*it));
    it->iter.ops = &memtable_iter_ops;
    it->mt = mt;
    memtable_ref(mt);
    *ret_iter = &it->iter;
    return 0;
}
