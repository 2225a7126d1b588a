// Status codes with a one-line explanation kept per thread.
//
// Every function that fails for a reason a user could act on sets the detail where it detects the
// failure and passes the code up unchanged. Thread-safe: the detail is thread-local.
#ifndef LSM_BASE_STATUS_H
#define LSM_BASE_STATUS_H

#include "lsm.h"

#define STATUS_DETAIL_MAX 512

// Sets the calling thread's detail (truncated to STATUS_DETAIL_MAX) and returns `status`:
//   return status_fail(LSM_CORRUPTION, "%s: block at %" PRIu64 ": bad checksum", path, offset);
__attribute__((format(printf, 2, 3))) int status_fail(int status, const char *format, ...);

// The same for a failed system call: maps `error` (an errno) to a status and writes
// "<what> <path>: <strerror>". ENOSPC, EDQUOT: NO_SPACE; ENOENT: NOT_FOUND; EACCES, EPERM:
// PERMISSION; EROFS: READ_ONLY; ENOMEM: NO_MEMORY; EEXIST: EXISTS; EMFILE, ENFILE: NO_FILES; EINTR,
// EAGAIN: TRY_AGAIN; EFBIG (the file would be larger than this process may write): NO_SPACE; all
// others: IO_ERROR.
int status_from_errno(int error, const char *what, const char *path);

// Whether what failed may succeed later although nobody does anything about it.
static inline bool status_is_passing(int status)
{
    return status == LSM_NO_MEMORY || status == LSM_NO_FILES || status == LSM_TRY_AGAIN;
}

// Whether what failed has changed nothing and can be done again: also a full disk.
static inline bool status_is_clean(int status)
{
    return status == LSM_NO_SPACE || status_is_passing(status);
}

// The status of a failure after which nobody knows what is on the disk. Never one for which
// status_is_clean() holds.
static inline int status_final(int status)
{
    return status_is_clean(status) ? LSM_IO_ERROR : status;
}

// For cleaning up after a failure: failures of the cleaning must not replace the first failure's
// detail.
struct status_kept {
    char detail[STATUS_DETAIL_MAX];
};
void status_keep(struct status_kept *ret_kept);
void status_restore(const struct status_kept *kept);

// Puts "<what>: <detail>" into `text`, for a failure with `status` of the calling thread that
// others are told of later. If there is no detail, the status in words takes its place.
void status_describe(int status, const char *what, char text[STATUS_DETAIL_MAX]);

// Shorthand for a failed allocation of `size` bytes.
int status_no_memory(size_t size);

#endif
