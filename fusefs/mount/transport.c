// What the transports share: libfuse's hooks, the handshake, the threads and their end.
//
// All traffic goes through the two hooks of fuse_session_custom_io(). Requests pass
// protocol_request() and replies protocol_reply().
//
// The end: when the mount goes away, the kernel tells every thread (read(2) returns ENODEV).
// transport_stop() is for ending while the mount still exists: it sets a flag and interrupts the
// threads with a signal whose handler does nothing; transport_join() repeats the signal until they
// have seen the flag, as one that arrives just before a system call is lost.
//
// Thread safety: `running` counts every thread before it starts, so it is 0 only when none runs and
// none will.
#include "mount/transport.h"

#include <assert.h>
#include <errno.h>
#include <linux/fuse.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cond.h"
#include "base/waits.h"
#include "mount/counts.h"
#include "mount/cpus.h"
#include "mount/lsmfs.h"
#include "mount/messages.h"
#include "mount/protocol.h"
#include "mount/transport_internal.h"
#include "mount/uring_entry.h"
#include "mount/uring_switch.h"

#define KICK_SIGNAL SIGUSR1

_Thread_local struct uring_entry *transport_entry;
static _Thread_local unsigned serving; // requests, one in the service of another

// By `enum transport_choice` without TRANSPORT_AUTO, the best first.
static const struct transport_kind *const kinds[] = {
#ifdef LSMFS_URING
    &transport_uring,
#else
    NULL,
#endif
    &transport_poll,
    &transport_plain,
};
#define KINDS (sizeof kinds / sizeof *kinds)

// -------------------------------------------------------------------------------- libfuse's hooks

static ssize_t hook_read(int fd, void *data, size_t size, void *userdata)
{
    (void)userdata;
    return read(fd, data, size);
}

static ssize_t hook_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct transport *transport = ((struct lsmfs *)userdata)->transport;
    protocol_reply(iov, count);
    counts_reply(iov);
    if (transport->kind->reply && transport->kind->reply(transport, iov, count))
        return ((const struct fuse_out_header *)iov[0].iov_base)->len;
    uint64_t began = clock_ns();
    ssize_t n = writev(fd, iov, count);
    wait_end(WAIT_KERNEL, began);
    return n;
}

void *transport_room(size_t size)
{
    return transport_entry ? uring_entry_room(transport_entry, size) : NULL;
}

_Atomic uint64_t transport_files[TRANSPORT_FILES];

void transport_note_file(uint64_t ino)
{
    _Atomic uint64_t *place = &transport_files[ino % TRANSPORT_FILES];
    if (atomic_load_explicit(place, memory_order_relaxed) != ino)
        atomic_store_explicit(place, ino, memory_order_relaxed);
}

// ------------------------------------------------------------------------------------ the threads

bool transport_ends(struct transport *transport)
{
    return atomic_load_explicit(&transport->stopping, memory_order_relaxed) ||
           atomic_load_explicit(&transport->retreating, memory_order_relaxed) ||
           fuse_session_exited(transport->session);
}

int transport_serve_one(struct transport *transport, struct fuse_buf *buf)
{
    return transport_serve_received(transport, buf,
                                    fuse_session_receive_buf(transport->session, buf));
}

void transport_handle(struct transport *transport, struct fuse_buf *buf)
{
    protocol_request(buf);
    serving++;
    fuse_session_process_buf(transport->session, buf);
    serving--;
}

int transport_serve_received(struct transport *transport, struct fuse_buf *buf, int n)
{
    if (n == -EINTR || n == -EAGAIN)
        return 0;
    if (n <= 0)
        return n ? n : 1;
    struct counted counted;
    counts_begin(&counted, buf);
    transport_handle(transport, buf);
    counts_end(&counted);
    return 0;
}

bool transport_is_serving(void)
{
    return serving > 0;
}

int transport_serve_device(struct transport *transport, void *arg)
{
    (void)arg;
    struct fuse_buf buf = {0};
    int rc = 0;
    while (rc == 0 && !transport_ends(transport))
        rc = transport_serve_one(transport, &buf);
    free(buf.mem);
    return rc;
}

struct body {
    struct transport *transport;
    int (*run)(struct transport *transport, void *arg);
    void *arg;
    unsigned seat;
};

static void thread_ended(struct transport *transport)
{
    uint64_t one = 1;
    if (atomic_fetch_sub(&transport->running, 1) == 1 &&
        write(transport->ended_fd, &one, sizeof one) != sizeof one)
        messages_write(LOG_ERR, "eventfd: %s", strerror(errno));
}

static void *thread_main(void *arg)
{
    struct body body = *(struct body *)arg;
    struct transport *transport = body.transport;
    free(arg);
    int rc = body.run(transport, body.arg);
    if (rc < 0) {
        int none = 0;
        atomic_compare_exchange_strong(&transport->error, &none, rc);
        transport_stop(transport);
    }
    transport_lock(transport);
    assert(body.seat < transport->taken && transport->seats[body.seat].state == SEAT_RUNS);
    transport->seats[body.seat].state = SEAT_ENDED;
    pthread_cond_signal(&transport->ended);
    transport_unlock(transport);
    thread_ended(transport);
    return NULL;
}

// A free seat, perhaps that of one that has ended. The mutex is held. False: there is no memory.
static bool take_seat(struct transport *transport, unsigned *ret_seat) REQUIRES(transport_mutex)
{
    for (unsigned i = 0; i < transport->taken; i++) {
        struct seat *seat = &transport->seats[i];
        if (seat->state == SEAT_RUNS)
            continue;
        if (seat->state == SEAT_ENDED)
            pthread_join(seat->id, NULL);
        seat->state = SEAT_FREE;
        *ret_seat = i;
        return true;
    }
    if (!array_grow(&transport->seats, &transport->room, transport->taken,
                    sizeof *transport->seats))
        return false;
    *ret_seat = transport->taken++;
    transport->seats[*ret_seat].state = SEAT_FREE;
    return true;
}

// Counts a thread that is to be started. False: all have ended, and it is known.
static bool thread_begins(struct transport *transport)
{
    unsigned running = atomic_load(&transport->running);
    while (running && !atomic_compare_exchange_weak(&transport->running, &running, running + 1))
        ;
    return running;
}

// The mutex is held. 0 or an errno.
static int fill_seat(struct transport *transport, struct body *start) REQUIRES(transport_mutex)
{
    unsigned number = start->seat; // the thread frees `start`
    struct seat *seat = &transport->seats[number];
    char name[16];
    assert(seat->state == SEAT_FREE);
    if (!thread_begins(transport))
        return ECANCELED;
    int error = pthread_create(&seat->id, NULL, thread_main, start);
    if (error) {
        thread_ended(transport);
        return error;
    }
    seat->state = SEAT_RUNS;
    snprintf(name, sizeof name, "lsmfs-%u", number % 10000);
    pthread_setname_np(seat->id, name);
    return 0;
}

int transport_thread(struct transport *transport,
                     int (*body)(struct transport *transport, void *arg), void *arg)
{
    struct body *start = malloc(sizeof *start);
    if (!start)
        return -ENOMEM;
    *start = (struct body){transport, body, arg, 0};
    transport_lock(transport);
    int error = take_seat(transport, &start->seat) ? fill_seat(transport, start) : ENOMEM;
    transport_unlock(transport);
    if (error)
        free(start);
    return -error;
}

static void on_kick(int sig)
{
    (void)sig;
}

// Whether this kind comes into question.
static bool kind_wanted(const struct transport *transport, const struct transport_kind *kind)
{
    if (transport->choice != TRANSPORT_AUTO)
        return kind == kinds[transport->choice - 1];
    // With one processor a thread that polls keeps others from working.
    if (kind == &transport_poll)
        return transport->spin_us && cpus_possible() > 1;
    return kind == &transport_plain || uring_switch_is_on();
}

// Makes ready the first that can be used, beginning with kinds[from]. 0 or a negative errno.
static int take_kind(struct transport *transport, size_t from)
{
    int rc = -EOPNOTSUPP;
    for (size_t i = from; i < KINDS; i++) {
        const struct transport_kind *kind = kinds[i];
        if (!kind || !kind_wanted(transport, kind))
            continue;
        transport->kind = kind;
        rc = kind->prepare ? kind->prepare(transport) : 0;
        if (rc == 0)
            return 0;
        messages_write(LOG_INFO, "transport %s: %s", kind->name, strerror(-rc));
        if (kind->release)
            kind->release(transport);
    }
    return rc;
}

// Gives up the kind, which the kernel has refused, for the next one. 0 or a negative errno.
static int take_next_kind(struct transport *transport)
{
    const struct transport_kind *kind = transport->kind;
    size_t next = 0;
    while (kinds[next++] != kind)
        ;
    messages_write(LOG_INFO, "transport %s: refused by the kernel", kind->name);
    if (kind->release)
        kind->release(transport);
    return take_kind(transport, next);
}

int transport_new(struct lsmfs *fs, struct transport **ret_transport)
{
    static const struct fuse_custom_io io = {.writev = hook_writev, .read = hook_read};
    struct transport *transport = calloc(1, sizeof *transport);
    int rc = -ENOMEM;
    if (!transport)
        return rc;
    pthread_mutex_init(&transport->mutex, NULL);
    cond_init(&transport->ended);
    guard_init(&transport->guard);
    transport->session = fs->session;
    transport->threads = fs->options.threads;
    transport->spin_us = fs->options.spin_us;
    transport->choice = fs->options.transport;
    transport->mountpoint = fs->options.mountpoint;
    // This 1 is transport_start()'s own, taken back when it returns.
    atomic_init(&transport->running, 1);
    transport->ended_fd = eventfd(0, EFD_CLOEXEC);
    if (transport->ended_fd < 0)
        rc = -errno;
    else
        rc = fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
    if (rc == 0) {
        struct sigaction action = {.sa_handler = on_kick};
        sigemptyset(&action.sa_mask);
        sigaction(KICK_SIGNAL, &action, NULL);
        fs->transport = transport;
        rc = take_kind(transport, 0);
    }
    if (rc < 0) {
        transport_free(transport);
        fs->transport = NULL;
        return rc;
    }
    *ret_transport = transport;
    return 0;
}

// Nobody else has it any more.
NOT_CHECKED void transport_free(struct transport *transport)
{
    if (!transport)
        return;
    if (transport->kind && transport->kind->release)
        transport->kind->release(transport);
    if (transport->ended_fd >= 0)
        close(transport->ended_fd);
    pthread_cond_destroy(&transport->ended);
    pthread_mutex_destroy(&transport->mutex);
    guard_release(&transport->guard);
    free(transport->seats);
    free(transport);
}

int transport_handshake(struct transport *transport)
{
    struct fuse_buf buf = {0};
    int rc = 0;
    // A kernel with another major version sends INIT twice.
    while (rc == 0 && !protocol_init_done() && !fuse_session_exited(transport->session))
        rc = transport_serve_one(transport, &buf);
    free(buf.mem);
    return rc > 0 || fuse_session_exited(transport->session) ? -ENODEV : rc;
}

int transport_start(struct transport *transport)
{
    int rc;
    while ((rc = transport->kind->start(transport)) == 1) {
        rc = take_next_kind(transport);
        if (rc < 0)
            break;
    }
    if (rc == 0)
        rc = guard_start(transport);
    if (rc < 0) {
        transport_stop(transport);
        transport_join(transport);
    }
    thread_ended(transport);
    return rc;
}

const char *transport_name(const struct transport *transport)
{
    return transport->kind->name;
}

int transport_ended_fd(const struct transport *transport)
{
    return transport->ended_fd;
}

void transport_stop(struct transport *transport)
{
    atomic_store(&transport->stopping, true);
    fuse_session_exit(transport->session);
    transport_lock(transport);
    for (unsigned i = 0; i < transport->taken; i++)
        if (transport->seats[i].state == SEAT_RUNS)
            pthread_kill(transport->seats[i].id, KICK_SIGNAL);
    transport_unlock(transport);
}

// Waits until the thread in a seat has ended; interrupts it, again and again, if it is to end. The
// mutex is held, and given up while it waits: then the seats may be moved, and this one be taken by
// another.
static void join_seat(struct transport *transport, unsigned i) REQUIRES(transport_mutex)
{
    while (transport->seats[i].state == SEAT_RUNS) {
        cond_wait_us(&transport->ended, &transport->mutex, 20000);
        if (transport->seats[i].state == SEAT_RUNS && transport_ends(transport))
            pthread_kill(transport->seats[i].id, KICK_SIGNAL);
    }
    if (transport->seats[i].state == SEAT_ENDED)
        pthread_join(transport->seats[i].id, NULL);
    transport->seats[i].state = SEAT_FREE;
}

int transport_join(struct transport *transport)
{
    guard_stop(transport);
    transport_lock(transport);
    for (unsigned i = 0; i < transport->taken;) {
        bool free = transport->seats[i].state == SEAT_FREE;
        if (!free)
            join_seat(transport, i);
        // Those that run may start others, in any seat, until the last of them has ended.
        i = free ? i + 1 : 0;
    }
    transport_unlock(transport);
    return atomic_load(&transport->error);
}

void transport_retreat(struct transport *transport)
{
    atomic_store(&transport->retreating, true);
    transport_join(transport);
    atomic_store(&transport->retreating, false);
}
