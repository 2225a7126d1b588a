// The program's own front: its standard output and error, files that it opens itself, progress on a
// terminal.
#ifndef CTL_TERMINAL_H
#define CTL_TERMINAL_H

#include "commands/command.h"

// One for the process. It stays valid.
struct front *terminal_front(void);

// Where source and sink are, for a command that is about to run here or elsewhere.
void terminal_files(const struct ctl *ctl);
// From here on reading the source ends when this socket can be read, or its other side is closed.
void terminal_watch(int fd);

// One line on standard error, "<program>: " before it.
__attribute__((format(printf, 2, 3))) void terminal_say(const char *program, const char *format,
                                                        ...);

// Shows on a terminal, from the second second on, what `command` has done; without a terminal, or
// if not `wanted`, nothing. At most one at a time. True: it may show something.
bool terminal_progress_start(const char *command, bool wanted);
void terminal_progress_stop(void);
// How much is done, for the `progress` of a front. Any thread.
void terminal_progress_show(enum progress_unit unit, uint64_t done, uint64_t total);

// Between these two the terminal is the caller's and shows no progress.
void terminal_progress_pause(void);
void terminal_progress_resume(void);

// For a command that a signal has ended: gives the message, unless the command has given one, and
// ends the program by that signal.
_Noreturn void terminal_interrupted(void);

// Flushes standard output; false, with a message, if something could not be written.
bool terminal_output_end(void);

#endif
