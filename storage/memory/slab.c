// Size classes over chunks of 2 MiB.
//
// A class has blocks of one size: 64 bytes more than k/8 of a power of two, since what is stored is
// mostly a power of two or a little less and a header. A chunk begins with its own header, found by
// the block's address; its free blocks are a list, and those that were never used lie behind
// `fresh`. A chunk with a free block is in its class's list. One that becomes empty is unmapped,
// unless it is the only one in the list. Blocks larger than the last class's come from malloc.
// Under AddressSanitizer all blocks do, so that uses after free are found.
//
// Invariant: refs is one for the owner and one for each chunk. Lock order: a class's lock is a
// leaf; only one is held. On failure nothing is allocated.
#include "memory/slab.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/lock_check.h"
#include "base/status.h"
#include "memory/span.h"

#define CHUNK_SIZE    HUGE_PAGE
#define BLOCK_ALIGN   ((size_t)64)
#define PAYLOAD_MIN   ((size_t)512)
#define DOUBLINGS     6u // payloads up to 32 KiB
#define STEPS         8u // classes a doubling
#define CLASSES       (DOUBLINGS * STEPS)
#define CLASS_PAYLOAD (PAYLOAD_MIN << DOUBLINGS)

extern struct lock_role slab_class_mutex; // a class's lock; a leaf

struct free_block {
    struct free_block *next;
};

struct slab_chunk {
    struct slab_class *class; // constant
    struct slab *slab;        // constant
    // In the class's list, if `listed`.
    struct slab_chunk *prev GUARDED_BY(slab_class_mutex);
    struct slab_chunk *next GUARDED_BY(slab_class_mutex);
    struct free_block *free GUARDED_BY(slab_class_mutex);
    size_t fresh GUARDED_BY(slab_class_mutex); // offset of the first block never used
    unsigned used GUARDED_BY(slab_class_mutex);
    bool listed GUARDED_BY(slab_class_mutex);
};

struct slab_class {
    pthread_mutex_t lock;
    size_t block_size;                                      // constant
    struct slab_chunk *chunks GUARDED_BY(slab_class_mutex); // with a free block
} __attribute__((aligned(64)));

struct slab {
    bool huge;             // constant
    _Atomic bool closed;   // by the owner; seq_cst: who frees a chunk's last block sees it, or
                           // the owner sees the empty chunk
    _Atomic uint64_t refs; // acq_rel at zero
    struct slab_class classes[CLASSES];
};

static size_t class_block_size(unsigned index)
{
    size_t base = PAYLOAD_MIN << (index / STEPS);
    size_t payload = base + base / STEPS * (index % STEPS + 1);
    return payload + BLOCK_ALIGN;
}

// The smallest class for `size`; CLASSES if there is none.
static unsigned class_of(size_t size)
{
    if (ASAN_BUILD || size > CLASS_PAYLOAD + BLOCK_ALIGN)
        return CLASSES;
    if (size <= PAYLOAD_MIN + PAYLOAD_MIN / STEPS + BLOCK_ALIGN)
        return 0;
    size_t payload = size - BLOCK_ALIGN - 1; // classes hold up to and including their payload
    unsigned doubling = 63u - (unsigned)__builtin_clzll(payload / PAYLOAD_MIN);
    size_t base = PAYLOAD_MIN << doubling;
    return doubling * STEPS + (unsigned)((payload - base) / (base / STEPS));
}

size_t slab_block_size(size_t size)
{
    unsigned index = class_of(size);
    if (index == CLASSES)
        return (size + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    return class_block_size(index);
}

LOCK_FUNCTIONS(class, struct slab_class, lock, slab_class_mutex)

int slab_new(bool huge, struct slab **ret_slab)
{
    struct slab *slab = aligned_alloc(_Alignof(struct slab), sizeof(*slab));
    if (!slab)
        return status_no_memory(sizeof(*slab));
    slab->huge = huge;
    atomic_init(&slab->closed, false);
    atomic_init(&slab->refs, 1);
    for (unsigned i = 0; i < CLASSES; i++) {
        slab->classes[i] = (struct slab_class){.block_size = class_block_size(i)};
        pthread_mutex_init(&slab->classes[i].lock, NULL);
    }
    *ret_slab = slab;
    return 0;
}

static void slab_unref(struct slab *slab)
{
    uint64_t before = atomic_fetch_sub_explicit(&slab->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    for (unsigned i = 0; i < CLASSES; i++)
        pthread_mutex_destroy(&slab->classes[i].lock);
    free(slab);
}

// --------------------------------------------------------------------------------- chunks

static void list_push(struct slab_class *class, struct slab_chunk *chunk) REQUIRES(slab_class_mutex)
{
    assert(!chunk->listed);
    chunk->listed = true;
    chunk->prev = NULL;
    chunk->next = class->chunks;
    if (class->chunks)
        class->chunks->prev = chunk;
    class->chunks = chunk;
}

static void list_remove(struct slab_class *class, struct slab_chunk *chunk)
    REQUIRES(slab_class_mutex)
{
    assert(chunk->listed);
    *(chunk->prev ? &chunk->prev->next : &class->chunks) = chunk->next;
    if (chunk->next)
        chunk->next->prev = chunk->prev;
    chunk->listed = false;
}

// A new chunk in the class's list, or false. The class's lock is held.
static bool add_chunk(struct slab *slab, struct slab_class *class) REQUIRES(slab_class_mutex)
{
    struct slab_chunk *chunk = huge_map(CHUNK_SIZE, slab->huge);
    if (!chunk)
        return false;
    *chunk = (struct slab_chunk){.class = class, .slab = slab};
    chunk->fresh = (sizeof(*chunk) + BLOCK_ALIGN - 1) / BLOCK_ALIGN * BLOCK_ALIGN;
    atomic_fetch_add_explicit(&slab->refs, 1, memory_order_relaxed);
    list_push(class, chunk);
    return true;
}

static bool chunk_full(const struct slab_chunk *chunk) REQUIRES(slab_class_mutex)
{
    return !chunk->free && chunk->fresh + chunk->class->block_size > CHUNK_SIZE;
}

static void drop_chunk(struct slab_chunk *chunk)
{
    struct slab *slab = chunk->slab;
    munmap(chunk, CHUNK_SIZE);
    slab_unref(slab);
}

// Chunks that are in no class's list any more.
static void drop_chunks(struct slab_chunk *chunk) NOT_CHECKED
{
    while (chunk) {
        struct slab_chunk *next = chunk->next;
        drop_chunk(chunk);
        chunk = next;
    }
}

// The owner has gone: empty chunks that were kept go too.
static void drop_empty_chunks(struct slab_class *class)
{
    struct slab_chunk *gone = NULL;
    class_lock(class);
    for (struct slab_chunk *chunk = class->chunks, *next; chunk; chunk = next) {
        next = chunk->next;
        if (chunk->used == 0) {
            list_remove(class, chunk);
            chunk->next = gone;
            gone = chunk;
        }
    }
    class_unlock(class);
    drop_chunks(gone);
}

void slab_free(struct slab *slab)
{
    if (!slab)
        return;
    atomic_store_explicit(&slab->closed, true, memory_order_seq_cst);
    for (unsigned i = 0; i < CLASSES; i++)
        drop_empty_chunks(&slab->classes[i]);
    slab_unref(slab);
}

// --------------------------------------------------------------------------------- blocks

void *slab_alloc(struct slab *slab, size_t size)
{
    unsigned index = class_of(size);
    if (index == CLASSES)
        return aligned_alloc(BLOCK_ALIGN, slab_block_size(size));
    struct slab_class *class = &slab->classes[index];
    void *block = NULL;
    class_lock(class);
    if (class->chunks || add_chunk(slab, class)) {
        struct slab_chunk *chunk = class->chunks;
        chunk->used++;
        if (chunk->free) {
            block = chunk->free;
            chunk->free = chunk->free->next;
        } else {
            block = (char *)chunk + chunk->fresh;
            chunk->fresh += class->block_size;
        }
        if (chunk_full(chunk))
            list_remove(class, chunk);
    }
    class_unlock(class);
    return block;
}

void slab_dealloc(void *block, size_t size)
{
    if (!block || class_of(size) == CLASSES) {
        free(block);
        return;
    }
    struct slab_chunk *chunk =
        (struct slab_chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK_SIZE - 1));
    struct slab_class *class = chunk->class;
    struct free_block *free_block = block;
    assert(class == &chunk->slab->classes[class_of(size)]);
    class_lock(class);
    assert(chunk->used > 0);
    free_block->next = chunk->free;
    chunk->free = free_block;
    if (!chunk->listed)
        list_push(class, chunk);
    bool only = class->chunks == chunk && !chunk->next;
    bool drop = --chunk->used == 0 &&
                (!only || atomic_load_explicit(&chunk->slab->closed, memory_order_seq_cst));
    if (drop)
        list_remove(class, chunk);
    class_unlock(class);
    if (drop)
        drop_chunk(chunk);
}
