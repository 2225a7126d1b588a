// The pool of a backup: the files of all generations, each once, named after what it is called in
// the store and the hash of its content (commands/backup_target.h).
//
// Thread safety: one thread.
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "commands/backup_target.h"

void backup_pool_name(const struct generation_file *file, char ret_name[POOL_NAME_MAX + 1])
{
    assert(strlen(file->name) <= GENERATION_NAME_MAX);
    char *p = stpcpy(ret_name, file->name);
    *p++ = '-';
    for (unsigned i = 0; i < HASH128_SIZE; i++, p += 2)
        sprintf(p, "%02x", file->hash[i]);
}

void backup_pool_release(struct backup_pool *pool)
{
    free(pool->files);
    *pool = (struct backup_pool){0};
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct backup_pool_file *)a)->name,
                  ((const struct backup_pool_file *)b)->name);
}

static bool is_pool_name(const char *name)
{
    size_t size = strlen(name), tail = 2 * HASH128_SIZE;
    return size > tail + 1 && size <= POOL_NAME_MAX && name[size - tail - 1] == '-' &&
           strspn(name + size - tail, "0123456789abcdef") == tail;
}

// False: errno says why.
static bool note_file(struct backup_pool *pool, int dir, const char *name)
{
    struct stat st;
    if (!is_pool_name(name))
        return true; // none of ours
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
        return false;
    if (!array_grow(&pool->files, &pool->capacity, pool->count, sizeof *pool->files))
        return false;
    struct backup_pool_file *file = &pool->files[pool->count++];
    *file = (struct backup_pool_file){.size = (uint64_t)st.st_size,
                                      .modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 +
                                                     st.st_mtim.tv_nsec};
    strcpy(file->name, name);
    return true;
}

bool backup_pool_scan(const struct backup *backup, struct backup_pool *ret_pool)
{
    struct backup_pool pool = {0};
    int fd = openat(backup->files, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    bool done = stream != NULL;
    if (!stream && fd >= 0)
        close(fd);
    errno = 0;
    for (struct dirent *entry; done && (entry = readdir(stream));) {
        done = note_file(&pool, backup->files, entry->d_name);
        if (done)
            errno = 0;
    }
    if (errno) {
        done = false;
        backup_failed(backup, "files");
    }
    if (stream)
        closedir(stream);
    if (!done) {
        backup_pool_release(&pool);
        return false;
    }
    if (pool.count)
        qsort(pool.files, pool.count, sizeof *pool.files, compare);
    *ret_pool = pool;
    return true;
}

struct backup_pool_file *backup_pool_find(const struct backup_pool *pool, const char *name)
{
    struct backup_pool_file key = {0};
    if (strlen(name) > POOL_NAME_MAX || !pool->count)
        return NULL;
    assert(compare(&pool->files[0], &pool->files[pool->count - 1]) <= 0); // sorted
    strcpy(key.name, name);
    return bsearch(&key, pool->files, pool->count, sizeof key, compare);
}

// Whether `backup_pool_name` is a file that was called `name`: <0, 0, >0 in the order of the pool.
static int compare_stem(const char *in_pool, const char *name)
{
    char stem[POOL_NAME_MAX + 1];
    assert(is_pool_name(in_pool));
    int size = (int)(strlen(in_pool) - 2 * HASH128_SIZE - 1);
    snprintf(stem, sizeof stem, "%.*s", size, in_pool);
    return strcmp(stem, name);
}

size_t backup_pool_find_all(const struct backup_pool *pool, const char *name, size_t *ret_first)
{
    size_t first = 0, count = 0, end = pool->count;
    char low[POOL_NAME_MAX + 1];
    snprintf(low, sizeof low, "%s-", name); // before all that follow it with a hash
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (strcmp(pool->files[middle].name, low) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    while (first + count < pool->count && compare_stem(pool->files[first + count].name, name) == 0)
        count++;
    *ret_first = first;
    return count;
}

static void count_generation(const struct generation *generation, struct backup_pool *pool)
{
    char name[POOL_NAME_MAX + 1];
    for (size_t i = 0; i < generation->count; i++) {
        if (generation->files[i].is_here)
            continue;
        backup_pool_name(&generation->files[i], name);
        struct backup_pool_file *file = backup_pool_find(pool, name);
        if (file)
            file->needed++;
    }
}

void backup_pool_count(const struct generation_set *set, struct backup_pool *pool)
{
    for (size_t i = 0; i < set->count; i++)
        count_generation(&set->at[i].generation, pool);
}

bool backup_pool_free_unneeded(const struct backup *backup)
{
    struct backup_pool pool;
    struct generation_set set;
    if (!backup_pool_scan(backup, &pool))
        return false;
    bool done = backup_read_all(backup, &set);
    backup_pool_count(&set, &pool);
    for (size_t i = 0; i < pool.count && done; i++)
        if (!pool.files[i].needed && unlinkat(backup->files, pool.files[i].name, 0))
            done = backup_failed(backup, "files");
    generation_set_release(&set);
    backup_pool_release(&pool);
    return done;
}
