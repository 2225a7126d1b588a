// The numbers of files, and which are to be removed.
//
// Lock: `mutex` for the list, a leaf, taken in epoch callbacks.
//
// Touched by: db_compact db_files db_manifest db_open db_recover
#ifndef LSM_DB_DB_FILES_H
#define LSM_DB_DB_FILES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "db/db_roles.h"
#include "version/file_meta.h"
#include "version/store_files.h"

struct lsm;
struct version;

// What a file_meta's owner points to, and later the entry in the list of files to remove.
struct obsolete_file {
    struct lsm *db;
    struct obsolete_file *next;
    uint64_t number;
    enum store_file kind;
    uint64_t since_us; // when it was found to be so
};

struct db_files {
    _Atomic uint64_t next; // number
    bool followed;         // somebody followed the store when it was opened; constant then
    uint64_t first;        // numbers from here on were given out since opening; constant then
    pthread_mutex_t mutex;
    struct obsolete_file *obsolete GUARDED_BY(db_files_mutex);
    _Atomic bool keep; // after a failed manifest write nothing may be removed
};

uint64_t db_new_file_number(void *db);
void db_remove_obsolete(struct lsm *db) EXCLUDES(db_mutex); // no locks held
// Puts a file that no version has on the list of those to remove.
int db_note_obsolete(struct lsm *db, enum store_file kind, uint64_t number);
// Whether another process follows the store just now. If none does, the file that tells of
// followers goes. No locks held.
bool db_look_for_followers(struct lsm *db);
// Ties a table that is going to be part of a version to this store: when its last reference goes,
// its reader is closed and, if it is obsolete, its file is put on the list of files to remove.
int db_adopt_file(struct lsm *db, struct file_meta *file);
int db_adopt_tables(struct lsm *db, const struct version *version); // all tables of the version

#endif
