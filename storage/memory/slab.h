// Memory for many blocks of a few KiB that come and go: the block cache's.
//
// Against malloc: neighbours in huge pages, so that a random access seldom misses the TLB, and
// memory that is given back in pieces of 2 MiB or not at all, so that churn costs no page faults.
// All functions may be called from any thread.
#ifndef LSM_MEMORY_SLAB_H
#define LSM_MEMORY_SLAB_H

#include <stdbool.h>
#include <stddef.h>

struct slab;

// `huge`: ask for huge pages; for a slab that is going to hold several MiB.
int slab_new(bool huge, struct slab **ret_slab);
// The owner is done. Blocks stay valid until they are freed; the last one takes the slab along.
void slab_free(struct slab *slab);

// At least `size` bytes, aligned to 64; NULL if there is no memory.
void *slab_alloc(struct slab *slab, size_t size);
// `size` as it was given to slab_alloc. NULL is allowed.
void slab_dealloc(void *block, size_t size);

// The bytes that a block of `size` really takes.
size_t slab_block_size(size_t size);

#endif
