// What the programs say on standard error.
#ifndef COMMON_SAY_H
#define COMMON_SAY_H

#include <stdarg.h>

// One line, "<program>: " before it, as one write(2): lines of several processes do not mix.
// Control characters are written as \xNN, so that a name cannot make two lines of it. Thread-safe.
__attribute__((format(printf, 2, 0))) void say_args(const char *program, const char *format,
                                                    va_list args);
__attribute__((format(printf, 2, 3))) void say(const char *program, const char *format, ...);

#endif
