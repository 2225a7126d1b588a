// Changes as diff and watch print them.
#ifndef COMMANDS_CHANGES_H
#define COMMANDS_CHANGES_H

#include "commands/command.h"
#include "ns/changes/diff.h"

enum change_format { CHANGE_LINES, CHANGE_NULS, CHANGE_JSON };

// The format that the options -0 and -j ask for. False, with a message: both were given.
bool change_format_of(const struct ctl *ctl, enum change_format *ret_format);

// Prints one change in a format of lsmfsctl(8): a line, or fields that end with NUL.
void change_print(FILE *out, enum change_format format, const struct ns_change *change);

#endif
