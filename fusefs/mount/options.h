// The command line: DB, MOUNTPOINT and the -o options, parsed and checked against their ranges.
#ifndef LSMFS_MOUNT_OPTIONS_H
#define LSMFS_MOUNT_OPTIONS_H

#include <stdbool.h>

#include "common/exit_status.h"
#include "ns/namespace.h"

// When a file's time of access moves.
enum atime_policy { ATIME_RELATIVE, ATIME_ALWAYS, ATIME_NEVER };

// How requests come from the kernel; TRANSPORT_AUTO: the best that can be had. In the order of the
// table in transport.c.
enum snapdir_choice { SNAPDIR_HIDDEN, SNAPDIR_VISIBLE, SNAPDIR_NONE };
enum transport_choice { TRANSPORT_AUTO, TRANSPORT_URING, TRANSPORT_POLL, TRANSPORT_PLAIN };

struct mount_options {
    char *db;         // as given; preflight.c makes both absolute
    char *mountpoint; // as given
    char *kernel;     // options handed on to libfuse, joined by commas; NULL: none
    bool foreground;
    bool debug;     // every request and all of the engine's messages to stderr
    bool sloppy;    // mount(8)'s -s: unknown options are skipped
    bool fake;      // mount(8)'s -f through mount.lsmfs: all checks, no mount
    bool read_only; // ro
    bool standby;   // wait until nobody has the store any more
    bool follow;    // another process writes the store; with read_only
    unsigned follow_ms;
    unsigned slow_ms; // requests that take so long are logged; 0: none
    bool allow_other;
    bool allow_root;
    enum atime_policy atime;
    bool no_dir_atime;    // reading directories does not move their times of access
    bool no_permissions;  // the one user of the mount may do everything
    bool no_acl;          // no access control lists
    bool open_requests;   // OPEN and RELEASE are sent: opening a file to read it counts as access
    bool no_writeback;    // write(2) reaches the daemon at once
    bool dirsync;         // changes of names are durable when they return (dirsync, sync)
    unsigned dirty_ratio; // per cent of the kernel's limit of dirty pages; 0: not asked for
    unsigned threads;     // that serve requests
    unsigned
        spin_us; // how long an idle thread looks for the next request before it sleeps, at most
    enum transport_choice transport;
    bool enable_uring;           // turn on the kernel's switch for FUSE over io_uring
    enum snapdir_choice snapdir; // whether the root has .snapshots, and lists it
    char *cache_dir;             // the cache on the local disk; as given, then absolute; NULL: none
    char *snapshot;              // the named snapshot to mount; NULL: the present
    struct ns_options ns;
};

// What options_parse() found out beside the options.
enum options_result { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG };

// Fills `options` from the command line. OPTIONS_DONE: help or version was printed. OPTIONS_WRONG:
// one line on stderr says what and where. Release the options whatever is returned.
enum options_result options_parse(int argc, char **argv, struct mount_options *options);
void options_release(struct mount_options *options);

#endif
