// tinylsm: an embedded, ordered key-value store, built as a log-structured merge tree.
//
// This is the library's only public header and its reference documentation.
//
// Keys and values are byte strings. Keys are ordered by memcmp, the shorter first when one is a
// prefix of the other. A key is 1 to LSM_MAX_KEY bytes, a value 0 to LSM_MAX_VALUE bytes.
//
// Handles are opaque. Unless a function says otherwise:
//  - A `struct lsm` may be used by any number of threads at once. A batch, an iterator or a buffer
//    belongs to one thread at a time.
//  - Functions return 0 (LSM_OK) or a negative `enum lsm_status`; outputs are untouched on failure.
//  - lsm_error_detail() describes the calling thread's latest failure in one line: file, offset,
//    option, reason. lsm_strerror() names a status.
//  - Key and value bytes passed in are copied before the call returns.
//  - The library never prints, never exits and installs no signal handler.
//
// Durability: what a write call has acknowledged survives the death of the process (unless wal_mode
// is HELD). What was written with `sync`, or before a successful lsm_sync(), survives power loss;
// of what came after, a prefix in write order survives. A batch is atomic under both.
//
// Failure: the first failed background write or sync makes the store read-only (LSM_READ_ONLY with
// the cause in the detail); reads go on. Running out of space is not such a failure: writes return
// LSM_NO_SPACE until there is room again. Nor is what can pass by itself (LSM_NO_MEMORY,
// LSM_NO_FILES, LSM_TRY_AGAIN): a call that meets it has changed nothing, and background work tries
// again, while writers are slowed; a write that waits for it in vain for 5 seconds gets the status.
#ifndef LSM_H
#define LSM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSM_MAX_KEY           65535u
#define LSM_MAX_VALUE         (1u << 30)
#define LSM_SNAPSHOT_NAME_MAX 255u                // bytes
#define LSM_PLACE_KEY_MAX     512u                // bytes, with the end
#define LSM_SNAPSHOT_ID_MAX   (UINT64_C(1) << 24) // ids are below
#define LSM_SNAPSHOT_IDENTITY 16u                 // bytes

#if defined(__GNUC__)
#define LSM_NODISCARD __attribute__((warn_unused_result))
#define LSM_API       __attribute__((visibility("default")))
#else
#define LSM_NODISCARD
#define LSM_API
#endif

enum lsm_status {
    LSM_OK = 0,
    LSM_NOT_FOUND = -1,    // no such key (or no such file, inside the engine)
    LSM_CORRUPTION = -2,   // bytes on disk are not what was written
    LSM_IO_ERROR = -3,     // a system call failed
    LSM_INVALID = -4,      // an argument or option is out of its range
    LSM_NO_SPACE = -5,     // the disk or the quota is full
    LSM_BUSY = -6,         // another process (or handle) has the store open
    LSM_NO_MEMORY = -7,    // an allocation failed
    LSM_NOT_A_STORE = -8,  // the directory holds something else
    LSM_NEWER_FORMAT = -9, // written by a version this one does not know
    LSM_READ_ONLY = -10,   // an earlier failure, the open mode or the file system forbids writing
    LSM_EXISTS = -11,      // error_if_exists, or the target of a checkpoint exists
    LSM_PERMISSION = -12,  // the system denied access
    LSM_CLOSED = -13,      // the operation was cancelled because the store is closing
    LSM_NO_FILES = -14,    // the process or the system has too many files open
    LSM_TRY_AGAIN = -15,   // a system call was interrupted, or lacked a resource just now
    LSM_CANCELLED = -16,   // a progress function said so
};

// A name for `status`, e.g. "corruption". Never NULL; static storage.
LSM_API const char *lsm_strerror(int status);

// One line about the latest failure seen by the calling thread; "" if there was none. Valid until
// the thread's next failing call.
LSM_API const char *lsm_error_detail(void);

// ---------------------------------------------------------------------------------------- options

struct lsm;
struct lsm_batch;
struct lsm_iter;
struct lsm_snapshot;
struct env; // the system that a store runs on; the library's own tests have another than the real

enum lsm_compression {
    LSM_COMPRESSION_NONE = 0,
    LSM_COMPRESSION_LZ4 = 1,
    LSM_COMPRESSION_ZLIB = 2
};
enum lsm_checksums { LSM_CHECKSUMS_ONCE = 0, LSM_CHECKSUMS_ALWAYS = 1, LSM_CHECKSUMS_NEVER = 2 };
// AUTO: MAPPED where the file system can pre-allocate, else WRITTEN; in a cluster writes gather in
// memory while the log is written, go there together, and return when they are there.
// HELD: what is acknowledged survives the death of the process only once it is synced, by anybody
// or by sync_interval_ms; a write costs no call of the file system before. A prefix survives. For
// stores whose writes take long: in a cluster.
enum lsm_wal_mode { LSM_WAL_AUTO = 0, LSM_WAL_MAPPED = 1, LSM_WAL_WRITTEN = 2, LSM_WAL_HELD = 3 };
enum lsm_log_level { LSM_LOG_ERROR = 0, LSM_LOG_WARN = 1, LSM_LOG_INFO = 2, LSM_LOG_DEBUG = 3 };

typedef void lsm_log_fn(void *arg, enum lsm_log_level level, const char *message);

// Fill with lsm_options_init() first, then change what you need. Sizes are bytes. Values out of
// the range given in brackets make lsm_open() fail with LSM_INVALID and a detail that names the
// option.
struct lsm_options {
    bool create_if_missing;     // default true: an absent or empty directory becomes a store
    bool error_if_exists;       // default false
    bool read_only;             // default false: no writes, no background work, no log kept
    bool unfinished;            // default false: a store that is made takes lsm_complete() before
                                // it can be opened without this
    size_t write_buffer_size;   // 64 MiB [64 KiB, 4 GiB]: a memtable's arena before it is flushed;
                                // at most 1/16 of the disk, but 256 KiB
    unsigned max_write_buffers; // 2 [2, 16]: memtables in memory, the active one included
    size_t block_cache_size;    // 64 MiB [0, 1 TiB]: decompressed blocks
    uint64_t map_budget;        // 128 MiB [0, 1 PiB]: compressed tables of this many bytes in all
                                // are read through memory maps, as uncompressed ones always are;
                                // 0: no table is. Maps are faster than pread, but what the page
                                // cache holds of them counts as the process's memory, a disk's read
                                // error in them is a SIGBUS, and nothing is read ahead
    unsigned max_open_tables;   // 1000 [16, 1000000]: tables with index and filter resident
    size_t block_size;          // 4 KiB [512, 1 MiB]: uncompressed bytes of a data block
    unsigned restart_interval;  // 16 [1, 1024]: keys between restart points
    unsigned bloom_bits_per_key;             // 10 [0, 32]: 0 means no filters
    enum lsm_compression compression;        // LZ4
    enum lsm_compression bottom_compression; // LZ4: for tables of the last level
    enum lsm_checksums checksums;            // ONCE: a block is verified when it is first read
    size_t table_size;                       // 32 MiB [64 KiB, 4 GiB]: target size of a table;
                                             // at most 1/64 of the disk, but 256 KiB
    size_t level_base_size;      // 256 MiB [128 KiB, 1 TiB]: target of the first sorted level
    unsigned level_ratio;        // 10 [2, 100]: size ratio between neighbouring levels
    unsigned l0_compact;         // 4 [1, 1000]: level-0 tables that start a compaction
    unsigned l0_slowdown;        // 12 [2, 1000]: ... that begin to slow writers
    unsigned l0_stop;            // 24 [3, 1000]: ... that stop writers until one is gone
    unsigned compaction_threads; // 1 [1, 16]: beside the flush thread
    enum lsm_wal_mode wal_mode;  // AUTO
    // Following: the store is read while another process has it open and writes (lsm_refresh()).
    bool follow;               // default false; read_only as well. No lock is taken that a writer
                               // needs. Also for stores in a cluster
    unsigned follow_keep_ms;   // 60000 [0, 3600000]: of who writes: for how long files that are not
                               // needed any more stay for those who follow, if there are any. On a
                               // full disk they go at once
    unsigned sync_interval_ms; // 0 [0, 3600000]: >0 syncs the log this often in the background
    // Large values live in blob files. These are written once, shared by the values that
    // lsm_batch_put_part() makes, and reclaimed when they are mostly garbage.
    size_t blob_min; // 4 KiB [0, 1 GiB]: values of this size or more go there; 0: none do
    enum lsm_compression blob_compression; // LZ4: where a sample of the value says that it pays
    size_t blob_file_size;       // 64 MiB [4 KiB, 1 GiB]: of a file; up to 4 times that in a large
                                 // store; at most 1/128 of the disk, but 512 KiB
    unsigned blob_garbage_ratio; // 25 [5, 95]: per cent of garbage in all blob files beyond which
                                 // it is reclaimed
    // Of a store in a cluster: a directory on the local disk, made if it is absent, that keeps
    // copies of what was read and written of tables and blob files; copied. NULL: none. It may be
    // removed at any time. One store at a time uses it: LSM_INVALID otherwise, but with lock_wait
    // the store is opened without it
    const char *disk_cache_dir;
    uint64_t disk_cache_size; // 10 GiB [1 MiB, 1 PiB]: what it may take there
    lsm_log_fn *log;          // NULL: messages are dropped
    void *log_arg;
    const char *lock_note; // NULL or one line kept in LOCK for whoever finds the store in
                           // use, e.g. "mounted on /mnt"; copied. lsm_close() puts "closing; "
                           // before it
    // Called when opening finds the store in use (lsm_error_detail() says by whom). It may sleep.
    // True: opening tries again; false, or NULL: LSM_BUSY.
    bool (*lock_wait)(void *arg);
    void *lock_wait_arg;
    struct env *env; // NULL: the real system; must outlive the store
};

LSM_API void lsm_options_init(struct lsm_options *options);

// ------------------------------------------------------------------------------- opening, closing

// Opens (or creates) the store in directory `path`, or in a Ceph cluster (`path` is
// "rados:POOL/NAME"; docs/scale-out.md), recovering from the log what the tables do not
// hold yet. `options` may be NULL. LSM_BUSY's detail names the process that has it and its note.
LSM_NODISCARD LSM_API int lsm_open(const char *path, const struct lsm_options *options,
                                   struct lsm **ret_db);

// For a store in a cluster: a name for it that no other store has, and that can be a file's. It
// asks the cluster. LSM_INVALID for other paths.
LSM_NODISCARD LSM_API int lsm_place_key(const char *path, char key[LSM_PLACE_KEY_MAX]);

// Of a store that was opened with `follow`: shows what the writer has written since, all that was
// acknowledged before the call included. Whoever reads sees the state before or the one after; an
// iterator or a snapshot stays as it is. 1: there was something, 0: nothing. After a failure the
// state before stays, and a later call may succeed. Any thread.
//
// `fn` (may be NULL) is told the keys that have changed, some of them more than once, when they can
// be read; with NULL and 0: any key may have changed, as after a pause in which the writer has
// removed what it had written down.
//
// What is read is in the files that the writer had at the last refresh. It keeps them for
// follow_keep_ms: a handle that was not refreshed for longer may read LSM_CORRUPTION (a file is
// missing) until it is refreshed. So may a snapshot or an iterator that is older.
typedef void lsm_changed_fn(void *arg, const void *key, size_t key_size);
LSM_NODISCARD LSM_API int lsm_refresh(struct lsm *db, lsm_changed_fn *fn, void *arg);

// Another line for LOCK: a courtesy, failures are not reported. Any thread. NULL: none. It waits
// for the disk; nothing else of the store waits for it.
LSM_API void lsm_lock_note(struct lsm *db, const char *note);

// Stops background work (within a second: what is running is cancelled), syncs the log, releases
// everything. All iterators, snapshots, diffs and lists of files must have been freed before, and
// staged batches written, cleared or freed. `db` is gone whatever is returned; the result tells
// whether all acknowledged writes are durable. NULL is allowed.
LSM_API int lsm_close(struct lsm *db);

// Closes the store like lsm_close(). If the store was made when this handle was opened, it is
// removed again, and so is its directory, if that was made too; the store is locked until it is
// gone.
LSM_API int lsm_discard(struct lsm *db);

// Removes the store's files from `path` and the directory if it is then empty. Refuses a store in
// use, and what is none. If it is interrupted, the rest can only be removed: by calling it again.
// `options` supplies env only and may be NULL; with `unfinished` a complete store is refused.
LSM_NODISCARD LSM_API int lsm_destroy(const char *path, const struct lsm_options *options);

// Makes a store complete that was made with the option `unfinished`, durably. Until then it can
// only be opened with that, or destroyed, also after a crash. `options` supplies env only and may
// be NULL.
LSM_NODISCARD LSM_API int lsm_complete(const char *path, const struct lsm_options *options);

// Rebuilds the manifest of a store from its tables and logs, keeping all that verifies; files that
// do not are moved to `path`/lost. For a store whose CURRENT or manifest is gone or damaged.
LSM_NODISCARD LSM_API int lsm_repair(const char *path, const struct lsm_options *options);

// Makes an openable copy of the store as of now in the new directory `target` (same file system:
// tables are hard-linked), durable when the call returns 0. Writes go on meanwhile. On failure
// nothing is left at `target`; if it is interrupted, what is left there can only be removed:
// lsm_destroy(). LSM_INVALID where a store in a cluster takes part.
LSM_NODISCARD LSM_API int lsm_checkpoint(struct lsm *db, const char *target);

// The files that the store consists of now, for copies where hard links do not reach: tables and
// blob files, which do not change any more. They stay until the list is freed, whatever is written
// or compacted meanwhile. Flushes first. A copy is complete when all of them are in one directory
// and lsm_files_finish() has written manifest and CURRENT for it, last.
// A list belongs to one thread, and is freed before lsm_close(). lsm_files_read(): *ret_size is
// less than `size` only at the file's end.
struct lsm_files;
struct lsm_file_info {
    char name[32];
    uint64_t size;       // bytes
    int64_t modified_ns; // since 1970; 0: not known
};
LSM_NODISCARD LSM_API int lsm_files_new(struct lsm *db, struct lsm_files **ret_files);
LSM_API size_t lsm_files_count(const struct lsm_files *files);
// Valid until the list is freed; `index` is below the count.
LSM_API const struct lsm_file_info *lsm_files_info(const struct lsm_files *files, size_t index);
LSM_NODISCARD LSM_API int lsm_files_read(struct lsm_files *files, size_t index, uint64_t offset,
                                         void *data, size_t size, size_t *ret_size);
// Verifies a table by its own checksums, and those values it points to whose blob file `wanted`
// says yes to. LSM_OK for a blob file. The detail names the damage.
typedef bool lsm_files_wanted_fn(void *arg, const char *name);
LSM_NODISCARD LSM_API int lsm_files_check(struct lsm_files *files, size_t index,
                                          lsm_files_wanted_fn *wanted, void *arg);
// Writes manifest and CURRENT of the copy into `directory`, which has to exist; durable when it
// returns 0.
LSM_NODISCARD LSM_API int lsm_files_finish(const struct lsm_files *files, const char *directory);
// The name of that manifest. Valid until the list is freed.
LSM_API const char *lsm_files_manifest(const struct lsm_files *files);
LSM_API void lsm_files_free(struct lsm_files *files); // NULL is allowed

// The other way: a new store is made at `path` of such files, and of the manifest and CURRENT that
// were written for them. It is locked until it is freed. `options` supplies env only and may be
// NULL. LSM_EXISTS: there is something. If it is interrupted, what is left can only be removed:
// lsm_destroy(). Belongs to one thread.
struct lsm_restore;
LSM_NODISCARD LSM_API int lsm_restore_new(const char *path, const struct lsm_options *options,
                                          struct lsm_restore **ret_restore);
// The next file, empty. LSM_INVALID: no file of a copy is called so.
LSM_NODISCARD LSM_API int lsm_restore_file(struct lsm_restore *restore, const char *name);
LSM_NODISCARD LSM_API int lsm_restore_write(struct lsm_restore *restore, uint64_t offset,
                                            const void *data, size_t size);
// Makes the file durable, and lets go of what is in memory of it, as far as the system does that:
// so that what is read then is what has arrived.
LSM_NODISCARD LSM_API int lsm_restore_sync(struct lsm_restore *restore);
LSM_NODISCARD LSM_API int lsm_restore_read(struct lsm_restore *restore, uint64_t offset, void *data,
                                           size_t size, size_t *ret_size);
LSM_NODISCARD LSM_API int lsm_restore_end(struct lsm_restore *restore); // complete, and durable
// Removes what was made, unless that is complete. NULL is allowed.
LSM_API void lsm_restore_free(struct lsm_restore *restore);

// ---------------------------------------------------------------------------------------- reading

// A growable buffer owned by the caller; zero-initialise, reuse across calls, release at the end.
struct lsm_buf {
    void *data;
    size_t size;     // bytes valid
    size_t capacity; // bytes allocated
};

LSM_API void lsm_buf_release(struct lsm_buf *buf);

struct lsm_read_options {
    const struct lsm_snapshot *snapshot; // NULL: the latest state
    bool no_fill_cache;                  // do not keep what is read in the block cache
};

// The value of `key` into `value` (grown as needed). LSM_NOT_FOUND if there is none (no detail is
// recorded for that). `ro` may be NULL.
LSM_NODISCARD LSM_API int lsm_get(struct lsm *db, const struct lsm_read_options *ro,
                                  const void *key, size_t key_size, struct lsm_buf *value);

// Copies up to `size` bytes of the value from `offset` on into `data`; *ret_size gets how many,
// *ret_value_size (may be NULL) the whole value's size. `size` 0 tests for existence.
LSM_NODISCARD LSM_API int lsm_get_range(struct lsm *db, const struct lsm_read_options *ro,
                                        const void *key, size_t key_size, uint64_t offset,
                                        void *data, size_t size, size_t *ret_size,
                                        uint64_t *ret_value_size);

// A snapshot fixes what readers that name it see. Holds superseded versions on disk until
// released. Cheap to take (one lock, no I/O); waits for writers only as lsm_snapshots_enter() says.
LSM_NODISCARD LSM_API int lsm_snapshot_new(struct lsm *db,
                                           const struct lsm_snapshot **ret_snapshot);
LSM_API void lsm_snapshot_free(struct lsm *db, const struct lsm_snapshot *snapshot);

// A snapshot for a few reads that belong together, to be freed soon. It takes no lock, so it waits
// for nobody; in exchange the memtables and tables of this moment stay until it is freed, as they
// do for an iterator.
LSM_NODISCARD LSM_API int lsm_snapshot_brief(struct lsm *db,
                                             const struct lsm_snapshot **ret_snapshot);

// The number of the last write that is visible. If it is the same before a read and later, what was
// read is still so. Takes no lock.
LSM_API uint64_t lsm_sequence(struct lsm *db);

// How many snapshots other than brief ones have been taken since the store was opened, and 1 more.
// It rises before what a snapshot sees is fixed: where it is the same before a write and after, the
// write is in all snapshots that are taken later, and in none from before. Takes no lock.
LSM_API uint64_t lsm_snapshots_taken(struct lsm *db);

// For a write that has to be followed by another if a snapshot comes in between. Returns what
// lsm_snapshots_taken() says. Until lsm_snapshots_leave() with that number, which the same thread
// owes, at most one snapshot other than brief ones is taken, and the next waits; so it sees both
// writes. Takes no lock. The thread must not take a snapshot itself meanwhile.
LSM_API uint64_t lsm_snapshots_enter(struct lsm *db);
LSM_API void lsm_snapshots_leave(struct lsm *db, uint64_t entered);

// Named snapshots stay: across closing, crashes and power cuts, in checkpoints and repairs, until
// they are deleted. A name is 1 to LSM_SNAPSHOT_NAME_MAX bytes without '/' and control characters,
// neither "." nor "..".

// Makes a named snapshot of what has been acknowledged by now; durable when it returns 0. Takes two
// syncs, whatever the store's size. LSM_EXISTS, LSM_INVALID for a name that cannot be.
LSM_NODISCARD LSM_API int lsm_snapshot_create(struct lsm *db, const char *name);
struct lsm_snapshot_info;
// Makes a named snapshot in a store whose content is that of `origin`, a snapshot of another store:
// the new one gets the identity and the time of `origin`.
LSM_NODISCARD LSM_API int lsm_snapshot_create_as(struct lsm *db, const char *name,
                                                 const struct lsm_snapshot_info *origin);
// LSM_NOT_FOUND if there is none. What only it could see is given back in the background. Snapshots
// that were opened by this name stay usable until they are freed.
LSM_NODISCARD LSM_API int lsm_snapshot_delete(struct lsm *db, const char *name);
LSM_NODISCARD LSM_API int lsm_snapshot_rename(struct lsm *db, const char *from, const char *to);
// Opens one by name, for reading; freed with lsm_snapshot_free(). LSM_NOT_FOUND.
LSM_NODISCARD LSM_API int lsm_snapshot_open(struct lsm *db, const char *name,
                                            const struct lsm_snapshot **ret_snapshot);

// The number of the named snapshot that was opened, as lsm_snapshot_list() has it; 0: it is of now.
LSM_API uint64_t lsm_snapshot_id(const struct lsm_snapshot *snapshot);

struct lsm_snapshot_info {
    const char *name;    // valid during the call
    uint64_t id;         // 1 .. LSM_SNAPSHOT_ID_MAX - 1, of this snapshot alone for ever
    uint64_t sequence;   // of the last write it sees
    uint64_t created_us; // since 1970, UTC
    // Of what the snapshot shows: two that have the same show the same keys and values, also in
    // different stores.
    uint8_t identity[LSM_SNAPSHOT_IDENTITY];
};
typedef int lsm_snapshot_fn(void *arg, const struct lsm_snapshot_info *info);
// Calls `fn` for each named snapshot, in the order of creation, until it returns other than 0,
// which is returned.
LSM_NODISCARD LSM_API int lsm_snapshot_list(struct lsm *db, lsm_snapshot_fn *fn, void *arg);

// Told now and then how far a long operation has come; total 0: nobody knows. If it returns other
// than 0 the operation ends soon with LSM_CANCELLED. Called on the thread of the operation, without
// locks.
typedef int lsm_progress_fn(void *arg, uint64_t done, uint64_t total);

// How many bytes each named snapshot refers to, and how many of these nobody else sees, neither the
// present nor another named snapshot: what deleting it would give back. Keys and values before
// compression; bytes that several values share count for each. Reads the whole store; `progress`
// (may be NULL) is called with entries done and entries in all. In the order of their sequences.
typedef int lsm_snapshot_usage_fn(void *arg, const struct lsm_snapshot_info *info, uint64_t refers,
                                  uint64_t own);
LSM_NODISCARD LSM_API int lsm_snapshot_usage(struct lsm *db, lsm_snapshot_usage_fn *fn,
                                             lsm_progress_fn *progress, void *arg);

// Makes the present what the named snapshot shows, but for keys that `keep` (may be NULL) returns
// true for: these stay as they are. One atomic change, durable when it returns 0; it costs what was
// written since. Snapshots go on showing what they did. Writers wait meanwhile.
typedef bool lsm_keep_fn(void *arg, const void *key, size_t key_size);
LSM_NODISCARD LSM_API int lsm_snapshot_rollback(struct lsm *db, const char *name, lsm_keep_fn *keep,
                                                void *arg);

// Taking in changes that were made elsewhere to what a named snapshot shows, the base: read as they
// come, then made the present at once.

struct lsm_change {
    const void *key, *value;
    size_t key_size, value_size;
    bool is_delete;
};
// 1: the next change, valid until the next call, of a greater key than the one before; 0: that was
// the last; or a failure. Called without locks, and may take its time.
typedef int lsm_change_fn(void *arg, struct lsm_change *ret_change);
// Writes the changes to a table, and long values to blob files, which nobody sees. The store goes
// on being used. Returns what `next` failed with. *ret_ingest is to be freed.
struct lsm_ingest;
LSM_NODISCARD LSM_API int lsm_ingest_read(struct lsm *db, lsm_change_fn *next, void *arg,
                                          struct lsm_ingest **ret_ingest);

// What becomes of keys that were written here since the base; both may be NULL.
struct lsm_ingest_rules {
    lsm_keep_fn *keep;  // true: it stays as it is here
    lsm_keep_fn *fixed; // true, and its value is not the base's: nothing is done
    void *arg;
};
// Makes the present what the base shows with the changes, with a new named snapshot of that: name,
// identity and time are those of `origin`. Keys that are kept have their values in the present
// only. One atomic change, durable when it returns 0; 1: a fixed key has changed. It costs what was
// written since the base, and two syncs. Writers wait meanwhile; none may be between two writes
// (lsm_snapshots_enter). After a failure it can be tried again. LSM_EXISTS, LSM_NOT_FOUND: of the
// names.
LSM_NODISCARD LSM_API int lsm_ingest_apply(struct lsm *db, struct lsm_ingest *ingest,
                                           const char *base, const struct lsm_snapshot_info *origin,
                                           const struct lsm_ingest_rules *rules);
LSM_API void lsm_ingest_free(struct lsm *db, struct lsm_ingest *ingest); // NULL is allowed

// The keys that differ, or may differ, between two snapshots: those that were put or deleted after
// `from` and not after `to`, in order. What they were and are is read with lsm_get() at the two.
// The cost follows what was written in between, not the store's size. Both snapshots have to be
// kept until the diff is freed. LSM_INVALID if `from` is the newer one or a brief one.
struct lsm_diff;
LSM_NODISCARD LSM_API int lsm_diff_new(struct lsm *db, const struct lsm_snapshot *from,
                                       const struct lsm_snapshot *to, struct lsm_diff **ret_diff);
// Moves to the first key or the next: 1, or 0 at the end, or a failure.
LSM_NODISCARD LSM_API int lsm_diff_next(struct lsm_diff *diff);
// The current key; valid until the diff is moved or freed.
LSM_API const void *lsm_diff_key(const struct lsm_diff *diff, size_t *ret_size);
LSM_API void lsm_diff_free(struct lsm_diff *diff); // NULL is allowed

struct lsm_iter_options {
    const struct lsm_snapshot *snapshot; // NULL: the state when the iterator was made
    const void *lower;                   // first key that may be seen; NULL: no bound; copied
    size_t lower_size;
    const void *upper; // first key beyond; NULL: no bound; copied
    size_t upper_size;
    const void *prefix; // only keys that begin with it, within the bounds; NULL: all; copied
    size_t prefix_size;
    bool no_fill_cache;
    size_t readahead; // bytes to ask the kernel for ahead of a scan; 0: adaptive
};

// An iterator over the store as of its making. Not positioned at first. `options` may be NULL.
LSM_NODISCARD LSM_API int lsm_iter_new(struct lsm *db, const struct lsm_iter_options *options,
                                       struct lsm_iter **ret_iter);
LSM_API void lsm_iter_free(struct lsm_iter *iter);

// Positioning. After each, lsm_iter_valid() tells whether there is an entry; if not,
// lsm_iter_status() tells an end (0) from a failure (<0). next and prev need a valid position.
LSM_API void lsm_iter_seek_first(struct lsm_iter *iter);
LSM_API void lsm_iter_seek_last(struct lsm_iter *iter);
LSM_API void lsm_iter_seek(struct lsm_iter *iter, const void *key, size_t key_size); // first >=
LSM_API void lsm_iter_seek_prev(struct lsm_iter *iter, const void *key, size_t key_size); // last <=
LSM_API void lsm_iter_next(struct lsm_iter *iter);
LSM_API void lsm_iter_prev(struct lsm_iter *iter);
LSM_API bool lsm_iter_valid(const struct lsm_iter *iter);
LSM_API int lsm_iter_status(const struct lsm_iter *iter);

// The current entry; valid until the iterator is moved or freed. A value in a blob file is read
// when it is asked for: if that fails, lsm_iter_value() returns NULL, and the iterator is no longer
// valid and has the status.
LSM_API const void *lsm_iter_key(const struct lsm_iter *iter, size_t *ret_size);
LSM_API const void *lsm_iter_value(struct lsm_iter *iter, size_t *ret_size);

// The size of the current entry's value, without reading it.
LSM_API size_t lsm_iter_value_size(const struct lsm_iter *iter);

// Copies up to `size` bytes of the current entry's value from `offset` on into `data`, as
// lsm_get_range() does. On failure the iterator stays where it is.
LSM_NODISCARD LSM_API int lsm_iter_read(const struct lsm_iter *iter, uint64_t offset, void *data,
                                        size_t size, size_t *ret_size);

// ---------------------------------------------------------------------------------------- writing

// A write that has still to get into the log. Zero: none.
struct lsm_pending {
    void *log;
    uint64_t end;
};

struct lsm_write_options {
    bool sync;        // durable when the call returns
    bool sync_soon;   // an lsm_sync() is going to follow at once, and the disk begins with it. As
                      // with `sync`, values below 64 KiB then go with the log, one device flush
                      // instead of two, and to a blob file, if they are for one, only when the
                      // memtable is flushed
    bool use_reserve; // this write frees space (deletes): it may use the reserve kept for a full
                      // disk
    bool use_little;  // this write takes next to no space in the end (it replaces a small value):
                      // it may use a little of the reserve, which is refused when that is used up
    // NULL, or zero or an earlier write's: in a cluster the call does not wait for the log then,
    // but leaves that to lsm_write_end(), so that a caller can do that without its locks. Others
    // see the write at once. It counts as acknowledged after lsm_write_end(). Without effect on
    // `sync`.
    struct lsm_pending *pending;
};

// `wo` may be NULL (no sync). Deleting an absent key is no error.
LSM_NODISCARD LSM_API int lsm_put(struct lsm *db, const struct lsm_write_options *wo,
                                  const void *key, size_t key_size, const void *value,
                                  size_t value_size);
LSM_NODISCARD LSM_API int lsm_delete(struct lsm *db, const struct lsm_write_options *wo,
                                     const void *key, size_t key_size);

// A batch collects changes that are applied as one. Later changes of a key win.
LSM_NODISCARD LSM_API int lsm_batch_new(struct lsm_batch **ret_batch);
LSM_API void lsm_batch_free(struct lsm_batch *batch);
LSM_API void lsm_batch_clear(struct lsm_batch *batch);
LSM_API size_t lsm_batch_count(const struct lsm_batch *batch);
LSM_API size_t lsm_batch_size(const struct lsm_batch *batch); // bytes it takes in the log
LSM_NODISCARD LSM_API int lsm_batch_put(struct lsm_batch *batch, const void *key, size_t key_size,
                                        const void *value, size_t value_size);
// Puts a value without copying it into the batch: its bytes are the caller's and must stay as they
// are until the batch is cleared or freed. For large values, which go from there straight to a blob
// file.
LSM_NODISCARD LSM_API int lsm_batch_put_borrowed(struct lsm_batch *batch, const void *key,
                                                 size_t key_size, const void *value,
                                                 size_t value_size);
LSM_NODISCARD LSM_API int lsm_batch_delete(struct lsm_batch *batch, const void *key,
                                           size_t key_size);

// The value of `key` becomes bytes [offset, offset + length) of the value `src_key` has when the
// batch is written, before any change of the batch itself. lsm_write() fails with LSM_NOT_FOUND or
// LSM_INVALID, writing nothing, if the source or the range does not exist. The caller keeps other
// writers off the source during lsm_write(). A part of a value in a blob file shares its bytes;
// a short one, or one of another value, is copied.
LSM_NODISCARD LSM_API int lsm_batch_put_part(struct lsm_batch *batch, const void *key,
                                             size_t key_size, const void *src_key,
                                             size_t src_key_size, uint64_t offset, uint64_t length);

// Like lsm_batch_put_part(), but with the value that `src_key` had at the snapshot (NULL: when the
// batch is written). Other writers may change the source meanwhile. The snapshot is freed after
// lsm_write().
LSM_NODISCARD LSM_API int lsm_batch_put_part_at(struct lsm_batch *batch, const void *key,
                                                size_t key_size,
                                                const struct lsm_snapshot *snapshot,
                                                const void *src_key, size_t src_key_size,
                                                uint64_t offset, uint64_t length);

// Puts all operations of `other` behind those of `batch`. `other` is unchanged; what it borrows,
// and the snapshots it names, are now borrowed by both.
LSM_NODISCARD LSM_API int lsm_batch_append(struct lsm_batch *batch, const struct lsm_batch *other);

// Does the work that lsm_write() would do before it queues for the log, now, so that a caller can
// do it before it takes a lock under which it writes: large values are compressed and written to
// blob files, parts of other values looked up. Nothing of it is visible or durable before
// lsm_write(); what was borrowed is not needed any more. The batch may be added to and appended to
// another, and is written to this store only. If it is cleared or freed instead, what was written
// is reclaimed as garbage. LSM_INVALID if it has been staged already. On failure the batch is as it
// was.
LSM_NODISCARD LSM_API int lsm_stage(struct lsm *db, struct lsm_batch *batch);

// Applies the batch: all of it or nothing. Its operations are unchanged, and it may be used again.
// It keeps memory for the next time, at most 1 MiB.
LSM_NODISCARD LSM_API int lsm_write(struct lsm *db, const struct lsm_write_options *wo,
                                    struct lsm_batch *batch);

// Waits until a pending write, and all before it, are in the log; what it was is zero then. After a
// failure, which makes the store read-only, what is there when it is opened again may have the
// write or not. To be called for each pending write before lsm_close().
LSM_NODISCARD LSM_API int lsm_write_end(struct lsm *db, struct lsm_pending *pending);

// Everything acknowledged before the call is durable when it returns 0.
LSM_NODISCARD LSM_API int lsm_sync(struct lsm *db);

// Bytes on the disk that holds the store: free, of these what writes can have before they are
// refused (0 while they are), and in all. Waits for no writer.
LSM_NODISCARD LSM_API int lsm_space(struct lsm *db, uint64_t *ret_free, uint64_t *ret_available,
                                    uint64_t *ret_total);

// ------------------------------------------------------------------------------------- management

// Writes the memtable out to a table and waits for it.
LSM_NODISCARD LSM_API int lsm_flush(struct lsm *db);

// Compacts all tables that overlap [lower, upper) (NULL: unbounded) down to one sorted level and
// waits for it. Flushes first.
LSM_NODISCARD LSM_API int lsm_compact_range(struct lsm *db, const void *lower, size_t lower_size,
                                            const void *upper, size_t upper_size);

// Like lsm_compact_range(), but tells `progress` how many entries are merged, and works in pieces:
// between two of them the store's other jobs go on, so a store in use does not wait for it. If it
// is cancelled, what had been done stays.
LSM_NODISCARD LSM_API int lsm_compact_range_with(struct lsm *db, const void *lower,
                                                 size_t lower_size, const void *upper,
                                                 size_t upper_size, lsm_progress_fn *progress,
                                                 void *arg);

// Waits until no flush or compaction is running or due. For tests and benches.
LSM_NODISCARD LSM_API int lsm_wait_idle(struct lsm *db);

// A property as text (malloc'd, freed by the caller; NULL: unknown name or no memory), or as a
// number (false: unknown name or not a number). Names:
//   "stats"            a table of levels, then memory, stalls and cache figures (text)
//   "levels"           one line a level: number, tables, bytes (text)
//   "num-tables"       tables in all levels; "num-tables-at-level<N>" of one
//   "table-bytes"      bytes of all live tables;  "wal-bytes"  bytes of all live logs
//   "disk-bytes"       bytes of all the store's files
//   "entries"          entries in all tables and memtables (superseded ones included)
//   "memtable-bytes"   arena bytes of all memtables
//   "cache-bytes" "cache-capacity" "cache-hits" "cache-misses" "open-tables" "table-mem-bytes"
//   "gets" "writes"    lsm_get() and lsm_get_range(); batches written
//   "iterators"        that were made; "iter-searches" "iter-steps"  searches and single steps
//                      that those freed by now have made below: what moving them has cost
//   "user-bytes-written" "wal-bytes-written" "flush-bytes-written" "compact-bytes-read"
//   "compact-bytes-written" "flushes" "compactions" "trivial-moves"
//   "stall-us" "slowdown-us"  time writers have waited
//   "last-sequence" "snapshots" "writers-waiting"  in the write queue, the one that leads included
//   "stalled"          1 while that one waits for a flush or a compaction
//   "num-blobs" "blob-bytes"  blob files;  "blob-live-bytes" of these are referenced,
//   "blob-garbage-bytes" are not;  "blob-bytes-written" "blob-bytes-moved"  by writes, by reclaim;
//   "blobs-draining"  files that reclaim is emptying
//   "write-amp-x100"  bytes written to all files per byte of the user's, since opening
//   "disk-cache-bytes" "disk-cache-capacity" "disk-cache-files"  of the cache on the local disk;
//   "disk-cache-hits" "disk-cache-misses" blocks; "disk-cache-hit-bytes" "disk-cache-miss-bytes";
//   "disk-cache-bytes-written"; "disk-cache-evictions"  its files that went for lack of room;
//   "disk-cache-damaged"  that went because they were not what had been written
//   "latency"  a table of how long operations took (text); single figures in nanoseconds are
//      "<op>-p50-ns" "<op>-p99-ns" "<op>-p999-ns" "<op>-max-ns"; "<op>-timed" how many were timed.
//      <op>: "get", "seek", "write" (one in 64 is timed, its waits included), "sync" (each)
//   "disk-full"  1 while writes without `use_reserve` are refused for lack of space
//   "space-amp-x100"  bytes of tables and blob files per byte of the largest level and live blobs
//   "background-error" the sticky failure, or "" (text)
//   "background-retry" the failure after which background work is being tried again, or "" (text);
//   "retries"  how often it was
LSM_API char *lsm_property(struct lsm *db, const char *name);
LSM_API bool lsm_property_uint(struct lsm *db, const char *name, uint64_t *ret_value);

// Verifies every byte the store refers to: manifest, tables (checksums, order, bounds, counts),
// blobs. Each problem is reported as one line; the first one's status is returned, 0 if there is
// none. `progress` (may be NULL) is called with bytes done and bytes in all.
typedef void lsm_check_fn(void *arg, const char *problem);
LSM_NODISCARD LSM_API int lsm_check(struct lsm *db, lsm_check_fn *report, lsm_progress_fn *progress,
                                    void *arg);

// Keeps `bytes` of the disk for later writes, in a file that nobody else can take the space of; 0
// gives all back. It stays held when the store is closed, until it is opened again. LSM_NO_SPACE,
// or LSM_INVALID where the file system cannot allocate: what was held before stays.
LSM_NODISCARD LSM_API int lsm_hold_space(struct lsm *db, uint64_t bytes);

#ifdef __cplusplus
}
#endif
#endif
