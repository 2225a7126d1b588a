// Who has a store in a cluster mounted, for umount.lsmfs: what LOCK says in a store's directory.
// All functions do nothing for a store in a directory.
#ifndef MOUNT_HOLDER_H
#define MOUNT_HOLDER_H

// Opens the file. A failure is logged: umount.lsmfs does not wait for the daemon then.
int holder_open(const char *db); // a descriptor; -1: none
void holder_note(int fd, const char *note);
void holder_close(int fd);

#endif
