// Limits of the process: open files, the size of a file.
//
// They belong to whoever started the program, who did not mean all users of a mounted store. Once,
// at the start; not thread-safe.
#include "common/process_limits.h"

#include <signal.h>
#include <sys/resource.h>

// Up to what this process may have without privileges.
static void raise_to_hard(__rlimit_resource_t resource)
{
    struct rlimit limit;
    if (getrlimit(resource, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(resource, &limit);
    }
}

void limits_raise(void)
{
    raise_to_hard(RLIMIT_NOFILE); // tables, logs and blob files are kept open
    struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &unlimited))
        raise_to_hard(RLIMIT_FSIZE);
    signal(SIGXFSZ, SIG_IGN);
}
