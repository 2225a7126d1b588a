// The plain transport: every thread blocks in read(2) on the FUSE device, and the kernel wakes one
// of them for each request, which then runs to its reply on that thread.
#include "mount/transport_internal.h"

static int start(struct transport *transport)
{
    int result = 0;
    for (unsigned i = 0; result == 0 && i < transport->threads; i++)
        result = transport_thread(transport, transport_serve_device, NULL);
    return result;
}

const struct transport_kind transport_plain = {.name = "plain", .start = start};
