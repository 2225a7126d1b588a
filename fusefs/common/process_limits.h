// The limits that this process has inherited.
#ifndef COMMON_PROCESS_LIMITS_H
#define COMMON_PROCESS_LIMITS_H

// Raises the limits of open files and of a file's size as far as the system allows, and makes a
// write beyond the latter a failure (EFBIG) instead of the end of the process. Call before any file
// of a store is open.
void limits_raise(void);

#endif
