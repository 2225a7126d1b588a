// Memory of tens of KiB to MiB that stays for long and is read at random: tables' filters and
// indexes.
//
// Against malloc: neighbours share huge pages, so that an access seldom misses the TLB, which a
// system call may have emptied. All functions may be called from any thread. At the end of this
// file are the helpers that the arena and the slab use as well.
#ifndef LSM_MEMORY_SPAN_H
#define LSM_MEMORY_SPAN_H

#include <stdbool.h>
#include <stddef.h>

// At least `size` bytes, aligned to 64, not cleared; NULL if there is no memory.
void *span_alloc(size_t size);
// `size` as it was given to span_alloc. NULL is allowed.
void span_free(void *span, size_t size);

// `size` bytes (whole pages) of fresh zeros from a multiple of HUGE_PAGE on, in huge pages if the
// system has any and `huge` asks for them; NULL if there is no memory. Given back by munmap().
#define HUGE_PAGE ((size_t)2 << 20)
void *huge_map(size_t size, bool huge);

// 1 where allocators of our own leave all to malloc, which AddressSanitizer watches.
#if defined(__SANITIZE_ADDRESS__)
#define ASAN_BUILD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ASAN_BUILD 1
#endif
#endif
#ifndef ASAN_BUILD
#define ASAN_BUILD 0
#endif

#endif
