// What the transports share. For transport*.c only.
#ifndef LSMFS_MOUNT_TRANSPORT_INTERNAL_H
#define LSMFS_MOUNT_TRANSPORT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "mount/fuse_api.h"
#include "mount/transport.h"

struct transport {
    const struct transport_kind *kind;
    struct fuse_session *session;
    unsigned threads; // as many serve at once
    unsigned spin_us; // the longest that an idle one polls
    int ended_fd;
    atomic_uint running; // threads that have not ended
    atomic_bool stopping;
    atomic_int error; // the first failure's errno, negative

    pthread_mutex_t mutex; // guards what follows; a leaf
    pthread_t *ids;        // of every thread that was started
    unsigned started, room;
    unsigned joined; // so many of them are being, or have been, waited for
};

// One transport.
struct transport_kind {
    const char *name;
    // Starts its threads with transport_thread(). 0 or a negative errno, whatever was started.
    int (*start)(struct transport *transport);
    // Frees what start() has made; all threads have ended. May be NULL.
    void (*release)(struct transport *transport);
};

extern const struct transport_kind transport_plain, transport_poll;

// Starts a thread that runs body(transport, arg). The transport ends when all of
// them have returned; a negative value is the errno that transport_join() returns. May be called by
// such a thread. 0 or a negative errno.
int transport_thread(struct transport *transport,
                     int (*body)(struct transport *transport, void *arg), void *arg);

// Reads one request from the device, waiting for it, and serves it. `buf` is the thread's. 0; 1
// when the connection has ended; a negative errno.
int transport_serve_device(struct transport *transport, struct fuse_buf *buf);

// Whether the threads are to end.
bool transport_ends(struct transport *transport);

#endif
