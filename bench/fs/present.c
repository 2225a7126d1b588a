// What a store's present costs, in processor time of this process with all its threads, so that
// other work on the machine hardly matters: nanoseconds for each read of a short file, by path and
// in random order, for each write to one, up to the last byte in a table, and for each read between
// the writes. And bytes that compactions write for each write, which do not depend on the machine.
//   lsmfs_present STORE [WRITES]      made by snapshots.sh
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ns/namespace.h"

#define FILES  20000u
#define READS  200000u
#define WRITES 240000u
#define TURN   4000u

static void must(int status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "lsmfs_present: %s: %d %s\n", what, status, lsm_error_detail());
    exit(1);
}

static uint64_t ns_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static const char *some_path(void)
{
    static char path[64];
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    snprintf(path, sizeof path, "/base/p0/f%u", (unsigned)((state >> 33) % FILES));
    return path;
}

static void read_one(struct ns *ns)
{
    char data[4096];
    struct ns_inode *inode;
    struct ns_attr attr;
    must((int)ns_resolve_read(ns, some_path(), data, sizeof data, &inode, &attr), "read");
    ns_inode_put(ns, inode, 1);
}

static void write_one(struct ns *ns, unsigned i)
{
    struct ns_inode *inode;
    struct ns_attr attr;
    must(ns_resolve(ns, some_path(), &inode, &attr), "resolve");
    must((int)ns_write(ns, inode, "some bytes", 10, i % 1400, 0, NULL), "write");
    ns_inode_put(ns, inode, 1);
}

// Writes, and every now and then as many reads, which see level 0 as it comes and goes. Returns the
// nanoseconds of this thread for these.
static uint64_t write_all(struct ns *ns, unsigned writes)
{
    uint64_t reading = 0;
    for (unsigned i = 0; i < writes; i++) {
        write_one(ns, i);
        if ((i + 1) % TURN)
            continue;
        uint64_t start = ns_of(CLOCK_THREAD_CPUTIME_ID);
        for (unsigned n = 0; n < TURN; n++)
            read_one(ns);
        reading += ns_of(CLOCK_THREAD_CPUTIME_ID) - start;
    }
    return reading;
}

static uint64_t compacted_bytes(struct ns *ns)
{
    uint64_t bytes = 0;
    if (!lsm_property_uint(ns_engine(ns), "compact-bytes-written", &bytes))
        must(LSM_INVALID, "compact-bytes-written");
    return bytes;
}

int main(int argc, char **argv)
{
    struct ns_options options;
    struct ns *ns;
    unsigned writes = argc == 3 ? (unsigned)strtoul(argv[2], NULL, 10) / TURN * TURN : WRITES;
    if (argc < 2 || argc > 3 || writes == 0)
        return 2;
    ns_options_init(&options);
    options.engine.write_buffer_size = 8 << 20; // several flushes, and compactions of their tables
    must(ns_open(argv[1], &options, &ns), "open");
    for (unsigned i = 0; i < FILES; i++)
        read_one(ns);
    must(lsm_wait_idle(ns_engine(ns)), "idle");
    uint64_t start = ns_of(CLOCK_PROCESS_CPUTIME_ID), compacted = compacted_bytes(ns);
    for (unsigned i = 0; i < READS; i++)
        read_one(ns);
    uint64_t read = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t reading = write_all(ns, writes);
    must(lsm_flush(ns_engine(ns)), "flush");
    must(lsm_wait_idle(ns_engine(ns)), "idle");
    uint64_t written = ns_of(CLOCK_PROCESS_CPUTIME_ID);
    compacted = compacted_bytes(ns) - compacted;
    printf("read,ns %llu\n", (unsigned long long)((read - start) / READS));
    printf("write,ns %llu\n", (unsigned long long)((written - read - reading) / writes));
    printf("read-meanwhile,ns %llu\n", (unsigned long long)(reading / writes));
    printf("write,bytes-compacted %llu\n", (unsigned long long)(compacted / writes));
    return ns_close(ns) ? 1 : 0;
}
