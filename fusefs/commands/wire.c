// See wire.h. A header is u32 size of the body, u8 type, three zeros. Numbers are little-endian; a
// string is a varint, its length with the terminator, and its bytes with it.
#include "commands/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/coding.h"

#define HEADER        8u
#define COMMAND_MAGIC 0x6c6d736cu // "lsml"
#define FLAG_TERMINAL 1u
#define FLAG_PROGRESS 2u

static_assert(WIRE_PIECE + 8 <= WIRE_COMMAND_MAX, "the answer to WIRE_ASK_SOURCE");

// ------------------------------------------------------------------------------- parts

int wire_append(struct buf *out, enum wire_type type, const void *data, size_t size)
{
    uint8_t header[HEADER] = {0};
    put_fixed32(header, (uint32_t)size);
    header[4] = (uint8_t)type;
    if (buf_reserve(out, HEADER + size))
        return -ENOMEM;
    (void)!buf_append(out, header, HEADER);
    if (size)
        (void)!buf_append(out, data, size);
    return 0;
}

int wire_put_string(struct buf *out, const char *text)
{
    return buf_put_slice(out, slice_of(text, strlen(text) + 1)) ? -ENOMEM : 0;
}

bool wire_get_string(struct slice *body, const char **ret_text)
{
    struct slice text;
    const uint8_t *end = body->data + body->size;
    const uint8_t *p = get_slice(body->data, end, &text);
    if (!p || !text.size || memchr(text.data, 0, text.size) != text.data + text.size - 1)
        return false;
    *body = slice_of(p, (size_t)(end - p));
    *ret_text = (const char *)text.data;
    return true;
}

bool wire_get_u32(struct slice *body, uint32_t *ret_value)
{
    if (body->size < 4)
        return false;
    *ret_value = get_fixed32(body->data);
    *body = slice_of(body->data + 4, body->size - 4);
    return true;
}

bool wire_get_u64(struct slice *body, uint64_t *ret_value)
{
    if (body->size < 8)
        return false;
    *ret_value = get_fixed64(body->data);
    *body = slice_of(body->data + 8, body->size - 8);
    return true;
}

// ------------------------------------------------------------------------------- the command

// u32 magic, version, umask, flags; strings: working directory, name, DB; u32 number of options,
// each a u32 letter and a string; u32 number of arguments, each a string.
int wire_put_command(const struct ctl *ctl, const struct wire_command *command, struct buf *out)
{
    uint32_t flags = (command->out_is_terminal ? FLAG_TERMINAL : 0) |
                     (command->wants_progress ? FLAG_PROGRESS : 0);
    uint32_t count = 0;
    for (unsigned i = 0; i < 128; i++)
        count += ctl->options[i] != NULL;
    int rc = buf_put_fixed32(out, COMMAND_MAGIC) || buf_put_fixed32(out, WIRE_VERSION) ||
             buf_put_fixed32(out, command->umask) || buf_put_fixed32(out, flags) ||
             wire_put_string(out, command->cwd) || wire_put_string(out, ctl->command->name) ||
             wire_put_string(out, ctl->db) || buf_put_fixed32(out, count);
    for (uint32_t i = 0; i < 128 && !rc; i++)
        if (ctl->options[i])
            rc = buf_put_fixed32(out, i) || wire_put_string(out, ctl->options[i]);
    rc = rc || buf_put_fixed32(out, (uint32_t)ctl->arg_count);
    for (int i = 0; i < ctl->arg_count && !rc; i++)
        rc = wire_put_string(out, ctl->args[i]);
    return rc ? -ENOMEM : 0;
}

static bool get_options(struct slice *body, struct ctl *ctl)
{
    uint32_t count, letter;
    const char *value;
    if (!wire_get_u32(body, &count))
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_get_u32(body, &letter) || !wire_get_string(body, &value) || letter == 0 ||
            letter == ':' || letter > 127)
            return false;
        const char *known = strchr(ctl->command->options, (int)letter);
        if (!known || (known[1] != ':' && *value))
            return false;
        ctl->options[letter] = value;
    }
    return true;
}

static int get_args(struct slice *body, struct ctl *ctl)
{
    uint32_t count;
    if (!wire_get_u32(body, &count) || count > body->size ||
        count < (uint32_t)ctl->command->least || count > (uint32_t)ctl->command->most)
        return -EPROTO;
    char **args = calloc(count + 1, sizeof *args);
    if (!args)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const char *text;
        if (!wire_get_string(body, &text)) {
            free(args);
            return -EPROTO;
        }
        args[i] = (char *)(uintptr_t)text;
    }
    ctl->args = args;
    ctl->arg_count = (int)count;
    return 0;
}

int wire_get_command(struct slice body, struct ctl *ret_ctl, struct wire_command *ret_command)
{
    uint32_t magic, version, mask, flags;
    const char *name, *cwd;
    struct ctl ctl = {0};
    if (!wire_get_u32(&body, &magic) || magic != COMMAND_MAGIC || !wire_get_u32(&body, &version))
        return -EPROTO;
    if (version != WIRE_VERSION)
        return -EPROTONOSUPPORT;
    if (!wire_get_u32(&body, &mask) || mask > 0777 || !wire_get_u32(&body, &flags) ||
        flags & ~(FLAG_TERMINAL | FLAG_PROGRESS) || !wire_get_string(&body, &cwd) || *cwd != '/' ||
        !wire_get_string(&body, &name) || !wire_get_string(&body, &ctl.db) || !*ctl.db)
        return -EPROTO;
    ctl.command = command_find(name);
    if (!ctl.command || ctl.command->flags & COMMAND_OFFLINE || !get_options(&body, &ctl))
        return -EPROTO;
    int rc = get_args(&body, &ctl);
    if (rc)
        return rc;
    if (body.size) {
        free(ctl.args);
        return -EPROTO;
    }
    ctl.cwd = cwd;
    *ret_ctl = ctl;
    *ret_command = (struct wire_command){.cwd = cwd,
                                         .umask = mask,
                                         .out_is_terminal = flags & FLAG_TERMINAL,
                                         .wants_progress = flags & FLAG_PROGRESS};
    return 0;
}

// ------------------------------------------------------------------------------- the socket

int wire_send(int fd, struct slice data)
{
    while (data.size) {
        ssize_t n = send(fd, data.data, data.size, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            data = slice_of(data.data + n, data.size - (size_t)n);
    }
    return 0;
}

// 1: closed before the first byte.
static int receive_all(int fd, uint8_t *data, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = recv(fd, data + got, size - got, 0);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return got ? -EPROTO : 1;
        got += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

int wire_receive(int fd, size_t most, struct wire_message *message)
{
    uint8_t header[HEADER];
    assert(most <= WIRE_COMMAND_MAX);
    int rc = receive_all(fd, header, HEADER);
    if (rc)
        return rc;
    size_t size = get_fixed32(header);
    if (size > most || header[5] || header[6] || header[7])
        return -EPROTO;
    message->type = (enum wire_type)header[4];
    message->body.size = 0;
    if (buf_reserve(&message->body, size + 1))
        return -ENOMEM;
    rc = size ? receive_all(fd, message->body.data, size) : 0;
    if (rc)
        return rc == 1 ? -EPROTO : rc;
    message->body.size = size;
    message->body.data[size] = 0;
    return 0;
}
