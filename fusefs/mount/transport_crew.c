// How many threads serve a queue: requests that do not end must keep nobody else waiting.
//
// Those who serve the requests of one queue are a crew. `threads` of them serve at once, which is
// enough while requests end. On a disk that takes no writes (frozen, or a network's that is gone)
// they do not: each is at a request that changes something, and requests that only read would wait
// behind them. Nobody can tell beforehand which call will stop, as even a store to a page of the
// mapped log may. So one thread more, the guard, looks at crews of which nobody is idle, every
// TICK_US: one that has ended next to no request since it looked last gets another member, then 2,
// 4, and so on until somebody is idle, up to EXTRA_MAX of all crews together. The guard sleeps
// while every crew has somebody idle; who takes the last place wakes it.
//
// Members that were added leave again when as many as `threads` are idle without them
// (crew_leave()), unless their kind cannot let them go.
//
// Thread safety: the counters are atomic. The thread that takes a crew's last idle place lowers
// `idle` first and then looks at `watching`; the guard clears `watching` first and then looks at
// the crews. So at least one of the two sees what the other has done, and no crew is left alone.
// The guard's other fields are used by the guard alone.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cond.h"
#include "mount/transport_internal.h"

#define TICK_US   20000
#define FEW       8 // requests in that time
#define EXTRA_MAX 128

// ------------------------------------------------------------------------------------- the members

void crew_begin(struct transport *transport, struct crew *crew)
{
    if (atomic_fetch_sub(&crew->idle, 1) == 1)
        crew_watch(transport);
}

void crew_end(struct crew *crew)
{
    atomic_fetch_add_explicit(&crew->done, 1, memory_order_relaxed);
    atomic_fetch_add(&crew->idle, 1);
}

void crew_watch(struct transport *transport)
{
    struct guard *guard = &transport->guard;
    if (atomic_load(&guard->watching))
        return;
    guard_lock(guard);
    atomic_store(&guard->watching, true);
    pthread_cond_signal(&guard->changed);
    guard_unlock(guard);
}

int crew_add(struct transport *transport, struct crew *crew,
             int (*body)(struct transport *transport, void *arg))
{
    atomic_fetch_add(&crew->idle, 1); // the new member, which is idle when it begins
    int rc = transport_thread(transport, body, crew);
    if (rc < 0)
        atomic_fetch_sub(&crew->idle, 1);
    return rc;
}

bool crew_leave(struct transport *transport, struct crew *crew)
{
    int idle = atomic_load(&crew->idle);
    while (idle > (int)transport->threads)
        if (atomic_compare_exchange_weak(&crew->idle, &idle, idle - 1)) {
            unsigned before = atomic_fetch_sub(&transport->guard.extra, 1);
            assert(before > 0);
            (void)before;
            return true;
        }
    return false;
}

struct crew *crew_of_device(struct transport *transport, unsigned i)
{
    return i == 0 ? &transport->crew : NULL;
}

// --------------------------------------------------------------------------------------- the guard

// Adds members to a crew that has nobody idle and ends next to no requests. Returns whether the
// crew is to be looked at again.
static bool look_after(struct transport *transport, struct crew *crew)
{
    if (transport_ends(transport))
        return false;
    unsigned done = atomic_load(&crew->done);
    bool stuck = done - crew->seen < FEW;
    crew->seen = done;
    if (atomic_load(&crew->idle) > 0) {
        if (!stuck)
            crew->wave = 0;
        while (atomic_load(&crew->overlooked) > 0 && transport->kind->urge(transport, crew))
            atomic_fetch_sub(&crew->overlooked, 1);
        return atomic_load(&crew->overlooked) > 0;
    }
    // Whether a crew makes progress is known only after one interval with nobody idle. If a new
    // member could not begin, for want of memory or of files, one at a time is tried.
    if (!stuck || crew->wave == 0 || atomic_exchange(&crew->failed, false)) {
        crew->wave = 1;
        return true;
    }
    for (unsigned i = 0; i < crew->wave && atomic_load(&transport->guard.extra) < EXTRA_MAX; i++) {
        atomic_fetch_add(&transport->guard.extra, 1);
        if (transport->kind->reinforce(transport, crew) < 0) {
            atomic_fetch_sub(&transport->guard.extra, 1);
            break;
        }
    }
    assert(atomic_load(&transport->guard.extra) <= EXTRA_MAX);
    crew->wave *= crew->wave < EXTRA_MAX ? 2 : 1;
    return true;
}

static bool look(struct transport *transport)
{
    bool again = false;
    struct crew *crew;
    for (unsigned i = 0; (crew = transport->kind->crew(transport, i)); i++)
        again |= look_after(transport, crew);
    return again;
}

static bool any_short(struct transport *transport)
{
    struct crew *crew;
    for (unsigned i = 0; (crew = transport->kind->crew(transport, i)); i++)
        if (atomic_load(&crew->idle) <= 0 || atomic_load(&crew->overlooked) > 0)
            return true;
    return false;
}

static void *guard_run(void *arg)
{
    struct transport *transport = arg;
    struct guard *guard = &transport->guard;
    guard_lock(guard);
    while (!guard->stopping) {
        if (!atomic_load(&guard->watching)) {
            pthread_cond_wait(&guard->changed, &guard->mutex);
            continue;
        }
        cond_wait_us(&guard->changed, &guard->mutex, TICK_US);
        if (guard->stopping)
            break;
        guard_unlock(guard);
        if (!look(transport)) {
            atomic_store(&guard->watching, false);
            if (any_short(transport)) // somebody may have seen `watching` just before
                atomic_store(&guard->watching, true);
        }
        guard_lock(guard);
    }
    guard_unlock(guard);
    return NULL;
}

void guard_init(struct guard *guard)
{
    pthread_mutex_init(&guard->mutex, NULL);
    cond_init(&guard->changed);
}

void guard_release(struct guard *guard)
{
    pthread_cond_destroy(&guard->changed);
    pthread_mutex_destroy(&guard->mutex);
}

int guard_start(struct transport *transport)
{
    struct guard *guard = &transport->guard;
    int error = pthread_create(&guard->thread, NULL, guard_run, transport);
    if (error)
        return -error;
    guard->runs = true;
    pthread_setname_np(guard->thread, "lsmfs-guard");
    return 0;
}

void guard_stop(struct transport *transport)
{
    struct guard *guard = &transport->guard;
    if (!guard->runs)
        return;
    guard_lock(guard);
    guard->stopping = true;
    pthread_cond_signal(&guard->changed);
    guard_unlock(guard);
    pthread_join(guard->thread, NULL);
    guard->runs = false;
}
