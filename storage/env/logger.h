// The log callback: how the library speaks. Levels and signature are in lsm.h. Thread-safe as far
// as the user's callback is.
#ifndef LSM_ENV_LOGGER_H
#define LSM_ENV_LOGGER_H

#include "lsm.h"

struct logger {
    lsm_log_fn *fn; // NULL: drop
    void *arg;
};

__attribute__((format(printf, 3, 4))) void
logger_log(const struct logger *logger, enum lsm_log_level level, const char *format, ...);

#endif
