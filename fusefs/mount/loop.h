// The receive loop: threads that take requests from the kernel and have libfuse serve them.
//
// This is the transport: nothing else reads from or writes to the FUSE device. Only the functions
// here know how requests arrive and replies leave.
#ifndef LSMFS_MOUNT_LOOP_H
#define LSMFS_MOUNT_LOOP_H

#include "mount/fuse_api.h"

struct loop;

// For a mounted session. 0 or a negative errno.
int loop_new(struct fuse_session *session, unsigned threads, unsigned spin_us,
             struct loop **ret_loop);
void loop_free(struct loop *loop); // after loop_join(), or if it was never started

// Serves on the calling thread until the kernel has agreed on the terms (INIT). 0 or a negative
// errno.
int loop_handshake(struct loop *loop);

// Starts the threads. 0 or a negative errno (then none runs).
int loop_start(struct loop *loop);

// A file descriptor that becomes readable when the last thread has ended: the kernel has closed the
// connection, or reading from it failed.
int loop_ended_fd(const struct loop *loop);

// Makes the threads end after the request they are at, though the mount may still be there.
void loop_stop(struct loop *loop);

// Waits for the threads. 0, or the negative errno of reading that ended them.
int loop_join(struct loop *loop);

#endif
