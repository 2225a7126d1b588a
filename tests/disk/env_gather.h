// preadv and pwritev for files that have only pread and pwrite. See env.h for what they promise;
// LSM_NO_MEMORY besides.
#ifndef TESTS_DISK_ENV_GATHER_H
#define TESTS_DISK_ENV_GATHER_H

#include "env/env.h"

int env_gather_preadv(struct env_file *base, const struct iovec *pieces, int count, uint64_t offset,
                      size_t *ret_size);
int env_gather_pwritev(struct env_file *base, const struct iovec *pieces, int count,
                       uint64_t offset);

#endif
