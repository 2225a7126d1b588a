// Generations of files. With the write-back cache the kernel keeps the size and the times of a
// regular file for as long as it knows the file, and cannot be told that they are others. So a file
// that was changed behind its back, and is open, gets another generation: the kernel takes it for
// another one when it looks its name up again, and what is open of the old one is EIO from then on.
//
// Few files ever have one but 0. Thread safety: any thread; lock: its own mutex, a leaf.
#ifndef LSMFS_MOUNT_GENERATIONS_H
#define LSMFS_MOUNT_GENERATIONS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock_check.h"

extern struct lock_role generations_mutex;

struct file_generation {
    uint64_t ino, number;
};

struct generations {
    _Atomic uint64_t last; // 0: no file has one
    pthread_mutex_t mutex;
    struct file_generation *files GUARDED_BY(generations_mutex); // by ino
    size_t count GUARDED_BY(generations_mutex);
    size_t capacity GUARDED_BY(generations_mutex);
};

void generations_init(struct generations *generations);
void generations_release(struct generations *generations);
uint64_t generations_of(struct generations *generations, uint64_t ino);
void generations_renew(struct generations *generations, uint64_t ino); // as far as there is memory

#endif
