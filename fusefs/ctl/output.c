// Messages, and names and attributes as text.
//
// Thread safety: complain, from any thread; the rest, one thread.
#include "ctl/output.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/say.h"

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

static void print_visible(FILE *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_control(c))
            fprintf(out, "\\x%02x", c);
        else
            putc(c, out);
    }
}

static void print_complaint(const char *command, const char *format, va_list args)
{
    char program[64];
    snprintf(program, sizeof program, "lsmfsctl%s%s", *command ? " " : "", command);
    screen_take();
    fflush(stdout); // keeps the order where both go to one place
    say_args(program, format, args);
    screen_give();
}

void complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_complaint("", format, args);
    va_end(args);
}

void complain_usage(const char *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_complaint(command, format, args);
    va_end(args);
}

void print_name(FILE *out, const char *name, size_t size)
{
    static int is_terminal = -1;
    if (is_terminal < 0)
        is_terminal = isatty(fileno(out));
    if (is_terminal)
        print_visible(out, name, size);
    else
        fwrite(name, 1, size, out);
}

void print_escaped(FILE *out, const void *data, size_t size)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\\')
            fputs("\\\\", out);
        else if (bytes[i] < 0x20 || bytes[i] > 0x7e)
            fprintf(out, "\\x%02x", bytes[i]);
        else
            putc(bytes[i], out);
    }
}

const char *type_text(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return "regular file";
    case S_IFDIR:
        return "directory";
    case S_IFLNK:
        return "symbolic link";
    case S_IFIFO:
        return "fifo";
    case S_IFSOCK:
        return "socket";
    case S_IFCHR:
        return "character device";
    case S_IFBLK:
        return "block device";
    default:
        return "unknown";
    }
}

static char type_letter(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return '-';
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFIFO:
        return 'p';
    case S_IFSOCK:
        return 's';
    case S_IFCHR:
        return 'c';
    case S_IFBLK:
        return 'b';
    default:
        return '?';
    }
}

void mode_text(uint32_t mode, char text[11])
{
    text[0] = type_letter(mode);
    for (unsigned i = 0; i < 9; i++)
        text[1 + i] = mode & (0400u >> i) ? "rwx"[i % 3] : '-';
    if (mode & S_ISUID)
        text[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        text[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        text[9] = mode & S_IXOTH ? 't' : 'T';
    text[10] = 0;
}

struct id_cache { // the last one asked for: neighbours usually have the same
    bool filled;
    uint32_t id;
    char text[64];
};

static const char *id_text(struct id_cache *cache, uint32_t id, const char *name)
{
    cache->filled = true;
    cache->id = id;
    if (name)
        snprintf(cache->text, sizeof cache->text, "%s", name);
    else
        snprintf(cache->text, sizeof cache->text, "%" PRIu32, id);
    return cache->text;
}

const char *user_text(uint32_t uid)
{
    static struct id_cache cache;
    if (cache.filled && cache.id == uid)
        return cache.text;
    const struct passwd *user = getpwuid(uid);
    return id_text(&cache, uid, user ? user->pw_name : NULL);
}

const char *group_text(uint32_t gid)
{
    static struct id_cache cache;
    if (cache.filled && cache.id == gid)
        return cache.text;
    const struct group *group = getgrgid(gid);
    return id_text(&cache, gid, group ? group->gr_name : NULL);
}

bool output_end(void)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return true;
    complain("standard output: %s", errno ? strerror(errno) : "could not be written");
    return false;
}
