// What the transports share. For transport*.c only.
#ifndef LSMFS_MOUNT_TRANSPORT_INTERNAL_H
#define LSMFS_MOUNT_TRANSPORT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "base/lock_check.h"
#include "mount/fuse_api.h"
#include "mount/options.h"
#include "mount/transport.h"

struct uring_entry;

extern struct lock_role transport_mutex;
extern struct lock_role guard_mutex;

// The threads that serve the requests of one queue. See transport_crew.c.
struct crew {
    atomic_int idle;       // threads without a request
    atomic_uint done;      // requests that were served
    atomic_int overlooked; // threads that became idle although requests may be waiting
    atomic_bool failed;    // a member that the guard has added could not begin
    unsigned seen;         // `done` when the guard looked last; only the guard uses it
    unsigned wave;         // so many members are to be added next; only the guard uses it
};

// Adds members to crews that do not get on.
struct guard {
    pthread_t thread;
    atomic_bool watching;  // the guard is awake
    atomic_uint extra;     // members that the guard has added
    bool runs;             // only the main thread uses it
    pthread_mutex_t mutex; // a leaf
    pthread_cond_t changed;
    bool stopping GUARDED_BY(guard_mutex);
};

LOCK_FUNCTIONS(guard, struct guard, mutex, guard_mutex)

// The place of a thread. A thread whose seat is SEAT_ENDED has returned or is about to, and can be
// joined without waiting.
struct seat {
    pthread_t id;
    enum { SEAT_FREE, SEAT_RUNS, SEAT_ENDED } state;
};

struct transport {
    const struct transport_kind *kind;
    void *state; // belongs to the kind
    struct fuse_session *session;
    enum transport_choice choice;
    const char *mountpoint;
    unsigned threads; // as many serve at once
    unsigned spin_us; // the longest that an idle one polls
    int ended_fd;
    atomic_uint running; // threads that have not ended
    atomic_bool stopping;
    atomic_bool retreating; // the threads end, but the transport does not
    atomic_int error;       // the first failure's errno, negative

    struct crew crew; // of who serves the device, if that is the only queue
    struct guard guard;

    pthread_mutex_t mutex; // a leaf
    pthread_cond_t ended;  // with `mutex`: a seat has become SEAT_ENDED
    struct seat *seats GUARDED_BY(transport_mutex);
    unsigned taken GUARDED_BY(transport_mutex); // seats that were ever taken
    size_t room GUARDED_BY(transport_mutex);    // seats that there is memory for
};

LOCK_FUNCTIONS(transport, struct transport, mutex, transport_mutex)

// A kind of transport. A kind can be given up for another one until its start() has succeeded.
struct transport_kind {
    const char *name;
    // Before INIT is answered: makes ready what may fail. 0 or a negative errno. May be NULL.
    int (*prepare)(struct transport *transport);
    // Starts to serve. 0; 1 if the kernel has refused and another kind has to serve; a negative
    // errno.
    int (*start)(struct transport *transport);
    // The i-th crew; NULL: there are no more.
    struct crew *(*crew)(struct transport *transport, unsigned i);
    // Adds a member. 0 or a negative errno.
    int (*reinforce)(struct transport *transport, struct crew *crew);
    // Brings waiting requests to an idle thread, for a crew that is `overlooked`. False: that
    // cannot be done now. NULL for a kind of which no crew is ever overlooked.
    bool (*urge)(struct transport *transport, struct crew *crew);
    // Takes a reply that does not go out by the device; false: it does. May be NULL.
    bool (*reply)(struct transport *transport, const struct iovec *iov, int count);
    // Ends the threads and frees what the others have made. May be NULL.
    void (*release)(struct transport *transport);
};

extern const struct transport_kind transport_uring, transport_poll, transport_plain;

// The entry whose request the calling thread serves; NULL: it came by the device.
extern _Thread_local struct uring_entry *transport_entry;

// Regular files that the kernel knows, or knew; 0: none.
#define TRANSPORT_FILES 16
extern _Atomic uint64_t transport_files[TRANSPORT_FILES];

// Starts a thread that runs body(transport, arg). The transport ends when all of them have
// returned; a negative value is the errno that transport_join() returns. May be called by such a
// thread. 0 or a negative errno; -ECANCELED: all have returned already.
int transport_thread(struct transport *transport,
                     int (*body)(struct transport *transport, void *arg), void *arg);

// Reads one request from the device, waiting for it, and serves it. `buf` is the thread's. 0; 1
// when the connection has ended; a negative errno.
int transport_serve_one(struct transport *transport, struct fuse_buf *buf);

// The second half of transport_serve_one(): serves what fuse_session_receive_buf(), which has
// returned `n`, has put into `buf`.
int transport_serve_received(struct transport *transport, struct fuse_buf *buf, int n);

// The handler of one request, which libfuse calls.
void transport_handle(struct transport *transport, struct fuse_buf *buf);

// The body of a thread that serves the device until the end.
int transport_serve_device(struct transport *transport, void *arg);

// transport_crew.c: a member begins and ends a request.
void crew_begin(struct transport *transport, struct crew *crew);
void crew_end(struct crew *crew);
// Wakes the guard: nobody is idle, or urge() is to be called.
void crew_watch(struct transport *transport);
// Starts a thread that runs body(transport, crew) as an additional member. 0 or a negative errno.
int crew_add(struct transport *transport, struct crew *crew,
             int (*body)(struct transport *transport, void *arg));
// For an additional member without a request. True: it does not belong to the crew any more, and
// returns.
bool crew_leave(struct transport *transport, struct crew *crew);
// For the kinds of which only one queue has requests.
struct crew *crew_of_device(struct transport *transport, unsigned i);

void guard_init(struct guard *guard);
void guard_release(struct guard *guard);
// After the kind's start(). 0 or a negative errno.
int guard_start(struct transport *transport);
// Ends the guard, if it runs, and waits for it.
void guard_stop(struct transport *transport);

// Whether the threads are to end.
bool transport_ends(struct transport *transport);

// Ends the threads and waits for them, so that a kind can be given up.
void transport_retreat(struct transport *transport);

#endif
