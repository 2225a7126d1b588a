// Formats a message and hands it to the user's callback. Thread-safe as far as that is.
#include "env/logger.h"

#include <stdarg.h>
#include <stdio.h>

#define LOGGER_MESSAGE_MAX 1024

void logger_log(const struct logger *logger, enum lsm_log_level level, const char *format, ...)
{
    if (!logger || !logger->fn)
        return;
    char message[LOGGER_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    logger->fn(logger->arg, level, message);
}
