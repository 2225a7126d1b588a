// The thread that writes times of access to the store.
#ifndef NS_ATIME_WRITER_H
#define NS_ATIME_WRITER_H

struct ns;
struct atime_writer;

int atime_writer_start(struct ns *ns, struct atime_writer **ret_writer); // 0 or -errno
// Writes what is on the list and ends. NULL is legal.
void atime_writer_stop(struct atime_writer *writer);

#endif
