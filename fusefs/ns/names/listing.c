// Kept pieces of listings. See listing.h.
//
// The hash is keyed by a random number, so that nobody can choose two names of one position. Two
// names of one directory share one by chance once in some 10^5 directories of 10 million names.
#include "ns/names/listing.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hash.h"
#include "base/lock_check.h"

#define BUCKETS 1024u

struct bookmark {
    uint64_t dir, cookie;
    uint8_t size;
    char name[];
};

struct listings {
    uint64_t seed; // constant
    pthread_mutex_t mutex;
    struct listing_piece *buckets[BUCKETS] GUARDED_BY(listings_mutex);
    struct listing_piece *newest GUARDED_BY(listings_mutex);
    struct listing_piece *oldest GUARDED_BY(listings_mutex);
    size_t bytes GUARDED_BY(listings_mutex);
    // A ring, malloc'd each; NULL: none yet.
    struct bookmark *marks[LISTING_BOOKMARKS] GUARDED_BY(listings_mutex);
    size_t next_mark GUARDED_BY(listings_mutex);
};

LOCK_FUNCTIONS(listings, struct listings, mutex, listings_mutex)

struct listings *listings_new(void)
{
    struct listings *listings = calloc(1, sizeof *listings);
    if (!listings)
        return NULL;
    if (getrandom(&listings->seed, sizeof listings->seed, GRND_NONBLOCK) < 0)
        listings->seed = (uint64_t)(uintptr_t)listings; // better than none, early at boot
    pthread_mutex_init(&listings->mutex, NULL);
    return listings;
}

uint64_t listing_cookie(const struct listings *listings, struct slice name)
{
    return (hash64_seeded(name.data, name.size, listings->seed) >> 2) + 3;
}

// ------------------------------------------------------------------------------- pieces

struct listing_piece *listing_piece_new(uint64_t dir, uint64_t version)
{
    struct listing_piece *piece = calloc(1, sizeof *piece);
    if (!piece)
        return NULL;
    piece->names = malloc(LISTING_PIECE * sizeof *piece->names);
    if (!piece->names) {
        free(piece);
        return NULL;
    }
    atomic_init(&piece->refs, 1);
    piece->dir = dir;
    piece->version = version;
    return piece;
}

int listing_piece_add(struct listing_piece *piece, const struct listings *listings,
                      struct slice name, uint64_t ino, uint32_t type)
{
    assert(piece->count < LISTING_PIECE && name.size <= UINT8_MAX);
    piece->names[piece->count] = (struct listed_name){.cookie = listing_cookie(listings, name),
                                                      .ino = ino,
                                                      .at = (uint32_t)piece->bytes.size,
                                                      .type_bits = (uint16_t)(type >> 12),
                                                      .size = (uint8_t)name.size};
    if (buf_append(&piece->bytes, name.data, name.size))
        return -ENOMEM;
    piece->count++;
    return 0;
}

void listing_piece_put(struct listing_piece *piece)
{
    if (!piece || atomic_fetch_sub(&piece->refs, 1) != 1)
        return;
    free(piece->names);
    buf_release(&piece->bytes);
    free(piece);
}

static size_t piece_bytes(const struct listing_piece *piece)
{
    return sizeof *piece + piece->count * sizeof *piece->names + piece->bytes.capacity;
}

// ------------------------------------------------------------------------------- the kept ones

static struct listing_piece **bucket_of(struct listings *listings, uint64_t dir)
    REQUIRES(listings_mutex)
{
    return &listings->buckets[dir * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (BUCKETS - 1)];
}

static void link_newest(struct listings *listings, struct listing_piece *piece)
    REQUIRES(listings_mutex)
{
    struct listing_piece **bucket = bucket_of(listings, piece->dir);
    piece->in_bucket = *bucket; // the newest piece of a bucket comes first
    *bucket = piece;
    piece->newer = NULL;
    piece->older = listings->newest;
    if (piece->older)
        piece->older->newer = piece;
    else
        listings->oldest = piece;
    listings->newest = piece;
}

static void unlink_piece(struct listings *listings, struct listing_piece *piece)
    REQUIRES(listings_mutex)
{
    struct listing_piece **at = bucket_of(listings, piece->dir);
    while (*at != piece)
        at = &(*at)->in_bucket;
    *at = piece->in_bucket;
    if (piece->newer)
        piece->newer->older = piece->older;
    else
        listings->newest = piece->older;
    if (piece->older)
        piece->older->newer = piece->newer;
    else
        listings->oldest = piece->newer;
}

static void drop_oldest(struct listings *listings) REQUIRES(listings_mutex)
{
    struct listing_piece *piece = listings->oldest;
    unlink_piece(listings, piece);
    assert(listings->bytes >= piece_bytes(piece));
    listings->bytes -= piece_bytes(piece);
    listing_piece_put(piece);
}

// Nobody else has them any more.
NOT_CHECKED void listings_free(struct listings *listings)
{
    if (!listings)
        return;
    while (listings->oldest)
        drop_oldest(listings);
    for (size_t i = 0; i < LISTING_BOOKMARKS; i++)
        free(listings->marks[i]);
    pthread_mutex_destroy(&listings->mutex);
    free(listings);
}

void listings_keep(struct listings *listings, struct listing_piece *piece)
{
    // Gives back the room for names that the piece does not have: most directories are small.
    struct listed_name *names = realloc(piece->names, (piece->count + 1) * sizeof *names);
    if (names)
        piece->names = names;
    atomic_fetch_add(&piece->refs, 1);
    listings_lock(listings);
    link_newest(listings, piece);
    listings->bytes += piece_bytes(piece);
    while (listings->bytes > LISTING_KEPT_BYTES && listings->oldest != piece)
        drop_oldest(listings);
    listings_unlock(listings);
}

struct listing_piece *listings_beginning(struct listings *listings, uint64_t dir, uint64_t version)
{
    listings_lock(listings);
    struct listing_piece *piece = *bucket_of(listings, dir);
    while (piece && !(piece->dir == dir && piece->is_beginning && piece->version == version))
        piece = piece->in_bucket;
    if (piece) {
        atomic_fetch_add(&piece->refs, 1);
        unlink_piece(listings, piece);
        link_newest(listings, piece);
    }
    listings_unlock(listings);
    return piece;
}

static bool piece_find(const struct listing_piece *piece, uint64_t cookie, size_t *ret_next)
{
    for (size_t i = piece->count; i > 0; i--)
        if (piece->names[i - 1].cookie == cookie) {
            *ret_next = i;
            return true;
        }
    return false;
}

struct listing_piece *listings_find(struct listings *listings, uint64_t dir, uint64_t cookie,
                                    size_t *ret_next)
{
    listings_lock(listings);
    struct listing_piece *piece = *bucket_of(listings, dir);
    while (piece && !(piece->dir == dir && piece_find(piece, cookie, ret_next)))
        piece = piece->in_bucket;
    if (piece)
        atomic_fetch_add(&piece->refs, 1);
    listings_unlock(listings);
    return piece;
}

// ------------------------------------------------------------------------------- bookmarks

void listings_mark(struct listings *listings, uint64_t dir, struct slice name)
{
    struct bookmark *mark = malloc(sizeof *mark + name.size);
    if (!mark)
        return; // without memory there is no bookmark; it may never be needed
    mark->dir = dir;
    mark->cookie = listing_cookie(listings, name);
    mark->size = (uint8_t)name.size;
    memcpy(mark->name, name.data, name.size);
    listings_lock(listings);
    free(listings->marks[listings->next_mark]);
    listings->marks[listings->next_mark] = mark;
    listings->next_mark = (listings->next_mark + 1) % LISTING_BOOKMARKS;
    listings_unlock(listings);
}

size_t listings_marked(struct listings *listings, uint64_t dir, uint64_t cookie, char *name)
{
    size_t size = 0;
    listings_lock(listings);
    for (size_t i = 0; i < LISTING_BOOKMARKS && listings->marks[i] && !size; i++) {
        const struct bookmark *mark = listings->marks[i];
        if (mark->dir == dir && mark->cookie == cookie) {
            size = mark->size;
            memcpy(name, mark->name, size);
        }
    }
    listings_unlock(listings);
    return size;
}
