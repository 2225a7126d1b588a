// The workloads: what is done to an engine, and what is remembered of it.
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdatomic.h>

#include "data.h"
#include "engines.h"
#include "histogram.h"

// One operation in 17 is timed, so that two clock readings (50 ns) cost 3 ns an operation; a prime,
// so that the sample does not keep step with restart points or blocks. The time between two samples
// bounds all operations in between: the maximum reported is never too small.
#define METER_PERIOD 17u

struct meter {
    uint32_t countdown;
    bool timing;
    uint64_t start_ns; // of the latest sample
    struct histogram histogram;
};

struct result {
    uint64_t ops;
    uint64_t bytes;   // of keys and values written or seen
    uint64_t found;   // gets that found the key, seeks that landed on it
    uint64_t entries; // entries that cursors saw
    uint64_t sum;     // of the bytes seen
    uint64_t cpu_ns;  // of the thread
    uint64_t begin_ns, end_ns;
};

struct worker {
    const struct bench_config *config;
    const struct engine_ops *ops;
    struct session *session;
    unsigned id;
    uint64_t first, count; // its share of the operations: [first, first + count)
    atomic_bool *stop;     // set when the other workers are done
    struct random random;
    struct values values;
    char key[BENCH_KEY_MAX];
    struct meter meter;
    struct result result;
};

enum workload_flags {
    WORKLOAD_FRESH = 1,       // starts with a new store
    WORKLOAD_WRITES = 2,      // num operations, not reads
    WORKLOAD_SYNC = 4,        // sync_num operations, each durable
    WORKLOAD_ONE_THREAD = 8,  // whatever --threads says
    WORKLOAD_ADD_WRITER = 16, // one more thread that overwrites until the others are done
    WORKLOAD_ENTRIES = 32,    // scans: rates are of entries
    WORKLOAD_SHOW_FOUND = 64, // found counts are printed
    WORKLOAD_RACY = 128,      // what was seen depends on timing: no sum
};

struct workload {
    const char *name;
    unsigned flags;
    void (*run)(struct worker *worker);
};

// NULL if there is none of that name.
const struct workload *workload_find(const char *name);
// The writer of WORKLOAD_ADD_WRITER.
void workload_background_writer(struct worker *worker);

#endif
