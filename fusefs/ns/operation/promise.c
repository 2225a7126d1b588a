// Holding space for unwritten ranges. See promise.h.
//
// The space that is held is for all bytes that are unwritten, or are just being promised, and for
// what the store adds when it writes them (keys, checksums of pages): PROMISE_SHARE of them. Writes
// lower the number of unwritten bytes all the time. The held space follows in steps of HELD_STEP,
// so that a write seldom waits until the file that holds it is cut.
//
// Failure: if space cannot be held when the store is opened, or not held again after a write that
// failed, promises are only counted until the next one is made.
#include "ns/operation/promise.h"

#include <assert.h>
#include <errno.h>

#include "ns/operation/ns_internal.h"

#define HELD_STEP     (16u << 20)
#define PROMISE_SHARE 32u

LOCK_FUNCTIONS(promise, struct promise, mutex, promise_mutex)

// (A lock's own function: clang does not know pthread_mutex_trylock.)
static bool promise_try(struct promise *promise) TRY_ACQUIRES(promise_mutex) NOT_CHECKED
{
    return pthread_mutex_trylock(&promise->mutex) == 0;
}

void promise_init(struct ns *ns)
{
    pthread_mutex_init(&ns->promise.mutex, NULL);
}

void promise_release(struct ns *ns)
{
    pthread_mutex_destroy(&ns->promise.mutex);
}

static uint64_t unwritten_now(const struct promise *promise)
{
    int64_t bytes = atomic_load_explicit(&promise->unwritten, memory_order_relaxed);
    return bytes > 0 ? (uint64_t)bytes : 0;
}

static uint64_t with_share(uint64_t bytes)
{
    return bytes + bytes / PROMISE_SHARE;
}

// Has the engine hold space for what is unwritten now and `bytes` more. An lsm_status. Mutex held.
static int hold(struct ns *ns, uint64_t bytes) REQUIRES(promise_mutex)
{
    struct promise *promise = &ns->promise;
    uint64_t all = unwritten_now(promise) + promise->pending + bytes;
    uint64_t wanted = with_share(all > promise->spending ? all - promise->spending : 0);
    if (atomic_load_explicit(&promise->held, memory_order_relaxed) == wanted)
        return 0;
    int rc = lsm_hold_space(ns->db, wanted);
    if (!rc)
        atomic_store_explicit(&promise->held, wanted, memory_order_relaxed);
    // This disk cannot hold space: promises are only counted.
    return rc == LSM_INVALID ? 0 : rc;
}

void promise_open(struct ns *ns, uint64_t unwritten)
{
    struct promise *promise = &ns->promise;
    atomic_store_explicit(&promise->unwritten, (int64_t)unwritten, memory_order_relaxed);
    promise_lock(promise);
    promise->is_marked = super_has(ns, FEATURE_UNWRITTEN);
    // A mount that may write holds the space, or the last one did.
    if (promise->is_marked)
        (void)!hold(ns, 0);
    promise_unlock(promise);
}

int promise_space(struct ns *ns, uint64_t *ret_free, uint64_t *ret_available, uint64_t *ret_total)
{
    int rc = lsm_space(ns->db, ret_free, ret_available, ret_total);
    if (rc)
        return rc;
    uint64_t held = atomic_load_explicit(&ns->promise.held, memory_order_relaxed);
    uint64_t wanted = with_share(unwritten_now(&ns->promise));
    uint64_t missing =
        wanted > held ? wanted - held : 0; // promised and not held: free by the disk's count
    *ret_free = *ret_free > missing ? *ret_free - missing : 0;
    *ret_available = *ret_available > missing ? *ret_available - missing : 0;
    return 0;
}

// -ENOSPC if fewer than `bytes` bytes are available. Mutex held.
static int check_available(struct ns *ns, uint64_t bytes) REQUIRES(promise_mutex)
{
    uint64_t free_bytes, available, total;
    int rc = ns_err(promise_space(ns, &free_bytes, &available, &total));
    return rc || with_share(bytes) <= available ? rc : -ENOSPC;
}

int promise_begin(struct ns *ns, uint64_t bytes)
{
    struct promise *promise = &ns->promise;
    promise_lock(promise);
    int rc = bytes > (uint64_t)NS_FILE_MAX / 2 ? -ENOSPC : check_available(ns, bytes);
    if (!rc && !promise->is_marked) {
        rc = ns_err(ns_mark_feature(ns, FEATURE_UNWRITTEN));
        promise->is_marked = !rc;
    }
    if (!rc)
        rc = ns_err(hold(ns, bytes));
    if (!rc)
        promise->pending += bytes;
    promise_unlock(promise);
    return rc;
}

void promise_end(struct ns *ns, uint64_t bytes)
{
    struct promise *promise = &ns->promise;
    promise_lock(promise);
    assert(promise->pending >= bytes);
    promise->pending -= bytes;
    (void)!hold(ns, 0);
    promise_unlock(promise);
}

void promise_changed(struct ns *ns, int64_t bytes)
{
    struct promise *promise = &ns->promise;
    if (!bytes)
        return;
    atomic_fetch_add_explicit(&promise->unwritten, bytes, memory_order_relaxed);
    uint64_t held = atomic_load_explicit(&promise->held, memory_order_relaxed);
    uint64_t wanted = with_share(unwritten_now(promise));
    if (bytes > 0 || !held || (wanted && held < wanted + HELD_STEP))
        return;
    // If another thread holds the mutex, that thread will adjust the held space.
    if (!promise_try(promise))
        return;
    // Bytes that are being spent are not held any more, and these may be among them.
    if (!promise->spending)
        (void)!hold(ns, 0);
    promise_unlock(promise);
}

void promise_spend(struct ns *ns, uint64_t bytes)
{
    promise_lock(&ns->promise);
    ns->promise.spending += bytes;
    (void)!hold(ns, 0);
    promise_unlock(&ns->promise);
}

void promise_spent(struct ns *ns, uint64_t bytes)
{
    promise_lock(&ns->promise);
    assert(ns->promise.spending >= bytes);
    ns->promise.spending -= bytes;
    (void)!hold(ns, 0);
    promise_unlock(&ns->promise);
}
