// What a request's caller may do. See caller.h.
//
// The kernel says of WRITE, OPEN and SETATTR whether setuid and setgid go, and nothing of FALLOCATE
// and COPY_FILE_RANGE. With FUSE_ALLOW_IDMAP it does not name the user there either; the process it
// names, which waits for the answer, has its capabilities in /proc. Capabilities in another user
// namespace than ours are worth nothing here.
#include "mount/caller.h"

#include <inttypes.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool read_capabilities(const char *path, uint64_t *ret_set)
{
    FILE *file = fopen(path, "re");
    char line[256];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "CapEff: %" SCNx64, ret_set) == 1;
    if (file)
        fclose(file);
    return found;
}

static bool is_our_namespace(const char *path)
{
    struct stat theirs, ours;
    return stat(path, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
           theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
}

bool caller_keeps_suid(fuse_req_t req)
{
    char status[64], user[64];
    uint64_t capabilities = 0;
    long pid = fuse_req_ctx(req)->pid;
    if (pid <= 0) // 0: the caller is in a process namespace that this process does not see
        return false;
    snprintf(status, sizeof status, "/proc/%ld/status", pid);
    snprintf(user, sizeof user, "/proc/%ld/ns/user", pid);
    return read_capabilities(status, &capabilities) && capabilities & (UINT64_C(1) << CAP_FSETID) &&
           is_our_namespace(user);
}

// Whether one of the numbers is `gid`.
static bool list_has(const char *numbers, gid_t gid)
{
    char *end;
    for (;; numbers = end) {
        unsigned long number = strtoul(numbers, &end, 10);
        if (end == numbers)
            return false;
        if (number == gid)
            return true;
    }
}

// The group that files are accessed with is the last on the line "Gid:".
static bool status_has_group(FILE *status, gid_t gid)
{
    char *line = NULL;
    size_t capacity = 0;
    bool found = false;
    unsigned fs_gid;
    while (!found && getline(&line, &capacity, status) > 0)
        found = sscanf(line, "Gid: %*u %*u %*u %u", &fs_gid) == 1 ? fs_gid == gid
                : strncmp(line, "Groups:", 7) == 0                ? list_has(line + 7, gid)
                                                                  : false;
    free(line);
    return found;
}

bool caller_in_group(fuse_req_t req, gid_t gid)
{
    char path[64];
    long pid = fuse_req_ctx(req)->pid;
    if (pid <= 0)
        return false;
    snprintf(path, sizeof path, "/proc/%ld/status", pid);
    FILE *status = fopen(path, "re");
    bool found = status && status_has_group(status, gid);
    if (status)
        fclose(status);
    return found;
}
