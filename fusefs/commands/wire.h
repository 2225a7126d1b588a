// What lsmfsctl and the daemon say to each other over the control socket (docs/format.md).
//
// A message is a header and a body. The client sends the command, of WIRE_COMMAND_MAX bytes at
// most; the daemon accepts or refuses it, then sends what the command prints, asks for what only
// the client can do, and ends with the status. To each question there is one answer. Bytes from the
// other side are checked.
//
// Thread safety: no state; one thread a socket and direction.
#ifndef COMMANDS_WIRE_H
#define COMMANDS_WIRE_H

#include <sys/types.h>

#include "base/slice.h"
#include "commands/command.h"

#define WIRE_SOCKET      "control" // where: store_place_control() of common/store_place.h
#define WIRE_VERSION     1u
#define WIRE_PIECE       (1u << 20) // content in one message, at most
#define WIRE_COMMAND_MAX (4u << 20)

// Instead of the command's exit status: the store was unmounted before it was done.
#define WIRE_STATUS_UNMOUNTED 255u

enum wire_type {
    // from the client
    WIRE_COMMAND = 1,
    WIRE_ANSWER = 2, // i64 result, 0 or a count or a negative errno; then bytes
    // from the daemon
    WIRE_ACCEPTED = 16,
    WIRE_REFUSED = 17,      // text
    WIRE_OUT = 18,          // bytes for standard output
    WIRE_COMPLAINT = 19,    // two strings: program, text
    WIRE_TIME = 20,         // i64 seconds since 1970, string: a format for strftime(3)
    WIRE_USER = 21,         // u32 number, u32 width
    WIRE_GROUP = 22,        // u32 number, u32 width
    WIRE_PROGRESS = 23,     // u32 unit, u64 done, u64 total
    WIRE_HOLD_SIGNALS = 24, // nothing
    WIRE_EXIT = 25,         // u32 status, or WIRE_STATUS_UNMOUNTED
    // from the daemon, with an answer
    WIRE_ASK_TIME = 32,   // i64 seconds: the local time, nine i32 as in struct tm
    WIRE_ASK_SOURCE = 33, // u32 most bytes: what comes next
    WIRE_SINK = 34,       // bytes of content
    WIRE_SINK_CLOSE = 35, // nothing
    WIRE_TRUNCATE = 36,   // string: a path to be made empty through the mount
    WIRE_ASK_PLACE = 37,  // string: a path; u64 device, u64 inode of what it leads to
};

struct wire_message {
    enum wire_type type;
    struct buf body; // terminated by a zero that is not counted
};

// The command, as the client knows it.
struct wire_command {
    uint32_t umask;
    bool out_is_terminal, wants_progress;
    const char *cwd; // absolute; in the body, when taken from one
};
int wire_put_command(const struct ctl *ctl, const struct wire_command *command, struct buf *out);
// Fills in command, db, args, arg_count and options of *ret_ctl, which point into `body` (and at
// `args`: to be freed). -EPROTO: not well-formed, or not a command that can be asked for;
// -EPROTONOSUPPORT: of another version; -ENOMEM.
int wire_get_command(struct slice body, struct ctl *ret_ctl, struct wire_command *ret_command);

// Appends a message. 0 or -ENOMEM.
int wire_append(struct buf *out, enum wire_type type, const void *data, size_t size);
// Appends a string of a body, and takes one from the front of *body. False: not well-formed.
int wire_put_string(struct buf *out, const char *text);
bool wire_get_string(struct slice *body, const char **ret_text);
bool wire_get_u32(struct slice *body, uint32_t *ret_value);
bool wire_get_u64(struct slice *body, uint64_t *ret_value);

// Sends all of it. 0 or -errno.
int wire_send(int fd, struct slice data);
// The next message, with a body of at most `most` bytes, into *message, whose memory is used again.
// 1: the other side has closed. -EPROTO, -ENOMEM or what recv(2) says.
int wire_receive(int fd, size_t most, struct wire_message *message);

#endif
