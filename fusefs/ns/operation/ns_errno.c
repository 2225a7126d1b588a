// The mapping of the engine's statuses to errno.
#include <errno.h>

#include "ns/operation/ns_internal.h"

int ns_errno(int lsm_status)
{
    switch (lsm_status) {
    case LSM_OK:
        return 0;
    case LSM_NOT_FOUND:
        return ENOENT;
    case LSM_INVALID:
        return EINVAL;
    case LSM_NO_SPACE:
        return ENOSPC;
    case LSM_BUSY:
        return EBUSY;
    case LSM_NO_MEMORY:
        return ENOMEM;
    case LSM_READ_ONLY:
        return EROFS;
    case LSM_EXISTS:
        return EEXIST;
    case LSM_PERMISSION:
        return EACCES;
    case LSM_CLOSED:
        return ESHUTDOWN;
    case LSM_NO_FILES: // the daemon has too many files open; to the users of the mount it is the
                       // system that has
        return ENFILE;
    case LSM_TRY_AGAIN:
        return EAGAIN;
    case LSM_CANCELLED:
        return ECANCELED;
    default: // CORRUPTION, IO_ERROR, and what only ns_open can meet
        return EIO;
    }
}
