// Figures of a mount, as the daemon gives them to commands.
#ifndef COMMANDS_FIGURES_H
#define COMMANDS_FIGURES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buckets.h"

#define FIGURES_REQUESTS 64u // by number of FUSE's operation; 0: all that are not known here

struct request_figures {
    uint64_t count, errors; // replies that are errors, a name that is not there among them
    uint64_t ns;            // in all
    uint64_t buckets[BUCKETS];
};

struct mount_figures {
    const char *mountpoint, *transport; // of the daemon
    uint64_t now_ns, up_ns;             // a clock; since the mount began
    unsigned threads, serving;          // that have served requests; that do now
    uint64_t oldest_ns;                 // for how long the oldest of these requests has been served
    uint64_t read_bytes, written_bytes; // in replies, in requests
    uint64_t live_inodes;
    struct request_figures ops[FIGURES_REQUESTS];
};

const char *figures_request_name(unsigned op); // "lookup"; NULL: there is no such operation

#endif
