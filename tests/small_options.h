// Options of a store so small that short tests flush and compact.
#ifndef LSM_TESTS_SMALL_OPTIONS_H
#define LSM_TESTS_SMALL_OPTIONS_H

#include "lsm.h"

// All else is as lsm_options_init() has it. With `env` NULL the store is on a real disk.
static inline struct lsm_options small_options(struct env *env)
{
    struct lsm_options options;
    lsm_options_init(&options);
    options.env = env;
    options.write_buffer_size = 64 << 10;
    options.table_size = 64 << 10;
    options.level_base_size = 128 << 10;
    return options;
}

#endif
