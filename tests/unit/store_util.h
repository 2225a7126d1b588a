// A small store on a simulated disk, for tests of the engine through its interface: store_setup()
// and teardown() are the fixture.
#ifndef LSM_TESTS_STORE_UTIL_H
#define LSM_TESTS_STORE_UTIL_H

#include "quick_check.h"
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "disk/env_fault.h"
#include "lsm.h"

static struct env *env;
static struct lsm *db;
static struct lsm_options options;

static inline void store_setup(void)
{
    env = env_fault_new();
    ck_assert_ptr_nonnull(env);
    lsm_options_init(&options);
    options.env = env;
    options.write_buffer_size = 64 << 10;
    options.table_size = 64 << 10;
    options.level_base_size = 256 << 10;
    options.block_cache_size = 256 << 10;
    db = NULL;
}

static inline void teardown(void)
{
    if (db)
        ck_assert_int_eq(lsm_close(db), 0);
    env_fault_free(env);
}

static inline void open_db(void)
{
    int rc = lsm_open("/db", &options, &db);
    ck_assert_msg(rc == 0, "open: %s", lsm_error_detail());
}

static inline void reopen_db(void)
{
    ck_assert_int_eq(lsm_close(db), 0);
    db = NULL;
    open_db();
}

static inline uint64_t number(const char *name)
{
    uint64_t value;
    ck_assert_msg(lsm_property_uint(db, name, &value), "%s", name);
    return value;
}

#endif
