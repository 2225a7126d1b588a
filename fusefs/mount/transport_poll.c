// The polling transport: a thread first looks, for up to spin_us, whether a request is there already,
// which saves the price of a sleep and a wake-up when requests follow each other closely.
#include <poll.h>
#include <stdlib.h>
#include <time.h>

#include "mount/transport_internal.h"

static uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// Looks for a request for spin_us.
static void spin(const struct transport *transport)
{
    struct pollfd p = {.fd = fuse_session_fd(transport->session), .events = POLLIN};
    uint64_t end = now_us() + transport->spin_us;
    while (poll(&p, 1, 0) == 0 && now_us() < end)
        ;
}

static int serve(struct transport *transport, void *arg)
{
    (void)arg;
    struct fuse_buf buf = {0};
    int result = 0;
    while (result == 0 && !transport_ends(transport)) {
        spin(transport);
        result = transport_serve_device(transport, &buf);
    }
    free(buf.mem);
    return result;
}

static int start(struct transport *transport)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && i < transport->threads; i++)
        result = transport_thread(transport, serve, NULL);
    return result;
}

const struct transport_kind transport_poll = {.name = "poll", .start = start};
