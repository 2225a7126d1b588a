// What this handle has of the store's directory: its lock, what LOCK says of the holder, and
// whether the handle has made the directory or the store.
//
// Lock: `note_mutex` for the note, held across the writing of LOCK. The rest is constant after
// opening.
//
// Touched by: db_cache db_open
#ifndef LSM_DB_DB_CLAIM_H
#define LSM_DB_DB_CLAIM_H

#include <pthread.h>
#include <stdbool.h>

#include "db/db_roles.h"

struct env_lock;

struct db_claim {
    struct env_lock *lock; // of LOCK or, of one that follows, of FOLLOWERS; NULL: not taken yet
    bool made_dir;         // the directory was made by this handle
    bool fresh;            // the store was made by this handle; decided under the lock
    pthread_mutex_t note_mutex;
    char *note GUARDED_BY(db_note_mutex); // what LOCK says of this holder; NULL: nothing
};

#endif
