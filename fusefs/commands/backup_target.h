// The directory of a backup (docs/format.md, section 9): its lock, its generations, and the pool of
// files that these share.
#ifndef COMMANDS_BACKUP_TARGET_H
#define COMMANDS_BACKUP_TARGET_H

#include "commands/backup_format.h"
#include "commands/command.h"

#define POOL_NAME_MAX (GENERATION_NAME_MAX + 1 + 2 * HASH128_SIZE)

struct backup {
    struct ctl *ctl;
    const char *path;  // where it is
    const char *shown; // as it was given
    int dir, lock;     // the rest are directories in it
    int files, generations, temporary;
};

enum backup_mode {
    BACKUP_READ,   // beside others that read
    BACKUP_CHANGE, // alone
    BACKUP_CREATE  // alone, and made if there is nothing
};

// Opens the backup in directory `path` and takes its lock; with BACKUP_CHANGE and BACKUP_CREATE
// what an interrupted command has left half written is removed. False, with a message: failed.
// Both strings have to stay until it is closed.
bool backup_open(struct ctl *ctl, const char *path, const char *shown, enum backup_mode mode,
                 struct backup *ret_backup);
void backup_close(struct backup *backup);
// Cuts "@NUMBER" off the end of a path, unless only the whole is there; false: there is none,
// *ret_number is 0.
bool backup_parse(char *path, uint64_t *ret_number);
// A message: `name` in the backup's directory, and errno in words. Returns false.
bool backup_failed(const struct backup *backup, const char *name);

// Makes what was renamed into a directory durable. False, with a message.
bool backup_sync(const struct backup *backup, int dir);

// ---- generations

// Numbers of all, ascending; freed by the caller. False, with a message.
bool backup_numbers(const struct backup *backup, uint64_t **ret_numbers, size_t *ret_count);
// Reads one; `bytes` holds what it points to. False, with a message: absent, or damaged.
bool backup_read(const struct backup *backup, uint64_t number, struct buf *bytes,
                 struct generation *ret_generation);
// All that can be read, by rising number. False, with messages: not all can be read.
struct generation_set {
    struct loaded_generation {
        struct buf bytes;
        struct generation generation;
    } * at;
    size_t count;
};
bool backup_read_all(const struct backup *backup, struct generation_set *ret_set);
void generation_set_release(struct generation_set *set);
// Writes the generation into the backup, durably. False, with a message: the backup has it not.
bool backup_commit(const struct backup *backup, const struct generation *generation);
bool backup_remove(const struct backup *backup, uint64_t number); // durably. False, with a message

// ---- the pool

struct backup_pool_file {
    char name[POOL_NAME_MAX + 1];
    uint64_t size;
    int64_t modified_ns;
    unsigned needed; // how many generations there are that need it
};

struct backup_pool {
    struct backup_pool_file *files; // ascending by name
    size_t count, capacity;
};

void backup_pool_name(const struct generation_file *file, char ret_name[POOL_NAME_MAX + 1]);
bool backup_pool_scan(const struct backup *backup,
                      struct backup_pool *ret_pool); // false, with a message
void backup_pool_release(struct backup_pool *pool);
struct backup_pool_file *backup_pool_find(const struct backup_pool *pool,
                                          const char *name); // NULL: there is none
// The files that were called `name` in the store: index of the first, and how many there are.
size_t backup_pool_find_all(const struct backup_pool *pool, const char *name, size_t *ret_first);
// Counts in for each file how many of the generations need it.
void backup_pool_count(const struct generation_set *set, struct backup_pool *pool);
// Removes the files that no generation needs. False, with a message: nothing, or not all, is gone.
bool backup_pool_free_unneeded(const struct backup *backup);

#endif
