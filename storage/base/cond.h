// Waiting on a condition for a limited time, by the clock that nobody sets.
//
// A condition made with pthread_cond_init(c, NULL) measures by the time of day: when that is set
// back by a year, whoever waits for a second waits for a year.
#ifndef LSM_BASE_COND_H
#define LSM_BASE_COND_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

// For cond_wait_us(). 0 or an errno.
static inline int cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int error = pthread_condattr_init(&attr);
    if (error)
        return error;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    error = pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return error;
}

// The moment `us` from now.
static inline struct timespec time_after_us(uint64_t us)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += (time_t)(us / 1000000);
    time.tv_nsec += (long)(us % 1000000) * 1000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

// 0, perhaps for no reason, or ETIMEDOUT after `us`.
static inline int cond_wait_us(pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t us)
{
    struct timespec until = time_after_us(us);
    return pthread_cond_timedwait(cond, mutex, &until);
}

#endif
