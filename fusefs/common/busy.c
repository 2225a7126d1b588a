// Who has a store, and whether they are about to let go of it.
//
// LOCK lists its holders, the kernel's list of locks those that are still there. A holder that has
// begun to close the store says so in LOCK. One that says it is mounted, but whose mount is in no
// namespace any more, is about to notice that: or it serves programs that were inside when it was
// detached, and may do so for long. So the first is waited for longer than the second. The same
// holds if the mount is left only in a namespace that has copied it: many do not live long.
//
// Thread-safe for distinct `busy`.
#include "common/busy.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/clock.h"
#include "common/mounts.h"
#include "common/say.h"
#include "common/store_place.h"
#include "lsm.h"

#define POLL_MS         20
#define SAY_AFTER_US    1000000u
#define CLOSING_US      60000000u // a flush to a slow disk
#define UNMOUNTED_US    5000000u
#define UNKNOWN_US      2000000u // between taking the lock and writing down who has it
#define HOLDERS_MAX     4096
#define LOCK_OWNERS_MAX 64

struct holder {
    long pid; // 0: none is known
    char note[1024];
};

// ------------------------------------------------------------------------------------- the holder

// The processes that have locked the file, by the kernel's list, as far as they can be seen.
static size_t lock_owners(const char *path, long owners[LOCK_OWNERS_MAX])
{
    struct stat st;
    FILE *f = stat(path, &st) ? NULL : fopen("/proc/locks", "re");
    if (!f)
        return 0;
    char line[256];
    size_t count = 0;
    while (count < LOCK_OWNERS_MAX && fgets(line, sizeof line, f)) {
        long pid;
        unsigned device_major, device_minor;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &device_major, &device_minor,
                   &inode) == 4 &&
            pid > 0 && inode == st.st_ino && device_major == major(st.st_dev) &&
            device_minor == minor(st.st_dev))
            owners[count++] = pid;
    }
    fclose(f);
    return count;
}

static bool is_holder(long pid, const long *owners, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (owners[i] == pid)
            return true;
    return count == 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
}

static void name_of_process(long pid, char *name, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/comm", pid);
    FILE *f = fopen(path, "re");
    if (!f || !fgets(name, (int)size, f))
        *name = 0;
    name[strcspn(name, "\n")] = 0;
    if (f)
        fclose(f);
}

// The first that is still there of those that LOCK lists; else one that only the kernel knows.
static void find_holder(const char *path, struct holder *holder)
{
    char text[HOLDERS_MAX];
    long owners[LOCK_OWNERS_MAX];
    size_t count = lock_owners(path, owners);
    FILE *f = fopen(path, "re");
    assert(count <= LOCK_OWNERS_MAX);
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    for (char *line = text, *note; *line; line = note) {
        holder->pid = strtol(line, &note, 10);
        if (holder->pid <= 0 || *note++ != '\n')
            break;
        size_t length = strcspn(note, "\n");
        snprintf(holder->note, sizeof holder->note, "%.*s", (int)length, note);
        if (is_holder(holder->pid, owners, count))
            return;
        note += length + (note[length] == '\n');
    }
    holder->pid = count ? owners[0] : 0;
    *holder->note = 0;
    if (holder->pid)
        name_of_process(holder->pid, holder->note, sizeof holder->note);
}

// ------------------------------------------------------------------------------------- judgement

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

// Where the store of a holder that says it is mounted is mounted, in words. Returns how long to
// wait for it.
static uint64_t judge_mount(const char *db, const struct holder *holder, char *text, size_t size)
{
    char *resolved = realpath(db, NULL);
    const char *mountpoint = holder->note + strlen(BUSY_MOUNTED);
    struct mount_info info;
    long pid = holder->pid;
    uint64_t patience = 0;
    if (resolved && mount_info_of_store(0, resolved, mountpoint, &info)) {
        snprintf(text, size, "mounted on %s", info.mountpoint);
    } else if (resolved && (mount_info_of_store(pid, resolved, mountpoint, &info) ||
                            mount_info_anywhere(resolved, mountpoint, &info, &pid))) {
        snprintf(text, size, "mounted on %s in another mount namespace, that of process %ld",
                 info.mountpoint, pid);
        patience = pid == holder->pid ? 0 : UNMOUNTED_US;
    } else {
        snprintf(text, size, "no longer %s, but serving programs inside", holder->note);
        patience = UNMOUNTED_US;
    }
    free(resolved);
    return patience;
}

// Of a store in a cluster, whose holder may be on another machine: what the failure says.
static uint64_t judge_remote(struct busy *busy)
{
    snprintf(busy->text, sizeof busy->text, "%s", lsm_error_detail());
    return strstr(busy->text, "(closing") || strstr(busy->text, "(failed: ") ? CLOSING_US : 0;
}

// How long to wait for the holder at most, and in busy->text what to say of it.
static uint64_t judge(struct busy *busy, const char *db)
{
    char path[PATH_MAX], where[PATH_MAX + 100];
    struct holder holder = {0};
    if (store_place_is_remote(db))
        return judge_remote(busy);
    snprintf(path, sizeof path, "%s/LOCK", db);
    find_holder(path, &holder);
    if (!holder.pid) {
        snprintf(busy->text, sizeof busy->text, "%s is in use by another process", path);
        return UNKNOWN_US;
    }
    uint64_t patience = 0;
    const char *what = holder.note;
    if (begins(holder.note, "closing") || begins(holder.note, "failed: ")) {
        patience = CLOSING_US;
    } else if (begins(holder.note, BUSY_MOUNTED)) {
        what = where;
        patience = judge_mount(db, &holder, where, sizeof where);
    }
    snprintf(busy->text, sizeof busy->text, "%s is in use by process %ld%s%s%s", path, holder.pid,
             *what ? " (" : "", what, *what ? ")" : "");
    assert(patience <= CLOSING_US);
    return patience;
}

bool busy_wait(struct busy *busy, const char *db)
{
    uint64_t now = clock_us();
    if (!busy->start_us)
        busy->start_us = now;
    uint64_t waited = now - busy->start_us;
    if (waited >= judge(busy, db))
        return false;
    if (waited >= SAY_AFTER_US && !busy->said) {
        say(busy->program, "%s: waiting until it is free", busy->text);
        busy->said = true;
    }
    struct pollfd stop = {.fd = busy->stop_fd, .events = POLLIN};
    return poll(&stop, 1, POLL_MS) <= 0;
}
