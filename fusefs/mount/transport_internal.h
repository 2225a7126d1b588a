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

struct transport {
    const struct transport_kind *kind;
    void *state; // the kind's
    struct fuse_session *session;
    enum transport_choice choice;
    unsigned threads; // as many serve at once
    unsigned spin_us; // the longest that an idle one polls
    int ended_fd;
    atomic_uint running; // threads that have not ended
    atomic_bool stopping;
    atomic_bool retreating; // the threads end, but the transport does not
    atomic_int error;       // the first failure's errno, negative

    pthread_mutex_t mutex;                      // a leaf
    pthread_t *ids GUARDED_BY(transport_mutex); // of every thread that was started
    unsigned started GUARDED_BY(transport_mutex);
    size_t room GUARDED_BY(transport_mutex);
    // How many of `ids` were joined or are being joined.
    unsigned joined GUARDED_BY(transport_mutex);
};

LOCK_FUNCTIONS(transport, struct transport, mutex, transport_mutex)

// One transport. Those that start() has not begun to serve with can be given up for another.
struct transport_kind {
    const char *name;
    // Before INIT is answered: makes ready what may fail. 0 or a negative errno. May be NULL.
    int (*prepare)(struct transport *transport);
    // Starts to serve. 0; 1 if the kernel has refused and another kind has to serve; a negative
    // errno.
    int (*start)(struct transport *transport);
    // Takes a reply that does not go out by the device; false: it does. May be NULL.
    bool (*reply)(struct transport *transport, const struct iovec *iov, int count);
    // Ends the threads and frees what the others have made. May be NULL.
    void (*release)(struct transport *transport);
};

extern const struct transport_kind transport_uring, transport_poll, transport_plain;

// The entry whose request the calling thread serves; NULL: it came by the device.
extern _Thread_local struct uring_entry *transport_entry;

// Starts a thread that runs body(transport, arg). The transport ends when all of them have
// returned; a negative value is the errno that transport_join() returns. May be called by such a
// thread. 0 or a negative errno.
int transport_thread(struct transport *transport,
                     int (*body)(struct transport *transport, void *arg), void *arg);

// Reads one request from the device, waiting for it, and serves it. `buf` is the thread's. 0; 1
// when the connection has ended; a negative errno.
int transport_serve_one(struct transport *transport, struct fuse_buf *buf);

// The second half of it: serves what fuse_session_receive_buf() has put into `buf`, returning `n`.
int transport_serve_received(struct transport *transport, struct fuse_buf *buf, int n);

// The body of a thread that serves the device until the end.
int transport_serve_device(struct transport *transport, void *arg);

// Whether the threads are to end.
bool transport_ends(struct transport *transport);

// Ends the threads and waits for them, so that a kind can be given up.
void transport_retreat(struct transport *transport);

#endif
