// Epoch-based reclamation (Fraser 2004; as in crossbeam and libcds): readers pin the current epoch,
// load shared pointers, and use what they reach without any reference count; writers unlink an
// object first and retire it; it is freed once every thread that was pinned then has unpinned.
//
// One domain for the whole process. Pinning costs one exchange on the thread's own cache line; it
// nests. A thread's slot is claimed at its first pin and returned when it exits.
//
// A pinned thread holds up all reclamation: pin for one operation, never across user code. What
// must live longer takes a reference count of its own while pinned.
//
// After fork() without exec the child must not use the domain if other threads existed: a slot
// that one of them had pinned stays pinned there for good.
#ifndef LSM_MEMTABLE_EPOCH_H
#define LSM_MEMTABLE_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

// An object that can be retired embeds one of these.
struct epoch_node {
    struct epoch_node *next;
    void (*free)(struct epoch_node *node);
    uint64_t epoch;
};

// Calls free_node(node) from some thread once no pin that is held now remains. The object must
// already be unreachable for new readers. Never blocks, never fails. May run due frees of other
// nodes in the calling thread, so call it without locks that those take; may be called pinned.
void epoch_retire(struct epoch_node *node, void (*free_node)(struct epoch_node *node));

// Waits until everything retired before the call has been freed, and what those frees retired in
// their turn. The caller must be neither pinned nor inside a free function. For closing a store and
// for tests.
void epoch_barrier(void);

// Tries to advance the epoch and free what is due; cheap if nothing is. Background threads call it
// between jobs, so that garbage does not wait for the next retire.
void epoch_reclaim(void);

// Whether the calling thread is pinned. For assertions.
bool epoch_is_pinned(void);

// ------------------------------------------------------ what the inline pin and unpin are made of

// A thread's announcement. One cache line each, so that pinning shares nothing between threads.
struct epoch_slot {
    _Atomic uint64_t pinned;      // the epoch seen when pinning, 0 when not pinned; see epoch.c
    uint32_t depth;               // of nesting; the owner's alone
    _Atomic uint32_t used;        // 1 while a thread owns the slot; acquire/release
    struct epoch_slot *next_slot; // fixed once the slot is in the list
} __attribute__((aligned(64)));

extern _Atomic uint64_t epoch_global;

// NULL until the thread has a slot. Initial-exec: one load, without a call, also in the shared
// library.
extern __thread struct epoch_slot *epoch_self __attribute__((tls_model("initial-exec")));

void epoch_pin_slow(void);
void epoch_unpin_slow(void);

// Announces `epoch` and orders that before everything the thread loads from here on. On x86 an
// exchange is that full fence already; elsewhere a fence follows. ThreadSanitizer knows no fences
// and needs none: what it checks rests on the release/acquire pairs alone.
static inline void epoch_announce(struct epoch_slot *slot, uint64_t epoch)
{
    atomic_exchange_explicit(&slot->pinned, epoch, memory_order_seq_cst);
#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static inline void epoch_pin(void)
{
    struct epoch_slot *slot = epoch_self;
    if (__builtin_expect(!slot, 0)) {
        epoch_pin_slow();
        return;
    }
    if (slot->depth++ == 0)
        epoch_announce(slot, atomic_load_explicit(&epoch_global, memory_order_acquire));
}

static inline void epoch_unpin(void)
{
    struct epoch_slot *slot = epoch_self;
    if (__builtin_expect(!slot, 0)) {
        epoch_unpin_slow();
        return;
    }
    if (--slot->depth == 0)
        atomic_store_explicit(&slot->pinned, 0, memory_order_release);
}

#endif
