// The file LOCK in the user's runtime directory of a store in a cluster: "<pid>\n<note>\n".
// umount.lsmfs finds it among the daemon's open files. Each daemon has a file of its own: whoever
// comes later puts another in its place.
//
// Thread safety: one thread.
#include "mount/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/store_place.h"
#include "mount/messages.h"

int holder_open(const char *db)
{
    char path[PATH_MAX], file[PATH_MAX + 8];
    if (!store_place_is_remote(db))
        return -1;
    int rc = store_place_runtime(db, true, path);
    int fd = -1;
    if (!rc) {
        snprintf(file, sizeof file, "%s/LOCK", path);
        unlink(file);
        fd = open(file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        rc = fd < 0 ? -errno : 0;
    }
    if (rc)
        messages_write(LOG_WARNING, "%s: umount.lsmfs will not wait for its end: %s", db,
                       strerror(-rc));
    return fd;
}

void holder_note(int fd, const char *note)
{
    char text[PATH_MAX + 64];
    if (fd < 0)
        return;
    int n =
        snprintf(text, sizeof text, "%ld\n%.*s\n", (long)getpid(), (int)strcspn(note, "\n"), note);
    size_t size = n < (int)sizeof text ? (size_t)n : sizeof text - 1;
    if (pwrite(fd, text, size, 0) == (ssize_t)size && ftruncate(fd, (off_t)size))
        return; // a longer note stays behind it: a courtesy only
}

void holder_close(int fd)
{
    if (fd >= 0)
        close(fd);
}
