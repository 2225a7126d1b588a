// The plain transport: every thread blocks in read(2) on the FUSE device, and the kernel wakes one
// of them for each request, which then runs to its reply on that thread.
#include <stdlib.h>

#include "mount/transport_internal.h"

static int serve(struct transport *transport, void *arg)
{
    (void)arg;
    struct fuse_buf buf = {0};
    int result = 0;
    while (result == 0 && !transport_ends(transport))
        result = transport_serve_device(transport, &buf);
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

const struct transport_kind transport_plain = {.name = "plain", .start = start};
