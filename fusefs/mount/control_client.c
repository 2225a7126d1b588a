// One client: a front (commands/front.h) whose other end is lsmfsctl. See control_client.h.
//
// What the command prints is gathered and sent when there is enough of it, when the command waits
// for the client, and where it wants it to be seen. A client that does not take it holds up its own
// command, and nothing else: no lock is held meanwhile.
//
// Any failure of the socket cancels the command. Thread safety: the client's thread.
#include "mount/control_client.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/clock.h"
#include "base/coding.h"
#include "commands/wire.h"
#include "mount/control_kernel.h"

#define SEND_BYTES     65536u
#define PROGRESS_US    250000u
#define PROGRESS_CALLS 64u // from one look at the clock to the next

struct client_session {
    struct control_client *client;
    struct buf send;
    struct wire_message answer;
    bool wants_progress;
    bool broken;   // the socket; `cancelled` too
    bool has_sent; // something that the command has said
    unsigned progress_calls;
    uint64_t progress_us; // when it was told last
};

static_assert(offsetof(struct control_client, front) == 0, "session_of() finds the client by it");

static struct client_session *session_of(struct front *front)
{
    struct client_session *session = ((struct control_client *)front)->session;
    assert(session); // while the command runs
    return session;
}

// ------------------------------------------------------------------------------- sending

static void break_off(struct client_session *session)
{
    session->broken = true;
    atomic_store(&session->client->front.cancelled, true);
}

static void send_now(struct client_session *session)
{
    session->has_sent |= session->send.size > 0;
    if (!session->broken && session->send.size &&
        wire_send(session->client->fd, buf_slice(&session->send)))
        break_off(session);
    session->send.size = 0;
}

static void add(struct client_session *session, enum wire_type type, const void *data, size_t size)
{
    if (!session->broken && wire_append(&session->send, type, data, size))
        break_off(session);
    if (session->send.size >= SEND_BYTES)
        send_now(session);
}

// Behind what has been printed so far.
static void add_in_order(struct client_session *session, enum wire_type type, const void *data,
                         size_t size)
{
    fflush(session->client->front.out);
    add(session, type, data, size);
}

// Two strings.
static void add_strings(struct client_session *session, enum wire_type type, const char *first,
                        const char *second)
{
    struct buf body = {0};
    if (wire_put_string(&body, first) || wire_put_string(&body, second))
        break_off(session);
    else
        add_in_order(session, type, body.data, body.size);
    buf_release(&body);
}

// Sends a question; its answer's result, and its bytes in session->answer, of which there are at
// most `most`. -ECANCELED: there is none.
static int64_t ask(struct client_session *session, enum wire_type type, const void *data,
                   size_t size, size_t most, struct slice *ret_bytes)
{
    uint64_t result;
    add_in_order(session, type, data, size);
    send_now(session);
    if (session->broken || is_cancelled(&session->client->front))
        return -ECANCELED;
    int rc = wire_receive(session->client->fd, 8 + most, &session->answer);
    struct slice body = buf_slice(&session->answer.body);
    if (rc || session->answer.type != WIRE_ANSWER || !wire_get_u64(&body, &result)) {
        atomic_store(&session->client->front.cancelled, true);
        atomic_store(&session->client->front.has_seen, true);
        return -ECANCELED;
    }
    if (ret_bytes)
        *ret_bytes = body;
    return (int64_t)result;
}

// The same for a question whose answer is 0 or a negative errno.
static int ask_rc(struct client_session *session, enum wire_type type, const void *data,
                  size_t size)
{
    int64_t result = ask(session, type, data, size, 0, NULL);
    return result > 0 || result < -4095 ? -EPROTO : (int)result;
}

// ------------------------------------------------------------------------------- the front

static void client_complain(struct front *front, const char *program, const char *text)
{
    add_strings(session_of(front), WIRE_COMPLAINT, program, text);
}

static void client_progress(struct front *front)
{
    struct client_session *session = session_of(front);
    uint8_t body[20];
    if (!session->wants_progress || ++session->progress_calls % PROGRESS_CALLS != 1)
        return;
    uint64_t now = clock_us();
    if (now - session->progress_us < PROGRESS_US)
        return;
    session->progress_us = now;
    put_fixed32(body, (uint32_t)front->unit);
    put_fixed64(body + 4, front->done);
    put_fixed64(body + 12, front->total);
    add(session, WIRE_PROGRESS, body, sizeof body);
    send_now(session);
}

static void client_print_begin(struct front *front)
{
    (void)front;
}

static void client_print_end(struct front *front)
{
    fflush(front->out);
    send_now(session_of(front));
}

static void client_print_time(struct front *front, const char *format, time_t time)
{
    struct buf body = {0};
    if (buf_put_fixed64(&body, (uint64_t)time) || wire_put_string(&body, format))
        break_off(session_of(front));
    else
        add_in_order(session_of(front), WIRE_TIME, body.data, body.size);
    buf_release(&body);
}

static void print_id(struct front *front, enum wire_type type, uint32_t id, unsigned width)
{
    uint8_t body[8];
    put_fixed32(body, id);
    put_fixed32(body + 4, width);
    add_in_order(session_of(front), type, body, sizeof body);
}

static void client_print_user(struct front *front, uint32_t uid, unsigned width)
{
    print_id(front, WIRE_USER, uid, width);
}

static void client_print_group(struct front *front, uint32_t gid, unsigned width)
{
    print_id(front, WIRE_GROUP, gid, width);
}

static bool client_local_time(struct front *front, time_t time, struct tm *ret_tm)
{
    uint8_t body[8];
    struct slice bytes = {0};
    uint32_t v[9];
    put_fixed64(body, (uint64_t)time);
    if (ask(session_of(front), WIRE_ASK_TIME, body, sizeof body, sizeof v, &bytes) != 0)
        return false;
    for (unsigned i = 0; i < 9; i++)
        if (!wire_get_u32(&bytes, &v[i]))
            return false;
    *ret_tm = (struct tm){.tm_sec = (int)v[0],
                          .tm_min = (int)v[1],
                          .tm_hour = (int)v[2],
                          .tm_mday = (int)v[3],
                          .tm_mon = (int)v[4],
                          .tm_year = (int)v[5],
                          .tm_wday = (int)v[6],
                          .tm_yday = (int)v[7],
                          .tm_isdst = (int)v[8]};
    return true;
}

static ssize_t client_source_read(struct front *front, void *data, size_t size)
{
    uint8_t body[4];
    struct slice bytes = {0};
    size_t most = size < WIRE_PIECE ? size : WIRE_PIECE;
    put_fixed32(body, (uint32_t)most);
    int64_t result = ask(session_of(front), WIRE_ASK_SOURCE, body, sizeof body, most, &bytes);
    if (result < 0)
        return result < -4095 ? -EPROTO : (ssize_t)result;
    if ((uint64_t)result != bytes.size)
        return -EPROTO;
    if (bytes.size)
        memcpy(data, bytes.data, bytes.size);
    return (ssize_t)bytes.size;
}

static int client_sink_write(struct front *front, const void *data, size_t size)
{
    int rc = 0;
    do {
        size_t n = size < WIRE_PIECE ? size : WIRE_PIECE;
        rc = ask_rc(session_of(front), WIRE_SINK, data, n);
        data = (const uint8_t *)data + n;
        size -= n;
    } while (size && !rc);
    return rc;
}

static int client_sink_close(struct front *front)
{
    return ask_rc(session_of(front), WIRE_SINK_CLOSE, NULL, 0);
}

static void client_hold_signals(struct front *front)
{
    add(session_of(front), WIRE_HOLD_SIGNALS, NULL, 0);
    send_now(session_of(front));
}

static int client_truncate(struct front *front, const char *path)
{
    struct buf body = {0};
    int rc = wire_put_string(&body, path);
    if (!rc)
        rc = ask_rc(session_of(front), WIRE_TRUNCATE, body.data, body.size);
    buf_release(&body);
    return rc;
}

static int client_ask_place(struct front *front, const char *path, uint64_t *ret_device,
                            uint64_t *ret_inode)
{
    struct buf body = {0};
    struct slice bytes = {0};
    int64_t rc = wire_put_string(&body, path);
    if (!rc)
        rc = ask(session_of(front), WIRE_ASK_PLACE, body.data, body.size, 16, &bytes);
    if (rc == 0 && (!wire_get_u64(&bytes, ret_device) || !wire_get_u64(&bytes, ret_inode)))
        rc = -EPROTO;
    buf_release(&body);
    return rc ? -1 : 0;
}

static ssize_t write_out(void *cookie, const char *data, size_t size)
{
    struct client_session *session = cookie;
    for (size_t done = 0; done < size;) {
        size_t n = size - done < SEND_BYTES ? size - done : SEND_BYTES;
        add(session, WIRE_OUT, data + done, n);
        done += n;
    }
    return session->broken ? 0 : (ssize_t)size; // 0: a failure, as fopencookie(3) has it
}

static const struct front_ops client_ops = {
    .complain = client_complain,
    .progress = client_progress,
    .print_begin = client_print_begin,
    .print_end = client_print_end,
    .print_time = client_print_time,
    .print_user = client_print_user,
    .print_group = client_print_group,
    .local_time = client_local_time,
    .source_read = client_source_read,
    .sink_write = client_sink_write,
    .sink_close = client_sink_close,
    .hold_signals = client_hold_signals,
    .truncate_mounted = client_truncate,
    .ask_place = client_ask_place,
};

// ------------------------------------------------------------------------------- the command

void control_client_refuse(int fd, const char *why)
{
    struct buf send = {0};
    if (!wire_append(&send, WIRE_REFUSED, why, strlen(why)))
        (void)!wire_send(fd, buf_slice(&send));
    buf_release(&send);
}

// Takes the command; false: it has been refused, or there is none.
static bool take_command(struct control_client *client, struct wire_message *message,
                         struct ctl *ret_ctl, struct wire_command *ret_command)
{
    const struct timeval forever = {0};
    int rc = wire_receive(client->fd, WIRE_COMMAND_MAX, message);
    if (rc && rc != -EPROTO)
        return false;
    if (!rc)
        rc = message->type == WIRE_COMMAND
                 ? wire_get_command(buf_slice(&message->body), ret_ctl, ret_command)
                 : -EPROTO;
    if (!rc) {
        setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
        return true;
    }
    control_client_refuse(client->fd,
                          rc == -ENOMEM   ? "the daemon that has the store is out of memory"
                          : rc == -EPROTO ? "the daemon that has the store does not understand"
                                          : "the daemon that has the store is of another version");
    return false;
}

static void run_command(struct lsmfs *fs, struct control_client *client, struct ctl *ctl)
{
    struct client_session *session = client->session;
    struct kernel_live live;
    kernel_live_init(&live, fs);
    ctl->front = &client->front;
    ctl->live = &live.live;
    if (atomic_load(&client->stopping))
        return; // not accepted: lsmfsctl waits for the store
    add(session, WIRE_ACCEPTED, NULL, 0);
    send_now(session);
    session->has_sent = false;
    uint32_t status = (uint32_t)ctl_run(ctl);
    if (status && atomic_load(&client->stopping) && atomic_load(&client->front.has_seen)) {
        status = WIRE_STATUS_UNMOUNTED;
        fflush(client->front.out);
        if (ctl->command->flags & COMMAND_PRINTS && !session->has_sent)
            session->send.size = 0; // nothing was shown: lsmfsctl does all of it again
    }
    uint8_t body[4];
    put_fixed32(body, status);
    add_in_order(session, WIRE_EXIT, body, sizeof body);
    send_now(session);
}

void control_client_run(struct lsmfs *fs, struct control_client *client)
{
    static const cookie_io_functions_t out_functions = {.write = write_out};
    struct client_session session = {.client = client};
    struct wire_message message = {0};
    struct wire_command command;
    struct ctl *ctl = calloc(1, sizeof *ctl);
    FILE *out = fopencookie(&session, "w", out_functions);
    client->session = &session;
    if (ctl && out && take_command(client, &message, ctl, &command)) {
        client->front.ops = &client_ops;
        client->front.out = out;
        client->front.out_is_terminal = command.out_is_terminal;
        client->front.cred =
            (struct ns_cred){.uid = client->uid, .gid = client->gid, .umask = command.umask};
        session.wants_progress = command.wants_progress;
        run_command(fs, client, ctl);
        free(ctl->args);
    }
    session.broken = true; // nothing more is sent
    if (out)
        fclose(out);
    free(ctl);
    buf_release(&session.send);
    buf_release(&session.answer.body);
    buf_release(&message.body);
}
