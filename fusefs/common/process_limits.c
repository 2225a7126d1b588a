// Limits of the process: open files, the size of a file.
//
// Limits are inherited from whoever started the program and were set for other purposes; a mounted
// store has more users than that. They are raised once, at the start; not thread-safe.
#include "common/process_limits.h"

#include <signal.h>
#include <sys/resource.h>

// Raises the limit as far as the process may without privileges.
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
