// The mapped part of a log: one window over the file, from the page of the log's end to the end of
// the allocated space. Every page of it has its disk space, so a store never fails for lack of it.
//
// A full window is replaced by one further on; the file's pages stay in the page cache, where a
// sync of the file finds them. So a sync needs no window and may run while one is replaced.
// Belongs to the appending thread.
#ifndef LSM_WAL_WINDOW_H
#define LSM_WAL_WINDOW_H

#include "env/env.h"

#include <assert.h>

struct wal_window {
    struct env_file *file; // borrowed
    uint8_t *addr;         // NULL: none
    uint64_t start;        // file offset of addr
    uint64_t limit;        // file offset of its end; the file is allocated up to here
    size_t step;           // bytes to allocate at a time
};

// Allocates the file up to `size` bytes and maps it from the start. LSM_INVALID if the file system
// cannot allocate. Nothing is mapped on failure.
int wal_window_init(struct wal_window *window, struct env_file *file, uint64_t size, size_t step);

// Makes room for `size` bytes at offset `at`. On failure the window is as it was. LSM_NO_SPACE if
// the disk has no room for them.
int wal_window_grow(struct wal_window *window, uint64_t at, uint64_t size);

// Gives back what is allocated behind the page of offset `at`, which is in the window. False if
// that is nothing, or cannot be given back; what is in the file below `at` stays either way.
bool wal_window_shrink(struct wal_window *window, uint64_t at);

void wal_window_release(struct wal_window *window);

// Where file offset `at` is mapped; `at` is in the window.
static inline uint8_t *wal_window_at(const struct wal_window *window, uint64_t at)
{
    assert(window->addr && at >= window->start && at <= window->limit);
    return window->addr + (at - window->start);
}

#endif
