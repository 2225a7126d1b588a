// The simulated disk as an env: handles, locks, the count of calls and what is made to fail.
//
// Every call that can fail passes enter(), which counts it and decides whether it fails. Handles,
// mappings and locks carry the generation they were made in; a power cut or kill begins a new one,
// and those of the old only fail. See fault_disk.c for what is on the disk.
//
// Thread safety: one mutex around everything; list callbacks run outside of it.
#include "disk/env_fault_internal.h"

#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "disk/env_gather.h"
#include "disk/fault_disk.h"

#define DISK_SECTOR     512u
#define UNLIMITED_BYTES ((uint64_t)1 << 40)

struct fault_file {
    struct env_file base;
    struct fault *fault;
    struct inode *inode;
    uint64_t generation;
    bool writable;
};

struct env_lock {
    struct env_lock *next;
    struct inode *inode;
    bool shared;
    bool held; // the lock is held, and in the list
    char note[128];
};

static const struct env_ops fault_ops;

// `name` as a path from the root; the simulation has no directories that move. Static storage of
// the thread, two in turn.
static _Thread_local char paths[2][PATH_MAX];

static const char *full(const struct env *env, const char *name)
{
    static _Thread_local unsigned turn;
    if (!env->path)
        return name;
    char *path = paths[turn++ % 2];
    env_full_name(env, name, path, PATH_MAX);
    return path;
}

static struct fault_file *file_of(struct env_file *file)
{
    return (struct fault_file *)file;
}

// Takes the mutex, counts the call, and says whether it fails.
static int enter(struct fault *fault, const char *what, const char *path)
{
    pthread_mutex_lock(&fault->mutex);
    env_fault_call_fn *call_fn = fault->call_fn;
    void *call_arg = fault->call_arg;
    if (call_fn) {
        char kept[sizeof paths]; // names that this call has yet to use
        pthread_mutex_unlock(&fault->mutex);
        memcpy(kept, paths, sizeof paths);
        call_fn(call_arg, what, path);
        memcpy(paths, kept, sizeof paths);
        pthread_mutex_lock(&fault->mutex);
    }
    uint64_t call = ++fault->calls;
    if (fault->cut_at && call >= fault->cut_at && !fault->down) {
        fault->down = true;
        disk_detach_mappings(fault->disk);
    }
    if (fault->down)
        return status_fail(LSM_IO_ERROR, "%s %s: the power is off", what, path);
    if (status_is_passing(fault->fail_status) &&
        (!strcmp(what, "sync") || !strcmp(what, "truncate")))
        return 0; // these calls never fail in a way that passes (env.h)
    if (fault->fail_at && (call == fault->fail_at || (call > fault->fail_at && fault->fail_sticky)))
        return status_fail(fault->fail_status, "%s %s: injected failure of call %" PRIu64, what,
                           path, call);
    return 0;
}

// The same for a call that may take space.
static int enter_space(struct fault *fault, const char *what, const char *path)
{
    int rc = enter(fault, what, path);
    uint64_t call = ++fault->space_calls;
    if (!rc && fault->full_at &&
        (call == fault->full_at || (call > fault->full_at && fault->full_sticky)))
        rc = status_fail(LSM_NO_SPACE, "%s %s: No space left on device (call %" PRIu64 ")", what,
                         path, call);
    return rc;
}

static int leave(struct fault *fault, int rc)
{
    pthread_mutex_unlock(&fault->mutex);
    return rc;
}

// Whether the handle is of this generation; `rc` is the result so far.
static int check_handle(const struct fault_file *file, const char *what, int rc)
{
    if (!rc && file->generation != file->fault->generation)
        rc = status_fail(LSM_IO_ERROR, "%s %s: opened before the power cut", what, file->base.path);
    return rc;
}

static int enter_file(struct fault_file *file, const char *what)
{
    return check_handle(file, what, enter(file->fault, what, file->base.path));
}

static int enter_file_space(struct fault_file *file, const char *what)
{
    return check_handle(file, what, enter_space(file->fault, what, file->base.path));
}

static int not_found(const char *what, const char *path)
{
    return status_fail(LSM_NOT_FOUND, "%s %s: No such file or directory", what, path);
}

static uint64_t whole_pages(uint64_t size)
{
    return (size + DISK_PAGE - 1) & ~(uint64_t)(DISK_PAGE - 1);
}

static uint64_t next_random(struct fault *fault)
{
    fault->random = fault->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return fault->random >> 33;
}

// --------------------------------------------------------------------------------------
// directories

// Finds where `path` would be linked; LSM_EXISTS if something is there and `fresh` is wanted.
static int find_place(struct fault *fault, const char *what, const char *path, bool fresh,
                      struct dir_change *ret_place)
{
    const char *name;
    struct inode *dir = disk_parent(fault->disk, path, &name);
    if (!dir || !dir->is_dir)
        return not_found(what, path);
    struct inode *inode = dir_get(dir, name);
    if (fresh && inode)
        return status_fail(LSM_EXISTS, "%s %s: File exists", what, path);
    *ret_place = (struct dir_change){dir, name, inode};
    return 0;
}

// The file at `path`, made if it is absent. One reference for the caller.
static int open_or_create(struct fault *fault, const char *path, int flags,
                          struct inode **ret_inode)
{
    struct dir_change place;
    int rc = find_place(fault, "open", path, (flags & ENV_EXCL) != 0, &place);
    if (rc)
        return rc;
    if (place.inode) {
        if (place.inode->is_dir && flags & ENV_WRITE)
            return status_fail(LSM_IO_ERROR, "open %s: Is a directory", path);
        inode_ref(place.inode);
    } else if (flags & ENV_CREATE) {
        place.inode = disk_inode_new(fault->disk, false);
        disk_change(fault->disk, &place, 1);
    } else {
        return not_found("open", path);
    }
    if (flags & ENV_TRUNCATE)
        inode_resize(place.inode, 0);
    *ret_inode = place.inode;
    return 0;
}

static int fault_open(struct env *env, const char *path, int flags, struct env_file **ret_file)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    struct fault_file *file = calloc(1, sizeof(*file));
    char *copy = strdup(path);
    if (!file || !copy) {
        free(copy);
        free(file);
        return status_no_memory(sizeof(*file));
    }
    int rc = flags & ENV_CREATE ? enter_space(fault, "open", path) : enter(fault, "open", path);
    if (!rc)
        rc = open_or_create(fault, path, flags, &file->inode);
    if (rc) {
        free(copy);
        free(file);
        return leave(fault, rc);
    }
    file->base.ops = &fault_ops;
    file->base.path = copy;
    file->fault = fault;
    file->generation = fault->generation;
    file->writable = (flags & ENV_WRITE) != 0;
    file->inode->handles++;
    *ret_file = &file->base;
    return leave(fault, 0);
}

static int fault_open_dir(struct env *env, const char *path, struct env **ret_dir)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "open", path);
    const struct inode *inode = rc ? NULL : disk_lookup(fault->disk, path);
    if (!rc && !inode)
        rc = not_found("open", path);
    if (!rc && !inode->is_dir)
        rc = status_fail(LSM_NOT_A_STORE, "%s: not a directory", path);
    struct fault_dir *dir = rc ? NULL : calloc(1, sizeof(*dir));
    char *copy = dir ? strdup(path) : NULL;
    if (!copy) {
        free(dir);
        return leave(fault, rc ? rc : status_no_memory(sizeof(*dir)));
    }
    // A test may have replaced the calls of `env`: they go on to its directories.
    dir->base = (struct env){.ops = env->ops, .path = copy};
    dir->fault = fault;
    *ret_dir = &dir->base;
    return leave(fault, 0);
}

static void fault_close_dir(struct env *env)
{
    if (!env)
        return;
    free((char *)env->path);
    free((struct fault_dir *)env);
}

static int fault_check_dir(struct env *env)
{
    struct fault *fault = fault_of(env);
    const char *path = full(env, ENV_HERE);
    int rc = enter(fault, "stat", path);
    if (!rc && !disk_lookup(fault->disk, path))
        rc = status_fail(LSM_NOT_FOUND, "%s was removed while it was in use", env->path);
    return leave(fault, rc);
}

static int fault_stat(struct env *env, const char *path, struct env_stat *ret_stat)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "stat", path);
    if (rc)
        return leave(fault, rc);
    const struct inode *inode = disk_lookup(fault->disk, path);
    if (!inode)
        return leave(fault, not_found("stat", path));
    *ret_stat = (struct env_stat){.is_dir = inode->is_dir};
    ret_stat->size = inode->is_dir ? DISK_PAGE : inode->current->size;
    ret_stat->allocated_bytes = whole_pages(ret_stat->size) + inode->behind;
    return leave(fault, 0);
}

static int remove_entry(struct fault *fault, const char *what, const char *path, bool want_dir)
{
    struct dir_change place;
    int rc = find_place(fault, what, path, false, &place);
    if (rc)
        return rc;
    if (!place.inode)
        return not_found(what, path);
    if (place.inode->is_dir != want_dir)
        return status_fail(LSM_IO_ERROR, "%s %s: wrong type of file", what, path);
    if (place.inode->entries.count)
        return status_fail(LSM_IO_ERROR, "%s %s: Directory not empty", what, path);
    place.inode = NULL;
    disk_change(fault->disk, &place, 1);
    return 0;
}

static int fault_unlink(struct env *env, const char *path)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "unlink", path);
    return leave(fault, rc ? rc : remove_entry(fault, "unlink", path, false));
}

static int fault_rmdir(struct env *env, const char *path)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "rmdir", path);
    return leave(fault, rc ? rc : remove_entry(fault, "rmdir", path, true));
}

static int move_entry(struct fault *fault, const char *from, const char *to)
{
    struct dir_change changes[2]; // the new name, the old name
    int rc = find_place(fault, "rename", from, false, &changes[1]);
    if (!rc)
        rc = find_place(fault, "rename", to, false, &changes[0]);
    if (rc)
        return rc;
    if (!changes[1].inode)
        return not_found("rename", from);
    if (changes[0].inode == changes[1].inode)
        return 0;
    if (changes[0].inode && (changes[0].inode->is_dir || changes[1].inode->is_dir))
        return status_fail(LSM_IO_ERROR, "rename %s: %s is in the way", from, to);
    changes[0].inode = changes[1].inode;
    changes[1].inode = NULL;
    disk_change(fault->disk, changes, 2);
    return 0;
}

static int fault_rename(struct env *env, const char *from, const char *to)
{
    struct fault *fault = fault_of(env);
    from = full(env, from);
    to = full(env, to);
    int rc = enter_space(fault, "rename", from);
    return leave(fault, rc ? rc : move_entry(fault, from, to));
}

static int link_entry(struct fault *fault, const char *from, const char *to)
{
    struct dir_change place;
    struct inode *inode = disk_lookup(fault->disk, from);
    if (!inode)
        return not_found("link", from);
    if (inode->is_dir)
        return status_fail(LSM_PERMISSION, "link %s: is a directory", from);
    int rc = find_place(fault, "link", to, true, &place);
    if (rc)
        return rc;
    place.inode = inode;
    disk_change(fault->disk, &place, 1);
    return 0;
}

static int fault_link(struct env *env, const char *from, struct env *to_dir, const char *to)
{
    struct fault *fault = fault_of(env);
    from = full(env, from);
    to = full(to_dir, to);
    int rc = enter_space(fault, "link", to);
    return leave(fault, rc ? rc : link_entry(fault, from, to));
}

static int fault_mkdir(struct env *env, const char *path)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    struct dir_change place;
    int rc = enter_space(fault, "mkdir", path);
    if (!rc && disk_lookup(fault->disk, path))
        rc = status_fail(LSM_EXISTS, "mkdir %s: File exists", path);
    if (!rc)
        rc = find_place(fault, "mkdir", path, true, &place);
    if (!rc) {
        place.inode = disk_inode_new(fault->disk, true);
        disk_change(fault->disk, &place, 1);
        inode_unref(fault->disk, place.inode);
    }
    return leave(fault, rc);
}

static int fault_list(struct env *env, const char *path, env_list_fn *fn, void *arg)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    char **names = NULL;
    size_t count = 0;
    int rc = enter(fault, "list", path);
    const struct inode *dir = rc ? NULL : disk_lookup(fault->disk, path);
    if (!rc && (!dir || !dir->is_dir))
        rc = not_found("list", path);
    if (!rc && dir->entries.count) {
        names = calloc(dir->entries.count, sizeof(*names));
        if (!names)
            rc = status_no_memory(dir->entries.count * sizeof(*names));
    }
    for (; !rc && count < dir->entries.count; count++) {
        names[count] = strdup(dir->entries.entries[count].name);
        if (!names[count])
            rc = status_no_memory(1);
    }
    leave(fault, 0);
    for (size_t i = 0; i < count; i++) {
        if (!rc)
            rc = fn(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int fault_sync_dir(struct env *env, const char *path)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "sync", path);
    struct inode *dir = rc ? NULL : disk_lookup(fault->disk, path);
    if (!rc && (!dir || !dir->is_dir))
        rc = not_found("sync", path);
    if (!rc)
        disk_sync_dir(fault->disk, dir);
    return leave(fault, rc);
}

static void fault_limits(struct env *env, uint64_t *ret_files, uint64_t *ret_file_size)
{
    (void)env;
    *ret_files = *ret_file_size = UINT64_MAX;
}

static int fault_space(struct env *env, const char *path, uint64_t *ret_free, uint64_t *ret_total)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    int rc = enter(fault, "statfs", path);
    if (!rc && !disk_lookup(fault->disk, path))
        rc = not_found("statfs", path);
    if (!rc) {
        uint64_t total = fault->limit ? fault->limit : UNLIMITED_BYTES;
        uint64_t used = disk_used(fault->disk);
        *ret_total = total;
        *ret_free = used < total ? total - used : 0;
    }
    return leave(fault, rc);
}

// ----------------------------------------------------------------------------- a slow, frozen disk

static bool has_suffix(const char *path, const char *suffix)
{
    size_t size = strlen(suffix), length = strlen(path);
    return size && length >= size && memcmp(path + length - size, suffix, size) == 0;
}

// Waits while calls for which `suffix` (of the fault) stands are held; mutex held.
static void wait_while_held(struct fault *fault, const char *path, const char *suffix)
{
    fault->held++;
    while (has_suffix(path, suffix))
        pthread_cond_wait(&fault->hold_changed, &fault->mutex);
    fault->held--;
}

// ------------------------------------------------------------------------------------------- locks

// The simulated lock file names the last holder only.
static void describe_lock(struct env_lock *lock, const char *note)
{
    char text[160];
    snprintf(lock->note, sizeof(lock->note), "%.100s", note ? note : "");
    int size = snprintf(text, sizeof(text), "%ld\n%.100s\n", (long)getpid(), lock->note);
    inode_resize(lock->inode, (size_t)size);
    inode_write(lock->inode, text, (size_t)size, 0);
}

static int take_lock(struct fault *fault, const char *path, const char *note, struct env_lock *lock)
{
    struct inode *inode;
    int rc = open_or_create(fault, path, ENV_WRITE | ENV_CREATE, &inode);
    if (rc)
        return rc;
    for (const struct env_lock *other = fault->locks; other; other = other->next) {
        if (other->inode != inode || (other->shared && lock->shared))
            continue;
        inode_unref(fault->disk, inode);
        bool named = *other->note;
        return status_fail(LSM_BUSY, "%s is in use by process %ld%s%s%s", path, (long)getpid(),
                           named ? " (" : "", other->note, named ? ")" : "");
    }
    lock->inode = inode;
    lock->held = true;
    lock->next = fault->locks;
    fault->locks = lock;
    describe_lock(lock, note);
    return 0;
}

static int fault_lock(struct env *env, const char *path, bool shared, const char *note,
                      struct env_lock **ret_lock)
{
    struct fault *fault = fault_of(env);
    path = full(env, path);
    struct env_lock *lock = calloc(1, sizeof(*lock));
    if (!lock)
        return status_no_memory(sizeof(*lock));
    lock->shared = shared;
    int rc = enter(fault, "lock", path);
    if (!rc)
        rc = take_lock(fault, path, note, lock);
    if (rc)
        free(lock);
    else
        *ret_lock = lock;
    return leave(fault, rc);
}

static void fault_lock_note(struct env *env, struct env_lock *lock, const char *note)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    wait_while_held(fault, "LOCK", fault->frozen);
    if (lock->held)
        describe_lock(lock, note);
    leave(fault, 0);
}

static void drop_lock(struct fault *fault, struct env_lock *lock)
{
    struct env_lock **link = &fault->locks;
    while (*link != lock)
        link = &(*link)->next;
    *link = lock->next;
    lock->held = false;
    inode_unref(fault->disk, lock->inode);
}

static void fault_unlock(struct env *env, struct env_lock *lock)
{
    struct fault *fault = fault_of(env);
    if (!lock)
        return;
    pthread_mutex_lock(&fault->mutex);
    if (lock->held)
        drop_lock(fault, lock);
    leave(fault, 0);
    free(lock);
}

// ------------------------------------------------------------------------------------------- files

static int fault_pread(struct env_file *base, void *data, size_t size, uint64_t offset,
                       size_t *ret_size)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file(file, "read");
    wait_while_held(file->fault, file->base.path, file->fault->hold);
    if (!rc) {
        uint64_t end = file->inode->current->size;
        size_t n = offset >= end ? 0 : end - offset < size ? (size_t)(end - offset) : size;
        if (n)
            inode_read(file->inode, data, n, (size_t)offset);
        *ret_size = n;
    }
    return leave(file->fault, rc);
}

static uint64_t space_left(const struct fault *fault)
{
    uint64_t used = disk_used(fault->disk);
    uint64_t limit = fault->limit ? fault->limit : UNLIMITED_BYTES;
    return used < limit ? (limit - used) & ~(uint64_t)(DISK_PAGE - 1) : 0;
}

// How long the file can be made.
static uint64_t room_for(const struct fault_file *file)
{
    const struct inode *inode = file->inode;
    uint64_t room = whole_pages(inode->current->size) + inode->behind + space_left(file->fault);
    return room < DISK_FILE_MAX ? room : DISK_FILE_MAX;
}

// After the file has grown within what it had, or beyond: what it has behind its new end.
static void allocate_behind(struct fault_file *file, uint64_t had)
{
    struct inode *inode = file->inode;
    uint64_t end = whole_pages(inode->current->size), left = space_left(file->fault);
    inode->behind = had > end ? (size_t)(had - end) : (size_t)(end < left ? end : left);
}

// Makes the file at least `end` bytes, or as long as the disk has room for; *ret_size gets which.
static int grow(struct fault_file *file, uint64_t end, uint64_t *ret_size)
{
    struct inode *inode = file->inode;
    struct fault *fault = file->fault;
    uint64_t size = inode->current->size;
    int rc = 0;
    if (end > size) {
        uint64_t had = whole_pages(size) + inode->behind, room = room_for(file);
        if (end > room) {
            disk_drop_behind(fault->disk);
            had = whole_pages(size);
            room = room_for(file);
        }
        if (end > room) {
            rc = status_fail(LSM_NO_SPACE, "write %s: No space left on device", file->base.path);
            end = room;
        }
        if (end > size)
            inode_resize(inode, (size_t)end);
        if (end > size && fault->allocates_behind)
            allocate_behind(file, had);
    }
    *ret_size = inode->current->size;
    return rc;
}

static int write_allowed(const struct fault_file *file)
{
    if (file->writable)
        return 0;
    return status_fail(LSM_IO_ERROR, "write %s: opened for reading", file->base.path);
}

static int write_some(struct fault_file *file, const void *data, size_t size, uint64_t offset)
{
    uint64_t end;
    int rc = write_allowed(file);
    if (rc || size == 0)
        return rc;
    rc = grow(file, offset + size, &end);
    size_t n = offset >= end ? 0 : end - offset < size ? (size_t)(end - offset) : size;
    if (n)
        inode_write(file->inode, data, n, (size_t)offset);
    return rc;
}

static int fault_pwrite(struct env_file *base, const void *data, size_t size, uint64_t offset)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file_space(file, "write");
    wait_while_held(file->fault, file->base.path, file->fault->frozen);
    if (!rc)
        return leave(file->fault, write_some(file, data, size, offset));
    // A failing write may have written a part, in whole sectors: neither the page cache nor a disk
    // tears a sector. When the power is off, nothing is written any more.
    if (!file->fault->down && file->generation == file->fault->generation && size) {
        char detail[STATUS_DETAIL_MAX];
        snprintf(detail, sizeof(detail), "%s", lsm_error_detail());
        uint64_t torn = (offset + next_random(file->fault) % size) & ~(uint64_t)(DISK_SECTOR - 1);
        if (torn > offset)
            (void)write_some(file, data, (size_t)(torn - offset), offset);
        rc = status_fail(rc, "%s", detail);
    }
    return leave(file->fault, rc);
}

static int fault_sync(struct env_file *base)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file(file, "sync");
    wait_while_held(file->fault, file->base.path, file->fault->frozen);
    if (!rc)
        inode_sync(file->inode);
    return leave(file->fault, rc);
}

static int fault_truncate(struct env_file *base, uint64_t size)
{
    struct fault_file *file = file_of(base);
    uint64_t end;
    int rc = enter_file(file, "truncate");
    if (!rc)
        rc = write_allowed(file);
    if (!rc && size > file->inode->current->size)
        rc = grow(file, size, &end);
    else if (!rc)
        inode_resize(file->inode, (size_t)size);
    file->inode->behind = 0;
    return leave(file->fault, rc);
}

static int fault_allocate(struct env_file *base, uint64_t offset, uint64_t size)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file_space(file, "allocate");
    if (!rc)
        rc = write_allowed(file);
    if (!rc) {
        uint64_t before = file->inode->current->size, end;
        rc = grow(file, offset + size, &end);
        if (rc)
            inode_resize(file->inode, (size_t)before);
        file->inode->behind = 0; // only writing takes more than what is asked for
    }
    return leave(file->fault, rc);
}

static int fault_size(struct env_file *base, uint64_t *ret_size)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file(file, "stat");
    if (!rc)
        *ret_size = file->inode->current->size;
    return leave(file->fault, rc);
}

static int fault_map(struct env_file *base, uint64_t offset, size_t size, bool writable,
                     void **ret_addr)
{
    struct fault_file *file = file_of(base);
    struct mapping *mapping = malloc(sizeof(*mapping));
    if (!mapping)
        return status_no_memory(sizeof(*mapping));
    int rc = enter_file(file, "map");
    if (!rc && writable)
        rc = write_allowed(file);
    if (!rc && (size == 0 || offset % DISK_PAGE || offset > DISK_FILE_MAX ||
                size > DISK_FILE_MAX - offset))
        rc = status_fail(LSM_IO_ERROR, "map %s: Invalid argument", base->path);
    if (rc) {
        free(mapping);
        return leave(file->fault, rc);
    }
    struct inode *inode = file->inode;
    inode->mapped_writable |= writable;
    image_map(inode->current);
    mapping->image = inode->current;
    mapping->addr = inode->current->base + offset;
    mapping->size = size;
    mapping->next = file->fault->mappings;
    file->fault->mappings = mapping;
    *ret_addr = mapping->addr;
    return leave(file->fault, 0);
}

static void fault_unmap(struct env_file *base, void *addr, size_t size)
{
    struct fault *fault = file_of(base)->fault;
    pthread_mutex_lock(&fault->mutex);
    struct mapping **link = &fault->mappings;
    while (*link && ((*link)->addr != (char *)addr || (*link)->size != size))
        link = &(*link)->next;
    struct mapping *mapping = *link;
    if (!mapping)
        abort(); // the caller unmaps what it has not mapped
    *link = mapping->next;
    image_unref(mapping->image);
    free(mapping);
    leave(fault, 0);
}

static int fault_msync(struct env_file *base, void *addr, size_t size)
{
    struct fault_file *file = file_of(base);
    int rc = enter_file(file, "sync");
    if (!rc)
        inode_sync_range(file->inode, (size_t)((char *)addr - file->inode->current->base), size);
    return leave(file->fault, rc);
}

static void fault_advise_map(struct env_file *file, void *addr, size_t size, enum env_advice advice)
{
    (void)file, (void)addr, (void)size, (void)advice;
}

static void fault_advise(struct env_file *base, uint64_t offset, uint64_t size,
                         enum env_advice advice)
{
    struct fault *fault = file_of(base)->fault;
    (void)offset;
    if (advice != ENV_ADVISE_WRITE_OUT)
        return;
    pthread_mutex_lock(&fault->mutex);
    fault->written_out += size;
    pthread_mutex_unlock(&fault->mutex);
}

static int fault_close(struct env_file *base)
{
    struct fault_file *file = file_of(base);
    struct fault *fault = file->fault;
    int rc = enter_file(file, "close");
    if (file->writable)
        file->inode->behind = 0;
    file->inode->handles--;
    inode_unref(fault->disk, file->inode);
    leave(fault, 0);
    free(base->path);
    free(file);
    return rc;
}

static const struct env_ops fault_ops = {
    .open_dir = fault_open_dir,
    .close_dir = fault_close_dir,
    .check_dir = fault_check_dir,
    .open = fault_open,
    .stat = fault_stat,
    .unlink = fault_unlink,
    .rename = fault_rename,
    .link = fault_link,
    .mkdir = fault_mkdir,
    .rmdir = fault_rmdir,
    .list = fault_list,
    .sync_dir = fault_sync_dir,
    .lock = fault_lock,
    .lock_note = fault_lock_note,
    .unlock = fault_unlock,
    .limits = fault_limits,
    .space = fault_space,
    .pread = fault_pread,
    .pwrite = fault_pwrite,
    .preadv = env_gather_preadv,
    .pwritev = env_gather_pwritev,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .allocate = fault_allocate,
    .size = fault_size,
    .map = fault_map,
    .unmap = fault_unmap,
    .msync = fault_msync,
    .advise_map = fault_advise_map,
    .advise = fault_advise,
    .close = fault_close,
};

// ----------------------------------------------------------------------------------------- control

struct env *env_fault_new(void)
{
    struct fault *fault = calloc(1, sizeof(*fault));
    if (!fault)
        return NULL;
    fault->base.ops = &fault_ops;
    pthread_mutex_init(&fault->mutex, NULL);
    pthread_cond_init(&fault->hold_changed, NULL);
    fault->disk = disk_new();
    fault->random = 1;
    return &fault->base;
}

void env_fault_free(struct env *env)
{
    if (!env)
        return;
    struct fault *fault = fault_of(env);
    disk_free(fault->disk);
    pthread_cond_destroy(&fault->hold_changed);
    pthread_mutex_destroy(&fault->mutex);
    free(fault);
}

// A new generation: nothing that is open works on.
static void restart(struct fault *fault)
{
    fault->generation++;
    fault->fail_at = 0;
    fault->full_at = 0;
    fault->cut_at = 0;
    fault->down = false;
    disk_drop_behind(fault->disk);
    while (fault->locks)
        drop_lock(fault, fault->locks);
}

void env_fault_power_cut(struct env *env, uint64_t seed)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    restart(fault);
    disk_crash(fault->disk, seed);
    leave(fault, 0);
}

void env_fault_kill(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    restart(fault);
    disk_detach_mappings(fault->disk);
    leave(fault, 0);
}

int env_fault_flip(struct env *env, const char *path, uint64_t offset, unsigned bit)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    struct inode *inode = disk_lookup(fault->disk, path);
    if (!inode || inode->is_dir)
        return leave(fault, not_found("flip", path));
    if (offset >= inode->current->size || bit > 7)
        return leave(fault, status_fail(LSM_INVALID, "flip %s: no such bit", path));
    inode->current->base[offset] ^= (char)(1u << bit);
    if (offset < inode->durable->size)
        inode->durable->base[offset] ^= (char)(1u << bit);
    return leave(fault, 0);
}
