// One client of the control socket.
#ifndef LSMFS_MOUNT_CONTROL_CLIENT_H
#define LSMFS_MOUNT_CONTROL_CLIENT_H

#include "commands/front.h"
#include "mount/lsmfs.h"

struct client_session;

struct control_client {
    struct front front; // first; any thread may set `cancelled`
    int fd;
    uid_t uid; // the client's, as the kernel tells it
    gid_t gid;
    _Atomic bool stopping;          // set before front.cancelled: the reason is that the mount ends
    struct client_session *session; // while the command runs
};

// Takes the command from the client, runs it and tells the client all about it.
void control_client_run(struct lsmfs *fs, struct control_client *client);

// Tells the client why it is not served.
void control_client_refuse(int fd, const char *why);

#endif
