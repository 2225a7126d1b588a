// Keys of the namespace in the store: one type byte, then
//
//   'E' prefix 0x00 name      entry: the record of `name` in the directory that owns `prefix`
//   'P' prefix                marker: the owner of `prefix` lives away from home; value: its ino
//   'I' ino                   record of a file with more than one name (or that once had)
//   'D' ino offset            extent: the bytes of the file from `offset` on
//   'X' ino name              extended attribute
//   'O' ino                   record of a file without names whose space is still in use
//   'U' ino start             unwritten range: promised by fallocate, not written yet (unwritten.h)
//   'L' ino start             lost range: taken for written, but not stored (lost.h)
//   'B' ino prefix 0x00 name  name: where an entry of the inode is that does not follow from paths
//                             (operation/places.h)
//   'T' ino                   tail: from which offset on extents are no content any more (tail.h)
//   'C' stripe                file counter        'N'  first inode number not yet reserved
//   'R'                       record of the root  'S'  superblock
//
// ino and offset are 64-bit big-endian, so that byte order is number order. Pure functions.
#ifndef NS_PATHKEY_H
#define NS_PATHKEY_H

#include "base/coding.h"
#include "base/slice.h"

#define PATHKEY_PREFIX_MAX 1024 // a directory whose default prefix is longer gets a short one
#define PATHKEY_NAME_MAX   255
#define PATHKEY_MAX        (9 + PATHKEY_PREFIX_MAX + 1 + PATHKEY_NAME_MAX)

enum pathkey_type {
    KEY_PLACE = 'B',
    KEY_COUNTER = 'C',
    KEY_EXTENT = 'D',
    KEY_ENTRY = 'E',
    KEY_INODE = 'I',
    KEY_LOST = 'L',
    KEY_RESERVED = 'N',
    KEY_ORPHAN = 'O',
    KEY_MARKER = 'P',
    KEY_ROOT = 'R',
    KEY_SUPER = 'S',
    KEY_TAIL = 'T',
    KEY_UNWRITTEN = 'U',
    KEY_XATTR = 'X',
};

struct pathkey {
    size_t size;
    uint8_t data[PATHKEY_MAX];
};

struct pathkey_prefix {
    size_t size;
    uint8_t data[PATHKEY_PREFIX_MAX];
};

static inline struct slice pathkey_slice(const struct pathkey *key)
{
    return slice_of(key->data, key->size);
}

static inline struct slice pathkey_prefix_slice(const struct pathkey_prefix *prefix)
{
    return slice_of(prefix->data, prefix->size);
}

// `prefix` at most PATHKEY_PREFIX_MAX bytes, `name` at most PATHKEY_NAME_MAX.
void pathkey_entry(struct pathkey *ret_key, struct slice prefix, struct slice name);
void pathkey_marker(struct pathkey *ret_key, struct slice prefix);
void pathkey_number(struct pathkey *ret_key, enum pathkey_type type, uint64_t ino);
void pathkey_extent(struct pathkey *ret_key, uint64_t ino, uint64_t offset);
// Of a range: 'U' or 'L'.
void pathkey_range(struct pathkey *ret_key, enum pathkey_type type, uint64_t ino, uint64_t start);
void pathkey_xattr(struct pathkey *ret_key, uint64_t ino, struct slice name);
void pathkey_place(struct pathkey *ret_key, uint64_t ino, struct slice prefix, struct slice name);
void pathkey_counter(struct pathkey *ret_key, unsigned stripe);
void pathkey_single(struct pathkey *ret_key, enum pathkey_type type); // 'N', 'R', 'S'

// The range [lower, upper) that holds all entries of the directory that owns `prefix`, or all keys
// of `type` with inode number `ino`, or all keys of `type`.
void pathkey_dir_bounds(struct slice prefix, struct pathkey *ret_lower, struct pathkey *ret_upper);
void pathkey_ino_bounds(enum pathkey_type type, uint64_t ino, struct pathkey *ret_lower,
                        struct pathkey *ret_upper);
void pathkey_type_bounds(enum pathkey_type type, struct pathkey *ret_lower,
                         struct pathkey *ret_upper);

// Checked decoders of keys read from the store; false if malformed. Slices point into `key`.
bool pathkey_parse_entry(struct slice key, struct slice *ret_prefix, struct slice *ret_name);
bool pathkey_parse_place(struct slice key, uint64_t *ret_ino, struct slice *ret_prefix,
                         struct slice *ret_name);
bool pathkey_parse_number(struct slice key, enum pathkey_type type, uint64_t *ret_ino);
bool pathkey_parse_extent(struct slice key, uint64_t *ret_ino, uint64_t *ret_offset);
bool pathkey_parse_range(struct slice key, enum pathkey_type type, uint64_t *ret_ino,
                         uint64_t *ret_start);
bool pathkey_parse_xattr(struct slice key, uint64_t *ret_ino, struct slice *ret_name);

// The prefix a directory `name` gets by default in the directory that owns `parent`: its home.
// False if it would be longer than PATHKEY_PREFIX_MAX (ret_prefix is then undefined).
bool pathkey_child_prefix(struct slice parent, struct slice name,
                          struct pathkey_prefix *ret_prefix);

// A prefix that no default one can equal, for the directory with inode number `ino`.
void pathkey_fresh_prefix(uint64_t ino, struct pathkey_prefix *ret_prefix);
bool pathkey_is_fresh(struct slice prefix);
// The number that a fresh prefix is made of. False: it is none.
bool pathkey_fresh_ino(struct slice prefix, uint64_t *ret_ino);

// Takes the default prefix of a directory apart: that of its parent, and its name. False: it is
// malformed, or empty.
bool pathkey_prefix_split(struct slice prefix, struct slice *ret_parent, uint8_t *name,
                          size_t *ret_name_size);

// Bytes 1..255 of a name: not empty, no '/', no NUL, not "." or "..".
bool pathkey_name_ok(struct slice name);

#endif
