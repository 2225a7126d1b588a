// A command that shows something moving, on a terminal.
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include "commands/command.h"

// Runs `run`, which prints blocks that end with an empty line to standard output, in a process of
// its own, and shows the newest of them on the whole terminal, until q is typed, the program is
// told to end, or `run` returns. The terminal is as it was afterwards. Returns how `run` ended;
// EXIT_OK after q.
enum exit_status screen_show(struct ctl *ctl, enum exit_status (*run)(struct ctl *ctl));

#endif
