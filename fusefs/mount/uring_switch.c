// The kernel's switch for FUSE over io_uring. The file is there once the module is; opening the
// device loads it.
#include "mount/uring_switch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

bool uring_switch_exists(void)
{
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (device >= 0)
        close(device);
    return access(URING_SWITCH, F_OK) == 0;
}

bool uring_switch_is_on(void)
{
    char value = 'N';
    if (!uring_switch_exists())
        return false;
    int fd = open(URING_SWITCH, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool on = read(fd, &value, 1) == 1 && (value == 'Y' || value == '1');
    close(fd);
    return on;
}

int uring_switch_turn_on(void)
{
    if (!uring_switch_exists())
        return ENOENT;
    int fd = open(URING_SWITCH, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, "Y", 1) == 1 ? 0 : errno;
    close(fd);
    return error;
}
