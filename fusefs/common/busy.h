// A store that is in use: by whom, and whether it is worth waiting for.
#ifndef COMMON_BUSY_H
#define COMMON_BUSY_H

#include <stdbool.h>
#include <stdint.h>

struct busy {
    const char *program; // for say()
    int stop_fd;         // readable: give up; -1: none
    uint64_t start_us;   // of the waiting; 0: not yet
    bool said;
    char text[3 * 4096]; // why the store cannot be had, after busy_wait() has returned false
};

// What a daemon's LOCK says of the mount point that follows.
#define BUSY_MOUNTING "mounting on "
#define BUSY_MOUNTED  "mounted on "

// Opening the store in directory `db` has failed with LSM_BUSY. True, after a moment: whoever has
// it is on its way out, try again; what is waited for is said if it takes longer than a second.
// False: the store stays in use, or letting go of it takes too long; busy->text is one line about
// it. Start with {.program = ..., .stop_fd = ...}.
bool busy_wait(struct busy *busy, const char *db);

#endif
