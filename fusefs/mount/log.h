// The daemon's messages: to stderr until it has gone into the background, then to syslog.
// Thread-safe once log_init() has returned.
#ifndef LSMFS_MOUNT_LOG_H
#define LSMFS_MOUNT_LOG_H

#include <stdbool.h>
#include <syslog.h>

#include "lsm.h"

// `debug` lets the engine's informational messages through.
void log_init(bool debug);
void log_to_syslog(void);

// One line, without the newline. `priority` as in syslog(3).
__attribute__((format(printf, 2, 3))) void log_message(int priority, const char *format, ...);

// For struct lsm_options.
void log_engine(void *arg, enum lsm_log_level level, const char *message);

#endif
