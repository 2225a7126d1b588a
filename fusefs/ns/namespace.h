// The namespace: a POSIX tree of files over a tinylsm store. Knows nothing of FUSE; the daemon, the
// command-line tool and the tests are equal users of this interface.
//
// A file's key is its path (key scheme: pathkey.h; record format: record.h; both in
// docs/format.md). Every operation that changes something is one batch, so after a crash it has
// happened whole or not at all. Long punches, allocations, copies and clones take several.
//
// Results: 0 (or a byte count) or a negative errno, as the POSIX call of the same name would give.
// Names are byte strings of 1..255 bytes without '/' and NUL; "." and ".." are not names here
// (EINVAL).
//
// Live inodes: `struct ns_inode` is the in-memory side of a file that somebody holds: the kernel's
// lookup counts, open handles and running operations are all plain references. The table of live
// inodes is keyed by inode number, so an inode number may serve as FUSE node id; numbers are never
// reused. A live inode costs at most 200 bytes, a usual name included. An inode without links lives
// until its last reference goes; then its space is reclaimed (also after a crash: at the next
// ns_open, in the background).
//
// Threads: everything may be called from any number of threads. Locks (docs/reference.md has the
// whole order): a lock for each inode (inode_lock.h), taken by what changes it; one mutex for
// renames that move a directory to another parent; the table's own locks are leaves.
//
// Permissions are the caller's business (default_permissions in the kernel); this layer enforces
// structure: types, emptiness, limits, loops. It clears setuid/setgid on write, truncate and chown,
// and inherits the group and setgid bit from setgid directories.
#ifndef NS_NAMESPACE_H
#define NS_NAMESPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>

#include "lsm.h"

#define NS_NAME_MAX    255
#define NS_SYMLINK_MAX 4095
#define NS_LINK_MAX    65000
#define NS_ROOT_INO    1
#define NS_INO_BITS    40 // of an inode number; the highest one is not given out (ENOSPC)
#define NS_INO_LAST    ((UINT64_C(1) << NS_INO_BITS) - 1)
#define NS_FILE_MAX    INT64_MAX // largest file size in bytes: all that off_t and the kernel allow

struct ns;
struct ns_inode;

struct ns_options {
    struct lsm_options engine; // lsm_options_init() it first (ns_options_init does)
    unsigned inline_max;       // bytes of content kept in the entry; default 2048 [0, 65536]
    unsigned cut_extents;      // extents that a truncation deletes itself; more are deleted in the
                               // background; default 1024
    unsigned merge_delay_ms;   // without a write before short extents are merged; default 2000
    uint32_t root_uid, root_gid; // owner and mode of the root of a new store
    uint32_t root_mode;          // default 0755
    const char *snapshot;        // NULL, or the named snapshot to open, read-only (EROFS); not kept
};
void ns_options_init(struct ns_options *options);

// Opens or creates the store at `path`. On failure returns a negative lsm_status (not an errno),
// with lsm_error_detail() saying why: LSM_NOT_A_STORE also for a tinylsm store that holds no
// namespace, LSM_NEWER_FORMAT for one of a later version.
int ns_open(const char *path, const struct ns_options *options, struct ns **ret_ns);

// Opens the tree as the named snapshot has it or, with NULL, as it is now, on the store that `live`
// has open and keeps open for longer. Nothing can be changed (EROFS). Inodes are its own: the same
// number is another struct ns_inode here. Fails as ns_open(), and with LSM_NOT_FOUND.
int ns_open_snapshot(struct ns *live, const char *name, struct ns **ret_ns);
// Opens the tree as a snapshot has it that the caller has from lsm_snapshot_open() or
// lsm_snapshot_new(), and that is the namespace's from here on, whatever is returned.
int ns_open_at(struct ns *live, const struct lsm_snapshot *snapshot, struct ns **ret_ns);

// Stops background work, closes the store; all inodes must have been put (those that were not are
// dropped). Returns lsm_close()'s status.
int ns_close(struct ns *ns);
// Closes like ns_close(), and removes what ns_open() has made: lsm_discard().
int ns_discard(struct ns *ns);

// Makes the tree what the named snapshot shows, at once; numbers of inodes that were given out
// since are not given out again. For a store that was opened with lsm_open() and is used for
// nothing else meanwhile. Fails as lsm_snapshot_rollback().
int ns_rollback(struct lsm *db, const char *name);

struct lsm *ns_engine(struct ns *ns); // for properties
int ns_errno(int lsm_status);         // the one mapping of engine status to (positive) errno

// Makes every change that was acknowledged before the call durable. 0 or a negative errno.
int ns_sync(struct ns *ns);

// ------------------------------------------------------------------------------- inodes

struct ns_attr {
    uint64_t ino;
    uint32_t mode; // type and permissions
    uint32_t nlink;
    uint32_t uid, gid;
    uint64_t rdev;
    uint64_t size;
    uint64_t blocks; // 512-byte units that hold data; holes do not count
    struct timespec atime, mtime, ctime, btime;
    uint32_t flags;        // enum ns_flags
    uint32_t mode_cleared; // setuid and setgid, where the change that reports this cleared them
};

// What chattr(1) sets, with the rules of Linux: EPERM for what they forbid, to everybody.
enum ns_flags {
    NS_IMMUTABLE = 1, // no change of content, attributes or names; nothing is made in or goes from
                      // a directory
    NS_APPEND = 2,    // content only grows; names stay. (That a write is at the end is the business
                      // of who opens the file.) Names are only added to a directory
    NS_NODUMP = 4,    // for backup programs; inherited from the directory
    NS_NOATIME = 8,   // reading does not change atime; inherited too
    NS_FLAGS = 15,
};

struct ns_cred { // the owner of what is created
    uint32_t uid, gid;
    uint32_t umask; // applied to the mode of what is created, unless the directory has a default
                    // access control list; 0 if the caller has applied it
};

uint64_t ns_inode_ino(const struct ns_inode *inode);
uint32_t ns_inode_type(const struct ns_inode *inode); // S_IFMT bits of its mode
struct ns_inode *ns_root(struct ns *ns);              // borrowed: lives as long as ns

// The live inode of that number with one more reference, or NULL if it is not live.
struct ns_inode *ns_inode_find(struct ns *ns, uint64_t ino);
void ns_inode_ref(struct ns_inode *inode);
// How many references there are at this moment.
uint64_t ns_inode_refs(struct ns_inode *inode);
// Gives back `count` references. The last one of an unlinked inode reclaims it.
void ns_inode_put(struct ns *ns, struct ns_inode *inode, uint64_t count);
uint64_t ns_live_inodes(struct ns *ns);

// Calls `fn` for each name of a live inode in a live directory, as far as there is memory. What
// comes to life or goes meanwhile may be left out.
typedef void ns_live_fn(void *arg, struct ns_inode *dir, const char *name, size_t name_size);
void ns_live_names(struct ns *ns, ns_live_fn *fn, void *arg);

// Open handles keep an unlinked file's content: between these two the inode counts as open. The
// caller holds a reference of its own for that time. -ESTALE: the content has gone with the last
// name.
int ns_inode_opened(struct ns *ns, struct ns_inode *inode);
void ns_inode_closed(struct ns *ns, struct ns_inode *inode);

// For a caller who does not know what is open: every reference keeps an unlinked file's content.
// To be called while no other call is under way.
void ns_keep_unlinked(struct ns *ns);

// A count of the caller's, of handles that may write: adds `change` and returns the sum. The
// namespace itself makes no use of it.
uint32_t ns_inode_writers(struct ns_inode *inode, int change);

// A word for the caller to use, 0 when the inode comes to life. The namespace makes no use of it.
_Atomic uint32_t *ns_inode_word(struct ns_inode *inode);

// A word that a directory shares with the files that have their only name in it. If `inode` is a
// directory this is its own word, else that of the directory with its only name. `change` makes the
// new word from the old one, and may be called more than once; the new word is returned. *ret_dir:
// the directory's number, or 0 if there is none: then nothing was done.
typedef uint32_t ns_word_fn(void *arg, uint32_t before);
uint32_t ns_dir_word(struct ns *ns, struct ns_inode *inode, ns_word_fn *change, void *arg,
                     uint64_t *ret_dir);

// All functions that return an inode return one reference, the caller's.
int ns_lookup(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
              struct ns_inode **ret_inode, struct ns_attr *ret_attr);
int ns_parent(struct ns *ns, struct ns_inode *dir, struct ns_inode **ret_inode); // ".."
int ns_getattr(struct ns *ns, struct ns_inode *inode, struct ns_attr *ret_attr);

enum ns_set {
    NS_SET_MODE = 1,
    NS_SET_UID = 2,
    NS_SET_GID = 4,
    NS_SET_SIZE = 8,
    NS_SET_ATIME = 16,
    NS_SET_MTIME = 32,
    NS_SET_ATIME_NOW = 64,
    NS_SET_MTIME_NOW = 128,
    NS_SET_CTIME = 256,
    NS_SET_KILL_SUID = 512,   // clear setuid and setgid as a write by a non-owner does
    NS_SET_KEEP_TIMES = 1024, // mtime and ctime move only if MTIME and CTIME set them
    NS_SET_EARLIER = 2048,    // passed on late: what was done before flags may forbid it
    NS_SET_KILL_SGID = 4096,  // clear setgid of what its group cannot execute, if that is attr->gid
    NS_SET_CALLERS = 8192,    // only times are set, and the caller keeps them: it will not ask for
                              // them while it has a reference
};
// Changes what `mask` names from `attr`; SIZE truncates or extends. ctime moves unless CTIME sets
// it or KEEP_TIMES keeps it.
int ns_setattr(struct ns *ns, struct ns_inode *inode, const struct ns_attr *attr, unsigned mask,
               struct ns_attr *ret_attr);

// Replaces the flags (of enum ns_flags; others: EINVAL). Who may is the caller's business. ctime
// moves unless keep_times.
int ns_set_flags(struct ns *ns, struct ns_inode *inode, uint32_t flags, bool keep_times);

// What reading a file does to its time of access. RELATIVE: it moves only if it is not later than
// mtime and ctime or more than a day old, as relatime has it. It is seen at once, and is in the
// store within about a second: reading waits for no write.
enum ns_access { NS_ACCESS_IGNORED = 0, NS_ACCESS_RELATIVE, NS_ACCESS_ALWAYS };

// The file was read. Returns 1 if its time of access moved, 0 if not, or -errno.
int ns_accessed(struct ns *ns, struct ns_inode *inode, enum ns_access access);

// A resolved path ("/a/b", relative to the root; "" and "/" are the root; symlinks are not
// followed; "." and ".." components are resolved textually). For tools. A path without moved
// ancestors costs one point get.
int ns_resolve(struct ns *ns, const char *path, struct ns_inode **ret_inode,
               struct ns_attr *ret_attr);

// Resolves a path and, if it is a regular file, reads its first `size` bytes; returns how many (0
// if it is something else) or -errno. Of a short file this is the same single point get.
ssize_t ns_resolve_read(struct ns *ns, const char *path, void *data, size_t size,
                        struct ns_inode **ret_inode, struct ns_attr *ret_attr);

// ------------------------------------------------------------------------------- names

// Creates a regular file, fifo, socket or device (type bits in `mode`; none: regular).
int ns_mknod(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
             size_t name_size, uint32_t mode, uint64_t rdev, struct ns_inode **ret_inode,
             struct ns_attr *ret_attr);
// Creates a regular file without a name, as in `dir`; it goes with its last reference unless
// ns_link gives it a name before that.
int ns_tmpfile(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, uint32_t mode,
               struct ns_inode **ret_inode, struct ns_attr *ret_attr);
int ns_mkdir(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
             size_t name_size, uint32_t mode, struct ns_inode **ret_inode,
             struct ns_attr *ret_attr);
int ns_symlink(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
               size_t name_size, const char *target, size_t target_size,
               struct ns_inode **ret_inode, struct ns_attr *ret_attr);
int ns_link(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, const char *name,
            size_t name_size, struct ns_attr *ret_attr);
int ns_unlink(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size);
int ns_rmdir(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size);

enum ns_rename_flags {
    NS_RENAME_NOREPLACE = 1,
    NS_RENAME_EXCHANGE = 2, // alone
    NS_RENAME_WHITEOUT = 4, // a whiteout, a character device 0:0 without permissions, is left under
                            // the old name; not with EXCHANGE
};                          // others: EINVAL
// `cred` is the owner of the whiteout, and may be NULL if none is wanted.
int ns_rename_as(struct ns *ns, const struct ns_cred *cred, struct ns_inode *from_dir,
                 const char *from, size_t from_size, struct ns_inode *to_dir, const char *to,
                 size_t to_size, unsigned flags);
static inline int ns_rename(struct ns *ns, struct ns_inode *from_dir, const char *from,
                            size_t from_size, struct ns_inode *to_dir, const char *to,
                            size_t to_size, unsigned flags)
{
    return ns_rename_as(ns, NULL, from_dir, from, from_size, to_dir, to, to_size, flags);
}

// The target's bytes, not terminated; returns its length or -errno. ERANGE if `size` is too small.
ssize_t ns_readlink_with(struct ns *ns, struct ns_inode *inode, char *target, size_t size,
                         enum ns_access access);
static inline ssize_t ns_readlink(struct ns *ns, struct ns_inode *inode, char *target, size_t size)
{
    return ns_readlink_with(ns, inode, target, size, NS_ACCESS_IGNORED);
}

// ------------------------------------------------------------------------------- content

// Returns bytes read (short only at the end), or -errno. Holes read as zeros.
ssize_t ns_read_with(struct ns *ns, struct ns_inode *inode, void *data, size_t size,
                     uint64_t offset, enum ns_access access);
static inline ssize_t ns_read(struct ns *ns, struct ns_inode *inode, void *data, size_t size,
                              uint64_t offset)
{
    return ns_read_with(ns, inode, data, size, offset, NS_ACCESS_IGNORED);
}
// For a caller that is going to write at the end of the file, and has to read what is around there
// first. Lost bytes (ns_lose) are read as zeros if the range reaches the end of the file; if it
// does not, and some of it is lost, the result is -EIO.
ssize_t ns_read_end(struct ns *ns, struct ns_inode *inode, void *data, size_t size,
                    uint64_t offset);
// For everything that changes content.
enum ns_write_flags {
    NS_WRITE_KEEP_SUID = 1,  // do not clear setuid and setgid
    NS_WRITE_KEEP_TIMES = 2, // leave mtime and ctime: who buffered the write sets them by setattr
    NS_WRITE_EARLIER = 4,    // passed on late: it was done before the file became immutable
    NS_WRITE_UNOPENED = 8, // nobody has looked at the file's flags when it was opened: append-only
                           // is refused too
    NS_WRITE_LATE = 16,    // the data was buffered: -ENOSPC if data at a lower offset was lost a
                           // moment ago (ns_lose), so that the file ends before what was lost
};
// Writes all of the data (in one batch) or nothing; returns `size` or -errno. *ret_attr (may be
// NULL): the attributes after the write.
ssize_t ns_write(struct ns *ns, struct ns_inode *inode, const void *data, size_t size,
                 uint64_t offset, unsigned flags, struct ns_attr *ret_attr);
// fallocate(2): mode 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE (with or without KEEP_SIZE).
// *ret_attr (may be NULL): the attributes after the change.
int ns_fallocate_with(struct ns *ns, struct ns_inode *inode, int mode, uint64_t offset,
                      uint64_t length, unsigned flags, struct ns_attr *ret_attr);
// SEEK_DATA / SEEK_HOLE; returns the offset or -errno (ENXIO past the end).
int64_t ns_seek(struct ns *ns, struct ns_inode *inode, uint64_t offset, int whence);
// copy_file_range(2): shares bytes where it can. Returns bytes copied or -errno.
// `source` is the namespace of `from`: `ns` itself, or a snapshot opened with ns_open_snapshot().
// *ret_attr (may be NULL): the attributes of `to` after the copy.
ssize_t ns_copy_range_from(struct ns *ns, struct ns *source, struct ns_inode *from,
                           uint64_t from_offset, struct ns_inode *to, uint64_t to_offset,
                           uint64_t size, unsigned flags, struct ns_attr *ret_attr);
// For a caller that had buffered a write which could not be stored (ns_write has failed): notes the
// range as lost. From now on, also after a remount, reading the range is -EIO until it is written.
// Two parts are different. Bytes that the failed write would have overwritten keep their old
// content. What lies beyond the end of the file is noted only while the inode is live: the file's
// size stays as it is. 0 or a negative errno.
int ns_lose(struct ns *ns, struct ns_inode *inode, uint64_t offset, uint64_t size);
// Whether a writer should be told now that earlier data was lost. True once for a loss, and only if
// asked within a second after it.
bool ns_loss_to_tell(struct ns_inode *inode);

// fsync(2) of a file is ns_fsync_begins() and then ns_sync(): durable when ns_sync() returns 0. Who
// syncs for several files at once calls ns_sync() once, after the first call for each of them. (How
// often a file is synced decides where its short writes go.)
void ns_fsync_begins(struct ns_inode *inode);

// ------------------------------------------------------------------------------- directories

struct ns_dirent {
    const char *name; // not terminated
    size_t name_size;
    uint64_t ino;
    uint32_t type;          // S_IFMT bits
    uint64_t cookie;        // read from here to continue after this entry; never 0
    struct ns_inode *inode; // with `plus`: one reference, the callback's if it returns 0; NULL for
                            // "." and ".." and for names that are gone by now
    const struct ns_attr *attr; // with `plus` and inode
};
// Return non-zero to stop before this entry (it will be delivered again by the next read).
typedef int ns_dirent_fn(void *arg, const struct ns_dirent *entry);
// Calls fn for the entries of `dir` after `cookie` (0: from the start) until it stops or the list
// ends: first "." and "..", then the names in the order of their keys. Each name that exists from
// the call with cookie 0 until the end of the listing appears exactly once, whatever happens
// meanwhile. A cookie means the same in every listing of the directory until ns_close. -ESTALE: the
// name before it is gone, and so much has been listed since that its place is not known any more.
int ns_list(struct ns *ns, struct ns_inode *dir, uint64_t cookie, bool plus, ns_dirent_fn *fn,
            void *arg);
// Lists the entries behind `name`, which need not exist any more: never ESTALE.
int ns_list_behind(struct ns *ns, struct ns_inode *dir, const char *name, size_t name_size,
                   bool plus, ns_dirent_fn *fn, void *arg);

// ------------------------------------------------------------------------------- xattrs, statfs

enum ns_xattr_flags {
    NS_XATTR_CREATE = 1,
    NS_XATTR_REPLACE = 2,
    NS_XATTR_KILL_SGID = 4, // with an access control list: clear setgid
};
#define NS_XATTR_SIZE_MAX 65536
// Setting "system.posix_acl_access" changes the mode as well, and stores nothing if the mode says
// it all; both access control lists are checked to be well-formed. Removing one that is not there
// is no error.
int ns_setxattr(struct ns *ns, struct ns_inode *inode, const char *name, const void *value,
                size_t size, unsigned flags);
// Both return the size (of value or list); with `size` 0 only that; ERANGE if it does not fit.
ssize_t ns_getxattr(struct ns *ns, struct ns_inode *inode, const char *name, void *value,
                    size_t size);
ssize_t ns_listxattr(struct ns *ns, struct ns_inode *inode, char *list, size_t size);
int ns_removexattr(struct ns *ns, struct ns_inode *inode, const char *name);

// False: no file has a "security.selinux". Found out when the store is opened, from the first few
// thousand attributes in it; if there are more, or once one has been set, it is true.
bool ns_may_have_labels(struct ns *ns);

// True figures: blocks and free blocks of the disk below, used files exactly.
int ns_statfs(struct ns *ns, struct statvfs *ret_stat);

// ------------------------------------------------------------------------------- checking

// Verifies the tree (after lsm_check() has verified the bytes): every entry reachable, inode
// numbers unique, link counts and directory link counts right, sizes and blocks match extents, no
// extent, attribute or marker without an owner, the file count right. No change may run meanwhile.
// Each problem is one line to `report`; returns how many there were or -errno.
int64_t ns_check(struct ns *ns, lsm_check_fn *report, lsm_progress_fn *progress, void *arg);

// Checks the tree as it is now, and then as each named snapshot has it, whose problems begin with
// "snapshot NAME: "; what a newer tree has too is told once. Costs one walk over all names for each
// snapshot between which something was written. `ns` may be a snapshot of a store that is in use.
int64_t ns_check_all(struct ns *ns, lsm_check_fn *report, lsm_progress_fn *progress, void *arg);

// Waits until the background has nothing left to do: unlinked files reclaimed, fragmented ones
// merged. For tests and tools.
int ns_wait_idle(struct ns *ns);

#endif
