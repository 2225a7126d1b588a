// The cache's directory: segments that are found, filled, and removed.
//
// A local file is a segment (cache_format.h). What is in it is found out by reading: after a
// restart any block may be there, and a page counts that has its checksum. Nothing is synced, and
// no table of contents is kept. So there is nothing that could be out of step with the files:
// whoever removes them, or a part of them, takes away copies and no more.
//
// Replacement: the segment that was not used for longest goes first. After a restart the order is
// that of the last writes.
//
// Bound: room for a block is taken before it is written, and segments are removed before that. What
// is counted for a segment is what its blocks take, or, if it was found, what the file system says.
//
// Thread safety: `mutex` guards all that changes. It is not held while the disk works: who uses a
// segment is counted in it. A segment that is to go stays in the table, leaving, until its file is
// gone, so that nobody begins it anew meanwhile. Callers' locks come before it; it is a leaf.
#include "env_cache/disk_cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cond.h"
#include "base/lock_check.h"
#include "base/status.h"
#include "env_cache/segment_table.h"

#define LOCK_NAME "LOCK"
#define FILES_MIN 16u // that may be open
#define FILES_MAX 4096u
#define SHRINK    8 // a full disk takes one in so many bytes

extern struct lock_role disk_cache_mutex;

struct disk_cache {
    struct env *local, *dir;
    struct env_lock *lock;
    struct logger logger;
    uint64_t open_max; // files
    pthread_mutex_t mutex;
    pthread_cond_t changed; // a segment was opened, left by a user, or is gone
    struct segment_table table GUARDED_BY(disk_cache_mutex);
    struct disk_cache_stats stats GUARDED_BY(disk_cache_mutex); // `bytes`, `capacity`: now
    bool filling GUARDED_BY(disk_cache_mutex);
    bool said[2] GUARDED_BY(disk_cache_mutex); // that reading, or writing, has failed
};

LOCK_FUNCTIONS(disk_cache, struct disk_cache, mutex, disk_cache_mutex)

void spread_put(struct spread *to, const uint8_t *data, size_t size)
{
    while (size) {
        assert(to->count > 0);
        size_t left = to->pieces->iov_len - to->skip, n = left < size ? left : size;
        memcpy((uint8_t *)to->pieces->iov_base + to->skip, data, n);
        data += n;
        size -= n;
        to->skip += n;
        if (to->skip == to->pieces->iov_len) {
            to->pieces++;
            to->count--;
            to->skip = 0;
        }
    }
}

// ------------------------------------------------------------------------------------- failures

// Logs the first failure of reading, or of writing, and draws its consequences. A failure that
// passes by itself has none. Called without the lock.
static void failed(struct disk_cache *cache, int rc, bool writing) EXCLUDES(disk_cache_mutex)
{
    if (status_is_passing(rc))
        return;
    disk_cache_lock(cache);
    bool first = !cache->said[writing];
    cache->said[writing] = true;
    if (writing && rc == LSM_NO_SPACE)
        cache->stats.capacity = cache->stats.bytes - cache->stats.bytes / SHRINK;
    else if (writing)
        cache->filling = false;
    disk_cache_unlock(cache);
    if (first)
        logger_log(&cache->logger, LSM_LOG_WARN, "the cache on the local disk: %s; %s",
                   lsm_error_detail(),
                   !writing             ? "that part is read from the store again"
                   : rc == LSM_NO_SPACE ? "it takes less room until it is opened again"
                                        : "nothing is added to it until it is opened again");
}

// ------------------------------------------------------------------------------------- removing

// Removes a segment that is leaving and has no users, with its file. The lock is released
// meanwhile.
static void remove_segment(struct disk_cache *cache, struct segment *segment)
    REQUIRES(disk_cache_mutex)
{
    char name[CACHE_NAME_MAX];
    assert(segment->leaving && !segment->removing && segment->users == 0);
    segment->removing = true;
    struct env_file *file = segment_closed(&cache->table, segment);
    segment_name(&segment->key, name);
    disk_cache_unlock(cache);
    (void)env_close(file);
    int rc = cache->dir->ops->unlink(cache->dir, name);
    if (rc && rc != LSM_NOT_FOUND) // the file is overwritten, or counted at the next start
        failed(cache, rc, false);
    disk_cache_lock(cache);
    assert(cache->stats.bytes >= segment->bytes);
    cache->stats.bytes -= segment->bytes;
    segment_free(&cache->table, segment);
    pthread_cond_broadcast(&cache->changed);
}

// Makes room for `size` bytes more. False: too much is in use.
static bool evict_for(struct disk_cache *cache, uint64_t size) REQUIRES(disk_cache_mutex)
{
    while (cache->stats.bytes + size > cache->stats.capacity) {
        struct segment *oldest = segment_oldest(&cache->table);
        if (!oldest)
            return false;
        cache->stats.evictions++;
        cache->stats.evicted += oldest->bytes;
        segment_leave(oldest);
        remove_segment(cache, oldest);
    }
    return true;
}

// ------------------------------------------------------------------------------------- using

static void use_begin(struct disk_cache *cache, struct segment *segment) REQUIRES(disk_cache_mutex)
{
    segment->users++;
    segment_used(&cache->table, segment);
}

static void use_end(struct disk_cache *cache, struct segment *segment) REQUIRES(disk_cache_mutex)
{
    assert(segment->users > 0);
    if (--segment->users == 0 && segment->leaving && !segment->removing)
        remove_segment(cache, segment);
    else
        pthread_cond_broadcast(&cache->changed);
}

static void give_up(struct segment *segment)
{
    if (!segment->leaving)
        segment_leave(segment);
}

// Opens a segment's file, which is made if it is a fresh one. LSM_CORRUPTION: it is no segment.
static int open_file(struct disk_cache *cache, const struct segment_key *key, bool fresh,
                     struct env_file **ret_file)
{
    char name[CACHE_NAME_MAX];
    uint8_t head[CACHE_HEAD_SIZE];
    struct env_file *file;
    size_t got = 0;
    segment_name(key, name);
    int rc = env_open(cache->dir, name, fresh ? ENV_WRITE | ENV_CREATE | ENV_TRUNCATE : ENV_WRITE,
                      &file);
    if (rc)
        return rc;
    if (fresh) {
        segment_head_encode(key, head);
        rc = env_pwrite(file, head, sizeof head, 0);
    } else {
        rc = env_pread(file, head, sizeof head, 0, &got);
        if (!rc && (got < sizeof head || !segment_head_ok(key, head)))
            rc = status_fail(LSM_CORRUPTION, "%s: the head is damaged", file->path);
    }
    if (rc)
        (void)env_close(file);
    else
        *ret_file = file;
    return rc;
}

// The open file of a segment that the caller uses.
static int file_of(struct disk_cache *cache, struct segment *segment, struct env_file **ret_file)
    REQUIRES(disk_cache_mutex)
{
    int rc = 0;
    while (segment->opening)
        pthread_cond_wait(&cache->changed, &cache->mutex);
    if (!segment->file) {
        struct env_file *file = NULL, *other = NULL;
        struct segment *oldest =
            cache->table.open_count < cache->open_max ? NULL : segment_oldest_open(&cache->table);
        if (oldest)
            other = segment_closed(&cache->table, oldest);
        bool fresh = segment->fresh;
        segment->opening = true;
        disk_cache_unlock(cache);
        (void)env_close(other);
        rc = open_file(cache, &segment->key, fresh, &file);
        disk_cache_lock(cache);
        segment->opening = false;
        pthread_cond_broadcast(&cache->changed);
        if (!rc) {
            segment->fresh = false;
            segment_opened(&cache->table, segment, file);
        }
    }
    *ret_file = segment->file;
    return rc;
}

static struct segment_key key_of(struct cached_id id, uint64_t block)
{
    return (struct segment_key){id.store, id.file, (uint32_t)(block / CACHE_SEGMENT_BLOCKS)};
}

static uint64_t bit_of(uint64_t block)
{
    return UINT64_C(1) << block % CACHE_SEGMENT_BLOCKS;
}

// The segment, if the block may be there. Counts as used then.
static struct segment *find_block(struct disk_cache *cache, struct cached_id id, uint64_t block)
    REQUIRES(disk_cache_mutex)
{
    const struct segment_key key = key_of(id, block);
    struct segment *segment =
        block / CACHE_SEGMENT_BLOCKS > UINT32_MAX ? NULL : segment_find(&cache->table, &key);
    return segment && !segment->leaving && segment->present & bit_of(block) ? segment : NULL;
}

// ------------------------------------------------------------------------------------- reading

// LSM_NOT_FOUND: not all of it was ever written. LSM_CORRUPTION: a page is not what was written.
static int read_pages(struct env_file *file, const struct segment_key *key, unsigned block,
                      size_t offset, size_t size, struct spread *to)
{
    unsigned first = (unsigned)(offset / CACHE_PAGE_DATA);
    unsigned count = (unsigned)((offset + size - 1) / CACHE_PAGE_DATA) - first + 1;
    size_t got, all = (size_t)count * CACHE_PAGE;
    uint64_t at = segment_block_offset(block) + (uint64_t)first * CACHE_PAGE;
    uint8_t pages[CACHE_BLOCK_ROOM]; // of the stack: malloc may fault in its pages each time
    int rc = env_pread(file, pages, all, at, &got);
    if (!rc && got < all)
        rc = LSM_NOT_FOUND;
    for (unsigned i = 0; i < count && !rc; i++) {
        enum page_state state = page_check(key, block, first + i, pages + (size_t)i * CACHE_PAGE);
        rc = state == PAGE_OK ? 0 : state == PAGE_EMPTY ? LSM_NOT_FOUND : LSM_CORRUPTION;
        if (state == PAGE_DAMAGED)
            (void)!status_fail(rc, "%s: at byte %llu: damaged", file->path,
                               (unsigned long long)(at + (uint64_t)i * CACHE_PAGE));
    }
    size_t skip = offset % CACHE_PAGE_DATA;
    for (unsigned i = 0; i < count && !rc; i++, skip = 0) {
        size_t n = CACHE_PAGE_DATA - skip < size ? CACHE_PAGE_DATA - skip : size;
        spread_put(to, pages + (size_t)i * CACHE_PAGE + skip, n);
        size -= n;
    }
    return rc;
}

// After a failure: the block counts as missing, or the whole segment goes.
static void read_failed(struct disk_cache *cache, struct segment *segment, uint64_t block, int rc)
    REQUIRES(disk_cache_mutex)
{
    segment->present &= ~bit_of(block);
    if (rc == LSM_NOT_FOUND && segment->file)
        return;
    if (status_is_passing(rc))
        return;
    cache->stats.damaged += rc == LSM_CORRUPTION;
    give_up(segment);
}

bool disk_cache_read(struct disk_cache *cache, struct cached_id id, uint64_t block, size_t offset,
                     size_t size, struct spread *to)
{
    struct env_file *file;
    int rc = LSM_NOT_FOUND;
    assert(size > 0 && offset + size <= CACHE_BLOCK);
    disk_cache_lock(cache);
    struct segment *segment = find_block(cache, id, block);
    if (segment) {
        use_begin(cache, segment);
        rc = file_of(cache, segment, &file);
        if (!rc) {
            disk_cache_unlock(cache);
            rc = read_pages(file, &segment->key, block % CACHE_SEGMENT_BLOCKS, offset, size, to);
            disk_cache_lock(cache);
        }
        if (rc)
            read_failed(cache, segment, block, rc);
        use_end(cache, segment);
    }
    cache->stats.hits += !rc;
    cache->stats.hit_bytes += rc ? 0 : size;
    cache->stats.misses += rc != 0;
    cache->stats.miss_bytes += rc ? size : 0;
    disk_cache_unlock(cache);
    if (rc && rc != LSM_NOT_FOUND)
        failed(cache, rc, false);
    return !rc;
}

bool disk_cache_has(struct disk_cache *cache, struct cached_id id, uint64_t block)
{
    disk_cache_lock(cache);
    bool has = find_block(cache, id, block) != NULL;
    disk_cache_unlock(cache);
    return has;
}

// ------------------------------------------------------------------------------------- writing

// The segment that a block is to be written to, with room for it, in use; or NULL.
static struct segment *begin_block(struct disk_cache *cache, struct cached_id id, uint64_t block,
                                   size_t room) REQUIRES(disk_cache_mutex)
{
    const struct segment_key key = key_of(id, block);
    if (!cache->filling || block / CACHE_SEGMENT_BLOCKS > UINT32_MAX ||
        !evict_for(cache, room + CACHE_PAGE))
        return NULL;
    struct segment *segment = segment_find(&cache->table, &key);
    if (segment && (segment->leaving || segment->present & bit_of(block)))
        return NULL;
    if (!segment) {
        segment = segment_add(&cache->table, &key);
        if (!segment)
            return NULL;
        segment->fresh = true;
        room += CACHE_PAGE;
    }
    segment->bytes += room;
    cache->stats.bytes += room;
    use_begin(cache, segment);
    return segment;
}

void disk_cache_write(struct disk_cache *cache, struct cached_id id, uint64_t block,
                      const uint8_t *data, size_t size)
{
    const struct segment_key key = key_of(id, block);
    unsigned index = block % CACHE_SEGMENT_BLOCKS;
    struct env_file *file;
    uint8_t *pages = malloc(CACHE_BLOCK_ROOM);
    if (!pages)
        return;
    size_t room = block_encode(&key, index, data, size, pages);
    disk_cache_lock(cache);
    struct segment *segment = begin_block(cache, id, block, room);
    int rc = segment ? file_of(cache, segment, &file) : 0;
    if (segment && !rc) {
        disk_cache_unlock(cache);
        rc = env_pwrite(file, pages, room, segment_block_offset(index));
        disk_cache_lock(cache);
    }
    if (segment && !rc) {
        segment->present |= bit_of(block);
        cache->stats.written += room;
    } else if (segment) { // a part may be there: nobody knows how much it takes
        cache->stats.damaged += rc == LSM_CORRUPTION;
        give_up(segment);
    }
    if (segment)
        use_end(cache, segment);
    disk_cache_unlock(cache);
    free(pages);
    // A file that somebody has removed is made again next time.
    if (rc && !(rc == LSM_NOT_FOUND && !cache->dir->ops->check_dir(cache->dir)))
        failed(cache, rc, rc != LSM_CORRUPTION);
}

// ------------------------------------------------------------------------------------- dropping

void disk_cache_drop(struct disk_cache *cache, struct cached_id id, uint64_t size, bool durably)
{
    struct status_kept kept;
    bool dropped = false;
    status_keep(&kept);
    disk_cache_lock(cache);
    for (uint64_t block = 0; block * CACHE_BLOCK < size; block += CACHE_SEGMENT_BLOCKS) {
        const struct segment_key key = key_of(id, block);
        struct segment *segment;
        while ((segment = segment_find(&cache->table, &key))) {
            dropped = true;
            give_up(segment);
            if (segment->users == 0 && !segment->removing)
                remove_segment(cache, segment);
            else
                pthread_cond_wait(&cache->changed, &cache->mutex);
        }
    }
    disk_cache_unlock(cache);
    int rc = dropped && durably ? cache->dir->ops->sync_dir(cache->dir, ENV_HERE) : 0;
    if (rc && rc != LSM_NOT_FOUND)
        failed(cache, rc, false);
    status_restore(&kept);
}

static int compare_files(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void disk_cache_keep(struct disk_cache *cache, uint64_t store, const uint64_t *files, size_t count)
{
    disk_cache_lock(cache);
    for (struct segment *at = segment_next(&cache->table, NULL), *next; at; at = next) {
        next = segment_next(&cache->table, at);
        if (at->key.store != store || at->users ||
            (count && bsearch(&at->key.file, files, count, sizeof *files, compare_files)))
            continue;
        segment_leave(at);
        remove_segment(cache, at);
    }
    disk_cache_unlock(cache);
}

// ------------------------------------------------------------------------------------- opening

struct found_segment {
    struct segment_key key;
    uint64_t bytes;
    int64_t modified_ns;
};

struct search {
    struct env *dir;
    struct found_segment *found;
    size_t count, capacity;
};

static int find_segment(void *arg, const char *name)
{
    struct search *search = arg;
    struct segment_key key;
    struct env_stat stat;
    if (!segment_name_parse(name, &key) || search->dir->ops->stat(search->dir, name, &stat))
        return 0; // not ours, or just gone
    if (!array_grow(&search->found, &search->capacity, search->count, sizeof *search->found))
        return status_no_memory((search->count + 1) * sizeof *search->found);
    search->found[search->count++] =
        (struct found_segment){key, stat.allocated_bytes, stat.modified_ns};
    return 0;
}

static int compare_times(const void *a, const void *b)
{
    const struct found_segment *x = a, *y = b;
    return x->modified_ns < y->modified_ns ? -1 : x->modified_ns > y->modified_ns;
}

static int take_stock(struct disk_cache *cache)
{
    struct search search = {.dir = cache->dir};
    int rc = cache->dir->ops->list(cache->dir, ENV_HERE, find_segment, &search);
    if (!rc && search.count)
        qsort(search.found, search.count, sizeof *search.found, compare_times);
    disk_cache_lock(cache);
    for (size_t i = 0; i < search.count && !rc; i++) {
        struct segment *segment = segment_add(&cache->table, &search.found[i].key);
        if (!segment) {
            rc = status_no_memory(sizeof *segment);
            break;
        }
        segment->present = UINT64_MAX;
        segment->bytes = search.found[i].bytes;
        cache->stats.bytes += segment->bytes;
    }
    if (!rc)
        (void)evict_for(cache, 0);
    disk_cache_unlock(cache);
    free(search.found);
    return rc;
}

static int open_directory(struct env *local, const char *path, struct env **ret_dir)
{
    int rc = local->ops->open_dir(local, path, ret_dir);
    if (rc != LSM_NOT_FOUND)
        return rc;
    rc = local->ops->mkdir(local, path);
    return rc && rc != LSM_EXISTS ? rc : local->ops->open_dir(local, path, ret_dir);
}

// Nobody else has the cache yet.
int disk_cache_open(struct env *local, const char *path, uint64_t size, const char *note,
                    struct logger logger, struct disk_cache **ret_cache) NOT_CHECKED
{
    uint64_t files, file_size;
    struct disk_cache *cache = calloc(1, sizeof *cache);
    if (!cache)
        return status_no_memory(sizeof *cache);
    cache->local = local;
    cache->logger = logger;
    cache->filling = true;
    cache->stats.capacity = size < DISK_CACHE_LEAST ? DISK_CACHE_LEAST : size;
    pthread_mutex_init(&cache->mutex, NULL);
    cond_init(&cache->changed);
    local->ops->limits(local, &files, &file_size);
    cache->open_max = files / 4 < FILES_MIN   ? FILES_MIN
                      : files / 4 > FILES_MAX ? FILES_MAX
                                              : files / 4;
    int rc = segment_table_init(&cache->table);
    if (!rc)
        rc = open_directory(local, path, &cache->dir);
    if (!rc)
        rc = cache->dir->ops->lock(cache->dir, LOCK_NAME, false, note, &cache->lock);
    if (!rc)
        rc = take_stock(cache);
    if (rc) {
        struct status_kept kept;
        status_keep(&kept);
        disk_cache_close(cache);
        status_restore(&kept);
        return rc;
    }
    *ret_cache = cache;
    return 0;
}

// Nobody else uses it any more.
void disk_cache_close(struct disk_cache *cache) NOT_CHECKED
{
    if (!cache)
        return;
    struct segment *segment;
    while ((segment = segment_next(&cache->table, NULL))) {
        (void)env_close(segment_closed(&cache->table, segment));
        segment_free(&cache->table, segment);
    }
    if (cache->table.buckets)
        segment_table_release(&cache->table);
    if (cache->lock)
        cache->dir->ops->unlock(cache->dir, cache->lock);
    if (cache->dir)
        cache->dir->ops->close_dir(cache->dir);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

void disk_cache_stats(struct disk_cache *cache, struct disk_cache_stats *ret_stats)
{
    disk_cache_lock(cache);
    *ret_stats = cache->stats;
    ret_stats->files = cache->table.count;
    disk_cache_unlock(cache);
}
