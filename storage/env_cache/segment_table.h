// The segments that the cache has on disk: found by key, in the order of their use. In memory only;
// the caller's lock guards it.
#ifndef LSM_ENV_CACHE_SEGMENT_TABLE_H
#define LSM_ENV_CACHE_SEGMENT_TABLE_H

#include "env/env.h"
#include "env_cache/cache_format.h"

struct segment_link { // of a ring with a head; to itself: in no list
    struct segment_link *newer, *older;
};

struct segment {
    struct segment *chain; // of the bucket
    struct segment_link by_use, by_opening;
    struct segment_key key;
    uint64_t present; // a bit for each block that may be there
    uint64_t bytes;   // on disk
    unsigned users;   // threads that read or write it
    bool fresh;       // has no file yet
    bool opening;     // by one of the users
    bool leaving;     // nobody begins to use it; gone when the last user is done
    bool removing;    // being removed from the disk
    struct env_file *file;
};

struct segment_table {
    struct segment **buckets;
    size_t size, count;
    size_t open_count;
    struct segment_link by_use;     // all but those that are leaving
    struct segment_link by_opening; // those with an open file
};

int segment_table_init(struct segment_table *table);
void segment_table_release(struct segment_table *table); // after all were taken out
struct segment *segment_find(const struct segment_table *table, const struct segment_key *key);
// A new one, the latest in use. NULL: no memory.
struct segment *segment_add(struct segment_table *table, const struct segment_key *key);
void segment_free(struct segment_table *table, struct segment *segment); // has no open file
void segment_used(struct segment_table *table, struct segment *segment);
void segment_leave(struct segment *segment);
void segment_opened(struct segment_table *table, struct segment *segment, struct env_file *file);
struct env_file *segment_closed(struct segment_table *table, struct segment *segment); // its file
// The one that was not used for longest and is not in use now; of those with an open file only.
// NULL: none.
struct segment *segment_oldest(const struct segment_table *table);
struct segment *segment_oldest_open(const struct segment_table *table);
// The next in the order of use, from the oldest (NULL) on; NULL: the end.
struct segment *segment_next(const struct segment_table *table, const struct segment *segment);

#endif
