// The locks of a store as clang checks them (base/lock_check.h). Their order is in db.h.
#ifndef LSM_DB_DB_ROLES_H
#define LSM_DB_DB_ROLES_H

#include "base/lock_check.h"

extern struct lock_role db_mutex;         // struct lsm's mutex; version/file_meta.h names it too
extern struct lock_role db_queue_mutex;   // of the write queue
extern struct lock_role db_lead;          // being the write leader
extern struct lock_role db_manifest_lead; // being who changes the version
extern struct lock_role db_hold_mutex;    // of the file of held space
extern struct lock_role db_note_mutex;    // of what LOCK says of the holder
extern struct lock_role db_follow_mutex;  // of reading a store that is followed
extern struct lock_role db_files_mutex;   // of the list of files to remove

#endif
