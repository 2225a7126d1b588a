// Looks for CURRENT in all directories above. Thread-safe: no state.
#include "common/nested.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// CURRENT of a store begins so (docs/format.md).
#define STORE_SIGN "tinylsm "

static bool is_store(const char *directory)
{
    char path[PATH_MAX + 16], sign[sizeof STORE_SIGN - 1];
    snprintf(path, sizeof path, "%s/CURRENT", directory);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool found = fd >= 0 && read(fd, sign, sizeof sign) == (ssize_t)sizeof sign &&
                 memcmp(sign, STORE_SIGN, sizeof sign) == 0;
    if (fd >= 0)
        close(fd);
    return found;
}

// Cuts the last name off; false at the root.
static bool go_up(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash || strcmp(path, "/") == 0)
        return false;
    slash[slash == path ? 1 : 0] = 0;
    return true;
}

bool is_nested_store(const char *path, char ret_outer[PATH_MAX])
{
    char parent[PATH_MAX], *resolved = realpath(path, NULL);
    if (resolved) {
        snprintf(parent, sizeof parent, "%s", resolved);
        free(resolved);
        if (is_store(parent) || !go_up(parent))
            return false;
    } else {
        snprintf(parent, sizeof parent, "%s", path);
        for (size_t n = strlen(parent); n > 1 && parent[n - 1] == '/';)
            parent[--n] = 0;
        if (!go_up(parent))
            snprintf(parent, sizeof parent, ".");
        resolved = realpath(parent, NULL);
        if (!resolved)
            return false; // opening the store will report it
        snprintf(parent, sizeof parent, "%s", resolved);
        free(resolved);
    }
    do {
        if (is_store(parent)) {
            snprintf(ret_outer, PATH_MAX, "%s", parent);
            return true;
        }
    } while (go_up(parent));
    return false;
}
