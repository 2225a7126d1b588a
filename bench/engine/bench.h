// What the bench was asked to do; shared by the driver, the workloads and the engines.
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bench_compression {
    BENCH_COMPRESSION_DEFAULT, // the engine's fast codec: LZ4, or Snappy for LevelDB
    BENCH_COMPRESSION_NONE,
    BENCH_COMPRESSION_LZ4,
    BENCH_COMPRESSION_SNAPPY,
    BENCH_COMPRESSION_ZLIB
};

struct bench_config {
    const char *engine;
    const char *benchmarks;
    const char *dir;
    uint64_t num;        // keys
    uint64_t writes;     // operations of the writing workloads; 0: num
    uint64_t reads;      // operations of the reading workloads; 0: num
    uint64_t sync_num;   // operations of fillsync; 0: num / 1000
    uint64_t seed;       // of keys and values
    uint64_t write_rate; // writes/s of the writer in readwhilewriting; 0: as many as it can
    uint64_t view_ops;   // operations that share a view: LMDB's read transaction, seekrandom's
                         // iterator
    unsigned threads;    // of every workload but the sequential scans
    unsigned bloom_bits; // 0: no filter
    size_t key_size;     // bytes; at least 16
    size_t value_size;   // bytes
    size_t write_buffer; // bytes
    size_t cache_size;   // bytes
    size_t block_size;   // bytes
    uint64_t map_budget; // bytes; tinylsm's
    enum bench_compression compression;
    bool histogram;
    bool pauses; // each workload's line tells the machine's longest pause
    bool use_existing_db;
    bool lmdb_writemap;
};

// Prints a message and ends the program: a bench that met an error has no result.
void bench_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

// Monotonic clock, nanoseconds.
uint64_t bench_now_ns(void);

// CPU time of the calling thread, nanoseconds.
uint64_t bench_thread_cpu_ns(void);

// Waits until the process has used next to no CPU for half a second: how the end of background
// work is seen in engines that do not tell.
void bench_wait_quiet(void);

// Changes `config` as the command line says; ends the program if it is wrong.
void bench_parse_options(int argc, char **argv, struct bench_config *config);

#endif
