// Runs of units in chunks of one huge page, first fit, with a bit a unit.
//
// All chunks of the process are in one array, whoever uses them: what they hold outlives the store
// that made it by a grace period. A chunk that becomes empty is unmapped. What is larger than a
// chunk has a mapping of its own, what is much smaller than a unit comes from malloc. Under
// AddressSanitizer everything comes from malloc, so that uses after free are found.
//
// There are few spans and they come and go with tables, so the array is searched from its start:
// a microsecond for the chunks of a terabyte. On failure nothing is allocated.
#include "memory/span.h"

#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/lock_check.h"

#define UNIT      ((size_t)32 << 10)
#define UNITS     (HUGE_PAGE / UNIT) // a bit each
#define SMALL_MAX (UNIT / 2)
#define ALIGN     ((size_t)64)

struct span_chunk {
    char *base;
    uint64_t used;
};

extern struct lock_role span_mutex; // a leaf

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct span_chunk *chunks GUARDED_BY(span_mutex);
static size_t chunk_count GUARDED_BY(span_mutex), chunk_capacity GUARDED_BY(span_mutex);

STATIC_LOCK_FUNCTIONS(span, mutex, span_mutex)

_Static_assert(UNITS == 64, "a chunk's units are the bits of a word");

void *huge_map(size_t size, bool huge)
{
    char *p =
        mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    size_t before = (size_t)(-(uintptr_t)p & (HUGE_PAGE - 1));
    if (before)
        munmap(p, before);
    munmap(p + before + size, HUGE_PAGE - before);
    if (huge)
        (void)madvise(p + before, size, MADV_HUGEPAGE); // only a hint
    return p + before;
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static uint64_t run_mask(size_t units)
{
    return units == UNITS ? UINT64_MAX : (UINT64_C(1) << units) - 1;
}

// The first run of `units` free units: its place, UNITS if there is none.
static size_t find_run(uint64_t used, size_t units)
{
    uint64_t starts = ~used; // where a run of `have` units begins
    for (size_t have = 1; have < units;) {
        size_t more = units - have < have ? units - have : have;
        starts &= starts >> more;
        have += more;
    }
    return starts ? (size_t)__builtin_ctzll(starts) : UNITS;
}

static struct span_chunk *add_chunk(void) REQUIRES(span_mutex)
{
    if (!array_grow(&chunks, &chunk_capacity, chunk_count, sizeof *chunks))
        return NULL;
    char *base = huge_map(HUGE_PAGE, true);
    if (!base)
        return NULL;
    chunks[chunk_count] = (struct span_chunk){.base = base};
    return &chunks[chunk_count++];
}

static void *units_alloc(size_t units)
{
    void *span = NULL;
    span_lock();
    struct span_chunk *chunk = NULL;
    size_t at = UNITS;
    for (size_t i = 0; i < chunk_count && at == UNITS; i++) {
        chunk = &chunks[i];
        at = find_run(chunk->used, units);
    }
    if (at == UNITS) {
        chunk = add_chunk();
        at = 0;
    }
    if (chunk) {
        assert(at + units <= UNITS && !(chunk->used & run_mask(units) << at));
        chunk->used |= run_mask(units) << at;
        span = chunk->base + at * UNIT;
    }
    span_unlock();
    return span;
}

static void units_free(char *span, size_t units)
{
    char *base = span - ((uintptr_t)span & (HUGE_PAGE - 1));
    span_lock();
    size_t i = 0;
    while (chunks[i].base != base)
        i++;
    uint64_t mask = run_mask(units) << (size_t)(span - base) / UNIT;
    assert((chunks[i].used & mask) == mask);
    chunks[i].used &= ~mask;
    bool empty = chunks[i].used == 0;
    if (empty)
        chunks[i] = chunks[--chunk_count];
    if (chunk_count == 0) {
        free(chunks);
        chunks = NULL;
        chunk_capacity = 0;
    }
    span_unlock();
    if (empty)
        munmap(base, HUGE_PAGE);
}

void *span_alloc(size_t size)
{
    if (ASAN_BUILD || size <= SMALL_MAX)
        return aligned_alloc(ALIGN, round_up(size ? size : 1, ALIGN));
    if (size > HUGE_PAGE)
        return size < SIZE_MAX / 2 ? huge_map(round_up(size, UNIT), true) : NULL;
    return units_alloc(round_up(size, UNIT) / UNIT);
}

void span_free(void *span, size_t size)
{
    if (!span || ASAN_BUILD || size <= SMALL_MAX)
        free(span);
    else if (size > HUGE_PAGE)
        munmap(span, round_up(size, UNIT));
    else
        units_free(span, round_up(size, UNIT) / UNIT);
}
