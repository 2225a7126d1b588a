// Kept pieces of listings, so that reading on from a position is cheap.
//
// A position in a directory is the hash of the name it lies behind (listing_cookie). So it means
// the same for everybody, as long as the mount lives, whatever comes and goes in the directory: the
// listing goes on with what is behind that name in the order of keys. A piece is a run of names in
// that order with their positions; it is never changed. Names that have gone are still in the
// pieces that were made before: that is how the position behind such a name is found. So that it is
// found after much else was listed too, the places where listings were interrupted are kept longer
// (bookmarks).
//
// When pieces take more than LISTING_KEPT_BYTES, those are dropped first that were made, or found
// to be up to date, the longest time ago. So whoever goes on in the newest piece that has his
// position never gets one from before his own listing began: his listing's own piece has the
// position too, is newer, and cannot have been dropped before the older one.
//
// Thread safety: any thread; one mutex, a leaf.
#ifndef NS_LISTING_H
#define NS_LISTING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/lock_check.h"
#include "base/slice.h"

#define LISTING_KEPT_BYTES (4u << 20)
#define LISTING_PIECE      1024u // names at most
#define LISTING_BOOKMARKS  8192u

extern struct lock_role listings_mutex;

struct listed_name {
    uint64_t cookie;
    uint64_t ino;
    uint32_t at; // offset of the name in piece.bytes
    uint16_t type_bits;
    uint8_t size;
};

struct listing_piece {
    struct listing_piece *in_bucket GUARDED_BY(listings_mutex);
    struct listing_piece *newer GUARDED_BY(listings_mutex);
    struct listing_piece *older GUARDED_BY(listings_mutex);
    _Atomic uint32_t refs;
    uint64_t dir;      // inode number
    uint64_t version;  // of the directory's names before the piece was read
    bool is_beginning; // nothing is before it
    bool is_end;       // nothing is behind it
    size_t count;
    struct listed_name *names; // LISTING_PIECE of them while it is being made
    struct buf bytes;
};

struct listings;
struct listings *listings_new(void); // NULL: no memory
void listings_free(struct listings *listings);

// The position behind a name; more than 2, less than 2^63.
uint64_t listing_cookie(const struct listings *listings, struct slice name);

// An empty piece with one reference; NULL: no memory. It is filled by listing_piece_add, 0 or
// -ENOMEM, and from listings_keep on it stays as it is.
struct listing_piece *listing_piece_new(uint64_t dir, uint64_t version);
int listing_piece_add(struct listing_piece *piece, const struct listings *listings,
                      struct slice name, uint64_t ino, uint32_t type);
void listing_piece_put(struct listing_piece *piece); // NULL is legal

static inline struct slice listing_piece_name(const struct listing_piece *piece, size_t i)
{
    return slice_of(piece->bytes.data + piece->names[i].at, piece->names[i].size);
}

// Keeps the piece as the newest, with a reference of its own.
void listings_keep(struct listings *listings, struct listing_piece *piece);

// The beginning of a directory, if it is kept and still as it is; it is the newest then.
struct listing_piece *listings_beginning(struct listings *listings, uint64_t dir, uint64_t version);

// The newest piece that has the position; *ret_next is the index behind it. NULL: none.
struct listing_piece *listings_find(struct listings *listings, uint64_t dir, uint64_t cookie,
                                    size_t *ret_next);

// Remembers that a listing stopped behind `name`, and finds the name of such a place: its size, or
// 0.
void listings_mark(struct listings *listings, uint64_t dir, struct slice name);
size_t listings_marked(struct listings *listings, uint64_t dir, uint64_t cookie, char *name);

#endif
