// Signals that end a command. See signals.h.
//
// The handler may run on any thread, and does only what a signal handler may do. It keeps errno,
// which the code that it interrupts may be about to read.
//
// Thread safety: the functions are for one thread, but signals_seen(): any thread.
#include "ctl/signals.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define PATIENCE_S 1

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};

static volatile sig_atomic_t seen, told_fd = -1, says_so;
static int seen_fd = -1;            // an eventfd
static struct front *volatile held; // whose command is cancelled; NULL: the program ends

static _Noreturn void die(int signal_number)
{
    sigset_t all;
    signal(signal_number, SIG_DFL);
    sigemptyset(&all);
    sigaddset(&all, signal_number);
    pthread_sigmask(SIG_UNBLOCK, &all, NULL);
    raise(signal_number);
    _exit(128 + signal_number); // not reached
}

static void say_interrupted(void)
{
    static const char erase[] = "\r\033[K", line[] = "lsmfsctl: interrupted\n";
    if (isatty(STDERR_FILENO))
        (void)!write(STDERR_FILENO, erase, sizeof erase - 1); // progress
    (void)!write(STDERR_FILENO, line, sizeof line - 1);
}

static void on_signal(int signal_number)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    const int kept_errno = errno;
    if (seen)
        die(signal_number);
    const uint64_t one = 1;
    seen = signal_number;
    (void)!write(seen_fd, &one, sizeof one);
    if (held) {
        atomic_store(&held->cancelled, true);
    } else if (says_so && told_fd >= 0) {
        setsockopt(told_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        shutdown(told_fd, SHUT_WR);
    } else {
        if (says_so)
            say_interrupted();
        die(signal_number);
    }
    errno = kept_errno;
}

void signals_start(bool says)
{
    says_so = says;
    seen_fd = eventfd(0, EFD_CLOEXEC);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++) {
        struct sigaction old, action = {.sa_handler = on_signal}; // no SA_RESTART: ends a read
        if (sigaction(ending[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(ending[i], &action, NULL);
    }
}

void signals_hold(struct front *front)
{
    held = front;
}

void signals_tell(int fd)
{
    assert(told_fd < 0);
    told_fd = fd;
}

void signals_tell_no_more(void)
{
    told_fd = -1;
}

int signals_seen(void)
{
    return seen;
}

int signals_fd(void)
{
    return seen_fd;
}

void signals_die(void)
{
    assert(seen);
    die(seen);
}
