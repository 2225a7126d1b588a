// What the two halves of env_fault share: the calls (env_fault.c), and what a test asks for
// (env_fault_control.c).
#ifndef TESTS_DISK_ENV_FAULT_INTERNAL_H
#define TESTS_DISK_ENV_FAULT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "disk/env_fault.h"

struct disk;
struct image;

struct mapping {
    struct mapping *next;
    struct image *image;
    char *addr;
    size_t size;
};

// All fields: mutex.
struct fault {
    struct env base;
    pthread_mutex_t mutex;
    struct disk *disk;
    uint64_t generation;
    uint64_t calls;
    uint64_t fail_at; // 0: none
    int fail_status;
    bool fail_sticky;
    uint64_t space_calls; // of the calls, those that may take space
    uint64_t full_at;     // the number of such a call; 0: none
    bool full_sticky;
    uint64_t written_out;
    uint64_t cut_at; // 0: none
    bool down;       // the call cut_at has come: all calls fail until env_fault_power_cut()
    uint64_t random;
    uint64_t limit; // 0: none
    bool allocates_behind;
    char hold[32];   // suffix of the files whose reads wait; empty: none
    char frozen[32]; // the same for writes
    unsigned held;
    pthread_cond_t hold_changed;
    env_fault_call_fn *call_fn; // NULL: none
    void *call_arg;
    struct mapping *mappings;
    struct env_lock *locks; // held
};

// A directory that was opened; the disk itself has no path. Constant.
struct fault_dir {
    struct env base;
    struct fault *fault;
};

static inline struct fault *fault_of(struct env *env)
{
    return env->path ? ((struct fault_dir *)env)->fault : (struct fault *)env;
}

#endif
