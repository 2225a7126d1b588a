// The memtable's skip list (Pugh 1990; laid out like RocksDB's InlineSkipList).
//
// Algorithm. A node has height h with probability 2/3 * 3^-(h-1) and is linked into levels 0..h-1.
// A search runs along a level while the next node is before the target, then drops a level. An
// insert needs the neighbours on each of its levels (a splice: prev before the key, next at or
// after it); it links itself in from level 0 up, by a CAS of prev's link from next to the node. A
// CAS that fails means that another insert came between: the neighbours on that level are looked
// up again, from prev onwards.
//
// Where the time goes: a search in a full memtable is a chain of cache misses, one for each node
// compared. Each step therefore also prefetches the node to be compared if this one turns out to be
// at or after the target (the link one level down is in a line that is already here), so that about
// every second miss overlaps with the one before. The first 16 bytes of the key are in the node as
// two integers; the key itself is read only when they are equal. Two thirds of the nodes are of
// height 1 and are met on the last level only; the others are packed, without keys and values, into
// an arena of their own: 12 of the 64 MiB of a full memtable, which the processor's caches and TLB
// hold better than they would the whole.
//
// The hint keeps the last splice. It is used only if it still brackets the new key on level 0;
// then the levels above are taken as far down as they are still neighbours, and a run of
// ascending keys costs two comparisons an insert, whatever the size of the list.
//
// Invariants: level i is sorted and a subset of level i-1; a link once set to a node is only ever
// changed to one that comes before that; nothing is unlinked. So a reader sees sorted levels at
// all times, and every insert that has returned.
//
// Memory order: a node's fields and its own links are written before the release CAS that links
// it; every link is read with acquire. On failure (no memory) nothing was linked.
#include "memtable/skiplist.h"

#include <assert.h>
#include <string.h>

#include "base/coding.h"
#include "base/status.h"

struct skiplist_target {
    struct slice key;
    uint64_t tag;
    uint64_t prefix[2];
};

static inline _Atomic(struct skiplist_node *) *link_of(struct skiplist_node *node, int level)
{
    return &node->next - level;
}

static inline struct skiplist_node *get_next(struct skiplist_node *node, int level)
{
    return atomic_load_explicit(link_of(node, level), memory_order_acquire);
}

static inline struct skiplist_target target_of(struct slice key, uint64_t tag)
{
    uint8_t padded[16] = {0};
    const uint8_t *p = key.data;

    if (key.size < sizeof(padded)) {
        memcpy(padded, key.data, key.size);
        p = padded;
    }
    return (struct skiplist_target){key, tag, {get_big64(p), get_big64(p + 8)}};
}

// Keys of equal prefixes. Of two that are no longer than these, the shorter one comes first: where
// they differ, the other has zero bytes.
static bool is_before_rest(const struct skiplist_node *node, const struct skiplist_target *t)
{
    struct slice key = skiplist_key(node);

    if (key.size <= 16 && t->key.size <= 16)
        return key.size != t->key.size ? key.size < t->key.size : node->tag > t->tag;
    return entry_compare(key, node->tag, t->key, t->tag) < 0;
}

static inline bool is_before(const struct skiplist_node *node, const struct skiplist_target *t)
{
    if (node->prefix[0] != t->prefix[0])
        return node->prefix[0] < t->prefix[0];
    if (node->prefix[1] != t->prefix[1])
        return node->prefix[1] < t->prefix[1];
    return is_before_rest(node, t);
}

static int random_height(void)
{
    static __thread uint64_t state;
    uint64_t x = state;

    // xorshift64*, seeded by where this thread's copy lies.
    if (!x)
        x = (uint64_t)(uintptr_t)&state | 1;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state = x;
    // A third of the nodes reaches each next level: the digits of a random number to base 3.
    uint64_t digits = (x * UINT64_C(0x2545F4914F6CDD1D)) >> 16;
    int height = 1;
    for (; height < MEMTABLE_MAX_HEIGHT && digits % 3 == 0; digits /= 3)
        height++;
    return height;
}

// A node with room for `bytes` bytes of key and value, uninitialised but for its links.
static struct skiplist_node *node_new(struct skiplist *list, int height, size_t bytes)
{
    size_t links = (size_t)(height - 1) * sizeof(struct skiplist_node *);
    size_t size = links + sizeof(struct skiplist_node);
    uint8_t *p, *data;

    if (height == 1) {
        p = arena_alloc(list->entries, size + bytes);
        data = p + size;
    } else {
        data = arena_alloc(list->entries, bytes);
        p = data ? arena_alloc(list->towers, size) : NULL;
    }
    if (!p)
        return NULL;
    struct skiplist_node *node = (struct skiplist_node *)(void *)(p + links);
    for (int level = 0; level < height; level++)
        atomic_init(link_of(node, level), NULL);
    node->bytes = data;
    return node;
}

int skiplist_init(struct skiplist *list, struct arena *entries, struct arena *towers)
{
    list->entries = entries;
    list->towers = towers;
    list->head = node_new(list, MEMTABLE_MAX_HEIGHT, 0);
    if (!list->head)
        return LSM_NO_MEMORY;
    list->head->prefix[0] = list->head->prefix[1] = 0;
    list->head->tag = 0;
    list->head->value_size = 0;
    list->head->key_size = 0;
    atomic_init(&list->height, 1);
    return 0;
}

// Runs along `level` from *prev (before the target) to the neighbours of the target: *prev becomes
// the last node before it, the node after that is returned (NULL: the end). `bound` is a node known
// to be at or after the target, or NULL.
static inline struct skiplist_node *run_level(struct skiplist_node **prev, int level,
                                              const struct skiplist_node *bound,
                                              const struct skiplist_target *t)
{
    struct skiplist_node *node = *prev;
    struct skiplist_node *next;

    for (;;) {
        next = get_next(node, level);
        if (!next || next == bound)
            break;
        if (level > 0)
            __builtin_prefetch(
                atomic_load_explicit(link_of(node, level - 1), memory_order_relaxed));
        if (!is_before(next, t))
            break;
        node = next;
    }
    *prev = node;
    return next;
}

// The first node at or after the target; *ret_before the last one before it, which may be the head.
static struct skiplist_node *search(const struct skiplist *list, const struct skiplist_target *t,
                                    struct skiplist_node **ret_before)
{
    struct skiplist_node *node = list->head;
    struct skiplist_node *next = NULL;
    int level = atomic_load_explicit(&list->height, memory_order_relaxed);

    while (--level >= 0)
        next = run_level(&node, level, next, t);
    *ret_before = node;
    return next;
}

// Whether the hint's neighbours on level 0 still have the target between them.
static bool hint_fits(const struct skiplist *list, const struct memtable_hint *hint,
                      const struct skiplist_target *t)
{
    const struct skiplist_node *prev = hint->prev[0];
    const struct skiplist_node *next = hint->next[0];

    return (prev == list->head || is_before(prev, t)) && (!next || !is_before(next, t));
}

// Makes the hint the target's splice on levels 0 .. `height`-1, and on all that the list has.
//
// A hint with height > 0 is nested: on each level its neighbours enclose those of the level below.
// So if the target fits on level 0 it fits everywhere, and only the levels below the lowest one
// whose neighbours are still adjacent need a new search.
static void find_splice(struct skiplist *list, const struct skiplist_target *t, int height,
                        struct memtable_hint *hint)
{
    int top = atomic_load_explicit(&list->height, memory_order_relaxed);
    struct skiplist_node *prev = list->head;
    struct skiplist_node *next = NULL;
    int level = top;

    while (height > top &&
           !atomic_compare_exchange_weak_explicit(&list->height, &top, height, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    if (top < height)
        top = height;
    if (hint->height == top && hint_fits(list, hint, t)) {
        for (level = 0; level < top; level++) {
            if (get_next(hint->prev[level], level) == hint->next[level])
                break;
        }
        if (level < top) {
            prev = hint->prev[level];
            next = hint->next[level];
        }
    } else {
        level = top;
    }
    while (--level >= 0) {
        next = run_level(&prev, level, next, t);
        hint->prev[level] = prev;
        hint->next[level] = next;
    }
    hint->height = top;
}

// Links the node in on `level` between the hint's neighbours, or, if those have been parted
// meanwhile, between newer ones; true then.
static bool link_node(struct skiplist_node *node, int level, const struct skiplist_target *t,
                      struct memtable_hint *hint)
{
    struct skiplist_node *prev = hint->prev[level];
    struct skiplist_node *next = hint->next[level];
    bool parted = false;

    for (;;) {
        struct skiplist_node *expected = next;
        atomic_store_explicit(link_of(node, level), next, memory_order_relaxed);
        if (atomic_compare_exchange_strong_explicit(link_of(prev, level), &expected, node,
                                                    memory_order_release, memory_order_relaxed))
            break;
        parted = true;
        next = run_level(&prev, level, NULL, t);
    }
    hint->prev[level] = node;
    hint->next[level] = next;
    return parted;
}

int skiplist_insert(struct skiplist *list, const struct entry *entry, struct memtable_hint *hint)
{
    struct skiplist_target t = target_of(entry->key, entry->tag);
    int height = random_height();
    struct skiplist_node *node = node_new(list, height, entry->key.size + entry->value.size);
    bool parted = false;

    if (!node)
        return LSM_NO_MEMORY;
    assert(entry->key.size <= LSM_MAX_KEY && entry->value.size <= UINT32_MAX);
    memcpy(node->prefix, t.prefix, sizeof(node->prefix));
    node->tag = entry->tag;
    node->key_size = (uint16_t)entry->key.size;
    node->value_size = (uint32_t)entry->value.size;
    uint8_t *bytes = (uint8_t *)(uintptr_t)node->bytes; // ours alone until the node is linked
    memcpy(bytes, entry->key.data, entry->key.size);
    if (entry->value.size)
        memcpy(bytes + entry->key.size, entry->value.data, entry->value.size);

    find_splice(list, &t, height, hint);
    assert(hint->prev[0] == list->head || is_before(hint->prev[0], &t));
    const struct skiplist_node *after = hint->next[0];
    assert(!after || after->tag != t.tag || !slice_equal(skiplist_key(after), t.key));
    (void)after;
    for (int level = 0; level < height; level++)
        parted |= link_node(node, level, &t, hint);
    // Newer neighbours on one level may lie outside those of the level below: no longer nested.
    if (parted)
        hint->height = 0;
    return 0;
}

struct skiplist_node *skiplist_seek(const struct skiplist *list, struct slice key, uint64_t tag)
{
    struct skiplist_target t = target_of(key, tag);
    struct skiplist_node *before;

    return search(list, &t, &before);
}

struct skiplist_node *skiplist_seek_before(const struct skiplist *list, struct slice key,
                                           uint64_t tag)
{
    struct skiplist_target t = target_of(key, tag);
    struct skiplist_node *before;

    (void)search(list, &t, &before);
    return before == list->head ? NULL : before;
}

struct skiplist_node *skiplist_last(const struct skiplist *list)
{
    struct skiplist_node *node = list->head;

    for (int level = atomic_load_explicit(&list->height, memory_order_relaxed); --level >= 0;) {
        struct skiplist_node *next;
        while ((next = get_next(node, level)) != NULL)
            node = next;
    }
    return node == list->head ? NULL : node;
}
