// What a store's present costs, in processor time of this process with all its threads, so that
// other work on the machine hardly matters: nanoseconds for each read of a short file, by path and
// in random order, and for each write to one, up to the last byte in a table.
//   lsmfs_present STORE      made by snapshots.sh
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ns/namespace.h"

#define FILES  20000u
#define READS  200000u
#define WRITES 60000u

static void must(int status, const char *what)
{
    if (status >= 0)
        return;
    fprintf(stderr, "lsmfs_present: %s: %d %s\n", what, status, lsm_error_detail());
    exit(1);
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
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

int main(int argc, char **argv)
{
    struct ns_options options;
    struct ns *ns;
    if (argc != 2)
        return 2;
    ns_options_init(&options);
    options.engine.write_buffer_size = 8 << 20; // several flushes, and compactions of their tables
    must(ns_open(argv[1], &options, &ns), "open");
    for (unsigned i = 0; i < FILES; i++)
        read_one(ns);
    must(lsm_wait_idle(ns_engine(ns)), "idle");
    uint64_t start = cpu_ns();
    for (unsigned i = 0; i < READS; i++)
        read_one(ns);
    uint64_t read = cpu_ns();
    for (unsigned i = 0; i < WRITES; i++)
        write_one(ns, i);
    must(lsm_flush(ns_engine(ns)), "flush");
    must(lsm_wait_idle(ns_engine(ns)), "idle");
    uint64_t written = cpu_ns();
    printf("read %llu\nwrite %llu\n", (unsigned long long)((read - start) / READS),
           (unsigned long long)((written - read) / WRITES));
    return ns_close(ns) ? 1 : 0;
}
