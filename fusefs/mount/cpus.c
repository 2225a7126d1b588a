// Processors: lists such as "0-3,8" from /sys.
#include "mount/cpus.h"

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Walks the list in `path`. How many processors it names; *ret_named whether `cpu` is one of them.
static unsigned read_list(const char *path, unsigned cpu, bool *ret_named)
{
    FILE *f = fopen(path, "re");
    unsigned count = 0, first, last;
    *ret_named = false;
    if (!f)
        return 0;
    while (fscanf(f, "%u", &first) == 1) {
        last = first;
        int c = getc(f);
        if (c == '-') {
            if (fscanf(f, "%u", &last) != 1 || last < first)
                break;
            c = getc(f);
        }
        count += last - first + 1;
        *ret_named |= cpu >= first && cpu <= last;
        if (c != ',')
            break;
    }
    fclose(f);
    return count;
}

unsigned cpus_possible(void)
{
    bool named;
    unsigned n = read_list("/sys/devices/system/cpu/possible", 0, &named);
    if (n)
        return n;
    long configured = sysconf(_SC_NPROCESSORS_CONF);
    return configured > 0 ? (unsigned)configured : 1;
}

bool cpu_online(unsigned cpu)
{
    bool named;
    return read_list("/sys/devices/system/cpu/online", cpu, &named) ? named : cpu == 0;
}

bool cpu_pin(unsigned cpu)
{
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    if (!set)
        return false;
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    bool pinned = sched_setaffinity(0, size, set) == 0;
    CPU_FREE(set);
    return pinned;
}

void cpu_unpin(void)
{
    // One bit for each of 8,192 processors; the kernel drops those that the process may not use.
    uint8_t all[1024];
    memset(all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, (const cpu_set_t *)(const void *)all);
}
