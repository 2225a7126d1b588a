// Random delays at locks, to be preloaded into a test: threads meet in orders that they would
// otherwise take years for. Found with it: a failure that left a waiting thread asleep, a directory
// that was not durable.
//
// LSM_DELAYS=N: one in N operations on a mutex or a condition is delayed (40).
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

// One in 16 of each; most only give the processor away.
static const long delays_ns[16] = {[8] = 20000,  20000,  20000,   20000,
                                   [12] = 20000, 300000, 300000, 3000000};

static unsigned one_in = 40;

static int (*real_lock)(pthread_mutex_t *);
static int (*real_unlock)(pthread_mutex_t *);
static int (*real_wait)(pthread_cond_t *, pthread_mutex_t *);
static int (*real_broadcast)(pthread_cond_t *);
static int (*real_signal)(pthread_cond_t *);

// The condition functions have had other versions; the default one is wanted.
static void *find(const char *name)
{
    void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
    found = found ? found : dlsym(RTLD_NEXT, name);
    if (!found)
        abort();
    return found;
}

__attribute__((constructor)) static void init(void)
{
    const char *value = getenv("LSM_DELAYS");
    if (value && atoi(value) > 0)
        one_in = (unsigned)atoi(value);
    *(void **)&real_lock = find("pthread_mutex_lock");
    *(void **)&real_unlock = find("pthread_mutex_unlock");
    *(void **)&real_wait = find("pthread_cond_wait");
    *(void **)&real_broadcast = find("pthread_cond_broadcast");
    *(void **)&real_signal = find("pthread_cond_signal");
}

static void delay(void)
{
    static _Thread_local uint64_t state;
    if (!real_signal)
        init(); // another library's constructor came first
    if (!state) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        state = (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)&state;
    }
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t drawn = state >> 33;
    if (drawn % one_in)
        return;
    struct timespec time = {.tv_nsec = delays_ns[drawn / one_in % 16]};
    if (time.tv_nsec)
        nanosleep(&time, NULL);
    else
        sched_yield();
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    delay();
    return real_lock(mutex);
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    int rc = real_unlock(mutex);
    delay();
    return rc;
}

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    delay();
    return real_wait(cond, mutex);
}

int pthread_cond_broadcast(pthread_cond_t *cond)
{
    delay();
    return real_broadcast(cond);
}

int pthread_cond_signal(pthread_cond_t *cond)
{
    delay();
    return real_signal(cond);
}
