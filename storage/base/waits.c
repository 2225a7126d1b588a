// See waits.h.
#include "base/waits.h"

#include "base/clock.h"

_Thread_local uint64_t wait_ns[WAITS];

void wait_end(enum wait wait, uint64_t began)
{
    wait_ns[wait] += clock_ns() - began;
}
