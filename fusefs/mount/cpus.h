// The machine's processors, as the kernel numbers them.
#ifndef LSMFS_MOUNT_CPUS_H
#define LSMFS_MOUNT_CPUS_H

#include <stdbool.h>

// How many processors there can be, with those that may be plugged in later. The kernel has so many
// queues.
unsigned cpus_possible(void);

// Whether processor `cpu` is there and runs.
bool cpu_online(unsigned cpu);

// Binds the calling thread to processor `cpu`. False: the thread may not run there.
bool cpu_pin(unsigned cpu);

// Lets the calling thread run on every processor that the process may use.
void cpu_unpin(void);

#endif
