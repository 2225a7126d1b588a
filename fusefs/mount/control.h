// The control socket: commands of lsmfsctl on the store while it is mounted.
#ifndef LSMFS_MOUNT_CONTROL_H
#define LSMFS_MOUNT_CONTROL_H

#include "mount/lsmfs.h"

struct control;

// Listens in the directory of the store, which is open for writing and serves requests. 0 or a
// negative errno.
int control_start(struct lsmfs *fs, struct control **ret_control);

// Ends the commands that run, and waits for them; nobody can connect any more. To be called while
// there are threads that serve requests, or when the connection is closed. NULL is legal, and so is
// twice.
void control_stop(struct control *control);
void control_free(struct control *control); // stopped; NULL is legal

#endif
