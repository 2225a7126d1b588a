// The client's side of the control socket (commands/wire.h).
//
// The daemon is somebody else's process, perhaps: it gets no file descriptors, and is answered only
// what the command has to do with.
//
// Thread safety: one thread.
#include "ctl/remote.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/coding.h"
#include "commands/wire.h"
#include "common/mounts.h"
#include "common/place.h"
#include "ctl/signals.h"
#include "ctl/terminal.h"

#define BODY_MAX  (WIRE_PIECE + 4096u)
#define ANSWER_MS 2000 // until it is said that the daemon is waited for

struct remote {
    struct ctl *ctl;
    struct front *front; // the program's
    int fd;
    bool shows_progress;
    bool has_shown; // something of the command's output
    struct buf send, piece;
};

// ------------------------------------------------------------------------------- connecting

// Paths of sockets are short; that of the store need not be. -1: there is nobody.
static int connect_to(const char *db)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int directory = place_control(db, false);
    if (directory < 0)
        return -1;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/" WIRE_SOCKET, directory);
    int rc;
    do
        rc = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&address, sizeof address);
    while (rc && fd >= 0 && errno == EINTR);
    close(directory);
    if (!rc)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int send_command(struct remote *remote)
{
    struct buf body = {0};
    struct wire_command command = {.umask = remote->front->cred.umask,
                                   .out_is_terminal = remote->front->out_is_terminal,
                                   .wants_progress = remote->shows_progress};
    char *cwd = getcwd(NULL, 0);
    command.cwd = cwd && *cwd == '/' ? cwd : "/";
    int rc = wire_put_command(remote->ctl, &command, &body);
    free(cwd);
    if (!rc && body.size > WIRE_COMMAND_MAX)
        rc = -E2BIG;
    if (!rc)
        rc = wire_append(&remote->send, WIRE_COMMAND, body.data, body.size);
    if (!rc)
        rc = wire_send(remote->fd, buf_slice(&remote->send));
    buf_release(&body);
    return rc;
}

// ------------------------------------------------------------------------------- answers

static int answer(struct remote *remote, int64_t result, const void *data, size_t size)
{
    uint8_t head[8];
    struct buf body = {0};
    put_fixed64(head, (uint64_t)result);
    remote->send.size = 0;
    int rc = buf_append(&body, head, sizeof head) || (size && buf_append(&body, data, size));
    if (!rc)
        rc = wire_append(&remote->send, WIRE_ANSWER, body.data, body.size);
    buf_release(&body);
    return rc ? -ENOMEM : wire_send(remote->fd, buf_slice(&remote->send));
}

static int answer_time(struct remote *remote, struct slice body)
{
    uint64_t seconds;
    struct tm tm;
    uint8_t fields[36], *p = fields;
    if (!wire_get_u64(&body, &seconds))
        return -EPROTO;
    if (!remote->front->ops->local_time(remote->front, (time_t)seconds, &tm))
        return answer(remote, -ERANGE, NULL, 0);
    const int values[9] = {tm.tm_sec,  tm.tm_min,  tm.tm_hour, tm.tm_mday, tm.tm_mon,
                           tm.tm_year, tm.tm_wday, tm.tm_yday, tm.tm_isdst};
    for (unsigned i = 0; i < 9; i++)
        p = put_fixed32(p, (uint32_t)values[i]);
    return answer(remote, 0, fields, sizeof fields);
}

static int answer_source(struct remote *remote, struct slice body)
{
    uint32_t most;
    if (!wire_get_u32(&body, &most) || most > WIRE_PIECE ||
        strcmp(remote->ctl->command->name, "put") != 0)
        return -EPROTO;
    remote->piece.size = 0;
    if (buf_reserve(&remote->piece, WIRE_PIECE))
        return answer(remote, -ENOMEM, NULL, 0);
    ssize_t n = remote->front->ops->source_read(remote->front, remote->piece.data, most);
    return answer(remote, n, remote->piece.data, n > 0 ? (size_t)n : 0);
}

static int answer_sink(struct remote *remote, struct slice body)
{
    const char *name = remote->ctl->command->name;
    if (strcmp(name, "get") != 0 && strcmp(name, "send") != 0)
        return -EPROTO;
    fflush(stdout);
    if (signals_seen())
        return answer(remote, -EINTR, NULL, 0);
    return answer(remote, remote->front->ops->sink_write(remote->front, body.data, body.size), NULL,
                  0);
}

static int answer_place(struct remote *remote, struct slice body)
{
    const char *path;
    struct stat st;
    uint8_t fields[16];
    if (!wire_get_string(&body, &path))
        return -EPROTO;
    if (stat(path, &st))
        return answer(remote, -errno, NULL, 0);
    put_fixed64(fields, st.st_dev);
    put_fixed64(fields + 8, st.st_ino);
    return answer(remote, 0, fields, sizeof fields);
}

// A file in the store's mount, and nowhere else, is made empty.
static int truncate_in_mount(struct remote *remote, const char *path)
{
    struct mount_info info;
    const struct open_how how = {.flags = O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK,
                                 .resolve =
                                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    bool is_remote = place_is_remote(remote->ctl->db);
    char *db = is_remote ? strdup(remote->ctl->db) : realpath(remote->ctl->db, NULL);
    bool found = db && mount_info_of_store(0, db, &info);
    free(db);
    if (!found)
        return -ETXTBSY;
    int root = open(info.mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    path += strspn(path, "/");
    long fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    int rc = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close((int)fd);
    close(root);
    return rc;
}

static int answer_truncate(struct remote *remote, struct slice body)
{
    const char *path;
    if (!wire_get_string(&body, &path) || strcmp(remote->ctl->command->name, "put") != 0)
        return -EPROTO;
    return answer(remote, truncate_in_mount(remote, path), NULL, 0);
}

// ------------------------------------------------------------------------------- what comes

static void print_out(struct remote *remote, struct slice bytes)
{
    if (remote->shows_progress)
        screen_take();
    fwrite(bytes.data, 1, bytes.size, stdout);
    if (remote->shows_progress) {
        fflush(stdout);
        screen_give();
    }
}

static int print_complaint(struct slice body)
{
    const char *program, *text;
    if (!wire_get_string(&body, &program) || !wire_get_string(&body, &text))
        return -EPROTO;
    terminal_say(program, "%s", text);
    return 0;
}

static int print_time(struct remote *remote, struct slice body)
{
    uint64_t seconds;
    const char *format;
    if (!wire_get_u64(&body, &seconds) || !wire_get_string(&body, &format))
        return -EPROTO;
    remote->front->ops->print_time(remote->front, format, (time_t)seconds);
    return 0;
}

static int print_id(struct remote *remote, bool is_user, struct slice body)
{
    uint32_t id, width;
    if (!wire_get_u32(&body, &id) || !wire_get_u32(&body, &width) || width > 64)
        return -EPROTO;
    if (is_user)
        remote->front->ops->print_user(remote->front, id, width);
    else
        remote->front->ops->print_group(remote->front, id, width);
    return 0;
}

static int take_progress(struct slice body)
{
    uint32_t unit;
    uint64_t done, total;
    if (!wire_get_u32(&body, &unit) || unit > PROGRESS_NAMES || !wire_get_u64(&body, &done) ||
        !wire_get_u64(&body, &total))
        return -EPROTO;
    progress_show((enum progress_unit)unit, done, total);
    return 0;
}

static int take(struct remote *remote, const struct wire_message *message)
{
    struct slice body = buf_slice(&message->body);
    bool is_output = message->type == WIRE_OUT || message->type == WIRE_TIME ||
                     message->type == WIRE_USER || message->type == WIRE_GROUP;
    if (is_output && signals_seen())
        return 0; // perhaps nobody is there who takes it
    switch (message->type) {
    case WIRE_OUT:
        remote->has_shown = true;
        print_out(remote, body);
        return 0;
    case WIRE_COMPLAINT:
        return print_complaint(body);
    case WIRE_TIME:
        return print_time(remote, body);
    case WIRE_USER:
        return print_id(remote, true, body);
    case WIRE_GROUP:
        return print_id(remote, false, body);
    case WIRE_PROGRESS:
        return take_progress(body);
    case WIRE_HOLD_SIGNALS:
        remote->front->ops->hold_signals(remote->front);
        return 0;
    case WIRE_ASK_TIME:
        return answer_time(remote, body);
    case WIRE_ASK_SOURCE:
        return answer_source(remote, body);
    case WIRE_SINK:
        remote->has_shown = true;
        return answer_sink(remote, body);
    case WIRE_SINK_CLOSE:
        return answer(remote, remote->front->ops->sink_close(remote->front), NULL, 0);
    case WIRE_TRUNCATE:
        return answer_truncate(remote, body);
    case WIRE_ASK_PLACE:
        return answer_place(remote, body);
    default:
        return -EPROTO;
    }
}

// Shows what has come before it waits for more.
static int receive(struct remote *remote, struct wire_message *message)
{
    struct pollfd more = {.fd = remote->fd, .events = POLLIN};
    if (poll(&more, 1, 0) == 0 && !signals_seen())
        fflush(stdout);
    signals_tell(remote->fd);
    int rc = wire_receive(remote->fd, BODY_MAX, message);
    signals_tell_no_more();
    return rc;
}

static enum exit_status lost(struct remote *remote, int rc)
{
    if (signals_seen())
        return EXIT_FAILED; // the daemon was told, and may have closed, or has no time
    if (rc == -EPROTO)
        complain(remote->ctl, "%s: what its daemon says makes no sense", remote->ctl->db);
    else
        complain(remote->ctl, "%s: its daemon has ended: whether all was done is not known",
                 remote->ctl->db);
    return EXIT_FAILED;
}

// The store was unmounted before the command was done. False: it has changed nothing and shown
// nothing, and can be done again on the store itself.
static bool cut_off(struct remote *remote)
{
    if (remote->ctl->command->flags & COMMAND_PRINTS && !remote->has_shown)
        return false;
    complain(remote->ctl, "cancelled: the store is being unmounted");
    return true;
}

// After the command was accepted, to its end. *ret_done is false if it is to be done again.
static enum exit_status serve(struct remote *remote, struct wire_message *message, bool *ret_done)
{
    for (;;) {
        uint32_t status;
        int rc = receive(remote, message);
        struct slice body = buf_slice(&message->body);
        if (!rc && message->type == WIRE_EXIT && wire_get_u32(&body, &status)) {
            if (status == WIRE_STATUS_UNMOUNTED)
                *ret_done = cut_off(remote);
            return status > EXIT_USAGE ? EXIT_FAILED : (enum exit_status)status;
        }
        if (!rc)
            rc = take(remote, message);
        if (rc)
            return lost(remote, rc);
        if (ferror(stdout)) // which will be said
            return EXIT_FAILED;
    }
}

// Whether the daemon answers, also after a refusal. One that does not at once is stopped, or on its
// way out.
static bool first_answer(struct remote *remote, struct wire_message *message)
{
    struct pollfd answer = {.fd = remote->fd, .events = POLLIN};
    if (poll(&answer, 1, ANSWER_MS) == 0)
        complain(remote->ctl, "%s: waiting for the daemon that has it mounted", remote->ctl->db);
    return wire_receive(remote->fd, BODY_MAX, message) == 0;
}

bool remote_run(struct ctl *ctl, bool shows_progress, enum exit_status *ret_status)
{
    struct remote remote = {.ctl = ctl, .front = ctl->front, .shows_progress = shows_progress};
    struct wire_message message = {0};
    if (ctl->command->flags & COMMAND_OFFLINE)
        return false;
    remote.fd = connect_to(ctl->db);
    if (remote.fd < 0)
        return false;
    terminal_watch(remote.fd);
    int rc = send_command(&remote);
    bool reached = true;
    *ret_status = EXIT_FAILED;
    if (rc == -E2BIG || rc == -ENOMEM)
        complain(ctl, "%s", strerror(-rc));
    else if (!first_answer(&remote, &message))
        reached = false; // the daemon is on its way out
    else if (message.type == WIRE_ACCEPTED)
        *ret_status = serve(&remote, &message, &reached);
    else if (message.type == WIRE_REFUSED)
        complain(ctl, "%s: %.*s", ctl->db, (int)message.body.size, (const char *)message.body.data);
    else
        *ret_status = lost(&remote, -EPROTO);
    close(remote.fd);
    buf_release(&remote.send);
    buf_release(&remote.piece);
    buf_release(&message.body);
    return reached || signals_seen();
}
