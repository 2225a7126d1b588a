// The value of an entry ('E'), inode ('I'), orphan ('O') or root ('R') key: a file's attributes,
// and its content or symlink target when that is short. Bytes: docs/format.md.
#ifndef NS_RECORD_H
#define NS_RECORD_H

#include <sys/stat.h>
#include <time.h>

#include "base/slice.h"

// A record of a file with flags or lost bytes is of the second version, which programs that do not
// know them refuse to read; all others are of the first.
#define RECORD_VERSION      1
#define RECORD_VERSION_MORE 2

// The longest content or target a record may carry.
#define RECORD_CONTENT_MAX 65536

struct record {
    bool is_link;    // an entry of a file whose record is at 'I': only ino and the type bits of
                     // mode mean anything
    bool is_inline;  // `content` is the whole file (or the symlink's target); no extents
    bool has_xattrs; // there may be 'X' keys
    uint64_t ino;
    uint32_t mode, nlink, uid, gid;
    uint32_t flags;           // enum ns_flags
    uint64_t rdev;            // devices only
    uint64_t size;            // of a directory: its number of entries
    uint64_t data_bytes;      // of all extents; 0 if inline
    uint64_t unwritten_bytes; // of all unwritten ranges (unwritten.h); 0 if inline
    uint64_t lost_bytes;      // of all lost ranges (lost.h); 0 if inline
    struct timespec atime, mtime, ctime, btime;
    struct slice prefix;  // directories away from home: the prefix of their entries; else empty
    struct slice content; // is_inline: `size` bytes
};

static inline uint32_t record_type(const struct record *record)
{
    return record->mode & S_IFMT;
}

// Replaces the bytes of `out`. 0 or LSM_NO_MEMORY.
int record_encode(const struct record *record, struct buf *out);

// Slices point into `data`. LSM_CORRUPTION with a detail if the bytes are not a valid record,
// LSM_NEWER_FORMAT if their version is unknown.
int record_decode(const void *data, size_t size, struct record *ret_record);

#endif
