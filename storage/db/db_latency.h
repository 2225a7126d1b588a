// How long operations take: histograms that cost next to nothing.
#ifndef LSM_DB_LATENCY_H
#define LSM_DB_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buckets.h"
#include "base/clock.h"

#define LATENCY_SAMPLE 64 // each thread times one operation in so many

enum latency_op { LATENCY_GET, LATENCY_SEEK, LATENCY_WRITE, LATENCY_SYNC, LATENCY_OPS };

struct latency { // relaxed counters
    _Atomic uint64_t buckets[BUCKETS];
    _Atomic uint64_t max_ns;
};

extern _Thread_local unsigned latency_tick;

// The time, for latency_end(), if this operation is one to be timed, else 0.
static inline uint64_t latency_begin(void)
{
    return ++latency_tick % LATENCY_SAMPLE ? 0 : clock_ns();
}

void latency_add(struct latency *latency, uint64_t start_ns);

static inline void latency_end(struct latency *latency, uint64_t start_ns)
{
    if (start_ns)
        latency_add(latency, start_ns);
}

struct latency_summary {
    uint64_t count; // operations timed
    uint64_t p50_ns, p99_ns, p999_ns, max_ns;
};
void latency_summarize(const struct latency *latency, struct latency_summary *ret_summary);

const char *latency_name(enum latency_op op); // "get", ...

#endif
