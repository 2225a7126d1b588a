// One mounted file system: what every request handler gets as libfuse's userdata.
#ifndef LSMFS_MOUNT_LSMFS_H
#define LSMFS_MOUNT_LSMFS_H

#include <stdbool.h>

#include "mount/generations.h"
#include "mount/options.h"
#include "ns/changes/watch_hub.h"
#include "ns/namespace.h"

struct fuse_session;
struct flusher;
struct syncer;
struct control;
struct snapdir;
struct follower;
struct transport;

struct lsmfs {
    struct ns *ns;
    struct mount_options options;
    struct fuse_session *session; // from the mount to its end
    struct transport *transport;  // as long as the session
    struct flusher *flusher;      // while requests are served, as `syncer`
    struct syncer *syncer;
    struct snapdir *snapdir;   // from before requests are served to the end; NULL: no .snapshots
    struct control *control;   // while requests are served; NULL: there is none
    struct watch_hub watch;    // for commands, while there is a control
    struct follower *follower; // NULL: the store is not followed
    struct generations generations;
    double keep_s; // how long the kernel may keep entries and attributes
    int holder_fd; // holder.h; only the main thread uses it

    // Agreed with the kernel; set by INIT, before there are threads.
    bool acl;        // the kernel checks access control lists, and leaves applying the umask to us
    bool no_open;    // the kernel opens files without asking (serve_file.c)
    bool no_opendir; // nor does it ask for directories; it keeps their listings (serve_dir.c)
    bool writeback;  // the kernel gathers writes, and keeps sizes and times of regular files
};

#endif
