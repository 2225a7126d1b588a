// See waits.h.
#include "base/waits.h"

#include <assert.h>

#include "base/clock.h"

_Thread_local uint64_t wait_ns[WAITS];

void wait_end(enum wait wait, uint64_t began)
{
    uint64_t now = clock_ns();
    assert(wait < WAITS);
    assert(began <= now); // of the same clock, which runs evenly
    wait_ns[wait] += now - began;
}
