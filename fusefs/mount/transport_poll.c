// The polling transport: who serves looks for the next request for a while before it sleeps, which
// saves the price of a sleep and a wake-up when requests follow each other closely.
//
// One thread leads: it takes requests from the device and serves them. The others must not wait in
// the kernel meanwhile, because every request would wake one of them for nothing; they wait here.
// One of these, the deputy, looks at every TICK_US whether the leader has got through any request
// or has found none waiting. If neither, the leader is at one that takes long, and the deputy leads
// too. It does so as well when there are always more requests waiting and processors enough: half
// of them may have leaders. A leader that finds nothing to do while another one waits already joins
// the others again.
//
// How long a leader polls depends on how long it had to wait lately: not at all if that was longer
// than spin_us on average, else spin_us at most. So nobody polls when nothing happens: then a
// leader sleeps in poll(2), and the deputy sleeps too, until the leader wakes it.
//
// Thread safety: the counters are atomic and only hints; the mutex guards the waiting, a leaf.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/cond.h"
#include "mount/cpus.h"
#include "mount/transport_internal.h"

#define TICK_US 200
#define CALM    10 // ticks at which the leader slept, after which the deputy sleeps too

extern struct lock_role polling_mutex;

struct polling {
    unsigned busy_leaders;  // leaders that there may be for the number of requests alone
    atomic_uint empty;      // times that no request was waiting
    atomic_int waiting;     // leaders without a request
    atomic_int asleep;      // leaders that sleep in poll(2)
    atomic_uint average_us; // of how long a leader waited lately, each at most twice spin_us
    pthread_mutex_t mutex;
    pthread_cond_t spare; // there is no deputy, or `over`
    pthread_cond_t watch; // the deputy is to wake up
    unsigned leaders GUARDED_BY(polling_mutex);
    bool has_deputy GUARDED_BY(polling_mutex);
    bool deputy_sleeps GUARDED_BY(polling_mutex);
    bool over GUARDED_BY(polling_mutex);
};

LOCK_FUNCTIONS(polling, struct polling, mutex, polling_mutex)

static struct polling *polling_of(const struct transport *transport)
{
    return transport->state;
}

// ------------------------------------------------------------------------------------- the deputy

// Waits until another leader is needed. The mutex is held.
static void watch(struct polling *polling, const struct crew *crew) REQUIRES(polling_mutex)
{
    unsigned served = atomic_load(&crew->done), empty = atomic_load(&polling->empty);
    for (unsigned calm = 0; !polling->over;) {
        if (calm < CALM) {
            cond_wait_us(&polling->watch, &polling->mutex, TICK_US);
        } else {
            polling->deputy_sleeps = true;
            // The leader reads deputy_sleeps after it has cleared `asleep`.
            if (atomic_load(&polling->asleep))
                pthread_cond_wait(&polling->watch, &polling->mutex);
            polling->deputy_sleeps = false;
            calm = 0;
        }
        calm = atomic_load(&polling->asleep) ? calm + 1 : 0;
        unsigned now_served = atomic_load(&crew->done);
        unsigned now_empty = atomic_load(&polling->empty);
        if (!calm && now_empty == empty &&
            (now_served == served || polling->leaders < polling->busy_leaders))
            return;
        served = now_served;
        empty = now_empty;
    }
}

// Returns when the calling thread is to lead. False: it is over.
static bool wait_to_lead(struct transport *transport)
{
    struct polling *polling = polling_of(transport);
    polling_lock(polling);
    while (polling->has_deputy && !polling->over)
        pthread_cond_wait(&polling->spare, &polling->mutex);
    polling->has_deputy = true;
    if (polling->leaders)
        watch(polling, &transport->crew);
    assert(polling->over || (polling->has_deputy && !polling->deputy_sleeps));
    polling->has_deputy = false;
    polling->leaders++;
    bool leads = !polling->over;
    pthread_cond_signal(&polling->spare);
    polling_unlock(polling);
    return leads;
}

// ------------------------------------------------------------------------------------- the leader

// Notes how long a leader had to wait.
static void note_wait(struct polling *polling, uint64_t us, unsigned limit_us)
{
    unsigned counted = us < 2 * (uint64_t)limit_us ? (unsigned)us : 2 * limit_us;
    unsigned average = atomic_load_explicit(&polling->average_us, memory_order_relaxed);
    atomic_store_explicit(&polling->average_us, (7 * average + counted + 4) / 8,
                          memory_order_relaxed);
}

// Wakes a deputy that sleeps because the leader did.
static void wake_deputy(struct polling *polling)
{
    polling_lock(polling);
    if (polling->deputy_sleeps)
        pthread_cond_signal(&polling->watch);
    polling_unlock(polling);
}

// Waits for a request: polls for as long as that is likely to help, then sleeps. As
// fuse_session_receive_buf().
static int wait_for_request(struct transport *transport, struct fuse_buf *buf)
{
    struct polling *polling = polling_of(transport);
    const unsigned limit = transport->spin_us;
    uint64_t since = clock_us();
    int n = -EAGAIN;
    if (atomic_load_explicit(&polling->average_us, memory_order_relaxed) < limit)
        while (n == -EAGAIN && clock_us() - since < limit)
            n = fuse_session_receive_buf(transport->session, buf);
    if (n == -EAGAIN && !transport_ends(transport)) {
        struct pollfd p = {.fd = fuse_session_fd(transport->session), .events = POLLIN};
        atomic_fetch_add(&polling->asleep, 1);
        poll(&p, 1, -1); // a signal ends it too
        if (atomic_fetch_sub(&polling->asleep, 1) == 1)
            wake_deputy(polling);
        n = fuse_session_receive_buf(transport->session, buf);
    }
    note_wait(polling, clock_us() - since, limit);
    return n;
}

// Leads until another one waits for requests already. 0; 1: the connection has ended; a negative
// errno.
static int lead(struct transport *transport, struct fuse_buf *buf)
{
    struct polling *polling = polling_of(transport);
    while (!transport_ends(transport)) {
        int n = fuse_session_receive_buf(transport->session, buf);
        if (n == -EAGAIN) {
            atomic_fetch_add_explicit(&polling->empty, 1, memory_order_relaxed);
            bool alone = atomic_fetch_add(&polling->waiting, 1) == 0;
            if (alone)
                n = wait_for_request(transport, buf);
            atomic_fetch_sub(&polling->waiting, 1);
            if (!alone)
                return 0;
        }
        crew_begin(transport, &transport->crew);
        int rc = transport_serve_received(transport, buf, n);
        crew_end(&transport->crew);
        if (rc)
            return rc;
    }
    return 1;
}

// The body of a thread; `arg` is the crew of one that was added.
static int serve(struct transport *transport, void *arg)
{
    struct polling *polling = polling_of(transport);
    struct fuse_buf buf = {0};
    int rc = 0;
    while (rc == 0 && wait_to_lead(transport)) {
        rc = lead(transport, &buf);
        polling_lock(polling);
        assert(polling->leaders > 0);
        polling->leaders--;
        if (rc) {
            polling->over = true;
            pthread_cond_broadcast(&polling->spare);
            pthread_cond_broadcast(&polling->watch);
        }
        polling_unlock(polling);
        if (rc == 0 && arg && crew_leave(transport, arg))
            break;
    }
    free(buf.mem);
    return rc;
}

static int poll_reinforce(struct transport *transport, struct crew *crew)
{
    return crew_add(transport, crew, serve);
}

// ---------------------------------------------------------------------------------- start and end

static int poll_start(struct transport *transport)
{
    struct polling *polling = calloc(1, sizeof *polling);
    if (!polling)
        return -ENOMEM;
    transport->state = polling;
    polling->busy_leaders = cpus_possible() / 2;
    pthread_mutex_init(&polling->mutex, NULL);
    pthread_cond_init(&polling->spare, NULL);
    cond_init(&polling->watch);
    int fd = fuse_session_fd(transport->session);
    int rc = fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) ? -errno : 0;
    // One to lead, one to be the deputy.
    unsigned threads = transport->threads < 2 ? 2 : transport->threads;
    atomic_fetch_add(&transport->crew.idle, (int)threads);
    for (unsigned i = 0; rc == 0 && i < threads; i++)
        rc = transport_thread(transport, serve, NULL);
    return rc;
}

static void poll_release(struct transport *transport)
{
    struct polling *polling = polling_of(transport);
    if (!polling)
        return;
    pthread_cond_destroy(&polling->watch);
    pthread_cond_destroy(&polling->spare);
    pthread_mutex_destroy(&polling->mutex);
    free(polling);
    transport->state = NULL;
}

const struct transport_kind transport_poll = {
    .name = "poll",
    .start = poll_start,
    .crew = crew_of_device,
    .reinforce = poll_reinforce,
    .release = poll_release,
};
