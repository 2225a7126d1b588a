// The client's side of the control socket (commands/wire.h).
//
// The daemon may be another user's process. So it gets no file descriptors, and only questions that
// the command needs are answered.
//
// Thread safety: one thread.
#include "ctl/delegate.h"

#include <assert.h>
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
#include "common/store_place.h"
#include "ctl/signals.h"
#include "ctl/terminal.h"

#define BODY_MAX  (WIRE_PIECE + 4096u)
#define ANSWER_MS 2000 // until it is said that the daemon is waited for

static_assert(BODY_MAX <= WIRE_COMMAND_MAX, "wire.h");

struct delegate {
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
    int directory = store_place_control(db, false);
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

static int send_command(struct delegate *delegate)
{
    struct buf body = {0};
    struct wire_command command = {.umask = delegate->front->cred.umask,
                                   .out_is_terminal = delegate->front->out_is_terminal,
                                   .wants_progress = delegate->shows_progress};
    char *cwd = getcwd(NULL, 0);
    command.cwd = cwd && *cwd == '/' ? cwd : "/";
    int rc = wire_put_command(delegate->ctl, &command, &body);
    free(cwd);
    if (!rc && body.size > WIRE_COMMAND_MAX)
        rc = -E2BIG;
    if (!rc)
        rc = wire_append(&delegate->send, WIRE_COMMAND, body.data, body.size);
    if (!rc)
        rc = wire_send(delegate->fd, buf_slice(&delegate->send));
    buf_release(&body);
    return rc;
}

// ------------------------------------------------------------------------------- answers

static int answer(struct delegate *delegate, int64_t result, const void *data, size_t size)
{
    uint8_t head[8];
    struct buf body = {0};
    assert(result >= 0 || !size);
    put_fixed64(head, (uint64_t)result);
    delegate->send.size = 0;
    int rc = buf_append(&body, head, sizeof head) || (size && buf_append(&body, data, size));
    if (!rc)
        rc = wire_append(&delegate->send, WIRE_ANSWER, body.data, body.size);
    buf_release(&body);
    return rc ? -ENOMEM : wire_send(delegate->fd, buf_slice(&delegate->send));
}

static int answer_time(struct delegate *delegate, struct slice body)
{
    uint64_t seconds;
    struct tm tm;
    uint8_t fields[36], *p = fields;
    if (!wire_get_u64(&body, &seconds))
        return -EPROTO;
    if (!delegate->front->ops->local_time(delegate->front, (time_t)seconds, &tm))
        return answer(delegate, -ERANGE, NULL, 0);
    const int values[9] = {tm.tm_sec,  tm.tm_min,  tm.tm_hour, tm.tm_mday, tm.tm_mon,
                           tm.tm_year, tm.tm_wday, tm.tm_yday, tm.tm_isdst};
    for (unsigned i = 0; i < 9; i++)
        p = put_fixed32(p, (uint32_t)values[i]);
    return answer(delegate, 0, fields, sizeof fields);
}

static int answer_source(struct delegate *delegate, struct slice body)
{
    uint32_t most;
    const char *name = delegate->ctl->command->name;
    if (!wire_get_u32(&body, &most) || most > WIRE_PIECE ||
        (strcmp(name, "put") != 0 && strcmp(name, "receive") != 0))
        return -EPROTO;
    delegate->piece.size = 0;
    if (buf_reserve(&delegate->piece, WIRE_PIECE))
        return answer(delegate, -ENOMEM, NULL, 0);
    ssize_t n = delegate->front->ops->source_read(delegate->front, delegate->piece.data, most);
    return answer(delegate, n, delegate->piece.data, n > 0 ? (size_t)n : 0);
}

static int answer_sink(struct delegate *delegate, struct slice body)
{
    const char *name = delegate->ctl->command->name;
    if (strcmp(name, "get") != 0 && strcmp(name, "send") != 0)
        return -EPROTO;
    fflush(stdout);
    if (signals_seen())
        return answer(delegate, -EINTR, NULL, 0);
    return answer(delegate, delegate->front->ops->sink_write(delegate->front, body.data, body.size),
                  NULL, 0);
}

static int answer_place(struct delegate *delegate, struct slice body)
{
    const char *path;
    struct stat st;
    uint8_t fields[16];
    if (!wire_get_string(&body, &path))
        return -EPROTO;
    if (stat(path, &st))
        return answer(delegate, -errno, NULL, 0);
    put_fixed64(fields, st.st_dev);
    put_fixed64(fields + 8, st.st_ino);
    return answer(delegate, 0, fields, sizeof fields);
}

// Makes a file empty, if it is in the store's mount and nowhere else.
static int truncate_in_mount(struct delegate *delegate, const char *path)
{
    struct mount_info info;
    const struct open_how how = {.flags = O_WRONLY | O_TRUNC | O_CLOEXEC | O_NONBLOCK,
                                 .resolve =
                                     RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    bool is_remote = store_place_is_remote(delegate->ctl->db);
    char *db = is_remote ? strdup(delegate->ctl->db) : realpath(delegate->ctl->db, NULL);
    bool found = db && mount_info_of_store(0, db, NULL, &info);
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

static int answer_truncate(struct delegate *delegate, struct slice body)
{
    const char *path;
    if (!wire_get_string(&body, &path) || strcmp(delegate->ctl->command->name, "put") != 0)
        return -EPROTO;
    return answer(delegate, truncate_in_mount(delegate, path), NULL, 0);
}

// ------------------------------------------------------------------------------- what comes

static void print_out(struct delegate *delegate, struct slice bytes)
{
    if (delegate->shows_progress)
        terminal_progress_pause();
    fwrite(bytes.data, 1, bytes.size, stdout);
    if (delegate->shows_progress) {
        fflush(stdout);
        terminal_progress_resume();
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

static int print_time(struct delegate *delegate, struct slice body)
{
    uint64_t seconds;
    const char *format;
    if (!wire_get_u64(&body, &seconds) || !wire_get_string(&body, &format))
        return -EPROTO;
    delegate->front->ops->print_time(delegate->front, format, (time_t)seconds);
    return 0;
}

static int print_id(struct delegate *delegate, bool is_user, struct slice body)
{
    uint32_t id, width;
    if (!wire_get_u32(&body, &id) || !wire_get_u32(&body, &width) || width > 64)
        return -EPROTO;
    if (is_user)
        delegate->front->ops->print_user(delegate->front, id, width);
    else
        delegate->front->ops->print_group(delegate->front, id, width);
    return 0;
}

static int take_progress(struct slice body)
{
    uint32_t unit;
    uint64_t done, total;
    if (!wire_get_u32(&body, &unit) || unit > PROGRESS_NAMES || !wire_get_u64(&body, &done) ||
        !wire_get_u64(&body, &total))
        return -EPROTO;
    terminal_progress_show((enum progress_unit)unit, done, total);
    return 0;
}

static int take(struct delegate *delegate, const struct wire_message *message)
{
    struct slice body = buf_slice(&message->body);
    bool is_output = message->type == WIRE_OUT || message->type == WIRE_TIME ||
                     message->type == WIRE_USER || message->type == WIRE_GROUP;
    if (is_output && signals_seen())
        return 0; // perhaps nobody is there who takes it
    switch (message->type) {
    case WIRE_OUT:
        delegate->has_shown = true;
        print_out(delegate, body);
        return 0;
    case WIRE_COMPLAINT:
        return print_complaint(body);
    case WIRE_TIME:
        return print_time(delegate, body);
    case WIRE_USER:
        return print_id(delegate, true, body);
    case WIRE_GROUP:
        return print_id(delegate, false, body);
    case WIRE_PROGRESS:
        return take_progress(body);
    case WIRE_HOLD_SIGNALS:
        delegate->front->ops->hold_signals(delegate->front);
        return 0;
    case WIRE_ASK_TIME:
        return answer_time(delegate, body);
    case WIRE_ASK_SOURCE:
        return answer_source(delegate, body);
    case WIRE_SINK:
        delegate->has_shown = true;
        return answer_sink(delegate, body);
    case WIRE_SINK_CLOSE:
        return answer(delegate, delegate->front->ops->sink_close(delegate->front), NULL, 0);
    case WIRE_TRUNCATE:
        return answer_truncate(delegate, body);
    case WIRE_ASK_PLACE:
        return answer_place(delegate, body);
    default:
        return -EPROTO;
    }
}

// Receives the next message. Shows what has been printed before it waits.
static int receive(struct delegate *delegate, struct wire_message *message)
{
    struct pollfd more = {.fd = delegate->fd, .events = POLLIN};
    if (poll(&more, 1, 0) == 0 && !signals_seen())
        fflush(stdout);
    signals_tell(delegate->fd);
    int rc = wire_receive(delegate->fd, BODY_MAX, message);
    signals_tell_no_more();
    return rc;
}

static enum exit_status lost(struct delegate *delegate, int rc)
{
    if (signals_seen())
        return EXIT_FAILED; // the daemon was told, and may have closed, or has no time
    if (rc == -EPROTO)
        complain(delegate->ctl, "%s: what its daemon says makes no sense", delegate->ctl->db);
    else
        complain(delegate->ctl, "%s: its daemon has ended: whether all was done is not known",
                 delegate->ctl->db);
    return EXIT_FAILED;
}

// For a store that was unmounted before the command was done: says so. False: the command has
// changed nothing and shown nothing, and can be done again on the store itself.
static bool cut_off(struct delegate *delegate)
{
    if (delegate->ctl->command->flags & COMMAND_PRINTS && !delegate->has_shown)
        return false;
    complain(delegate->ctl, "cancelled: the store is being unmounted");
    return true;
}

// After the command was accepted, to its end. *ret_done is false if it is to be done again.
static enum exit_status serve(struct delegate *delegate, struct wire_message *message,
                              bool *ret_done)
{
    for (;;) {
        uint32_t status;
        int rc = receive(delegate, message);
        struct slice body = buf_slice(&message->body);
        if (!rc && message->type == WIRE_EXIT && wire_get_u32(&body, &status)) {
            if (status == WIRE_STATUS_UNMOUNTED)
                *ret_done = cut_off(delegate);
            return status > EXIT_USAGE ? EXIT_FAILED : (enum exit_status)status;
        }
        if (!rc)
            rc = take(delegate, message);
        if (rc)
            return lost(delegate, rc);
        if (ferror(stdout)) // terminal_output_end() gives the message
            return EXIT_FAILED;
    }
}

// Whether the daemon answers, also after a refusal. One that does not at once is stopped, or on its
// way out.
static bool first_answer(struct delegate *delegate, struct wire_message *message)
{
    struct pollfd answer = {.fd = delegate->fd, .events = POLLIN};
    if (poll(&answer, 1, ANSWER_MS) == 0)
        complain(delegate->ctl, "%s: waiting for the daemon that has it mounted",
                 delegate->ctl->db);
    return wire_receive(delegate->fd, BODY_MAX, message) == 0;
}

bool delegate_run(struct ctl *ctl, bool shows_progress, enum exit_status *ret_status)
{
    struct delegate delegate = {.ctl = ctl, .front = ctl->front, .shows_progress = shows_progress};
    struct wire_message message = {0};
    if (ctl->command->flags & COMMAND_OFFLINE)
        return false;
    delegate.fd = connect_to(ctl->db);
    if (delegate.fd < 0)
        return false;
    terminal_watch(delegate.fd);
    int rc = send_command(&delegate);
    bool reached = true;
    *ret_status = EXIT_FAILED;
    if (rc == -E2BIG || rc == -ENOMEM)
        complain(ctl, "%s", strerror(-rc));
    else if (!first_answer(&delegate, &message))
        reached = false; // the daemon is on its way out
    else if (message.type == WIRE_ACCEPTED)
        *ret_status = serve(&delegate, &message, &reached);
    else if (message.type == WIRE_REFUSED)
        complain(ctl, "%s: %.*s", ctl->db, (int)message.body.size, (const char *)message.body.data);
    else
        *ret_status = lost(&delegate, -EPROTO);
    close(delegate.fd);
    buf_release(&delegate.send);
    buf_release(&delegate.piece);
    buf_release(&message.body);
    return reached || signals_seen();
}
