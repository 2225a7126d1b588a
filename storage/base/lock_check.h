// What clang's thread-safety analysis is told (-Wthread-safety, an error in our clang builds).
//
// A lock is told to the analysis by its role: a global that stands for all locks of one kind, for
// in C the attribute of a field cannot name another field. So it is checked that a function which
// needs the lock of a store is called with one, not with whose. A role is declared, never defined;
// the functions that take and give up the lock name it.
//
// A field that two locks are held to change, and either one to read, is guarded by both. Whoever
// has only one of them reads it by a function for that lock, which the analysis does not look at.
// What one thread sets before there are others says so in a comment.
//
// Other compilers see nothing of it.
#ifndef LSM_BASE_LOCK_CHECK_H
#define LSM_BASE_LOCK_CHECK_H

#include <pthread.h>

#ifdef __clang__
#define LOCK_ATTRIBUTE(x) __attribute__((x))
#else
#define LOCK_ATTRIBUTE(x)
#endif

#define GUARDED_BY(role)      LOCK_ATTRIBUTE(guarded_by(role)) // a field: only with the lock
#define GUARDED_BY_BOTH(a, b) GUARDED_BY(a) GUARDED_BY(b) // changed with both, read with either
#define REQUIRES(role)        LOCK_ATTRIBUTE(requires_capability(role)) // a function: with it
#define EXCLUDES(role)        LOCK_ATTRIBUTE(locks_excluded(role))      // ... without it
#define ACQUIRES(role)        LOCK_ATTRIBUTE(acquire_capability(role))
#define RELEASES(role)        LOCK_ATTRIBUTE(release_capability(role))
#define TRY_ACQUIRES(role)    LOCK_ATTRIBUTE(try_acquire_capability(true, role))
// The same of a lock that many may share, and that REQUIRES means held alone.
#define REQUIRES_SHARED(role) LOCK_ATTRIBUTE(requires_shared_capability(role))
#define ACQUIRES_SHARED(role) LOCK_ATTRIBUTE(acquire_shared_capability(role))
#define RELEASES_SHARED(role) LOCK_ATTRIBUTE(release_shared_capability(role))
// The function is not looked at: it is the lock's own, or reads with one lock what is guarded by
// both, or nobody else has the object (yet, or any more). Where there is another reason, the
// function's comment says it.
#define NOT_CHECKED LOCK_ATTRIBUTE(no_thread_safety_analysis)

struct LOCK_ATTRIBUTE(capability("lock")) lock_role {
    char none;
};

// NAME_lock(x) and NAME_unlock(x) for the mutex that is field `mutex` of a `type`.
#define LOCK_FUNCTIONS(name, type, mutex, role)                                                    \
    static inline void name##_lock(type *x) ACQUIRES(role) NOT_CHECKED                             \
    {                                                                                              \
        pthread_mutex_lock(&x->mutex);                                                             \
    }                                                                                              \
    static inline void name##_unlock(type *x) RELEASES(role) NOT_CHECKED                           \
    {                                                                                              \
        pthread_mutex_unlock(&x->mutex);                                                           \
    }

// NAME_lock() and NAME_unlock() for a mutex of which there is one in the process.
#define STATIC_LOCK_FUNCTIONS(name, mutex, role)                                                   \
    static inline void name##_lock(void) ACQUIRES(role) NOT_CHECKED                                \
    {                                                                                              \
        pthread_mutex_lock(&mutex);                                                                \
    }                                                                                              \
    static inline void name##_unlock(void) RELEASES(role) NOT_CHECKED                              \
    {                                                                                              \
        pthread_mutex_unlock(&mutex);                                                              \
    }

#endif
