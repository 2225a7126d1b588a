// Progress, and names and attributes as text.
//
// Thread safety: one thread.
#include "commands/front.h"

#include <inttypes.h>
#include <sys/stat.h>

void progress_unit(struct front *front, enum progress_unit unit)
{
    front->unit = unit;
    progress_set(front, 0, 0);
}

void progress_add(struct front *front, uint64_t amount)
{
    front->done += amount;
    front->ops->progress(front);
}

void progress_set(struct front *front, uint64_t done, uint64_t total)
{
    front->done = done;
    front->total = total;
    front->ops->progress(front);
}

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

void print_name(struct front *front, const char *name, size_t size)
{
    if (front->out_is_terminal)
        print_visible(front->out, name, size);
    else
        fwrite(name, 1, size, front->out);
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
