// Progress on a terminal: one line on standard error that is written over and taken away again.
//
// A thread of its own shows it, so that it moves, and tells the time, while the command waits in
// the engine. It exists only if there is a terminal to show it on.
//
// Thread safety: terminal_progress_show, terminal_progress_pause and terminal_progress_resume may
// be called by any thread, the others by the main thread.
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "base/cond.h"
#include "base/lock_check.h"
#include "ctl/terminal.h"

#define FIRST_US 1000000u
#define EVERY_US 250000u

extern struct lock_role progress_mutex; // held by the caller from _pause() to _resume()

static struct {
    const char *command; // set before the thread starts
    bool running;        // only the main thread uses it
    pthread_t thread;
    struct timespec start;

    pthread_mutex_t mutex;
    pthread_cond_t changed; // of stopping
    bool stopping GUARDED_BY(progress_mutex);
    bool visible GUARDED_BY(progress_mutex); // the terminal shows a line of ours

    _Atomic uint64_t done, total; // relaxed
    _Atomic int unit;             // relaxed
} progress = {.mutex = PTHREAD_MUTEX_INITIALIZER};

STATIC_LOCK_FUNCTIONS(progress, progress.mutex, progress_mutex)

static void erase(void) REQUIRES(progress_mutex)
{
    if (progress.visible)
        fputs("\r\033[K", stderr);
    progress.visible = false;
}

// In units of 1024, three digits.
static void size_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    snprintf(text, size, "%.*f %s", unit && value < 10 ? 1 : 0, value, units[unit]);
}

static void amount_text(uint64_t amount, char *text, size_t size)
{
    if (atomic_load_explicit(&progress.unit, memory_order_relaxed) == PROGRESS_BYTES)
        size_text(amount, text, size);
    else
        snprintf(text, size, "%" PRIu64, amount);
}

static void show(void) REQUIRES(progress_mutex)
{
    char amount[32], line[160];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t done = atomic_load_explicit(&progress.done, memory_order_relaxed);
    uint64_t total = atomic_load_explicit(&progress.total, memory_order_relaxed);
    amount_text(total ? total : done, amount, sizeof amount);
    *line = 0;
    if (total)
        snprintf(line, sizeof line, "%d %% of %s, ", (int)(100.0 * (double)done / (double)total),
                 amount);
    else if (done)
        snprintf(line, sizeof line, "%s, ", amount);
    fprintf(stderr, "\r%s: %s%lld s\033[K", progress.command, line,
            (long long)(now.tv_sec - progress.start.tv_sec));
    progress.visible = true;
}

static void *show_thread(void *arg)
{
    (void)arg;
    struct timespec until = time_after_us(FIRST_US);
    assert(progress.command);
    progress_lock();
    while (!progress.stopping) {
        if (pthread_cond_timedwait(&progress.changed, &progress.mutex, &until) == 0)
            continue;
        show();
        until = time_after_us(EVERY_US);
    }
    erase();
    progress_unlock();
    return NULL;
}

// The thread that shows does not run yet.
bool terminal_progress_start(const char *command, bool wanted) NOT_CHECKED
{
    if (!wanted || !isatty(STDERR_FILENO))
        return false;
    assert(!progress.running);
    cond_init(&progress.changed);
    progress.command = command;
    progress.stopping = false;
    clock_gettime(CLOCK_MONOTONIC, &progress.start);
    progress.running = pthread_create(&progress.thread, NULL, show_thread, NULL) == 0;
    return progress.running;
}

void terminal_progress_stop(void)
{
    if (!progress.running)
        return;
    progress_lock();
    progress.stopping = true;
    pthread_cond_signal(&progress.changed);
    progress_unlock();
    pthread_join(progress.thread, NULL);
    pthread_cond_destroy(&progress.changed);
    progress.running = false;
}

void terminal_progress_show(enum progress_unit unit, uint64_t done, uint64_t total)
{
    atomic_store_explicit(&progress.unit, (int)unit, memory_order_relaxed);
    atomic_store_explicit(&progress.done, done, memory_order_relaxed);
    atomic_store_explicit(&progress.total, total, memory_order_relaxed);
}

void terminal_progress_pause(void) ACQUIRES(progress_mutex)
{
    progress_lock();
    erase();
}

void terminal_progress_resume(void) RELEASES(progress_mutex)
{
    progress_unlock();
}
