// The daemon's messages. Libfuse's own are routed here too, so that they do not get lost with
// stderr when the daemon goes into the background.
#include "mount/messages.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "common/say.h"
#include "mount/fuse_api.h"

static atomic_bool use_syslog; // set once, when the daemon goes into the background
static bool show_debug;        // set before any thread exists

static void log_valist(int priority, const char *format, va_list args)
{
    if (priority > LOG_NOTICE && !show_debug)
        return;
    if (atomic_load_explicit(&use_syslog, memory_order_relaxed)) {
        vsyslog(priority, format, args);
        return;
    }
    char line[1024]; // libfuse's messages end with a newline already
    vsnprintf(line, sizeof line, format, args);
    size_t n = strlen(line);
    while (n && line[n - 1] == '\n')
        line[--n] = 0;
    say("lsmfs", "%s", line);
}

static_assert((int)FUSE_LOG_EMERG == LOG_EMERG && (int)FUSE_LOG_DEBUG == LOG_DEBUG, "log_fuse()");

static void log_fuse(enum fuse_log_level level, const char *format, va_list args)
{
    log_valist((int)level, format, args); // libfuse numbers its levels as syslog does
}

void messages_init(bool debug)
{
    show_debug = debug;
    fuse_set_log_func(log_fuse);
}

void messages_to_syslog(void)
{
    assert(!use_syslog);
    openlog("lsmfs", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    atomic_store_explicit(&use_syslog, true, memory_order_relaxed);
}

void messages_write(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    log_valist(priority, format, args);
    va_end(args);
}

void messages_of_engine(void *arg, enum lsm_log_level level, const char *message)
{
    (void)arg;
    static const int priorities[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
    messages_write(priorities[level > LSM_LOG_DEBUG ? LSM_LOG_DEBUG : level], "%s", message);
}
