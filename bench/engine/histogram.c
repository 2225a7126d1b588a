// Log-linear latency histogram.
//
// Values below 32 have a bucket each; above, a power of two is cut into 32 equal buckets. The
// bucket of a value is found from its leading bit, with no search.
#include "histogram.h"

static unsigned bucket_of(uint64_t ns)
{
    if (ns < HISTOGRAM_SUB)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    return (shift + 1) * HISTOGRAM_SUB + (unsigned)(ns >> shift) - HISTOGRAM_SUB;
}

// The smallest value that falls into the bucket.
static uint64_t bucket_start(unsigned bucket)
{
    if (bucket < HISTOGRAM_SUB)
        return bucket;
    unsigned shift = bucket / HISTOGRAM_SUB - 1;
    return (uint64_t)(HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->count++;
    histogram->sum_ns += ns;
    histogram_bound(histogram, ns);
    histogram->buckets[bucket_of(ns)]++;
}

void histogram_bound(struct histogram *histogram, uint64_t ns)
{
    if (ns > histogram->max_ns)
        histogram->max_ns = ns;
}

void histogram_merge(struct histogram *histogram, const struct histogram *other)
{
    histogram->count += other->count;
    histogram->sum_ns += other->sum_ns;
    histogram_bound(histogram, other->max_ns);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->buckets[i] += other->buckets[i];
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    double rank = (double)histogram->count * percent / 100.0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (histogram->buckets[i] && (double)seen >= rank)
            return (bucket_start(i) + bucket_start(i + 1)) / 2;
    }
    return 0;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (!histogram->buckets[i])
            continue;
        seen += histogram->buckets[i];
        fprintf(out, "  [%10.3f, %10.3f) us %10llu %7.3f %%\n", (double)bucket_start(i) / 1000,
                (double)bucket_start(i + 1) / 1000, (unsigned long long)histogram->buckets[i],
                100.0 * (double)seen / (double)histogram->count);
    }
}
