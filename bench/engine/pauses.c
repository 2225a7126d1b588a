// The watchers: see pauses.h. The longest pause is shared, all else is a thread's own.
#include "pauses.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define PERIOD_NS 1000000u

static _Atomic uint64_t longest_ns;

static void note(uint64_t ns)
{
    uint64_t known = atomic_load_explicit(&longest_ns, memory_order_relaxed);
    while (ns > known && !atomic_compare_exchange_weak(&longest_ns, &known, ns))
        ;
}

static void *watch(void *arg)
{
    (void)arg;
    for (;;) {
        uint64_t due = bench_now_ns() + PERIOD_NS;
        struct timespec at = {.tv_sec = (time_t)(due / 1000000000u),
                              .tv_nsec = (long)(due % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
        uint64_t now = bench_now_ns();
        if (now > due)
            note(now - due);
    }
    return NULL;
}

// 0 or an errno.
static int start_on(size_t cpu)
{
    pthread_attr_t attr;
    pthread_t thread;
    cpu_set_t set;
    struct sched_param priority = {.sched_priority = 1};
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    int error = pthread_attr_init(&attr);
    if (error)
        return error;
    pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &priority);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    error = pthread_create(&thread, &attr, watch, NULL);
    pthread_attr_destroy(&attr);
    return error;
}

bool pauses_start(void)
{
    cpu_set_t all;
    CPU_ZERO(&all);
    sched_getaffinity(0, sizeof(all), &all);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int error = CPU_ISSET(cpu, &all) ? start_on(cpu) : 0;
        if (error) {
            fprintf(stderr, "lsm_bench: --pauses: %s: real-time threads are root's\n",
                    strerror(error));
            return false;
        }
    }
    return true;
}

double pauses_take_ms(void)
{
    return (double)atomic_exchange(&longest_ns, 0) * 1e-6;
}
