// lsmfs: mounts a store.
//
// The order of things: check everything that can be checked without a change; go into the
// background; open (or create) the store; mount; agree with the kernel; start the threads; report
// ready. A failure undoes what was done, a created store included. With option standby, ready is
// reported as soon as the store is found in use; what goes wrong later is in the system's log.
//
// The main thread then waits for a signal or for the threads to end. The end comes in one of three
// ways, and the store is closed, and thereby flushed, last in each:
//  - somebody unmounts: the kernel closes the connection and the threads end;
//  - SIGTERM, SIGINT, SIGHUP: we unmount. If the mount is in use it is synced and detached, so that
//    nobody can come in, and its users are served until the last one has gone;
//  - a second signal while users remain: the threads are stopped, the users get errors.
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/busy.h"
#include "common/open_hint.h"
#include "common/process_limits.h"
#include "common/say.h"
#include "mount/control.h"
#include "mount/counts.h"
#include "mount/daemon.h"
#include "mount/flusher.h"
#include "mount/follower.h"
#include "mount/holder.h"
#include "mount/lsmfs.h"
#include "mount/messages.h"
#include "mount/preflight.h"
#include "mount/request.h"
#include "mount/serve.h"
#include "mount/session.h"
#include "mount/snapdir.h"
#include "mount/syncer.h"
#include "mount/transport.h"
#include "mount/uring_switch.h"

#define STANDBY_LOOK_MS 100
#define STANDBY_END_MS  500

// Option standby: what is known while another has the store.
struct standby {
    const char *mountpoint;
    int signal_fd, *ready_fd;
    _Atomic bool waiting; // and the one who started it has been told so
    bool stopped;         // by a signal
    int opened_fd;        // an eventfd: the wait is over; -1: nobody watches
    pthread_t watcher;
};

// Tells who has the store, once, and lets a daemon go into the background. False: a signal came.
static bool stand_by(void *arg)
{
    struct standby *standby = arg;
    assert(!standby->stopped);
    if (!standby->waiting) {
        messages_write(LOG_NOTICE, "%s: standing by: %s", standby->mountpoint, lsm_error_detail());
        if (*standby->ready_fd >= 0)
            daemon_ready(*standby->ready_fd);
        *standby->ready_fd = -1;
        standby->waiting = true;
    }
    struct pollfd fd = {.fd = standby->signal_fd, .events = POLLIN};
    standby->stopped = poll(&fd, 1, STANDBY_LOOK_MS) > 0;
    return !standby->stopped;
}

// A look at the store can take as long as its writer has to give a sign of life, or the cluster to
// answer. A signal ends the process before that, as if it were killed: which nothing suffers from.
static void *watch_standby(void *arg)
{
    struct standby *standby = arg;
    struct pollfd fds[] = {{.fd = standby->opened_fd, .events = POLLIN},
                           {.fd = standby->signal_fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        ;
    if (fds[0].revents || poll(fds, 1, STANDBY_END_MS) != 0 || !atomic_load(&standby->waiting))
        return NULL;
    messages_write(LOG_NOTICE, "%s: standing by no more: a signal", standby->mountpoint);
    _exit(EXIT_OK);
}

static void standby_start(struct standby *standby)
{
    standby->opened_fd = eventfd(0, EFD_CLOEXEC);
    if (standby->opened_fd < 0 ||
        pthread_create(&standby->watcher, NULL, watch_standby, standby) == 0)
        return;
    close(standby->opened_fd);
    standby->opened_fd = -1;
}

static void standby_end(struct standby *standby)
{
    const uint64_t one = 1;
    if (standby->opened_fd < 0)
        return;
    (void)!write(standby->opened_fd, &one, sizeof one);
    pthread_join(standby->watcher, NULL);
    close(standby->opened_fd);
}

static void say_not_opened(const struct lsmfs *fs, int status, const char *what, bool in_background)
{
    const struct open_hints hints = {
        .not_a_store = ": give an existing store, or a new or empty directory",
        .damaged = ": try 'lsmfsctl check', then 'lsmfsctl repair'",
        .read_only = ": '-o ro' mounts it to be read",
        .busy = fs->options.snapshot
                    ? ""
                    : ": '-o ro,follow' reads it meanwhile, '-o standby' waits for it",
    };
    const char *db = fs->options.db, *hint = open_hint(&hints, status, what);
    bool named = strncmp(what, db, strlen(db)) == 0;
    if (in_background)
        messages_write(LOG_ERR, "%s%s%s%s", named ? "" : db, named ? "" : ": ", what, hint);
    else
        say("lsmfs", "%s%s%s%s", named ? "" : db, named ? "" : ": ", what, hint);
}

// *ready_fd becomes -1 if the process goes into the background to wait. EXIT_OK with no fs->ns: a
// signal ended the wait.
static enum exit_status store_open(struct lsmfs *fs, int signal_fd, int *ready_fd)
{
    struct busy busy = {.program = "lsmfs", .stop_fd = signal_fd};
    struct standby standby = {.mountpoint = fs->options.mountpoint,
                              .signal_fd = signal_fd,
                              .ready_fd = ready_fd,
                              .opened_fd = -1};
    struct lsm_options *engine = &fs->options.ns.engine;
    char note[PATH_MAX + 32];
    int rc;
    snprintf(note, sizeof note, BUSY_MOUNTING "%s", fs->options.mountpoint);
    engine->lock_note = note;
    engine->log = messages_of_engine;
    if (fs->options.standby) {
        engine->lock_wait = stand_by;
        engine->lock_wait_arg = &standby;
        standby_start(&standby);
    }
    do {
        rc = ns_open(fs->options.db, &fs->options.ns, &fs->ns);
    } while (rc == LSM_BUSY && !standby.stopped && busy_wait(&busy, fs->options.db));
    standby_end(&standby);
    engine->lock_note = NULL;
    engine->lock_wait = NULL;
    if (rc == LSM_BUSY && standby.stopped)
        return EXIT_OK;
    if (rc < 0) {
        const char *detail = rc == LSM_BUSY ? busy.text : lsm_error_detail();
        say_not_opened(fs, rc, *detail ? detail : lsm_strerror(rc), standby.waiting);
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

// Writes into LOCK where the store is mounted.
static void say_mounted(struct lsmfs *fs)
{
    char note[PATH_MAX + 32];
    snprintf(note, sizeof note, BUSY_MOUNTED "%s", fs->options.mountpoint);
    lsm_lock_note(ns_engine(fs->ns), note);
    assert(fs->holder_fd < 0);
    fs->holder_fd = holder_open(fs->options.db);
    holder_note(fs->holder_fd, note);
}

static void say_closing(struct lsmfs *fs)
{
    char note[PATH_MAX + 32];
    snprintf(note, sizeof note, "closing; was mounted on %s", fs->options.mountpoint);
    lsm_lock_note(ns_engine(fs->ns), note);
    holder_note(fs->holder_fd, note);
}

// The end of the mount on a signal. False: the mount is gone or going; true: end at once.
static bool unmount_on_signal(struct lsmfs *fs, unsigned signals_seen)
{
    if (signals_seen > 1)
        return true;
    int error = session_unmount(&fs->options, false);
    if (error == EBUSY) {
        session_sync(&fs->options);
        error = session_unmount(&fs->options, true);
        if (error == 0)
            messages_write(LOG_NOTICE,
                           "%s: in use: unmounted for newcomers, serving those inside until they "
                           "leave; another signal ends them",
                           fs->options.mountpoint);
    }
    if (error == 0)
        return false;
    messages_write(LOG_WARNING, "%s: cannot be unmounted (%s): ending anyway",
                   fs->options.mountpoint, strerror(error));
    return true;
}

// Waits until the threads have ended or have been told to.
static void wait_for_end(struct lsmfs *fs, struct transport *transport, int signal_fd)
{
    struct pollfd fds[] = {{.fd = transport_ended_fd(transport), .events = POLLIN},
                           {.fd = signal_fd, .events = POLLIN}};
    for (unsigned signals_seen = 0;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return;
        if (fds[0].revents)
            return;
        struct signalfd_siginfo info;
        if (fds[1].revents && read(signal_fd, &info, sizeof info) == sizeof info &&
            unmount_on_signal(fs, ++signals_seen)) {
            // Stopped while the threads still serve requests, which all need.
            control_stop(fs->control);
            flusher_stop(fs->flusher);
            snapdir_stop(fs->snapdir);
            follower_stop(fs->follower);
            transport_stop(transport);
            return;
        }
    }
}

// Option enable_uring. Without it, or if it cannot be done, another transport serves.
static void enable_uring(const struct mount_options *options)
{
    if (!options->enable_uring || uring_switch_is_on())
        return;
    int error = uring_switch_turn_on();
    if (error)
        messages_write(LOG_WARNING,
                       "option 'enable_uring': FUSE over io_uring cannot be turned on: %s",
                       error == ENOENT ? "this kernel does not have it" : strerror(error));
    else
        messages_write(LOG_NOTICE, "FUSE over io_uring was turned on for all mounts to come (%s)",
                       URING_SWITCH);
}

// Commands on the mounted store. A store that is only read is open to others who read.
static void start_control(struct lsmfs *fs)
{
    int rc = fs->options.read_only ? 0 : control_start(fs, &fs->control);
    if (rc)
        messages_write(LOG_WARNING, "%s: lsmfsctl cannot be used while it is mounted: %s",
                       fs->options.db, strerror(-rc));
}

// Everything between opening and closing the session. Returns whether it went well.
static bool serve(struct lsmfs *fs, int signal_fd, int ready_fd, bool *ret_mounted)
{
    struct transport *transport = NULL;
    bool ok = false;
    *ret_mounted = false;
    enable_uring(&fs->options);
    struct fuse_session *session = session_mount(&fs->options, &lsmfs_ops, fs);
    if (!session)
        return false;
    fs->session = session;
    counts_start(fs);
    int rc = transport_new(fs, &transport);
    if (rc == 0)
        rc = transport_handshake(transport);
    if (rc == 0)
        rc = flusher_start(fs, &fs->flusher);
    if (rc == 0)
        rc = syncer_new(fs, &fs->syncer);
    if (rc == 0)
        rc = snapdir_start(fs, &fs->snapdir);
    if (rc == 0 && fs->options.follow)
        rc = follower_start(fs, &fs->follower);
    if (rc == 0)
        rc = transport_start(transport);
    if (rc < 0) {
        messages_write(LOG_ERR, "%s: the mount could not be started: %s", fs->options.mountpoint,
                       strerror(-rc));
        session_unmount(&fs->options, true);
        goto out;
    }
    *ret_mounted = true;
    start_control(fs);
    say_mounted(fs);
    session_set_kernel(&fs->options);
    if (ready_fd >= 0)
        daemon_ready(ready_fd);
    messages_write(fs->options.foreground ? LOG_INFO : LOG_NOTICE, "%s: mounted, transport %s",
                   fs->options.mountpoint, transport_name(transport));
    wait_for_end(fs, transport, signal_fd);
    rc = transport_join(transport);
    ok = rc == 0;
    if (!ok) {
        messages_write(LOG_ERR, "%s: reading requests failed: %s", fs->options.mountpoint,
                       strerror(-rc));
        session_unmount(&fs->options, true);
    }
out:
    say_closing(fs);
    control_stop(fs->control);
    flusher_stop(fs->flusher);
    snapdir_stop(fs->snapdir);
    follower_stop(fs->follower);
    fuse_session_destroy(session); // closes the connection
    control_free(fs->control);
    flusher_free(fs->flusher);
    snapdir_free(fs->snapdir);
    follower_free(fs->follower);
    syncer_free(fs->syncer);
    transport_free(transport);
    return ok;
}

// The process's own surroundings.
static int prepare(void)
{
    limits_raise();
    // The kernel must not make us wait, for memory or for dirty pages to be written, for what only
    // we can write. Allowed to root.
    prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
    signal(SIGPIPE, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

// The daemon proper. Returns the exit status.
static enum exit_status run(struct lsmfs *fs, int ready_fd)
{
    bool ok, mounted;
    int signal_fd = prepare();
    if (signal_fd < 0) {
        say("lsmfs", "%s", strerror(errno));
        return EXIT_FAILED;
    }
    fs->keep_s = fs->options.follow ? follower_keep_s(&fs->options) : CACHE_FOREVER_S;
    enum exit_status opened = store_open(fs, signal_fd, &ready_fd);
    if (!fs->ns) {
        close(signal_fd);
        return opened;
    }
    ok = serve(fs, signal_fd, ready_fd, &mounted);
    // A store that was made for this mount is removed again.
    int rc = mounted ? ns_close(fs->ns) : ns_discard(fs->ns);
    if (rc < 0) {
        messages_write(LOG_ERR, "%s: closing the store failed, the last changes may be lost: %s",
                       fs->options.db, lsm_error_detail());
        char note[PATH_MAX];
        snprintf(note, sizeof note, "failed: %s", lsm_error_detail());
        holder_note(fs->holder_fd, note);
        ok = false;
    }
    holder_close(fs->holder_fd);
    close(signal_fd);
    return ok ? EXIT_OK : EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct lsmfs fs = {.holder_fd = -1};
    enum exit_status status = EXIT_FAILED;
    int ready_fd = -1;
    generations_init(&fs.generations);
    switch (options_parse(argc, argv, &fs.options)) {
    case OPTIONS_DONE:
        status = EXIT_OK;
        goto out;
    case OPTIONS_WRONG:
        status = EXIT_USAGE;
        goto out;
    case OPTIONS_RUN:
        break;
    }
    messages_init(fs.options.debug);
    if (!preflight(&fs.options))
        goto out;
    if (fs.options.fake) {
        status = EXIT_OK;
        goto out;
    }
    if (!fs.options.foreground) {
        ready_fd = daemon_start();
        if (ready_fd < 0) {
            say("lsmfs", "cannot start a process: %s", strerror(-ready_fd));
            goto out;
        }
    }
    status = run(&fs, ready_fd);
out:
    generations_release(&fs.generations);
    options_release(&fs.options);
    return (int)status;
}
