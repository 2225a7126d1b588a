// Epoch-based reclamation.
//
// Algorithm. `epoch_global` counts up. A reader announces the value it saw in its slot (pin) and
// clears the slot at the end (unpin). A retired node goes onto the stack `pending`. A reclaimer
// (one at a time) takes the whole stack, advances the epoch from e to e+1, stamps the batch with e
// and appends it to the queue `limbo`, which is thus ordered by stamp. It then reads all slots and
// frees from the head of the queue what is stamped lower than every announced epoch.
//
// Why that is safe. Let R be a reader that reached node N through pointer P, and U the store that
// had unlinked N from P before N was retired.
//  1. R announced r <= e, the stamp of N. For U happens before the push of N (release), the taking
//     of the stack (acquire) and the increment e -> e+1 (release). Had R read an epoch above e
//     (acquire; all stores to the epoch are increments, one release sequence), its later load of P
//     would have seen U.
//  2. A reclaimer that frees N saw R's slot either before R's announcement or after R's unpin:
//     while R is pinned the slot holds r <= e, which keeps N.
//     Before: then the reclaimer's increment (a full fence, after U) precedes R's announcement (a
//     full fence, before R's load of P) in the single order of seq_cst operations, and R would
//     have seen U. After: the slot's value comes from R's unpin (release) or a later
//     announcement (an exchange, release); read with acquire, so all of R's uses of N happen
//     before the free.
// A reader delayed between reading the epoch and announcing it announces an old value: that holds
// back more than needed, never less.
//
// Slots form a list that only grows; a slot whose thread has exited is claimed again. A thread
// that cannot get one (no memory) counts itself in `slotless_pins` instead; while that is not zero
// nothing is freed.
//
// Locks: `reclaim_mutex` guards `limbo` and is held while free functions run; only epoch_barrier
// waits for it, everyone else tries it and leaves the work to the holder. No failure is possible.
#include "memtable/epoch.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "base/lock_check.h"

// Retired nodes that make the retiring thread try to reclaim. Enough to spread the cost of reading
// the slots; few enough that evicted 4 KiB blocks waiting here are no matter.
#define EPOCH_BATCH 32

extern struct lock_role epoch_reclaim_mutex;

_Atomic uint64_t epoch_global = 1;
__thread struct epoch_slot *epoch_self;

static _Atomic(struct epoch_slot *) slots; // release/acquire
static _Atomic uint32_t slotless_pins;     // like a slot's `pinned`
static __thread uint32_t slotless_depth;

static _Atomic(struct epoch_node *) pending; // push: release; take: acquire
static _Atomic uint32_t pending_count;       // relaxed: a trigger, may lag behind the stack
static _Atomic uint64_t outstanding;         // retired and not yet freed; relaxed: a hint
static _Atomic uint64_t nested_retires;      // made by free functions; relaxed, read under the lock
static __thread bool freeing;                // this thread is inside free functions

static pthread_mutex_t reclaim_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct epoch_node *limbo GUARDED_BY(epoch_reclaim_mutex);
static struct epoch_node **limbo_tail GUARDED_BY(epoch_reclaim_mutex) = &limbo;

STATIC_LOCK_FUNCTIONS(reclaim, reclaim_mutex, epoch_reclaim_mutex)

static bool reclaim_trylock(void) TRY_ACQUIRES(epoch_reclaim_mutex) NOT_CHECKED
{
    return pthread_mutex_trylock(&reclaim_mutex) == 0;
}

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_valid; // written in key_once

// ------------------------------------------------------------------------------------------- slots

static void return_slot(void *arg)
{
    struct epoch_slot *slot = arg;

    assert(slot->depth == 0);
    epoch_self = NULL;
    atomic_store_explicit(&slot->used, 0, memory_order_release);
}

static void create_key(void)
{
    key_valid = pthread_key_create(&key, return_slot) == 0;
}

static struct epoch_slot *find_free_slot(void)
{
    struct epoch_slot *slot = atomic_load_explicit(&slots, memory_order_acquire);

    for (; slot; slot = slot->next_slot) {
        uint32_t expected = 0;
        if (atomic_load_explicit(&slot->used, memory_order_relaxed) == 0 &&
            atomic_compare_exchange_strong_explicit(&slot->used, &expected, 1, memory_order_acquire,
                                                    memory_order_relaxed))
            return slot;
    }
    return NULL;
}

static struct epoch_slot *add_slot(void)
{
    struct epoch_slot *slot = aligned_alloc(_Alignof(struct epoch_slot), sizeof(*slot));

    if (!slot)
        return NULL;
    atomic_init(&slot->pinned, 0);
    atomic_init(&slot->used, 1);
    slot->depth = 0;
    struct epoch_slot *head = atomic_load_explicit(&slots, memory_order_relaxed);
    do
        slot->next_slot = head;
    while (!atomic_compare_exchange_weak_explicit(&slots, &head, slot, memory_order_acq_rel,
                                                  memory_order_relaxed));
    return slot;
}

// Gives the calling thread a slot; false if there is no memory for one.
static bool claim_slot(void)
{
    struct epoch_slot *slot;

    pthread_once(&key_once, create_key);
    if (!key_valid)
        return false;
    slot = find_free_slot();
    if (!slot)
        slot = add_slot();
    if (!slot)
        return false;
    if (pthread_setspecific(key, slot)) {
        return_slot(slot);
        return false;
    }
    epoch_self = slot;
    return true;
}

void epoch_pin_slow(void)
{
    if (slotless_depth == 0 && claim_slot()) {
        epoch_pin();
        return;
    }
    // An outermost pin without a slot announces "any epoch", like epoch_announce().
    if (slotless_depth++ == 0) {
        atomic_fetch_add_explicit(&slotless_pins, 1, memory_order_seq_cst);
#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
        atomic_thread_fence(memory_order_seq_cst);
#endif
    }
}

void epoch_unpin_slow(void)
{
    assert(slotless_depth > 0);
    if (--slotless_depth == 0)
        atomic_fetch_sub_explicit(&slotless_pins, 1, memory_order_release);
}

bool epoch_is_pinned(void)
{
    return slotless_depth > 0 || (epoch_self && epoch_self->depth > 0);
}

// ------------------------------------------------------------------------------------ reclamation

// The lowest epoch any thread has announced, UINT64_MAX if none is pinned. A pin that this does not
// see comes after the caller's last advance.
static uint64_t lowest_pinned(void)
{
    uint64_t lowest = UINT64_MAX;
    struct epoch_slot *slot;

    if (atomic_load_explicit(&slotless_pins, memory_order_seq_cst))
        return 0;
    // The list is read after the increment of the epoch, which is a full fence: a slot added too
    // late to be found here is announced after that fence.
    for (slot = atomic_load_explicit(&slots, memory_order_seq_cst); slot; slot = slot->next_slot) {
        uint64_t epoch = atomic_load_explicit(&slot->pinned, memory_order_seq_cst);
        if (epoch && epoch < lowest)
            lowest = epoch;
    }
    return lowest;
}

// Moves what is pending to limbo, stamped with the epoch that ends here. Returns the
// stamp.
static uint64_t advance(void) REQUIRES(epoch_reclaim_mutex)
{
    struct epoch_node *node = atomic_exchange_explicit(&pending, NULL, memory_order_acquire);
    uint64_t stamp = atomic_fetch_add_explicit(&epoch_global, 1, memory_order_seq_cst);
    uint32_t taken = 0;

#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    atomic_thread_fence(memory_order_seq_cst);
#endif
    for (; node; taken++) {
        struct epoch_node *next = node->next;
        node->epoch = stamp;
        node->next = NULL;
        *limbo_tail = node;
        limbo_tail = &node->next;
        node = next;
    }
    atomic_fetch_sub_explicit(&pending_count, taken, memory_order_relaxed);
    return stamp;
}

// One round: advance and free what no pin protects. Returns the stamp of what was pending when it
// began.
static uint64_t reclaim_round(void) REQUIRES(epoch_reclaim_mutex)
{
    uint64_t stamp = advance();
    uint64_t lowest = lowest_pinned();
    uint64_t freed = 0;

    freeing = true;
    while (limbo && limbo->epoch < lowest) {
        struct epoch_node *node = limbo;
        limbo = node->next;
        if (!limbo)
            limbo_tail = &limbo;
        node->free(node);
        freed++;
    }
    freeing = false;
    atomic_fetch_sub_explicit(&outstanding, freed, memory_order_relaxed);
    return stamp;
}

static void try_reclaim(void)
{
    if (freeing || !reclaim_trylock())
        return;
    reclaim_round();
    reclaim_unlock();
}

void epoch_retire(struct epoch_node *node, void (*free_node)(struct epoch_node *node))
{
    node->free = free_node;
    if (freeing)
        atomic_fetch_add_explicit(&nested_retires, 1, memory_order_relaxed);
    // Counted before the push, so that neither count can fall below zero.
    atomic_fetch_add_explicit(&outstanding, 1, memory_order_relaxed);
    uint32_t count = atomic_fetch_add_explicit(&pending_count, 1, memory_order_relaxed) + 1;
    struct epoch_node *head = atomic_load_explicit(&pending, memory_order_relaxed);
    do
        node->next = head;
    while (!atomic_compare_exchange_weak_explicit(&pending, &head, node, memory_order_release,
                                                  memory_order_relaxed));
    if (count >= EPOCH_BATCH)
        try_reclaim();
}

void epoch_reclaim(void)
{
    if (atomic_load_explicit(&outstanding, memory_order_relaxed))
        try_reclaim();
}

// Readers pin for microseconds, so yielding comes first; a descheduled one is worth a short sleep.
static void wait_for_readers(unsigned attempt)
{
    const struct timespec pause = {.tv_nsec = 100000};

    if (attempt < 64)
        sched_yield();
    else
        nanosleep(&pause, NULL);
}

void epoch_barrier(void)
{
    uint64_t nested;

    assert(!freeing && !epoch_is_pinned());
    reclaim_lock();
    do {
        nested = atomic_load_explicit(&nested_retires, memory_order_relaxed);
        uint64_t stamp = reclaim_round();
        for (unsigned attempt = 0; limbo && limbo->epoch <= stamp; attempt++) {
            wait_for_readers(attempt);
            reclaim_round();
        }
    } while (atomic_load_explicit(&nested_retires, memory_order_relaxed) != nested);
    reclaim_unlock();
}
