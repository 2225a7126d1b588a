// See stage.h.
#include "base/stage.h"

#include <time.h>

_Thread_local uint64_t stage_ns[STAGES];

uint64_t stage_begin(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void stage_end(enum stage stage, uint64_t began)
{
    stage_ns[stage] += stage_begin() - began;
}
