// Latency histograms (base/buckets.h). Threads add with relaxed
// atomics and, since they time one operation in LATENCY_SAMPLE, seldom. A summary taken meanwhile
// may miss a few.
#include "db/db_latency.h"

#include <assert.h>
#include <time.h>

_Thread_local unsigned latency_tick;

void latency_add(struct latency *latency, uint64_t start_ns)
{
    assert(start_ns > 0);
    uint64_t ns = clock_ns() - start_ns;
    atomic_fetch_add_explicit(&latency->buckets[bucket_of(ns)], 1, memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&latency->max_ns, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak_explicit(
                           &latency->max_ns, &max, ns, memory_order_relaxed, memory_order_relaxed))
        ;
}

void latency_summarize(const struct latency *latency, struct latency_summary *ret_summary)
{
    uint64_t counts[BUCKETS], total = 0;
    for (unsigned i = 0; i < BUCKETS; i++)
        total += counts[i] = atomic_load_explicit(&latency->buckets[i], memory_order_relaxed);
    uint64_t max = atomic_load_explicit(&latency->max_ns, memory_order_relaxed);
    struct latency_summary summary = {.count = total, .max_ns = max};
    summary.p50_ns = buckets_quantile(counts, total, 500);
    summary.p99_ns = buckets_quantile(counts, total, 990);
    summary.p999_ns = buckets_quantile(counts, total, 999);
    *ret_summary = summary;
}

const char *latency_name(enum latency_op op)
{
    static const char *const names[LATENCY_OPS] = {"get", "seek", "write", "sync"};
    assert(op < LATENCY_OPS);
    return names[op];
}
