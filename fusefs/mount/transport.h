// The transport: how requests come from the kernel and replies go back. Nothing else reads from or
// writes to the FUSE device.
//
// There are several (`-o transport=`), behind this one interface; libfuse decodes the requests and
// calls the handlers on all of them. Who wants to look into raw requests and replies finds them all
// in protocol.h.
#ifndef LSMFS_MOUNT_TRANSPORT_H
#define LSMFS_MOUNT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lsmfs;
struct transport;

// Makes the transport of a mounted session (fs->session), of the kind that fs->options ask for. 0
// or a negative errno.
int transport_new(struct lsmfs *fs, struct transport **ret_transport);
void transport_free(struct transport *transport); // after transport_join(), or if never started

// Serves on the calling thread until the kernel has agreed on the terms (INIT). 0 or a negative
// errno.
int transport_handshake(struct transport *transport);

// Starts the threads. 0 or a negative errno (then none runs).
int transport_start(struct transport *transport);

// The name of the transport that serves, as in `-o transport=`; after transport_start().
const char *transport_name(const struct transport *transport);

// Whether the calling thread serves a request just now. It must not wait for the kernel then, which
// may be waiting for the reply. For assertions.
bool transport_is_serving(void);

// Notes that the kernel knows the regular file `ino`. Called now and then, by any thread.
void transport_note_file(uint64_t ino);

// Memory for up to `size` bytes of the reply to the request that the calling thread serves, from
// where they need not be copied; NULL: there is none. It is the same at every call, and good until
// the reply.
void *transport_room(size_t size);

// A file descriptor that becomes readable when the last thread has ended: the kernel has closed the
// connection, or reading from it failed.
int transport_ended_fd(const struct transport *transport);

// Makes the threads end after the request they are at, though the mount may still be there.
void transport_stop(struct transport *transport);

// Waits for the threads. 0, or the negative errno of what ended them.
int transport_join(struct transport *transport);

#endif
