// The control socket. See control.h; what is said over it is in commands/wire.h.
//
// One thread accepts, and looks after the clients that are being served: one that goes away has its
// command cancelled, wherever that is. Each client has a thread of its own, which runs its command
// (control_client.c).
//
// Who may connect: root, the owner of the store's directory, and whoever runs the daemon. The
// socket is theirs by its mode, and the kernel says who has connected.
//
// The store is open for writing, so its LOCK is ours: a socket that is there already is what a
// daemon that was killed has left.
//
// Locks: the mutex, a leaf.
#include "mount/control.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cond.h"
#include "base/lock_check.h"
#include "commands/wire.h"
#include "common/store_place.h"
#include "mount/control_client.h"
#include "mount/messages.h"

#define CLIENTS_MAX    64u
#define BACKLOG        128
#define COMMAND_S      10       // for a client to say what it wants
#define LAST_WORDS_US  1000000u // for clients to take what they are told at the end
#define ACCEPT_WAIT_MS 100      // after a failure

struct served {
    struct served *next;
    struct control *control;
    bool gone; // the client has gone away; only the control thread looks at this
    struct control_client client;
};

extern struct lock_role control_mutex;

struct control {
    struct lsmfs *fs;
    int dir_fd, listen_fd, stop_fd;
    uid_t owner; // of the store's directory
    pthread_t thread;
    bool joined;
    pthread_mutex_t mutex;
    pthread_cond_t changed; // of count
    struct served *first GUARDED_BY(control_mutex);
    unsigned count GUARDED_BY(control_mutex);
};

LOCK_FUNCTIONS(control, struct control, mutex, control_mutex)

// ------------------------------------------------------------------------------- the socket

// Paths of sockets are short; that of the directory need not be.
static int listen_at(struct control *control)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;
    if (fstat(control->dir_fd, &st))
        return -errno;
    control->owner = st.st_uid;
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" WIRE_SOCKET,
             control->dir_fd);
    control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listen_fd < 0)
        return -errno;
    if (unlinkat(control->dir_fd, WIRE_SOCKET, 0) && errno != ENOENT)
        return -errno;
    mode_t mask = umask(0177); // no thread of ours makes files by the process's umask
    int error = bind(control->listen_fd, (struct sockaddr *)&address, sizeof address) ? errno : 0;
    umask(mask);
    if (error)
        return -error;
    if (geteuid() == 0 && control->owner != 0 &&
        fchownat(control->dir_fd, WIRE_SOCKET, control->owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW))
        return -errno;
    return listen(control->listen_fd, BACKLOG) ? -errno : 0;
}

static bool may_connect(const struct control *control, const struct ucred *who)
{
    return who->uid == 0 || who->uid == control->owner || who->uid == geteuid();
}

// ------------------------------------------------------------------------------- clients

static void serve_end(struct served *served)
{
    struct control *control = served->control;
    control_lock(control);
    struct served **link = &control->first;
    while (*link != served)
        link = &(*link)->next;
    *link = served->next;
    assert(control->count > 0);
    shutdown(served->client.fd, SHUT_RDWR);
    close(served->client.fd);
    control->count--;
    pthread_cond_broadcast(&control->changed);
    control_unlock(control); // from here on `control` may be gone
    free(served);
}

static void *serve(void *arg)
{
    struct served *served = arg;
    control_client_run(served->control->fs, &served->client);
    serve_end(served);
    return NULL;
}

// Starts to serve. False: there is no room.
static bool serve_begin(struct control *control, int fd, const struct ucred *who)
{
    struct served *served = calloc(1, sizeof *served);
    pthread_attr_t attr;
    pthread_t thread;
    if (!served)
        return false;
    served->control = control;
    served->client = (struct control_client){.fd = fd, .uid = who->uid, .gid = who->gid};
    control_lock(control);
    bool room = control->count < CLIENTS_MAX && pthread_attr_init(&attr) == 0;
    if (room) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        room = pthread_create(&thread, &attr, serve, served) == 0;
        pthread_attr_destroy(&attr);
    }
    if (room) {
        pthread_setname_np(thread, "lsmfs-control");
        served->next = control->first;
        control->first = served;
        control->count++;
    }
    control_unlock(control);
    if (!room)
        free(served);
    return room;
}

static void take_client(struct control *control)
{
    struct ucred who;
    socklen_t size = sizeof who;
    const struct timeval patience = {.tv_sec = COMMAND_S};
    int fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        struct pollfd stop = {.fd = control->stop_fd, .events = POLLIN};
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            poll(&stop, 1, ACCEPT_WAIT_MS);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) || !may_connect(control, &who))
        control_client_refuse(fd, "the store is mounted, and only its owner and root may use it");
    else if (serve_begin(control, fd, &who))
        return;
    else
        control_client_refuse(fd, "too many commands are running on the mounted store");
    close(fd);
}

// Fills in what to poll: the stop, the socket, and of each client that is served whether it has
// gone away. What clients send is their own threads' to read.
static nfds_t gather(struct control *control, struct pollfd *fds, struct served **served)
{
    nfds_t n = 2;
    fds[0] = (struct pollfd){.fd = control->stop_fd, .events = POLLIN};
    fds[1] = (struct pollfd){.fd = control->listen_fd, .events = POLLIN};
    control_lock(control);
    for (struct served *s = control->first; s; s = s->next) {
        if (s->gone)
            continue;
        assert(n < CLIENTS_MAX + 2);
        served[n] = s;
        fds[n++] = (struct pollfd){.fd = s->client.fd, .events = POLLRDHUP};
    }
    control_unlock(control);
    return n;
}

// Cancels the commands of clients that have gone away. A client may have ended since it was
// gathered.
static void cancel_gone(struct control *control, const struct pollfd *fds, nfds_t count,
                        struct served **served)
{
    control_lock(control);
    for (struct served *s = control->first; s; s = s->next) {
        for (nfds_t i = 2; i < count; i++) {
            if (served[i] == s && fds[i].fd == s->client.fd && fds[i].revents) {
                s->gone = true;
                atomic_store(&s->client.front.cancelled, true);
            }
        }
    }
    control_unlock(control);
    watch_hub_wake(&control->fs->watch);
}

static void *control_run(void *arg)
{
    struct control *control = arg;
    struct pollfd fds[CLIENTS_MAX + 2];
    struct served *served[CLIENTS_MAX + 2];
    for (;;) {
        nfds_t count = gather(control, fds, served);
        if (poll(fds, count, -1) < 0 && errno != EINTR)
            return NULL;
        if (fds[0].revents)
            return NULL;
        cancel_gone(control, fds, count, served);
        if (fds[1].revents)
            take_client(control);
    }
}

// ------------------------------------------------------------------------------- start, stop

int control_start(struct lsmfs *fs, struct control **ret_control)
{
    struct control *control = calloc(1, sizeof *control);
    if (!control)
        return -ENOMEM;
    control->fs = fs;
    watch_hub_init(&fs->watch, fs->ns);
    control->listen_fd = -1;
    control->joined = true;
    pthread_mutex_init(&control->mutex, NULL);
    cond_init(&control->changed);
    control->stop_fd = eventfd(0, EFD_CLOEXEC);
    int rc = control->stop_fd < 0 ? -errno : 0;
    control->dir_fd = store_place_control(fs->options.db, true);
    if (!rc)
        rc = control->dir_fd < 0 ? control->dir_fd : listen_at(control);
    if (!rc)
        rc = -pthread_create(&control->thread, NULL, control_run, control);
    if (rc) {
        control_free(control);
        return rc;
    }
    pthread_setname_np(control->thread, "lsmfs-control");
    control->joined = false;
    *ret_control = control;
    return 0;
}

static void shut_all(struct control *control, int how) REQUIRES(control_mutex)
{
    for (struct served *s = control->first; s; s = s->next) {
        atomic_store(&s->client.stopping, true);
        atomic_store(&s->client.front.cancelled, true);
        shutdown(s->client.fd, how);
    }
}

void control_stop(struct control *control)
{
    if (!control || control->joined)
        return;
    uint64_t one = 1;
    unlinkat(control->dir_fd, WIRE_SOCKET, 0);
    (void)!write(control->stop_fd, &one, sizeof one);
    pthread_join(control->thread, NULL);
    control->joined = true;
    close(control->listen_fd); // whoever has connected, and was not accepted, tries again
    control->listen_fd = -1;
    struct timespec until = time_after_us(LAST_WORDS_US);
    control_lock(control);
    shut_all(control, SHUT_RD);
    control_unlock(control);
    watch_hub_wake(&control->fs->watch);
    control_lock(control);
    while (control->count &&
           pthread_cond_timedwait(&control->changed, &control->mutex, &until) == 0)
        ;
    shut_all(control, SHUT_RDWR);
    while (control->count)
        pthread_cond_wait(&control->changed, &control->mutex);
    control_unlock(control);
}

void control_free(struct control *control)
{
    if (!control)
        return;
    watch_hub_release(&control->fs->watch);
    if (control->listen_fd >= 0)
        close(control->listen_fd);
    if (control->stop_fd >= 0)
        close(control->stop_fd);
    if (control->dir_fd >= 0)
        close(control->dir_fd);
    pthread_cond_destroy(&control->changed);
    pthread_mutex_destroy(&control->mutex);
    free(control);
}
