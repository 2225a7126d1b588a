// What the parts of the real system (env_posix.c, env_posix_lock.c) share.
#ifndef LSM_ENV_POSIX_IMPL_H
#define LSM_ENV_POSIX_IMPL_H

#include "env/env.h"

struct posix_dir {
    struct env base;
    int fd; // AT_FDCWD: the process's directory
};

static inline int posix_dir_fd(const struct env *env)
{
    return ((const struct posix_dir *)env)->fd;
}

// Nobody asks when a store's files were read last, and noting the time costs each read a little. So
// files are opened with O_NOATIME where the system allows it: only their owner may use it. A
// descriptor, or -1 with errno.
int posix_open_fd(const struct env *env, const char *name, int flags);

// The status of errno, with the name as it is looked up from `env` in its detail.
int posix_fail_at(const char *what, const struct env *env, const char *name);

// env.h's calls of these names.
int posix_lock(struct env *env, const char *path, bool shared, const char *note,
               struct env_lock **ret_lock);
void posix_lock_note(struct env *env, struct env_lock *lock, const char *note);
void posix_unlock(struct env *env, struct env_lock *lock);

#endif
