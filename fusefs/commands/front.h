// Who runs a command, and where its input comes from and its output goes to: the program on its
// terminal (ctl/terminal.c), or whoever else runs it.
#ifndef COMMANDS_FRONT_H
#define COMMANDS_FRONT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "ns/namespace.h"

enum progress_unit { PROGRESS_BYTES, PROGRESS_NAMES };

struct front {
    const struct front_ops *ops;
    FILE *out;              // standard output
    bool out_is_terminal;   // names are shown with control characters escaped
    struct ns_cred cred;    // the user on whose behalf the command runs
    _Atomic bool cancelled; // set by any thread: the command ends soon
    _Atomic bool has_seen;  // that it is cancelled: it fails, since it has left something out
    enum progress_unit unit;
    uint64_t done, total; // what progress shows; total 0: not known
};

// All are called by the command's thread. Results: 0 or a count, or a negative errno.
struct front_ops {
    // A line on standard error, "<program>: " before it, control characters escaped. It comes out
    // after what has been printed before.
    void (*complain)(struct front *front, const char *program, const char *text);
    // unit, done or total have changed.
    void (*progress)(struct front *front);
    // What is printed between the two does not mix with progress, and comes out at once.
    void (*print_begin)(struct front *front);
    void (*print_end)(struct front *front);
    // As text, where whoever reads it is: by strftime(3), and as a name or a number.
    void (*print_time)(struct front *front, const char *format, time_t time);
    void (*print_user)(struct front *front, uint32_t uid, unsigned width);
    void (*print_group)(struct front *front, uint32_t gid, unsigned width);
    bool (*local_time)(struct front *front, time_t time, struct tm *ret_tm);
    // The command's source, a file or standard input: as much as there is room for, or the rest.
    ssize_t (*source_read)(struct front *front, void *data, size_t size);
    // Where content goes, a file or standard output. The first of these calls opens a file and
    // makes it empty.
    int (*sink_write)(struct front *front, const void *data, size_t size);
    int (*sink_close)(struct front *front);
    // From here on a signal does not end the program: the command is cancelled, and reading the
    // source ends with EINTR.
    void (*hold_signals)(struct front *front);
    // Makes a file empty through the mount; only in the daemon.
    int (*truncate_mounted)(struct front *front, const char *path);
    // What file a path leads to for who runs the command; only in the daemon.
    int (*ask_place)(struct front *front, const char *path, uint64_t *ret_device,
                     uint64_t *ret_inode);
};

// Whether the command is to leave out what is not done yet. Any thread. A command that has done all
// does not ask: then it has succeeded, whatever came meanwhile.
static inline bool is_cancelled(struct front *front)
{
    if (!atomic_load_explicit(&front->cancelled, memory_order_relaxed))
        return false;
    atomic_store_explicit(&front->has_seen, true, memory_order_relaxed);
    return true;
}

void progress_unit(struct front *front, enum progress_unit unit); // and nothing is done yet
void progress_add(struct front *front, uint64_t amount);
void progress_set(struct front *front, uint64_t done, uint64_t total);

// A name as it is; for a terminal, with control characters escaped as \xNN.
void print_name(struct front *front, const char *name, size_t size);
// Printable ASCII as it is, a backslash doubled, the rest as \xNN.
void print_escaped(FILE *out, const void *data, size_t size);

const char *type_text(uint32_t mode);         // "regular file"
void mode_text(uint32_t mode, char text[11]); // "-rw-r--r--"

#endif
