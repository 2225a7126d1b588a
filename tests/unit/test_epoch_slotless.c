// Pinning by a thread that cannot have a slot: here because no pthread key is left, as with no
// memory. A program of its own, as the state is the process's.
#include "memtable/epoch.h"

#include "quick_check.h"
#include <pthread.h>
#include <stdlib.h>

static unsigned freed;

static void count_free(struct epoch_node *node)
{
    free(node);
    freed++;
}

static void retire_one(void)
{
    struct epoch_node *node = malloc(sizeof(*node));
    ck_assert_ptr_nonnull(node);
    epoch_retire(node, count_free);
}

START_TEST(pins_without_a_slot_protect)
{
    pthread_key_t key;

    while (pthread_key_create(&key, NULL) == 0)
        ;
    epoch_pin();
    ck_assert_ptr_null(epoch_self);
    epoch_pin();
    retire_one();
    epoch_reclaim();
    epoch_unpin();
    epoch_reclaim();
    ck_assert_uint_eq(freed, 0);
    epoch_unpin();
    epoch_reclaim();
    ck_assert_uint_eq(freed, 1);
    retire_one();
    epoch_barrier();
    ck_assert_uint_eq(freed, 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("epoch_slotless");
    TCase *tc = tcase_create("epoch_slotless");

    tcase_add_test(tc, pins_without_a_slot_protect);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
