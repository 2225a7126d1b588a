// All blob files of a store: appending, reading, syncing, what is in use of each, removal.
//
// A blob file is reference-counted by everything that holds pointers into it: tables in any version
// somebody uses, memtables, batches being written, readers. When the last reference goes the file
// is of no use and is removed (blob_store_remove_unused()). Files that are being appended to, and
// all of them while the store is held (recovery, closing), stay.
//
// Threads: everything may be called from any thread. Appending threads share a file: each reserves
// its range under the lock and writes outside of it.
// Locks: a stream's mutex (held while its next file is created), then the store's mutex,
// a leaf that is never held across I/O and is taken in epoch callbacks.
#ifndef LSM_BLOB_STORE_H
#define LSM_BLOB_STORE_H

#include <stdatomic.h>

#include "blob/blob_format.h"
#include "blob/blob_refs.h"
#include "env/env.h"
#include "env/logger.h"

struct blob_store;
struct blob_file;

#define BLOB_NAME_MAX 32

struct blob_store_options {
    struct env *env;                                         // the directory; outlives the store
    void (*name)(uint64_t number, char name[BLOB_NAME_MAX]); // of a file
    enum lsm_compression compression;
    uint64_t file_size;                // a file is full at this size; up to 4 times as much in a
                                       // large store
    unsigned handles_max;              // files that are only read and stay open
    uint64_t (*new_number)(void *arg); // a fresh file number
    void *arg;
    struct logger logger;
    bool read_only; // another process's files: none is removed
};

// Held at first.
int blob_store_new(const struct blob_store_options *options, struct blob_store **ret_store);
// No references may be left but those of `held` files. NULL is allowed.
void blob_store_free(struct blob_store *store);

// While held, no file is removed for lack of references.
void blob_store_hold(struct blob_store *store, bool hold);

// ---- files
// The file's entry, with a reference. A number that is not known yet is looked up on disk, once. A
// missing or short file is no failure here; reading it reports that.
int blob_store_get(struct blob_store *store, uint64_t number, struct blob_file **ret_file);
bool blob_store_knows(struct blob_store *store, uint64_t number);
void blob_file_ref(struct blob_file *file);
void blob_file_unref(struct blob_file *file);
void blob_refs_unref(struct blob_refs *set); // drops the references of all its elements
// Drops the references of all its elements, whose bytes no longer count as referenced from memory
// (blob_file_add_mem()).
void blob_refs_drop(struct blob_refs *set);

// Whether what is alive in the file is to be moved elsewhere, so that it can go.
bool blob_file_draining(const struct blob_file *file);
// To be called when a value of the file could not be read: it cannot be moved, so the file is not
// drained any more.
void blob_file_set_damaged(struct blob_file *file);
// Bytes of a set that lie in draining files. Elements without a file do not count.
uint64_t blob_refs_draining(const struct blob_ref *refs, size_t count);

// Bytes referenced by the tables of the current version, those of level 0 among them, and by
// memtables not flushed yet.
void blob_file_add_live(struct blob_file *file, int64_t bytes);
void blob_file_add_level0(struct blob_file *file, int64_t bytes);
void blob_file_add_mem(struct blob_file *file, int64_t bytes);

// Removes files that lost their last reference before `until_us` (of clock_us()). No locks held.
void blob_store_remove_unused(struct blob_store *store, uint64_t until_us);
// Whether any file has lost its last reference and is not removed yet.
bool blob_store_has_unused(struct blob_store *store);

// Gives the file system back what it keeps behind the ends of files that are complete and synced.
// No locks held.
void blob_store_trim(struct blob_store *store);
// Gives the file system back what it keeps behind the ends of all files, for when space is low. A
// stream may have to begin a new file for that. Waits for the writes that are under way. Returns
// whether there was anything to give back.
bool blob_store_give_back(struct blob_store *store);

// ---- content
enum blob_stream { BLOB_WRITES, BLOB_MOVES, BLOB_STREAMS };

// Appends `value` (1 .. LSM_MAX_VALUE bytes) to the stream's current file. *ret_file gets a
// reference. The bytes are in the page cache on return, and durable after blob_store_sync(). They
// count as referenced from memory, blob_pointer_bytes() of them, until the caller takes that back:
// what is on its way into a memtable or a table is not garbage.
int blob_store_append(struct blob_store *store, enum blob_stream stream, struct slice value,
                      struct blob_pointer *ret_pointer, struct blob_file **ret_file);

// `size` bytes from `offset` of the pointer's range; `file` is the one it names.
int blob_file_read(struct blob_file *file, const struct blob_pointer *pointer, uint32_t offset,
                   void *data, size_t size);
int blob_file_verify(struct blob_file *file, const struct blob_pointer *pointer);
// Only the record's head: whether there is such a record.
int blob_file_verify_head(struct blob_file *file, const struct blob_pointer *pointer);

// Makes everything whose append returned before the call durable. A group commit for each file;
// no call at all if nothing is outstanding. The first failure is final.
int blob_store_sync(struct blob_store *store);
// Makes the set's files durable. For files of which it is not known whether they were synced, after
// a restart.
int blob_refs_sync(const struct blob_refs *set);

// Ends the current files: later appends go to new ones.
void blob_store_seal(struct blob_store *store);

// ---- reclaim
// Marks the files to be drained next, if garbage is more than `percent` of all bytes and nothing is
// being drained: those with the most garbage, enough to be worth a pass over the tables. Returns
// whether any file with live bytes in tables is marked, now or from before.
bool blob_store_choose_drain(struct blob_store *store, unsigned percent);
// Whether blob_store_choose_drain() would return true. Marks nothing.
bool blob_store_wants_drain(struct blob_store *store, unsigned percent);

struct blob_stats {
    uint64_t files, bytes;  // of all files
    uint64_t live, garbage; // referenced by tables and memtables, at most a file's size; the rest
    uint64_t in_use;        // of files that have live bytes; of the others only readers are left
    uint64_t unsettled;     // of these bytes, what sorted tables do not refer to: garbage, and what
                            // is not known to be live, with what it may turn into garbage
    uint64_t waiting;       // bytes of files that are drained but for what memtables refer to
    uint64_t mem;           // bytes that memtables refer to, also if tables do
    uint64_t written, moved; // by appends of each stream, since opening
    uint64_t draining;       // files
};
void blob_store_stats(struct blob_store *store, struct blob_stats *ret_stats);
// Bytes of all files and of garbage among them; cheap, may lag behind a little.
uint64_t blob_store_bytes(struct blob_store *store);

#endif
