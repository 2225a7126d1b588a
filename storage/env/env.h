// The system as the engine sees it: files, directories, mappings, locks.
//
// All system calls of the engine go through this table, so that tests can replace the disk: fail
// the N-th call, tear writes, drop what was never synced.
//
// An env is a directory, and names are looked up from it. The first env of a system (env_posix())
// is the directory that the process works in. A store opens an env of its own for its directory.
// That env stays the same directory when the directory is moved or something else gets its name,
// and names in it have no slash. So another kind of storage needs no more than a handle for a set
// of names.
//
// All functions are thread-safe on distinct files; on one file, pread, pwrite and sync may be used
// from several threads at once. They return 0 or a negative lsm_status with the detail set. EINTR
// and short transfers are handled inside.
#ifndef LSM_ENV_ENV_H
#define LSM_ENV_ENV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lsm.h"

struct env;
struct env_file;
struct env_lock;

#define ENV_PIECES_MAX 1024

enum env_open_flags {
    ENV_READ = 0,
    ENV_WRITE = 1,    // read and write
    ENV_CREATE = 2,   // with ENV_WRITE: create if absent
    ENV_EXCL = 4,     // with ENV_CREATE: LSM_EXISTS if present
    ENV_TRUNCATE = 8, // with ENV_WRITE: cut to zero
};

enum env_advice {
    ENV_ADVISE_NORMAL,
    ENV_ADVISE_RANDOM,
    ENV_ADVISE_SEQUENTIAL,
    ENV_ADVISE_WILLNEED,
    ENV_ADVISE_DONTNEED,
    // Of a file: it is brought into memory before the call returns. Of a mapping of what is in
    // memory: only a lack of memory takes it away again.
    ENV_ADVISE_PRESENT,
    // Of a shared mapping whose first page is in memory: it is made writable before the call
    // returns. Nobody else stores to the first byte meanwhile.
    ENV_ADVISE_WRITE,
    ENV_ADVISE_COMPLETE, // of a file: nobody writes to it any more
    ENV_ADVISE_WRITE_OUT // of a file: what was written begins to go to the disk; it is synced soon
};

struct env_stat {
    uint64_t size;            // bytes
    uint64_t allocated_bytes; // on disk
    int64_t modified_ns;      // since 1970: when it was written last; 0: not known
    bool is_dir;
    // What tells the file's content from that of every other file there ever was, in this store or
    // another, under whatever name: a number for the store, then one for the file. 0: not known.
    uint64_t identity[2];
    bool is_written; // somebody may be writing it still; only with an identity
};

// What lives in a directory; `name` has no slash. Return non-zero to stop (passed on by list).
typedef int env_list_fn(void *arg, const char *name);

struct env_ops {
    // Opens the directory `path`. LSM_NOT_FOUND; LSM_NOT_A_STORE if it is no directory. *ret_dir
    // does not need `env` any more. Close it with close_dir after everything that was opened from
    // it.
    int (*open_dir)(struct env *env, const char *path, struct env **ret_dir);
    void (*close_dir)(struct env *dir);
    // Whether what is written into a directory that was opened can be found again: LSM_NOT_FOUND if
    // it was removed since, or the file system that it is on has left the tree of directories.
    int (*check_dir)(struct env *dir);
    int (*open)(struct env *env, const char *path, int flags, struct env_file **ret_file);
    int (*stat)(struct env *env, const char *path, struct env_stat *ret_stat);
    int (*unlink)(struct env *env, const char *path);
    int (*rename)(struct env *env, const char *from, const char *to); // replaces `to`
    // Gives the file another name, in `to_dir`. LSM_EXISTS if there is one.
    int (*link)(struct env *env, const char *from, struct env *to_dir, const char *to);
    int (*mkdir)(struct env *env, const char *path); // LSM_EXISTS if present
    int (*rmdir)(struct env *env, const char *path);
    // Calls `fn` for each name in directory `path` (ENV_HERE: the env's own), except "." and "..".
    int (*list)(struct env *env, const char *path, env_list_fn *fn, void *arg);
    int (*sync_dir)(struct env *env, const char *path);
    // A lock on file `path` (created if absent), held until unlock or process death: exclusive, or
    // `shared` with others that are. LSM_BUSY with a holder's pid and note in the detail. The file
    // lists its holders, "<pid>\n<note>\n" each, as far as it can be written: that is a courtesy
    // to whoever finds it locked. A shared lock needs only to read: on a read-only file system it
    // is granted also without a file to lock.
    int (*lock)(struct env *env, const char *path, bool shared, const char *note,
                struct env_lock **ret_lock);
    void (*lock_note)(struct env *env, struct env_lock *lock, const char *note); // another note
    void (*unlock)(struct env *env, struct env_lock *lock);
    // How many files this process may have open at once, and how large it may make one. UINT64_MAX:
    // there is no limit.
    void (*limits)(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size);
    // Bytes free to this user and in all on the file system that holds `path`.
    int (*space)(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total);

    int (*pread)(struct env_file *file, void *data, size_t size, uint64_t offset,
                 size_t *ret_size); // short only at the end of the file
    int (*pwrite)(struct env_file *file, const void *data, size_t size, uint64_t offset);
    // Reads into, and writes from, up to ENV_PIECES_MAX pieces of memory with one call.
    int (*preadv)(struct env_file *file, const struct iovec *pieces, int count, uint64_t offset,
                  size_t *ret_size);
    int (*pwritev)(struct env_file *file, const struct iovec *pieces, int count, uint64_t offset);
    // fdatasync. A failure of sync, msync, sync_dir or truncate is never one that passes by itself
    // (status_is_passing): after it nobody knows what is on disk. Truncate counts among them
    // because writers use it to take back what they have written.
    int (*sync)(struct env_file *file);
    int (*truncate)(struct env_file *file, uint64_t size);
    // fallocate, grows the file; LSM_INVALID if the file system cannot. On failure the file is as
    // long as it was, and no disk space is kept behind its end.
    int (*allocate)(struct env_file *file, uint64_t offset, uint64_t size);
    int (*size)(struct env_file *file, uint64_t *ret_size);
    // Maps [offset, offset + size) shared, page-aligned offset; `writable` as opened. Unmap with
    // the same size. msync makes the range's stores durable (or says that it could not).
    int (*map)(struct env_file *file, uint64_t offset, size_t size, bool writable, void **ret_addr);
    void (*unmap)(struct env_file *file, void *addr, size_t size);
    int (*msync)(struct env_file *file, void *addr, size_t size);
    void (*advise_map)(struct env_file *file, void *addr, size_t size, enum env_advice advice);
    void (*advise)(struct env_file *file, uint64_t offset, uint64_t size, enum env_advice advice);
    int (*close)(struct env_file *file); // the file is gone even on failure
};

#define ENV_HERE "."

struct env {
    const struct env_ops *ops;
    const char *path; // of a directory that was opened, as it was then; for messages. Else NULL
};

struct env_file {
    const struct env_ops *ops;
    char *path; // owned; for messages
};

// The real system. Static; never freed.
struct env *env_posix(void);

// Thin wrappers, so that callers read well.
static inline int env_open(struct env *e, const char *path, int flags, struct env_file **ret_file)
{
    return e->ops->open(e, path, flags, ret_file);
}
static inline int env_pread(struct env_file *f, void *data, size_t size, uint64_t off, size_t *ret)
{
    return f->ops->pread(f, data, size, off, ret);
}
static inline int env_pwrite(struct env_file *f, const void *data, size_t size, uint64_t off)
{
    return f->ops->pwrite(f, data, size, off);
}
static inline int env_preadv(struct env_file *f, const struct iovec *pieces, int count,
                             uint64_t off, size_t *ret)
{
    return f->ops->preadv(f, pieces, count, off, ret);
}
static inline int env_pwritev(struct env_file *f, const struct iovec *pieces, int count,
                              uint64_t off)
{
    return f->ops->pwritev(f, pieces, count, off);
}
static inline int env_sync(struct env_file *f)
{
    return f->ops->sync(f);
}
static inline int env_close(struct env_file *f)
{
    return f ? f->ops->close(f) : 0;
}

// A file's name with that of its directory, for messages; cut off at `size` bytes.
void env_full_name(const struct env *env, const char *name, char *path, size_t size);

// Reads the whole file (at most `max_size` bytes, else LSM_INVALID) into a malloc'd, NUL-terminated
// block that the caller frees.
int env_read_file(struct env *env, const char *path, size_t max_size, char **ret_data,
                  size_t *ret_size);

// Replaces `name` atomically and durably: temporary file, sync, rename, sync of the
// directory. LSM_NO_SPACE: nothing was replaced.
int env_write_file_atomic(struct env *env, const char *name, const void *data, size_t size);

// A sequential writer with a buffer of its own over a file from offset 0. Not thread-safe.
// Nothing is on disk before flush; errors are sticky. Until the first flush every write is of whole
// buffers, at multiples of the buffer's size. The buffer grows as it is needed.
struct env_writer;
int env_writer_new(struct env_file *file, size_t buffer_size, uint64_t offset,
                   struct env_writer **ret_writer); // borrows the file
int env_writer_append(struct env_writer *writer, const void *data, size_t size);
int env_writer_flush(struct env_writer *writer);
uint64_t env_writer_offset(const struct env_writer *writer); // next byte's offset in the file
void env_writer_free(struct env_writer *writer);             // drops what was not flushed

#endif
