// What a mount shows of itself.
#ifndef COMMANDS_MOUNTED_H
#define COMMANDS_MOUNTED_H

#include "commands/command.h"

// Prints what stats adds for a store that is mounted; nothing if it is not. EXIT_FAILED, with a
// message: no memory.
enum exit_status print_mounted(struct ctl *ctl);

// Figures of the mount, malloc'd. NULL, with a message: the store is not mounted, or no memory.
struct mount_figures *mounted_figures_get(struct ctl *ctl);

// The quantile of an operation's times, in microseconds.
double mounted_quantile_us(const struct request_figures *op, unsigned per_mille);

#endif
