// See the header. Nobody but the user may write into the directory: one that is not the user's own,
// or is a symbolic link, is not used.
//
// Thread-safe: no state.
#include "common/store_place.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lsm.h"

bool store_place_is_remote(const char *db)
{
    return strncmp(db, "rados:", 6) == 0;
}

static int check_own(const char *path)
{
    struct stat st;
    if (lstat(path, &st))
        return -errno;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    return st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

static int make_own(const char *path)
{
    if (mkdir(path, 0700) && errno != EEXIST)
        return -errno;
    return check_own(path);
}

static void base_directory(char *path, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        snprintf(path, size, "/run/lsmfs");
    else if (runtime && *runtime == '/' && check_own(runtime) == 0)
        snprintf(path, size, "%.3000s/lsmfs", runtime);
    else
        snprintf(path, size, "/tmp/lsmfs-%u", (unsigned)geteuid());
}

static_assert(3000 + sizeof "/lsmfs" <= PATH_MAX - LSM_PLACE_KEY_MAX - 1,
              "base_directory() cuts nothing off but the first part");

int store_place_runtime(const char *db, bool make, char path[PATH_MAX])
{
    char base[PATH_MAX - LSM_PLACE_KEY_MAX - 1], key[LSM_PLACE_KEY_MAX];
    if (lsm_place_key(db, key))
        return -EIO;
    assert(*key && !strchr(key, '/'));
    base_directory(base, sizeof base);
    int rc = make ? make_own(base) : check_own(base);
    snprintf(path, PATH_MAX, "%s/%s", base, key);
    if (!rc)
        rc = make ? make_own(path) : check_own(path);
    return rc;
}

int store_place_control(const char *db, bool make)
{
    char path[PATH_MAX];
    int rc = store_place_is_remote(db) ? store_place_runtime(db, make, path) : 0;
    if (rc)
        return rc;
    int fd = open(store_place_is_remote(db) ? path : db, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}
