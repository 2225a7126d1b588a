// What lsmfsctl says: messages, progress, and attributes as text.
#ifndef CTL_OUTPUT_H
#define CTL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include "ns/namespace.h"

// One line on standard error, "lsmfsctl: " before it. Control characters are escaped.
__attribute__((format(printf, 1, 2))) void complain(const char *format, ...);
// The same with "lsmfsctl COMMAND: ": about the command line.
__attribute__((format(printf, 2, 3))) void complain_usage(const char *command, const char *format,
                                                          ...);

// Shows on a terminal, from the second second on, what `command` has done; without a terminal, or
// if not `wanted`, nothing. At most one at a time.
void progress_start(const char *command, bool wanted);
void progress_stop(void);

enum progress_unit { PROGRESS_BYTES, PROGRESS_NAMES };
void progress_unit(enum progress_unit unit);
void progress_add(uint64_t amount);
void progress_set(uint64_t done, uint64_t total); // total 0: not known
// Asks `sample` for what is done, from a thread of its own, until progress_stop or progress_poll
// with NULL, which waits for a call that is running.
typedef uint64_t progress_sample_fn(void *arg);
void progress_poll(progress_sample_fn *sample, void *arg);

// Between these two the terminal is the caller's and shows no progress.
void screen_take(void);
void screen_give(void);

// A name as it is; on a terminal, with control characters escaped as \xNN.
void print_name(FILE *out, const char *name, size_t size);
// Printable ASCII as it is, a backslash doubled, the rest as \xNN.
void print_escaped(FILE *out, const void *data, size_t size);

const char *type_text(uint32_t mode);         // "regular file"
void mode_text(uint32_t mode, char text[11]); // "-rw-r--r--"
const char *user_text(uint32_t uid);          // name or number; valid until the next call
const char *group_text(uint32_t gid);

// Flushes standard output; false, with a message, if something could not be written.
bool output_end(void);

#endif
