// Where a store is: in a directory, or in a cluster ("rados:POOL/NAME"). For one in a cluster, what
// a directory holds besides the store (the control socket, who has it mounted) is in a directory of
// the user's on this machine.
#ifndef COMMON_STORE_PLACE_H
#define COMMON_STORE_PLACE_H

#include <limits.h>
#include <stdbool.h>

bool store_place_is_remote(const char *db);

// That directory: below /run/lsmfs for root, else below $XDG_RUNTIME_DIR/lsmfs or /tmp/lsmfs-UID,
// named after the cluster, the pool and the store. It asks the cluster for its name. With `make` it
// is made. 0 or a negative errno.
int store_place_runtime(const char *db, bool make, char path[PATH_MAX]);

// The directory that the control socket is in, as an O_PATH descriptor, or a negative errno.
int store_place_control(const char *db, bool make);

#endif
