// The daemon's messages: to stderr until it has gone into the background, then to syslog.
// Thread-safe once messages_init() has returned.
#ifndef LSMFS_MOUNT_MESSAGES_H
#define LSMFS_MOUNT_MESSAGES_H

#include <stdbool.h>
#include <syslog.h>

#include "lsm.h"

// `debug` lets the engine's informational messages through.
void messages_init(bool debug);
void messages_to_syslog(void);

// One line, without the newline. `priority` as in syslog(3).
__attribute__((format(printf, 2, 3))) void messages_write(int priority, const char *format, ...);

// For struct lsm_options.
void messages_of_engine(void *arg, enum lsm_log_level level, const char *message);

#endif
