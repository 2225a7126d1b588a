// A bump allocator over anonymous mappings.
//
// Chunks form a list headed by `current`. An allocation is one fetch-add on the current chunk's
// `used`; the range it claims belongs to the caller alone. A claim that runs past the end of the
// chunk is void: the claimant takes grow_lock and, unless someone else has done so meanwhile, puts
// a new chunk (with its own allocation already claimed) in front. A request over a quarter of the
// chunk size gets a chunk of its own, linked behind the current one, so that the tail a new chunk
// leaves behind stays small.
//
// Chunks are mapped, not malloc'd: releasing a memtable must give its memory back to the system.
// Chunks of 2 MiB and more are aligned for huge pages, which saves most of the page faults. The
// fault that is left was seen to take 4 to 19 ms in a virtual machine whose host had to find the
// memory, so a busy store hands chunks from one memtable to the next, through the pool. Under
// AddressSanitizer the pool keeps nothing, so that uses after free are found.
//
// Thread safety: arena_alloc and arena_bytes from any thread; init and release alone. `used` is
// relaxed: it hands out ranges and publishes nothing. `current` is stored with release and loaded
// with acquire, so that the chunk's fields are seen. `next` is written under grow_lock and read by
// arena_release only. Chunks set aside by arena_reserve are only counted when they are used. On
// failure nothing is allocated and the arena stays usable.
#include "memory/arena.h"

#include <assert.h>
#include <sys/mman.h>

#include "base/status.h"
#include "memory/span.h"

#define ARENA_PAGE  ((size_t)4096)
#define ARENA_ALIGN ((size_t)8)

struct arena_chunk {
    struct arena_chunk *next; // grow_lock; read unlocked by arena_release
    size_t size;              // bytes mapped, this header included; constant
    _Atomic size_t used;      // bytes claimed, this header included; may exceed size
};

_Static_assert(sizeof(struct arena_chunk) % 8 == 0, "allocations must be aligned to 8");

static void *map_memory(size_t size)
{
    if (size >= HUGE_PAGE)
        return huge_map(size, true);
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ON false
#else
#define POOL_ON true
#endif

LOCK_FUNCTIONS(pool, struct arena_pool, lock, arena_pool_mutex)
LOCK_FUNCTIONS(grow, struct arena, grow_lock, arena_grow_mutex)

// Nobody else has the pool yet.
void arena_pool_init(struct arena_pool *pool, size_t limit) NOT_CHECKED
{
    *pool = (struct arena_pool){.limit = POOL_ON ? limit : 0};
    pthread_mutex_init(&pool->lock, NULL); // cannot fail on Linux
}

static struct arena_chunk *pool_take(struct arena_pool *pool, size_t size)
{
    struct arena_chunk *chunk = NULL;
    pool_lock(pool);
    if (pool->chunks && pool->chunk_size == size) {
        chunk = pool->chunks;
        pool->chunks = chunk->next;
        assert(pool->bytes >= size);
        pool->bytes -= size;
    }
    pool_unlock(pool);
    return chunk;
}

static bool pool_give(struct arena_pool *pool, struct arena_chunk *chunk)
{
    pool_lock(pool);
    if (!pool->chunks)
        pool->chunk_size = chunk->size;
    bool wanted = chunk->size == pool->chunk_size && pool->bytes + chunk->size <= pool->limit;
    if (wanted) {
        chunk->next = pool->chunks;
        pool->chunks = chunk;
        pool->bytes += chunk->size;
    }
    assert(pool->bytes <= pool->limit);
    pool_unlock(pool);
    return wanted;
}

static void unmap_all(struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        munmap(chunk, chunk->size);
        chunk = next;
    }
}

void arena_pool_trim(struct arena_pool *pool)
{
    pool_lock(pool);
    struct arena_chunk *chunks = pool->chunks;
    pool->chunks = NULL;
    pool->bytes = 0;
    pool_unlock(pool);
    unmap_all(chunks);
}

// Nobody else has the pool any more.
void arena_pool_free(struct arena_pool *pool) NOT_CHECKED
{
    unmap_all(pool->chunks);
    pthread_mutex_destroy(&pool->lock);
}

// Memory for a chunk of `size` bytes, from the pool or the system.
static struct arena_chunk *chunk_get(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = arena->pool ? pool_take(arena->pool, size) : NULL;
    if (!chunk)
        chunk = map_memory(size);
    if (chunk)
        chunk->size = size;
    else
        status_no_memory(size);
    return chunk;
}

// A chunk of `size` bytes, or a page more, that was set aside, or NULL. grow_lock is held.
static struct arena_chunk *spare_take(struct arena *arena, size_t size) REQUIRES(arena_grow_mutex)
{
    struct arena_chunk **link = &arena->spare;
    while (*link && (*link)->size != size && (*link)->size != size + ARENA_PAGE)
        link = &(*link)->next;
    struct arena_chunk *chunk = *link;
    if (chunk)
        *link = chunk->next;
    return chunk;
}

// Bytes of a chunk for requests of `need` bytes.
static size_t chunk_bytes(size_t size, size_t need)
{
    if (size < need + sizeof(struct arena_chunk))
        size = need + sizeof(struct arena_chunk);
    return (size + ARENA_PAGE - 1) & ~(ARENA_PAGE - 1);
}

// A chunk that holds at least `need` bytes, the first `need` of them claimed. grow_lock is held.
static struct arena_chunk *chunk_new(struct arena *arena, size_t size, size_t need)
    REQUIRES(arena_grow_mutex)
{
    if (need > SIZE_MAX / 4) {
        status_no_memory(need);
        return NULL;
    }
    size = chunk_bytes(size, need);
    struct arena_chunk *chunk = spare_take(arena, size);
    if (!chunk)
        chunk = chunk_get(arena, size);
    if (!chunk)
        return NULL;
    chunk->next = NULL;
    atomic_init(&chunk->used, sizeof(*chunk) + need);
    atomic_fetch_add_explicit(&arena->allocated_bytes, chunk->size, memory_order_relaxed);
    return chunk;
}

// Nobody else has the arena yet.
int arena_init(struct arena *arena, size_t chunk_size, struct arena_pool *pool) NOT_CHECKED
{
    if (chunk_size > SIZE_MAX / 4)
        return status_no_memory(chunk_size);
    atomic_init(&arena->allocated_bytes, 0);
    arena->chunk_size = chunk_size < ARENA_PAGE ? ARENA_PAGE : chunk_size;
    arena->pool = pool;
    arena->spare = NULL;
    struct arena_chunk *chunk = chunk_new(arena, arena->chunk_size, 0);
    if (!chunk)
        return LSM_NO_MEMORY;
    if (pthread_mutex_init(&arena->grow_lock, NULL)) {
        munmap(chunk, chunk->size);
        return status_fail(LSM_NO_MEMORY, "cannot make a mutex");
    }
    atomic_init(&arena->current, chunk);
    return 0;
}

static void release_all(struct arena *arena, struct arena_chunk *chunk)
{
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        if (!arena->pool || !pool_give(arena->pool, chunk))
            munmap(chunk, chunk->size);
        chunk = next;
    }
}

// Nobody else has the arena any more.
void arena_release(struct arena *arena) NOT_CHECKED
{
    release_all(arena, atomic_load_explicit(&arena->current, memory_order_acquire));
    release_all(arena, arena->spare);
    arena->spare = NULL;
    atomic_store_explicit(&arena->current, NULL, memory_order_relaxed);
    atomic_store_explicit(&arena->allocated_bytes, 0, memory_order_relaxed);
    pthread_mutex_destroy(&arena->grow_lock);
}

static void *alloc_large(struct arena *arena, size_t size)
{
    grow_lock(arena);
    struct arena_chunk *chunk = chunk_new(arena, 0, size);
    if (chunk) {
        struct arena_chunk *head = atomic_load_explicit(&arena->current, memory_order_relaxed);
        chunk->next = head->next;
        head->next = chunk;
    }
    grow_unlock(arena);
    return chunk ? chunk + 1 : NULL;
}

// Puts a new chunk in front of `full` and allocates from it. *ret_raced if someone else did.
static void *alloc_grow(struct arena *arena, struct arena_chunk *full, size_t size, bool *ret_raced)
{
    void *p = NULL;
    grow_lock(arena);
    *ret_raced = atomic_load_explicit(&arena->current, memory_order_relaxed) != full;
    if (!*ret_raced) {
        struct arena_chunk *chunk = chunk_new(arena, arena->chunk_size, size);
        if (chunk) {
            chunk->next = full;
            p = chunk + 1;
            atomic_store_explicit(&arena->current, chunk, memory_order_release);
        }
    }
    grow_unlock(arena);
    return p;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > arena->chunk_size / 4)
        return alloc_large(arena, size);
    size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    for (;;) {
        struct arena_chunk *chunk = atomic_load_explicit(&arena->current, memory_order_acquire);
        size_t at = atomic_fetch_add_explicit(&chunk->used, size, memory_order_relaxed);
        assert(at % ARENA_ALIGN == 0);
        if (at + size <= chunk->size)
            return (char *)chunk + at;
        bool raced;
        void *p = alloc_grow(arena, chunk, size, &raced);
        if (!raced)
            return p;
    }
}

// Sets aside as many chunks of `size` bytes as make it `count` of them. grow_lock is held.
static int set_aside(struct arena *arena, size_t size, size_t count) REQUIRES(arena_grow_mutex)
{
    for (struct arena_chunk *chunk = arena->spare; chunk && count; chunk = chunk->next)
        count -= chunk->size == size;
    for (; count; count--) {
        struct arena_chunk *chunk = chunk_get(arena, size);
        if (!chunk)
            return LSM_NO_MEMORY;
        chunk->next = arena->spare;
        arena->spare = chunk;
    }
    return LSM_OK;
}

int arena_reserve(struct arena *arena, size_t size)
{
    struct arena_chunk *chunk = atomic_load_explicit(&arena->current, memory_order_acquire);
    size_t used = atomic_load_explicit(&chunk->used, memory_order_relaxed);
    if (used <= chunk->size && size <= chunk->size - used)
        return LSM_OK;
    // A chunk is full when a request of a quarter of its size does not fit any more, so at least
    // three quarters of each chunk can be counted on.
    size_t each = arena->chunk_size / 4 * 3 - sizeof(struct arena_chunk);
    grow_lock(arena);
    int rc = set_aside(arena, chunk_bytes(arena->chunk_size, 0), size / each + 1);
    grow_unlock(arena);
    return rc;
}

int arena_reserve_large(struct arena *arena, size_t size)
{
    if (size > SIZE_MAX / 4)
        return status_no_memory(size);
    grow_lock(arena);
    size = chunk_bytes(0, size);
    size_t count = 1; // beside the chunks that were set aside for other requests of this size
    for (struct arena_chunk *chunk = arena->spare; chunk; chunk = chunk->next)
        count += chunk->size == size;
    int rc = set_aside(arena, size, count);
    grow_unlock(arena);
    return rc;
}

size_t arena_bytes(const struct arena *arena)
{
    return atomic_load_explicit(&arena->allocated_bytes, memory_order_relaxed);
}
