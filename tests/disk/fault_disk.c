// The simulated disk's state and what a power cut leaves of it.
//
// A file is two images (current, durable), a directory two tables. Changes of directories are kept
// in order until a sync of the directory applies them to the durable tables. A crash applies a
// random prefix of them (none without a seed), copies a random subset of the pages that differ to
// the durable images, then makes the durable side current.
//
// An image is a reserved address range of which the file's pages are accessible, so it never moves.
// Threads may store into a mapping while a sync reads it, as they may with a real one: the copying
// loops are therefore hidden from the thread sanitizer.
#include "disk/fault_disk.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define IMAGE_POOL       256
#define IMAGE_POOL_BYTES ((size_t)1 << 20) // larger ones are given back at once
#define IMAGE_STEP       ((size_t)16 * DISK_PAGE)

struct pending {
    struct pending *next;
    struct dir_change changes[2]; // each holds references and its name
    size_t count;
};

struct disk {
    struct inode *root;
    struct inode *inodes;
    struct pending *pending;       // oldest first
    struct pending **pending_tail; // where the next one is linked
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static size_t round_up(size_t size)
{
    return (size + DISK_PAGE - 1) & ~(DISK_PAGE - 1);
}

// ----------------------------------------------------------------------------------------- images

__attribute__((no_sanitize("thread"))) static void copy_racy(char *to, const char *from,
                                                             size_t size)
{
    size_t i = 0;
    if (((uintptr_t)to | (uintptr_t)from) % 8 == 0) {
        for (; i + 8 <= size; i += 8)
            *(volatile uint64_t *)(to + i) = *(const volatile uint64_t *)(from + i);
    }
    for (; i < size; i++)
        *(volatile char *)(to + i) = *(const volatile char *)(from + i);
}

__attribute__((no_sanitize("thread"))) static bool same_racy(const char *a, const char *b)
{
    for (size_t i = 0; i < DISK_PAGE; i += 8) {
        if (*(const volatile uint64_t *)(a + i) != *(const volatile uint64_t *)(b + i))
            return false;
    }
    return true;
}

__attribute__((no_sanitize("thread"))) static void zero_racy(char *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        *(volatile char *)(to + i) = 0;
}

// A page that will not be all zeros is best met by a write: reading it first would map the shared
// zero page, and replacing that interrupts every processor.
__attribute__((no_sanitize("thread"))) static void touch_racy(char *to, const char *from)
{
    for (size_t i = 0; i < DISK_PAGE; i += sizeof(uint64_t))
        if (*(const volatile uint64_t *)(from + i)) {
            *(volatile char *)to = *(const volatile char *)from;
            return;
        }
}

// Images that are free for reuse: of size 0, their accessible pages zero. Mapping and unmapping so
// much address space for each small file would be most of what a simulated store costs, changing
// the protection of pages most of the rest.
static struct {
    pthread_mutex_t mutex;
    struct image *images[IMAGE_POOL];
    unsigned count;
} pool = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static struct image *image_new(void)
{
    struct image *image = NULL;
    pthread_mutex_lock(&pool.mutex);
    if (pool.count)
        image = pool.images[--pool.count];
    pthread_mutex_unlock(&pool.mutex);
    if (!image) {
        image = must(calloc(1, sizeof(*image)));
        void *base = mmap(NULL, DISK_FILE_MAX, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        image->base = base == MAP_FAILED ? must(NULL) : base;
    }
    image->refs = 1;
    return image;
}

// Makes the first `size` bytes accessible, whole pages, and no others.
static void image_expose(struct image *image, size_t size)
{
    size_t had = image->accessible;
    if (size > had && mprotect(image->base + had, size - had, PROT_READ | PROT_WRITE))
        abort();
    if (size < had && mprotect(image->base + size, had - size, PROT_NONE))
        abort();
    image->accessible = size;
}

static void image_resize(struct image *image, size_t size)
{
    size_t had = round_up(image->size), want = round_up(size);
    if (size < image->size)
        zero_racy(image->base + size, (want < had ? want : image->size) - size);
    if (want < had)
        memset(image->base + want, 0, had - want); // no mapping reaches beyond the new end
    image->size = size;
    if (image->refs > 1)
        image_expose(image, want);
    else if (want > image->accessible)
        image_expose(image, (want + IMAGE_STEP - 1) & ~(IMAGE_STEP - 1));
}

void image_map(struct image *image)
{
    image->refs++;
    image_expose(image, round_up(image->size));
}

static bool image_reuse(struct image *image)
{
    if (image->accessible > IMAGE_POOL_BYTES)
        return false;
    image->refs = 1;
    image_resize(image, 0);
    pthread_mutex_lock(&pool.mutex);
    bool room = pool.count < IMAGE_POOL;
    if (room)
        pool.images[pool.count++] = image;
    pthread_mutex_unlock(&pool.mutex);
    return room;
}

void image_unref(struct image *image)
{
    if (--image->refs || image_reuse(image))
        return;
    munmap(image->base, DISK_FILE_MAX);
    free(image);
}

// Makes pages [offset, offset + size) of `to` equal to those of `from`; both are long enough.
// Touches only pages that differ, so that untouched memory stays untouched.
static void copy_pages(struct image *to, const struct image *from, size_t offset, size_t size)
{
    size_t end = round_up(offset + size);
    for (size_t at = offset & ~(DISK_PAGE - 1); at < end; at += DISK_PAGE) {
        touch_racy(to->base + at, from->base + at);
        if (!same_racy(to->base + at, from->base + at))
            copy_racy(to->base + at, from->base + at, DISK_PAGE);
    }
}

static struct image *image_clone(const struct image *image)
{
    struct image *copy = image_new();
    image_resize(copy, image->size);
    copy_pages(copy, image, 0, image->size);
    return copy;
}

// ------------------------------------------------------------------------------------ directories

static struct dir_entry *table_find(const struct dir_table *table, const char *name)
{
    for (size_t i = 0; i < table->count; i++) {
        if (!strcmp(table->entries[i].name, name))
            return &table->entries[i];
    }
    return NULL;
}

static void table_set(struct disk *disk, struct dir_table *table, const char *name,
                      struct inode *inode)
{
    struct dir_entry *entry = table_find(table, name);
    if (inode)
        inode_ref(inode);
    if (entry) {
        inode_unref(disk, entry->inode);
        entry->inode = inode;
        if (!inode) {
            free(entry->name);
            *entry = table->entries[--table->count];
        }
        return;
    }
    if (!inode)
        return;
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 8;
        table->entries = must(realloc(table->entries, table->capacity * sizeof(*table->entries)));
    }
    table->entries[table->count++] = (struct dir_entry){must(strdup(name)), inode};
}

static void table_clear(struct disk *disk, struct dir_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        free(table->entries[i].name);
        inode_unref(disk, table->entries[i].inode);
    }
    free(table->entries);
    *table = (struct dir_table){0};
}

static void table_copy(struct disk *disk, struct dir_table *to, const struct dir_table *from)
{
    struct dir_table copy = {0};
    for (size_t i = 0; i < from->count; i++)
        table_set(disk, &copy, from->entries[i].name, from->entries[i].inode);
    table_clear(disk, to);
    *to = copy;
}

struct inode *disk_inode_new(struct disk *disk, bool is_dir)
{
    struct inode *inode = must(calloc(1, sizeof(*inode)));
    inode->refs = 1;
    inode->is_dir = is_dir;
    if (!is_dir) {
        inode->current = image_new();
        inode->durable = image_new();
    }
    inode->next = disk->inodes;
    if (disk->inodes)
        disk->inodes->prev = inode;
    disk->inodes = inode;
    return inode;
}

void inode_ref(struct inode *inode)
{
    inode->refs++;
}

void inode_unref(struct disk *disk, struct inode *inode)
{
    if (--inode->refs)
        return;
    table_clear(disk, &inode->entries);
    table_clear(disk, &inode->durable_entries);
    if (!inode->is_dir) {
        image_unref(inode->current);
        image_unref(inode->durable);
    }
    if (inode->next)
        inode->next->prev = inode->prev;
    if (inode->prev)
        inode->prev->next = inode->next;
    else
        disk->inodes = inode->next;
    free(inode);
}

struct disk *disk_new(void)
{
    struct disk *disk = must(calloc(1, sizeof(*disk)));
    disk->pending_tail = &disk->pending;
    disk->root = disk_inode_new(disk, true);
    return disk;
}

static void pending_free(struct disk *disk, struct pending *op)
{
    for (size_t i = 0; i < op->count; i++) {
        inode_unref(disk, op->changes[i].dir);
        if (op->changes[i].inode)
            inode_unref(disk, op->changes[i].inode);
        free((char *)op->changes[i].name);
    }
    free(op);
}

static void pending_drop_all(struct disk *disk)
{
    while (disk->pending) {
        struct pending *op = disk->pending;
        disk->pending = op->next;
        pending_free(disk, op);
    }
    disk->pending_tail = &disk->pending;
}

void disk_free(struct disk *disk)
{
    pending_drop_all(disk);
    inode_unref(disk, disk->root);
    free(disk);
}

struct inode *disk_root(struct disk *disk)
{
    return disk->root;
}

struct inode *dir_get(const struct inode *dir, const char *name)
{
    const struct dir_entry *entry = table_find(&dir->entries, name);
    return entry ? entry->inode : NULL;
}

// The inode called by the first `size` bytes of `path` in `dir`.
static struct inode *walk(struct inode *dir, const char *path, size_t size)
{
    if (!dir->is_dir)
        return NULL;
    if (size == 1 && path[0] == '.')
        return dir;
    char *name = must(strndup(path, size));
    struct inode *inode = dir_get(dir, name);
    free(name);
    return inode;
}

struct inode *disk_parent(struct disk *disk, const char *path, const char **ret_name)
{
    struct inode *dir = disk->root;
    while (dir) {
        path += strspn(path, "/");
        size_t size = strcspn(path, "/");
        if (size == 0)
            return NULL;
        if (path[size] == 0) {
            *ret_name = path;
            return dir;
        }
        dir = walk(dir, path, size);
        path += size;
    }
    return NULL;
}

struct inode *disk_lookup(struct disk *disk, const char *path)
{
    struct inode *inode = disk->root;
    while (inode && *(path += strspn(path, "/"))) {
        size_t size = strcspn(path, "/");
        inode = walk(inode, path, size);
        path += size;
    }
    return inode;
}

static void count_links(const struct dir_change *change)
{
    struct inode *old = dir_get(change->dir, change->name);
    if (old)
        old->links--;
    if (change->inode)
        change->inode->links++;
}

void disk_change(struct disk *disk, const struct dir_change *changes, size_t count)
{
    struct pending *op = must(calloc(1, sizeof(*op)));
    op->count = count;
    for (size_t i = 0; i < count; i++) {
        op->changes[i] = changes[i];
        op->changes[i].name = must(strdup(changes[i].name));
        inode_ref(changes[i].dir);
        if (changes[i].inode)
            inode_ref(changes[i].inode);
    }
    *disk->pending_tail = op;
    disk->pending_tail = &op->next;
    for (size_t i = 0; i < count; i++) {
        count_links(&op->changes[i]);
        table_set(disk, &op->changes[i].dir->entries, op->changes[i].name, op->changes[i].inode);
    }
}

static void pending_apply(struct disk *disk, const struct pending *op)
{
    for (size_t i = 0; i < op->count; i++)
        table_set(disk, &op->changes[i].dir->durable_entries, op->changes[i].name,
                  op->changes[i].inode);
}

static bool pending_touches(const struct pending *op, const struct inode *dir)
{
    for (size_t i = 0; i < op->count; i++) {
        if (op->changes[i].dir == dir)
            return true;
    }
    return false;
}

// The first pending rename between `dir` and another directory, NULL if there is none.
static struct inode *tied_to(const struct disk *disk, const struct inode *dir)
{
    for (struct pending *op = disk->pending; op; op = op->next) {
        if (op->count == 2 && op->changes[0].dir != op->changes[1].dir && pending_touches(op, dir))
            return op->changes[op->changes[0].dir == dir].dir;
    }
    return NULL;
}

void disk_sync_dir(struct disk *disk, struct inode *dir)
{
    struct inode *other = tied_to(disk, dir);
    struct pending **link = &disk->pending;
    // In the order they were made: with a tie, changes of both directories count as this one's.
    while (*link) {
        struct pending *op = *link;
        if (pending_touches(op, dir) || (other && pending_touches(op, other))) {
            pending_apply(disk, op);
            *link = op->next;
            pending_free(disk, op);
        } else {
            link = &op->next;
        }
    }
    disk->pending_tail = link;
}

// ------------------------------------------------------------------------------------------ files

void inode_read(const struct inode *inode, void *data, size_t size, size_t offset)
{
    copy_racy(data, inode->current->base + offset, size);
}

static void mark_dirty(struct inode *inode, size_t from, size_t to)
{
    bool clean = inode->dirty_from == inode->dirty_to;
    if (clean || from < inode->dirty_from)
        inode->dirty_from = from;
    if (clean || to > inode->dirty_to)
        inode->dirty_to = to;
}

void inode_write(struct inode *inode, const void *data, size_t size, size_t offset)
{
    copy_racy(inode->current->base + offset, data, size);
    mark_dirty(inode, offset, offset + size);
}

void inode_resize(struct inode *inode, size_t size)
{
    size_t old = inode->current->size;
    image_resize(inode->current, size);
    inode->behind = 0;
    mark_dirty(inode, size < old ? size : old, size < old ? old : size);
}

void inode_sync(struct inode *inode)
{
    size_t size = inode->current->size;
    size_t from = inode->mapped_writable ? 0 : inode->dirty_from;
    size_t to = inode->mapped_writable || inode->dirty_to > size ? size : inode->dirty_to;
    image_resize(inode->durable, size);
    if (from < to)
        copy_pages(inode->durable, inode->current, from, to - from);
    inode->dirty_from = inode->dirty_to = 0;
}

void inode_sync_range(struct inode *inode, size_t offset, size_t size)
{
    size_t end = round_up(offset + size);
    if (end > inode->current->size)
        end = inode->current->size;
    if (end <= offset)
        return;
    if (inode->durable->size < end)
        image_resize(inode->durable, end);
    copy_pages(inode->durable, inode->current, offset, end - offset);
}

uint64_t disk_used(const struct disk *disk)
{
    uint64_t used = 0;
    for (const struct inode *inode = disk->inodes; inode; inode = inode->next) {
        if (!inode->is_dir && (inode->links || inode->handles))
            used += round_up(inode->current->size) + inode->behind;
    }
    return used;
}

void disk_drop_behind(struct disk *disk)
{
    for (struct inode *inode = disk->inodes; inode; inode = inode->next)
        inode->behind = 0;
}

// ------------------------------------------------------------------------------------------ crash

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void disk_detach_mappings(struct disk *disk)
{
    for (struct inode *inode = disk->inodes; inode; inode = inode->next) {
        if (inode->is_dir || inode->current->refs == 1)
            continue;
        struct image *copy = image_clone(inode->current);
        image_unref(inode->current);
        inode->current = copy;
    }
}

// Lets some of the pages that differ reach the durable side, and the new length or not.
static void leak_pages(struct inode *inode, uint64_t *random)
{
    struct image *current = inode->current, *durable = inode->durable;
    if (current->size != durable->size && next_random(random) % 2)
        image_resize(durable, current->size);
    size_t size = current->size < durable->size ? current->size : durable->size;
    uint64_t chance = next_random(random) % 5; // of 4: from none of the pages to all
    for (size_t at = 0; at < size; at += DISK_PAGE) {
        if (same_racy(current->base + at, durable->base + at) || next_random(random) % 4 >= chance)
            continue;
        size_t part = size - at < DISK_PAGE ? size - at : DISK_PAGE;
        copy_racy(durable->base + at, current->base + at, part);
    }
}

static void make_current(struct disk *disk, struct inode *inode)
{
    if (inode->is_dir) {
        table_copy(disk, &inode->entries, &inode->durable_entries);
        return;
    }
    image_resize(inode->current, inode->durable->size);
    copy_pages(inode->current, inode->durable, 0, inode->durable->size);
    inode->dirty_from = inode->dirty_to = 0;
    inode->mapped_writable = false;
}

static void recount_links(struct disk *disk)
{
    for (struct inode *inode = disk->inodes; inode; inode = inode->next)
        inode->links = 0;
    for (struct inode *inode = disk->inodes; inode; inode = inode->next) {
        for (size_t i = 0; i < inode->entries.count; i++)
            inode->entries.entries[i].inode->links++;
    }
}

void disk_crash(struct disk *disk, uint64_t seed)
{
    uint64_t random = seed;
    disk_detach_mappings(disk);
    for (struct pending *op = disk->pending; seed && op; op = op->next) {
        if (next_random(&random) % 4 == 0)
            break;
        pending_apply(disk, op);
    }
    pending_drop_all(disk);
    for (struct inode *inode = disk->inodes; inode; inode = inode->next) {
        inode_ref(inode);
        if (seed && !inode->is_dir)
            leak_pages(inode, &random);
    }
    for (struct inode *inode = disk->inodes; inode; inode = inode->next)
        make_current(disk, inode);
    recount_links(disk);
    for (struct inode *inode = disk->inodes, *next; inode; inode = next) {
        // Dropping the last reference may free other inodes of the list too, `next` among them,
        // only if they hold no reference of their own; each still holds the one taken above.
        next = inode->next;
        inode_unref(disk, inode);
    }
}
