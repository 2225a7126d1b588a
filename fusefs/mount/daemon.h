// Going into the background in a way that the one who started it can rely on.
#ifndef LSMFS_MOUNT_DAEMON_H
#define LSMFS_MOUNT_DAEMON_H

// Forks before anything is opened. Returns in the child, with a descriptor for daemon_ready(). The
// parent never returns: it waits for daemon_ready() and exits with 0, or with the status of the
// child if that ends without it. A negative errno if there is no child.
int daemon_start(void);

// The child's work has begun: lets the parent exit, and leaves the terminal, the session and the
// working directory behind. Messages to stderr are lost from now on.
void daemon_ready(int ready_fd);

#endif
