// /proc/PID/mountinfo, read line by line:
//   ID PARENT MAJOR:MINOR ROOT MOUNTPOINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS
// The last options are those of the file system.
//
// Thread-safe: no state. What cannot be read counts as empty.
#include "common/mounts.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define NAMESPACES_MAX 256

// Undoes the kernel's \ooo in place.
static void unescape(char *text)
{
    char *out = text;
    for (const char *p = text; *p;) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
            *out++ = (char)((p[1] - '0') << 6 | (p[2] - '0') << 3 | (p[3] - '0'));
            p += 4;
        } else {
            *out++ = *p++;
        }
    }
    *out = 0;
}

static bool parse_mount(char *line, struct mount_info *ret_info)
{
    char *fields[5], *save = NULL;
    char *p = strtok_r(line, " ", &save);
    for (size_t i = 0; i < 5; i++, p = strtok_r(NULL, " ", &save)) {
        if (!p)
            return false;
        fields[i] = p;
    }
    while (p && strcmp(p, "-") != 0)
        p = strtok_r(NULL, " ", &save);
    char *type = strtok_r(NULL, " ", &save);
    char *source = strtok_r(NULL, " ", &save);
    const char *options = strtok_r(NULL, " ", &save); // of the file system, not of this mount
    if (!p || !type || !source)
        return false;
    ret_info->is_read_only =
        options && (strcmp(options, "ro") == 0 || strncmp(options, "ro,", 3) == 0);
    unescape(fields[3]);
    unescape(fields[4]);
    unescape(source);
    snprintf(ret_info->device, sizeof ret_info->device, "%s", fields[2]);
    snprintf(ret_info->type, sizeof ret_info->type, "%s", type);
    snprintf(ret_info->source, sizeof ret_info->source, "%s", source);
    snprintf(ret_info->root, sizeof ret_info->root, "%s", fields[3]);
    snprintf(ret_info->mountpoint, sizeof ret_info->mountpoint, "%s", fields[4]);
    return true;
}

typedef bool match_fn(void *arg, const struct mount_info *info);

// The last line that matches: later lines are mounted over earlier ones.
static bool find_in(const char *list, match_fn *match, void *arg, struct mount_info *ret_info)
{
    FILE *f = fopen(list, "re");
    if (!f)
        return false;
    char *line = NULL;
    size_t size = 0;
    bool found = false;
    struct mount_info info;
    while (getline(&line, &size, f) > 0) {
        line[strcspn(line, "\n")] = 0;
        if (!parse_mount(line, &info) || !match(arg, &info))
            continue;
        *ret_info = info;
        found = true;
    }
    free(line);
    fclose(f);
    return found;
}

static bool is_at(void *arg, const struct mount_info *info)
{
    return strcmp(info->mountpoint, arg) == 0;
}

bool mount_info_find(const char *mountpoint, struct mount_info *ret_info)
{
    return find_in("/proc/self/mountinfo", is_at, (char *)(uintptr_t)mountpoint, ret_info);
}

struct store_mount {
    const char *db, *reader; // reader: where a read-only mount counts
};

static bool is_of_store(void *arg, const struct mount_info *info)
{
    const struct store_mount *wanted = arg;
    return strcmp(info->type, LSMFS_TYPE) == 0 && strcmp(info->source, wanted->db) == 0 &&
           (!info->is_read_only ||
            (wanted->reader && strcmp(info->mountpoint, wanted->reader) == 0));
}

bool mount_info_of_store(long pid, const char *db, const char *reader, struct mount_info *ret_info)
{
    char list[64] = "/proc/self/mountinfo";
    struct store_mount wanted = {.db = db, .reader = reader};
    if (pid)
        snprintf(list, sizeof list, "/proc/%ld/mountinfo", pid);
    return find_in(list, is_of_store, &wanted, ret_info);
}

struct wanted {
    const char *path, *device;
    size_t longest; // of the mount points that match
};

static bool is_around(void *arg, const struct mount_info *info)
{
    struct wanted *wanted = arg;
    size_t size = strcmp(info->mountpoint, "/") == 0 ? 0 : strlen(info->mountpoint);
    if (strcmp(info->type, LSMFS_TYPE) != 0 || strcmp(info->device, wanted->device) != 0 ||
        strncmp(info->mountpoint, wanted->path, size) != 0 ||
        (wanted->path[size] && wanted->path[size] != '/') || size < wanted->longest)
        return false;
    wanted->longest = size;
    return true;
}

bool mount_info_of_path(const char *path, const char *device, struct mount_info *ret_info)
{
    struct wanted wanted = {.path = path, .device = device};
    return find_in("/proc/self/mountinfo", is_around, &wanted, ret_info);
}

// Whether the namespace of process `pid` has not been seen before; those that cannot be told apart
// are new each time.
static bool is_new_namespace(const char *pid, ino_t *seen, size_t *count)
{
    char path[300];
    struct stat st;
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", pid);
    if (stat(path, &st))
        return true;
    for (size_t i = 0; i < *count; i++)
        if (seen[i] == st.st_ino)
            return false;
    if (*count < NAMESPACES_MAX)
        seen[(*count)++] = st.st_ino;
    return true;
}

bool mount_info_anywhere(const char *db, const char *reader, struct mount_info *ret_info,
                         long *ret_pid)
{
    ino_t seen[NAMESPACES_MAX];
    size_t count = 0;
    bool found = false;
    const struct dirent *entry;
    DIR *proc = opendir("/proc");
    while (proc && !found && (entry = readdir(proc))) {
        char *end;
        long pid = strtol(entry->d_name, &end, 10);
        if (pid <= 0 || *end || !is_new_namespace(entry->d_name, seen, &count))
            continue;
        found = mount_info_of_store(pid, db, reader, ret_info);
        if (found)
            *ret_pid = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}
