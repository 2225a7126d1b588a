// Latencies in buckets that grow with the value: 32 to a power of two, so a percentile is off by at
// most 3 %. Not thread-safe: one each thread, merged at the end.
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_SUB     32u
#define HISTOGRAM_BUCKETS (HISTOGRAM_SUB * 60u)

struct histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns; // may exceed every recorded value: see histogram_bound()
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t ns);
// Raises the maximum without recording a value: `ns` bounds operations that were not sampled.
void histogram_bound(struct histogram *histogram, uint64_t ns);
void histogram_merge(struct histogram *histogram, const struct histogram *other);
// `percent` 0 to 100; 0 if nothing was recorded.
uint64_t histogram_percentile(const struct histogram *histogram, double percent);
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
