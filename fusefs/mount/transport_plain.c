// The plain transport: every thread blocks in read(2) on the FUSE device, and the kernel wakes one
// of them for each request, which then runs to its reply on that thread.
#include <assert.h>
#include <stdlib.h>

#include "mount/transport_internal.h"

// The body of a thread; `arg` is the crew of one that was added.
static int serve(struct transport *transport, void *arg)
{
    struct crew *crew = &transport->crew;
    struct fuse_buf buf = {0};
    int rc = 0;
    assert(!arg || arg == crew);
    while (rc == 0 && !transport_ends(transport)) {
        int n = fuse_session_receive_buf(transport->session, &buf);
        crew_begin(transport, crew);
        rc = transport_serve_received(transport, &buf, n);
        crew_end(crew);
        if (arg && crew_leave(transport, crew))
            break;
    }
    free(buf.mem);
    return rc;
}

static int reinforce(struct transport *transport, struct crew *crew)
{
    return crew_add(transport, crew, serve);
}

static int start(struct transport *transport)
{
    int rc = 0;
    assert(transport->threads > 0);
    atomic_fetch_add(&transport->crew.idle, (int)transport->threads);
    for (unsigned i = 0; rc == 0 && i < transport->threads; i++)
        rc = transport_thread(transport, serve, NULL);
    return rc;
}

const struct transport_kind transport_plain = {
    .name = "plain",
    .start = start,
    .crew = crew_of_device,
    .reinforce = reinforce,
};
