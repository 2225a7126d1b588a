// Messages on standard error. Without memory for a line, what fits a small one is said.
#include "common/say.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SHORT_LINE 512

static bool is_control(unsigned char c)
{
    return c < 0x20 || c == 0x7f;
}

// Into `out`, which has room for `size` bytes; what does not fit is left out. Returns the length.
static size_t make_visible(const char *text, char *out, size_t size)
{
    size_t n = 0;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        size_t width = is_control(c) ? 4 : 1;
        if (n + width >= size)
            break;
        if (width == 1)
            out[n] = *text;
        else
            snprintf(out + n, 5, "\\x%02x", c);
        n += width;
    }
    assert(n < size);
    return n;
}

void say_args(const char *program, const char *format, va_list args)
{
    char short_text[SHORT_LINE], short_line[SHORT_LINE];
    char *text = NULL, *line = NULL;
    va_list again;
    va_copy(again, args);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
        vsnprintf(short_text, sizeof short_text, format, again);
    }
    va_end(again);
    const char *what = text ? text : short_text;
    size_t size = strlen(program) + 2 + 4 * strlen(what) + 2;
    line = malloc(size);
    char *out = line ? line : short_line;
    if (!line)
        size = sizeof short_line;
    int head = snprintf(out, size, "%s: ", program);
    assert(head > 0 && (size_t)head + 2 <= size); // names of programs are short
    size_t n = (size_t)head + make_visible(what, out + head, size - (size_t)head - 1);
    out[n++] = '\n';
    for (size_t done = 0; done < n;) {
        ssize_t written = write(STDERR_FILENO, out + done, n - done);
        if (written < 0 && errno != EINTR)
            break;
        done += written > 0 ? (size_t)written : 0;
    }
    free(line);
    free(text);
}

void say(const char *program, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say_args(program, format, args);
    va_end(args);
}
