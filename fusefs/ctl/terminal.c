// The front of the program (commands/front.h).
//
// Thread safety: one thread, but terminal_say(): any.
#include "ctl/terminal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/say.h"
#include "ctl/signals.h"

static struct {
    const char *source, *sink; // files; NULL: standard input, standard output
    int source_fd, sink_fd;    // -1: not opened yet
    int watch_fd;              // -1: none
} files = {.source_fd = -1, .sink_fd = -1, .watch_fd = -1};

static struct front the_front;
static bool said_after_signal;

// ------------------------------------------------------------------------------- messages

static void say_in_order(const char *program, const char *text)
{
    terminal_progress_pause();
    if (signals_seen())
        said_after_signal = true; // standard output may be what it waited for
    else
        fflush(stdout); // keeps the order where both go to one place
    say(program, "%s", text);
    terminal_progress_resume();
}

void terminal_say(const char *program, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    say_in_order(program, text ? text : "out of memory");
    free(text);
}

static void terminal_complain(struct front *front, const char *program, const char *text)
{
    (void)front;
    say_in_order(program, text);
}

static void terminal_progress(struct front *front)
{
    terminal_progress_show(front->unit, front->done, front->total);
}

static void print_begin(struct front *front)
{
    (void)front;
    terminal_progress_pause();
}

static void print_end(struct front *front)
{
    fflush(front->out);
    terminal_progress_resume();
}

void terminal_interrupted(void)
{
    if (!said_after_signal)
        terminal_say("lsmfsctl", "interrupted");
    signals_die();
}

bool terminal_output_end(void)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) == 0 && !failed)
        return true;
    terminal_say("lsmfsctl", "standard output: %s",
                 errno ? strerror(errno) : "could not be written");
    return false;
}

// ------------------------------------------------------------------------------- times, owners

static bool local_time(struct front *front, time_t time, struct tm *ret_tm)
{
    (void)front;
    return localtime_r(&time, ret_tm);
}

static void print_time(struct front *front, const char *format, time_t time)
{
    char text[64];
    struct tm tm;
    if (localtime_r(&time, &tm) && strftime(text, sizeof text, format, &tm))
        fputs(text, front->out);
    else
        fprintf(front->out, "%lld", (long long)time);
}

struct id_cache { // the last one asked for: neighbours usually have the same
    bool filled;
    uint32_t id;
    char text[64];
};

static void print_id(struct front *front, struct id_cache *cache, unsigned width)
{
    fprintf(front->out, "%-*s", (int)width, cache->text);
}

static void id_fill(struct id_cache *cache, uint32_t id, const char *name)
{
    cache->filled = true;
    cache->id = id;
    if (name)
        snprintf(cache->text, sizeof cache->text, "%s", name);
    else
        snprintf(cache->text, sizeof cache->text, "%" PRIu32, id);
}

static void print_user(struct front *front, uint32_t uid, unsigned width)
{
    static struct id_cache cache;
    if (!cache.filled || cache.id != uid) {
        const struct passwd *user = getpwuid(uid);
        id_fill(&cache, uid, user ? user->pw_name : NULL);
    }
    print_id(front, &cache, width);
}

static void print_group(struct front *front, uint32_t gid, unsigned width)
{
    static struct id_cache cache;
    if (!cache.filled || cache.id != gid) {
        const struct group *group = getgrgid(gid);
        id_fill(&cache, gid, group ? group->gr_name : NULL);
    }
    print_id(front, &cache, width);
}

// ------------------------------------------------------------------------------- files

// Waits until there is something to read. -EINTR: a signal has come; -ECANCELED: what is watched
// has something to say.
static int source_wait(void)
{
    assert(files.source_fd >= 0);
    struct pollfd fds[] = {{.fd = files.source_fd, .events = POLLIN},
                           {.fd = files.watch_fd, .events = POLLIN | POLLRDHUP},
                           {.fd = signals_fd(), .events = POLLIN}};
    (void)poll(fds, 3, -1);
    if (signals_seen())
        return -EINTR;
    return fds[1].revents ? -ECANCELED : 0;
}

static ssize_t source_read(struct front *front, void *data, size_t size)
{
    (void)front;
    if (files.source_fd < 0)
        files.source_fd = files.source ? open(files.source, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    if (files.source_fd < 0)
        return -errno;
    size_t got = 0;
    while (got < size) {
        int rc = source_wait();
        if (rc)
            return rc;
        ssize_t n = read(files.source_fd, (uint8_t *)data + got, size - got);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            got += (size_t)n;
    }
    return (ssize_t)got;
}

static int sink_open(void)
{
    if (files.sink_fd >= 0)
        return 0;
    files.sink_fd = files.sink ? open(files.sink, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)
                               : STDOUT_FILENO;
    return files.sink_fd < 0 ? -errno : 0;
}

static int sink_write(struct front *front, const void *data, size_t size)
{
    (void)front;
    int rc = sink_open();
    assert(rc || files.sink_fd >= 0);
    for (size_t done = 0; !rc && done < size;) {
        ssize_t n = write(files.sink_fd, (const uint8_t *)data + done, size - done);
        if (n < 0 && (errno != EINTR || signals_seen()))
            rc = -errno;
        else if (n > 0)
            done += (size_t)n;
    }
    return rc;
}

static int sink_close(struct front *front)
{
    (void)front;
    int fd = files.sink_fd;
    files.sink_fd = -1;
    return files.sink && fd >= 0 && close(fd) ? -errno : 0;
}

// ------------------------------------------------------------------------------- the front

void terminal_files(const struct ctl *ctl)
{
    const char *source = ctl->arg_count > 1 ? ctl->args[1] : "-"; // of put
    files.source = strcmp(source, "-") == 0 ? NULL : source;
    files.sink = ctl->options['o'];
}

void terminal_watch(int fd)
{
    files.watch_fd = fd;
}

struct front *terminal_front(void)
{
    static const struct front_ops ops = {
        .complain = terminal_complain,
        .progress = terminal_progress,
        .print_begin = print_begin,
        .print_end = print_end,
        .print_time = print_time,
        .print_user = print_user,
        .print_group = print_group,
        .local_time = local_time,
        .source_read = source_read,
        .sink_write = sink_write,
        .sink_close = sink_close,
        .hold_signals = signals_hold,
    };
    mode_t mask = umask(0);
    umask(mask);
    the_front.ops = &ops;
    the_front.out = stdout;
    the_front.out_is_terminal = isatty(STDOUT_FILENO);
    the_front.cred = (struct ns_cred){.uid = geteuid(), .gid = getegid(), .umask = mask};
    return &the_front;
}
