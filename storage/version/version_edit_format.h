// A version edit on disk (a record's payload in the manifest): fields one after another, each
//
//   varint  tag
//   slice   payload
//
// The lowest bit of a tag says what a reader does that does not know it: skip the field (1), or
// refuse the edit as corrupt (0). What must not be lost when an older program rewrites the manifest
// takes an even tag and a new format version. A payload is used up exactly: bytes left over are
// corruption. Scalar fields occur at most once.
#ifndef LSM_VERSION_EDIT_FORMAT_H
#define LSM_VERSION_EDIT_FORMAT_H

enum edit_tag {
    EDIT_LOG_NUMBER = 2,    // varint
    EDIT_NEXT_FILE = 4,     // varint
    EDIT_LAST_SEQUENCE = 6, // varint
    EDIT_REMOVED = 8,       // varint level, varint number
    EDIT_ADDED = 10,        // a table: see below
    // 12 was never written to a store
    EDIT_NEXT_SNAPSHOT = 13,     // varint: snapshot ids from here on are unused
    EDIT_SNAPSHOT_REMOVED = 14,  // varint id
    EDIT_SNAPSHOT_IDENTITY = 15, // varint id, 16 bytes; after the snapshot's EDIT_SNAPSHOT_ADDED
    EDIT_SNAPSHOT_ADDED = 16,    // varints id, sequence, created_us; slice name. Format 2
};

// An added table's payload: varints level, number, size, entries, deletes, raw_bytes, max_sequence,
// smallest_tag; slice smallest; varint largest_tag; slice largest; then any number of sub-fields
// (varint tag, slice payload) under the same rule of the lowest bit.
enum edit_table_tag {
    EDIT_TABLE_BLOBS = 2, // pairs of varint blob file number (ascending), varint bytes it
                          // references; at most once, not empty
    EDIT_TABLE_KEPT = 3,  // triples of varints: a range of snapshots (sequence of the oldest, of
                          // the newest less that) and bytes kept for them; ascending, at most once
};

#define EDIT_SKIPPABLE 1u

#endif
