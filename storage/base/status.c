// Status codes and the per-thread line that explains the latest failure.
//
// The detail lives in a thread-local array: setting it never allocates, so that a failed allocation
// can be reported too. Thread-safe: each thread sees its own.
#include "base/status.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char thread_detail[STATUS_DETAIL_MAX];

const char *lsm_strerror(int status)
{
    switch (status) {
    case LSM_OK:
        return "ok";
    case LSM_NOT_FOUND:
        return "not found";
    case LSM_CORRUPTION:
        return "corruption";
    case LSM_IO_ERROR:
        return "input/output error";
    case LSM_INVALID:
        return "invalid argument";
    case LSM_NO_SPACE:
        return "no space left";
    case LSM_BUSY:
        return "in use";
    case LSM_NO_MEMORY:
        return "out of memory";
    case LSM_NOT_A_STORE:
        return "not a store";
    case LSM_NEWER_FORMAT:
        return "newer format";
    case LSM_READ_ONLY:
        return "read-only";
    case LSM_EXISTS:
        return "exists already";
    case LSM_PERMISSION:
        return "permission denied";
    case LSM_CLOSED:
        return "closed";
    case LSM_NO_FILES:
        return "too many open files";
    case LSM_TRY_AGAIN:
        return "temporarily unavailable";
    case LSM_CANCELLED:
        return "cancelled";
    default:
        return "unknown status";
    }
}

const char *lsm_error_detail(void)
{
    return thread_detail;
}

int status_fail(int status, const char *format, ...)
{
    assert(status < 0);
    // Formatted aside first: an argument may be the present detail itself.
    char text[STATUS_DETAIL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    memcpy(thread_detail, text, strlen(text) + 1);
    return status;
}

int status_from_errno(int error, const char *what, const char *path)
{
    int rc;
    switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        rc = LSM_NO_SPACE;
        break;
    case ENOENT:
        rc = LSM_NOT_FOUND;
        break;
    case EACCES:
    case EPERM:
        rc = LSM_PERMISSION;
        break;
    case EROFS:
        rc = LSM_READ_ONLY;
        break;
    case ENOMEM:
        rc = LSM_NO_MEMORY;
        break;
    case EMFILE:
    case ENFILE:
        rc = LSM_NO_FILES;
        break;
    case EINTR:
    case EAGAIN:
        rc = LSM_TRY_AGAIN;
        break;
    case EEXIST:
        rc = LSM_EXISTS;
        break;
    default:
        rc = LSM_IO_ERROR;
        break;
    }
    char buffer[128];
    return status_fail(rc, "%s %s: %s", what, path, strerror_r(error, buffer, sizeof(buffer)));
}

void status_keep(struct status_kept *ret_kept)
{
    memcpy(ret_kept->detail, thread_detail, sizeof(thread_detail));
}

void status_restore(const struct status_kept *kept)
{
    assert(memchr(kept->detail, 0, sizeof kept->detail));
    memcpy(thread_detail, kept->detail, sizeof(thread_detail));
}

void status_describe(int status, const char *what, char text[STATUS_DETAIL_MAX])
{
    const char *detail = *thread_detail ? thread_detail : lsm_strerror(status);
    snprintf(text, STATUS_DETAIL_MAX, "%s: %.400s", what, detail);
}

int status_no_memory(size_t size)
{
    return status_fail(LSM_NO_MEMORY, "cannot allocate %zu bytes", size);
}
