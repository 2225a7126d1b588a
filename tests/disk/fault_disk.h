// The disk under env_fault: inodes with current and durable bytes, directories with current and
// durable entries, and the list of directory changes that were not synced. Knows nothing of
// handles, injected failures or locks. Not synchronised: env_fault holds its lock around all calls,
// but mappings may be stored to meanwhile. Out of memory aborts the program: a simulation that
// lacks memory tests nothing.
#ifndef TESTS_DISK_FAULT_DISK_H
#define TESTS_DISK_FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_PAGE     ((size_t)4096)
#define DISK_FILE_MAX ((size_t)1 << 30)

// Bytes of a file at a fixed address, so that mappings stay valid while the file grows. Pages past
// the end cannot be touched: a store there faults, as it would on a real mapping.
struct image {
    char *base;
    size_t size;
    size_t accessible; // pages from the start: those of the file, and more while nothing is mapped
    unsigned refs;     // one by the inode, one by each mapping
};

struct dir_entry {
    char *name;
    struct inode *inode;
};

struct dir_table {
    struct dir_entry *entries;
    size_t count;
    size_t capacity;
};

struct inode {
    struct inode *next, *prev; // all inodes of the disk
    unsigned refs;             // entries (current, durable, pending), handles, locks
    unsigned links;            // current entries
    unsigned handles;          // open files: an unlinked one takes space until it is closed
    bool is_dir;
    bool mapped_writable;        // stores may come unseen: sync looks at every page
    size_t dirty_from, dirty_to; // bytes written since the last sync
    size_t behind;               // bytes taken behind the last page; resizing gives them back
    struct image *current;
    struct image *durable;
    struct dir_table entries; // of a directory
    struct dir_table durable_entries;
};

struct disk;

struct disk *disk_new(void);
void disk_free(struct disk *disk);
struct inode *disk_root(struct disk *disk);

struct inode *disk_inode_new(struct disk *disk, bool is_dir); // with one reference
void inode_ref(struct inode *inode);
void inode_unref(struct disk *disk, struct inode *inode);

void image_map(struct image *image); // a reference; from now on pages past the end fault
void image_unref(struct image *image);

// The inode at `path`, NULL if there is none. Borrowed.
struct inode *disk_lookup(struct disk *disk, const char *path);

// The directory that holds (or would hold) the last component of `path`, and that component,
// which points into `path`. NULL if the directory does not exist or `path` ends in a slash.
struct inode *disk_parent(struct disk *disk, const char *path, const char **ret_name);
struct inode *dir_get(const struct inode *dir, const char *name);

// One directory change: `name` in `dir` becomes `inode`, or is removed if that is NULL.
struct dir_change {
    struct inode *dir;
    const char *name;
    struct inode *inode;
};

// Makes up to two changes as one: both reach the disk or neither does.
void disk_change(struct disk *disk, const struct dir_change *changes, size_t count);

// Makes the entries of `dir` durable, with those of directories tied to it by a rename.
void disk_sync_dir(struct disk *disk, struct inode *dir);

void inode_read(const struct inode *inode, void *data, size_t size, size_t offset);
void inode_write(struct inode *inode, const void *data, size_t size, size_t offset); // in the file
void inode_resize(struct inode *inode, size_t size);
void inode_sync(struct inode *inode);
void inode_sync_range(struct inode *inode, size_t offset, size_t size);

// Bytes taken by all files that are linked or open, in whole pages, and behind their ends.
uint64_t disk_used(const struct disk *disk);
// Gives back what is behind the ends of all files.
void disk_drop_behind(struct disk *disk);

// Cuts all mappings off: later stores into them are not seen by the files.
void disk_detach_mappings(struct disk *disk);

// What was not synced is lost; with `seed` != 0 all but a random part of it.
void disk_crash(struct disk *disk, uint64_t seed);

#endif
