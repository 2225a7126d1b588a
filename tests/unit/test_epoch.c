// Epoch-based reclamation: what a pin protects, what a retire frees and when, thread exit.
#include "memtable/epoch.h"

#include "quick_check.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

struct object {
    struct epoch_node node;
    _Atomic int value; // 1 while alive
};

static _Atomic unsigned freed;

static struct object *object_of(struct epoch_node *node)
{
    return (struct object *)((char *)node - offsetof(struct object, node));
}

static void free_object(struct epoch_node *node)
{
    atomic_store(&object_of(node)->value, 0);
    free(object_of(node));
    atomic_fetch_add(&freed, 1);
}

static struct object *object_new(void)
{
    struct object *object = calloc(1, sizeof(*object));
    ck_assert_ptr_nonnull(object);
    atomic_init(&object->value, 1);
    return object;
}

START_TEST(retired_objects_are_freed_by_a_barrier)
{
    atomic_store(&freed, 0);
    for (int i = 0; i < 1000; i++)
        epoch_retire(&object_new()->node, free_object);
    epoch_barrier();
    ck_assert_uint_eq(atomic_load(&freed), 1000);
    epoch_barrier();
    epoch_reclaim();
}
END_TEST

START_TEST(garbage_is_bounded_while_nobody_is_pinned)
{
    atomic_store(&freed, 0);
    for (unsigned i = 0; i < 10000; i++) {
        epoch_retire(&object_new()->node, free_object);
        ck_assert_uint_ge(atomic_load(&freed) + 64, i);
    }
    epoch_reclaim();
    ck_assert_uint_eq(atomic_load(&freed), 10000);
}
END_TEST

START_TEST(a_nested_pin_protects_until_the_last_unpin)
{
    struct object *object = object_new();

    atomic_store(&freed, 0);
    epoch_pin();
    epoch_pin();
    epoch_retire(&object->node, free_object);
    for (int i = 0; i < 3; i++)
        epoch_reclaim();
    ck_assert_int_eq(atomic_load(&object->value), 1);
    epoch_unpin();
    epoch_reclaim();
    ck_assert_uint_eq(atomic_load(&freed), 0);
    epoch_unpin();
    epoch_reclaim();
    ck_assert_uint_eq(atomic_load(&freed), 1);
}
END_TEST

struct pinner {
    pthread_barrier_t pinned, release;
};

static void *pin_and_wait(void *arg)
{
    struct pinner *p = arg;

    epoch_pin();
    pthread_barrier_wait(&p->pinned);
    pthread_barrier_wait(&p->release);
    epoch_unpin();
    return NULL;
}

START_TEST(a_pin_of_another_thread_protects)
{
    struct pinner p;
    pthread_t thread;

    pthread_barrier_init(&p.pinned, NULL, 2);
    pthread_barrier_init(&p.release, NULL, 2);
    atomic_store(&freed, 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, pin_and_wait, &p), 0);
    pthread_barrier_wait(&p.pinned);
    for (int i = 0; i < 200; i++)
        epoch_retire(&object_new()->node, free_object);
    epoch_reclaim();
    ck_assert_uint_eq(atomic_load(&freed), 0);
    pthread_barrier_wait(&p.release);
    epoch_barrier();
    ck_assert_uint_eq(atomic_load(&freed), 200);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&p.pinned);
    pthread_barrier_destroy(&p.release);
}
END_TEST

static void free_chain(struct epoch_node *node)
{
    struct object *object = object_of(node);
    int left = atomic_load(&object->value);

    free(object);
    atomic_fetch_add(&freed, 1);
    if (left > 1) {
        struct object *next = object_new();
        atomic_store(&next->value, left - 1);
        epoch_retire(&next->node, free_chain);
    }
}

START_TEST(a_barrier_follows_what_frees_retire)
{
    struct object *object = object_new();

    atomic_store(&freed, 0);
    atomic_store(&object->value, 100);
    epoch_retire(&object->node, free_chain);
    epoch_barrier();
    ck_assert_uint_eq(atomic_load(&freed), 100);
}
END_TEST

static void *pin_once(void *arg)
{
    epoch_pin();
    *(struct epoch_slot **)arg = epoch_self;
    epoch_unpin();
    return NULL;
}

START_TEST(slots_of_exited_threads_are_used_again)
{
    struct epoch_slot *first = NULL;

    for (int i = 0; i < 100; i++) {
        struct epoch_slot *slot = NULL;
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, pin_once, &slot), 0);
        pthread_join(thread, NULL);
        if (!first)
            first = slot;
        ck_assert_ptr_nonnull(slot);
        ck_assert_ptr_eq(slot, first);
    }
}
END_TEST

#define CELLS   8
#define READERS 3
#define WRITERS 2
#define SWAPS   20000

static _Atomic(struct object *) cells[CELLS];
static _Atomic bool stop;

static void *read_cells(void *arg)
{
    uint64_t *reads = arg;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        epoch_pin();
        for (int i = 0; i < CELLS; i++) {
            struct object *object = atomic_load_explicit(&cells[i], memory_order_acquire);
            ck_assert_int_eq(atomic_load_explicit(&object->value, memory_order_relaxed), 1);
        }
        epoch_unpin();
        ++*reads;
    }
    return NULL;
}

static void *swap_cells(void *arg)
{
    unsigned x = *(unsigned *)arg;

    for (int i = 0; i < SWAPS; i++) {
        x = x * 1664525 + 1013904223;
        struct object *old =
            atomic_exchange_explicit(&cells[(x >> 16) % CELLS], object_new(), memory_order_acq_rel);
        epoch_retire(&old->node, free_object);
    }
    return NULL;
}

// Writers swap objects out and retire them under readers; a use after free is the sanitizers' to
// find, and a wrong value ours.
START_TEST(readers_never_see_a_freed_object)
{
    pthread_t readers[READERS], writers[WRITERS];
    uint64_t reads[READERS] = {0};
    unsigned seeds[WRITERS] = {1, 2};

    atomic_store(&freed, 0);
    atomic_store(&stop, false);
    for (int i = 0; i < CELLS; i++)
        atomic_store(&cells[i], object_new());
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_cells, &reads[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        ck_assert_int_eq(pthread_create(&writers[i], NULL, swap_cells, &seeds[i]), 0);
    for (int i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    epoch_barrier(); // while readers go on pinning
    ck_assert_uint_eq(atomic_load(&freed), WRITERS * SWAPS);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i], NULL);
    for (int i = 0; i < CELLS; i++)
        free(atomic_load(&cells[i]));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("epoch");
    TCase *tc = tcase_create("epoch");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, retired_objects_are_freed_by_a_barrier);
    tcase_add_test(tc, garbage_is_bounded_while_nobody_is_pinned);
    tcase_add_test(tc, a_nested_pin_protects_until_the_last_unpin);
    tcase_add_test(tc, a_pin_of_another_thread_protects);
    tcase_add_test(tc, a_barrier_follows_what_frees_retire);
    tcase_add_test(tc, slots_of_exited_threads_are_used_again);
    tcase_add_test(tc, readers_never_see_a_freed_object);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
