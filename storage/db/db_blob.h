// Values in blob files, and who holds the files: memtables and tables (db_blob.c).
#ifndef LSM_DB_DB_BLOB_H
#define LSM_DB_DB_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "blob/blob_refs.h"
#include "blob/blob_store.h"
#include "db/db_roles.h"
#include "lsm.h"

struct file_meta;
struct memtable;
struct version;
struct version_edit;

#define DB_BLOB_HANDLES 512 // blob files that stay open for reading, if the system allows

int db_blob_store_new(struct env *env, const struct lsm_options *options, unsigned handles_max,
                      struct logger logger, uint64_t (*new_number)(void *arg), void *arg,
                      struct blob_store **ret_store);
// Values shorter than this are kept in the tree when they are sliced or moved.
size_t db_blob_inline_size(const struct lsm_options *options);
// From which size on values go to blob files in this write; SIZE_MAX: none do.
size_t db_blob_min(const struct lsm *db, const struct lsm_write_options *wo);
// Decodes a pointer and references its file. The caller is pinned, or otherwise holds whatever the
// pointer was found in.
int db_blob_open(struct lsm *db, struct slice encoded, struct blob_pointer *ret_pointer,
                 struct blob_file **ret_file);
// A memtable that keeps references to the blob files its entries point into. They are registered
// before the entries are added; db_blob_flushed() says that its table counts instead.
int db_memtable_new(struct lsm *db, struct memtable **ret_memtable);
int db_blob_register(struct memtable *memtable, const struct blob_refs *refs, uint64_t written);
uint64_t db_memtable_blob_bytes(const struct memtable *memtable); // appended for it
uint64_t db_blob_flush_bytes(struct lsm *db); // with more than these the memtable is full
const struct blob_refs *db_memtable_blobs(const struct memtable *memtable);
void db_blob_flushed(struct memtable *memtable);
// Takes and drops a table's references to blob files.
int db_blob_adopt(struct lsm *db, struct file_meta *file);
void db_blob_abandon(struct file_meta *file);
// Count what the current version references of each blob file: that of a whole version, and what an
// edit changes of version `base`. Mutex held.
void db_blob_account_version(const struct version *version);
void db_blob_account(const struct version *base, const struct version_edit *edit);
int db_blob_before_sync(void *db); // syncs the blob files: wal_options.before_sync

#endif
