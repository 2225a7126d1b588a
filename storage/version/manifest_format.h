// The manifest and CURRENT on disk.
//
// File MANIFEST-<number> starts with a 32-byte header:
//
//   offset  size  field
//   0       8     magic "tlsmMANI"
//   8       4     format version: 2 if a record has snapshots, else 1
//   12      4     crc32 of the other 28 bytes
//   16      8     manifest number, as in the name
//   24      8     zero
//
// and goes on with records:
//
//   0       4     payload length in bytes (n)
//   4       4     crc32 of the payload
//   8       4     crc32 of bytes 0 .. 7
//   12      n     payload: a version edit (version_edit_format.h)
//   12+n    1     end mark 0xE5
//
// The first record is a snapshot: an edit that makes the whole version from an empty one. A record
// is written by one write and synced before the next is, so only the last one can be incomplete.
//
// A record that is the first with snapshots is synced together with the header's new version, so a
// last record that nobody was told of may have some below a version of 1.
//
// Telling a torn end from damage: after a power cut an unsynced write has left a prefix, or has
// holes: whole sectors of zeros. Lengths have a checksum of their own, so that a damaged one cannot
// make synced records look cut short; the end mark makes the last sector of a written record
// non-zero. A bad record is the torn end if nothing valid follows and it is cut short by the end of
// the file, or has a hole. All else is corruption.
//
// CURRENT is text, replaced by rename:
//
//   tinylsm 1\n              format version of the store
//   MANIFEST-000005\n
//   crc32 01234567\n         of all bytes before this line
//
// The first and the last line keep this form in all versions.
#ifndef LSM_VERSION_MANIFEST_FORMAT_H
#define LSM_VERSION_MANIFEST_FORMAT_H

#define MANIFEST_MAGIC         "tlsmMANI"
#define MANIFEST_FORMAT        2u // the newest that is known
#define MANIFEST_FORMAT_PLAIN  1u // without snapshots: older programs can go on with it
#define MANIFEST_HEADER_SIZE   32u
#define MANIFEST_RECORD_HEADER 12u
#define MANIFEST_END_MARK      0xE5u
#define MANIFEST_SECTOR        512u
#define MANIFEST_MAX_SIZE      (UINT64_C(1) << 30) // a larger one is not ours

#define CURRENT_MAGIC    "tinylsm "
#define CURRENT_FORMAT   1u
#define CURRENT_CRC_LINE 15u // "crc32 01234567\n"
#define CURRENT_MAX_SIZE 4096u

#endif
