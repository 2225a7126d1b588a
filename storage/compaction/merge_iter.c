// A k-way merge of internal iterators.
//
// Algorithm. The source with the current entry, the leader, is kept apart from the others, which
// form a binary heap (the smallest on top going forward, the largest going backward). A step moves
// the leader and compares it with the top: one comparison while it goes on leading. If it does not,
// it changes places with the top and sinks to where it belongs. Sources at their end are in neither
// place.
//
// Entries are ordered by (key, tag) and, if even those are equal, by source, the earlier first:
// the merge is deterministic, and the same both ways, for any input.
//
// Turning round. Going forward the others stand after the current entry, going backward before it.
// To turn, each other one is sought to its neighbour of the current entry on the other side, and
// the heap is built anew. The current entry belongs to the leader, which does not move meanwhile.
//
// Failure: a source that fails, at whatever step, ends the merge with its status. One thread at a
// time.
#include "compaction/merge_iter.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"

struct merge_source {
    struct iter *it;
    size_t index;
};

struct merge_iter {
    struct iter iter;
    bool forward;
    struct merge_source leader; // valid while the merge is
    struct merge_source *heap;  // the other sources that have an entry; room for all
    size_t heap_size;
    size_t count;
    struct iter *sources[]; // owned
};

static struct merge_iter *merge_of(struct iter *it)
{
    return (struct merge_iter *)it;
}

static int compare(const struct merge_source *a, const struct merge_source *b)
{
    int c = entry_compare(a->it->entry.key, a->it->entry.tag, b->it->entry.key, b->it->entry.tag);

    if (c)
        return c;
    return a->index < b->index ? -1 : a->index > b->index;
}

// Whether `a` comes before `b` in the direction of travel.
static inline bool leads(const struct merge_iter *m, const struct merge_source *a,
                         const struct merge_source *b)
{
    int c = compare(a, b);

    return m->forward ? c < 0 : c > 0;
}

// Puts `source` into the heap at `at`, whose place is free, or where it belongs below.
static void sink(struct merge_iter *m, size_t at, struct merge_source source)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_size)
            break;
        if (child + 1 < m->heap_size && leads(m, &m->heap[child + 1], &m->heap[child]))
            child++;
        if (!leads(m, &m->heap[child], &source))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = source;
}

static void end(struct merge_iter *m, int status)
{
    m->iter.valid = false;
    m->iter.status = status;
}

static void publish(struct merge_iter *m)
{
    m->iter.entry = m->leader.it->entry;
    m->iter.valid = true;
}

// Makes the top of the heap the leader; the end if there is none.
static void promote_top(struct merge_iter *m)
{
    if (m->heap_size == 0) {
        end(m, 0);
        return;
    }
    m->leader = m->heap[0];
    if (--m->heap_size > 0)
        sink(m, 0, m->heap[m->heap_size]);
    publish(m);
}

// The leader was moved: keeps it or finds the next one.
static inline void settle(struct merge_iter *m)
{
    struct iter *it = m->leader.it;

    if (__builtin_expect(!it->valid, 0)) {
        if (it->status < 0)
            end(m, it->status);
        else
            promote_top(m);
        return;
    }
    if (m->heap_size > 0 && leads(m, &m->heap[0], &m->leader)) {
        struct merge_source old = m->leader;
        m->leader = m->heap[0];
        sink(m, 0, old);
    }
    publish(m);
}

// Adds source `index` to the (not yet ordered) heap if it has an entry. False: it failed, and so
// has the merge.
static bool collect(struct merge_iter *m, size_t index)
{
    struct iter *it = m->sources[index];

    if (it->valid)
        m->heap[m->heap_size++] = (struct merge_source){it, index};
    else if (it->status < 0) {
        end(m, it->status);
        return false;
    }
    return true;
}

static void order_heap(struct merge_iter *m)
{
    for (size_t at = m->heap_size / 2; at-- > 0;)
        sink(m, at, m->heap[at]);
}

// Chooses the leader after all sources have been positioned.
static void start(struct merge_iter *m, bool forward)
{
    m->forward = forward;
    m->heap_size = 0;
    m->iter.status = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (!collect(m, i))
            return;
    }
    order_heap(m);
    promote_top(m);
}

// Moves a source to its first entry after the leader's, or its last before. The latter in one
// search: after a search forward and a step back the source, if others add to it meanwhile, could
// stand at an entry between the leader's and what the search had found.
static void seek_beside(const struct merge_iter *m, size_t index, bool forward)
{
    struct iter *it = m->sources[index];
    struct merge_source source = {it, index};
    uint64_t tag = m->iter.entry.tag;

    if (!forward) {
        // An equal entry of an earlier source is before the leader's. A tag of 0 has no equal.
        iter_seek_before(it, m->iter.entry.key, index < m->leader.index && tag ? tag - 1 : tag);
        return;
    }
    iter_seek(it, m->iter.entry.key, tag);
    if (it->valid && compare(&source, &m->leader) <= 0)
        iter_next(it);
}

// Turns the travel round at the current entry. False: a source failed, and so has the merge.
static bool turn(struct merge_iter *m, bool forward)
{
    m->heap_size = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (i == m->leader.index)
            continue;
        seek_beside(m, i, forward);
        if (!collect(m, i))
            return false;
    }
    m->forward = forward;
    order_heap(m);
    return true;
}

static void merge_seek(struct iter *it, struct slice key, uint64_t tag)
{
    struct merge_iter *m = merge_of(it);

    for (size_t i = 0; i < m->count; i++)
        iter_seek(m->sources[i], key, tag);
    start(m, true);
}

static void merge_seek_before(struct iter *it, struct slice key, uint64_t tag)
{
    struct merge_iter *m = merge_of(it);

    for (size_t i = 0; i < m->count; i++)
        iter_seek_before(m->sources[i], key, tag);
    start(m, false);
}

static void merge_seek_first(struct iter *it)
{
    struct merge_iter *m = merge_of(it);

    for (size_t i = 0; i < m->count; i++)
        iter_seek_first(m->sources[i]);
    start(m, true);
}

static void merge_seek_last(struct iter *it)
{
    struct merge_iter *m = merge_of(it);

    for (size_t i = 0; i < m->count; i++)
        iter_seek_last(m->sources[i]);
    start(m, false);
}

static void merge_next(struct iter *it)
{
    struct merge_iter *m = merge_of(it);

    assert(it->valid);
    if (!m->forward && !turn(m, true))
        return;
    iter_next(m->leader.it);
    settle(m);
}

static void merge_prev(struct iter *it)
{
    struct merge_iter *m = merge_of(it);

    assert(it->valid);
    if (m->forward && !turn(m, false))
        return;
    iter_prev(m->leader.it);
    settle(m);
}

static void merge_free(struct iter *it)
{
    struct merge_iter *m = merge_of(it);

    for (size_t i = 0; i < m->count; i++)
        iter_free(m->sources[i]);
    free(m->heap);
    free(m);
}

static const struct iter_ops merge_ops = {
    .seek = merge_seek,
    .seek_before = merge_seek_before,
    .seek_first = merge_seek_first,
    .seek_last = merge_seek_last,
    .next = merge_next,
    .prev = merge_prev,
    .free = merge_free,
};

int merge_iter_new(struct iter **sources, size_t count, struct iter **ret_iter)
{
    if (count == 1) {
        *ret_iter = sources[0];
        return 0;
    }
    struct merge_iter *m = calloc(1, sizeof(*m) + count * sizeof(m->sources[0]));
    struct merge_source *heap = calloc(count ? count : 1, sizeof(*heap));
    if (!m || !heap) {
        free(m);
        free(heap);
        for (size_t i = 0; i < count; i++)
            iter_free(sources[i]);
        return status_no_memory(count * sizeof(*heap));
    }
    m->iter.ops = &merge_ops;
    m->heap = heap;
    m->count = count;
    if (count)
        memcpy(m->sources, sources, count * sizeof(sources[0]));
    *ret_iter = &m->iter;
    return 0;
}
