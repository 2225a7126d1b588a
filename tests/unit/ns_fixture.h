// A namespace on a simulated disk, for tests of it through its interface: ns_setup() and
// ns_teardown() are the fixture. A test that leaves damage behind ends with ns_end().
#ifndef LSM_TESTS_NS_FIXTURE_H
#define LSM_TESTS_NS_FIXTURE_H

#include "ns_util.h"

static struct env *env;
static struct ns *ns;

static inline void ns_setup(void)
{
    env = env_fault_new();
    ns = ns_test_open(env);
}

static inline void ns_end(void)
{
    ck_assert_int_eq(ns_close(ns), 0);
    env_fault_free(env);
}

static inline void ns_teardown(void)
{
    ns_expect_clean(ns, "at the end");
    ns_end();
}

#endif
