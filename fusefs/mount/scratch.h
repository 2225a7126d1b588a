// One buffer per thread for replies, so that a read allocates nothing.
#ifndef LSMFS_MOUNT_SCRATCH_H
#define LSMFS_MOUNT_SCRATCH_H

#include <stddef.h>

// At least `size` bytes, valid until this thread's next call; NULL: no memory. Freed when the
// thread ends.
void *scratch_get(size_t size);

#endif
