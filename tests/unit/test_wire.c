// What lsmfsctl and the daemon say to each other: commands taken apart, damaged in every way, and
// messages over a socket.
#include "quick_check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/coding.h"
#include "commands/wire.h"

static struct buf encode(const char *name, const char *letters, const char *const *args, int count)
{
    struct buf body = {0};
    struct wire_command command = {
        .umask = 027, .out_is_terminal = true, .wants_progress = false, .cwd = "/here"};
    struct ctl ctl = {.command = command_find(name), .db = "store", .arg_count = count};
    ctl.args = (char **)(uintptr_t)args;
    ck_assert_ptr_nonnull(ctl.command);
    for (const char *p = letters; *p; p++)
        ctl.options[(unsigned char)*p] = strchr(ctl.command->options, *p)[1] == ':' ? "7" : "";
    ck_assert_int_eq(wire_put_command(&ctl, &command, &body), 0);
    return body;
}

// `size` bytes exactly, so that a sanitizer sees a look beyond them.
static int decode(const uint8_t *data, size_t size)
{
    struct ctl ctl = {0};
    struct wire_command command;
    uint8_t *copy = malloc(size ? size : 1);
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    int rc = wire_get_command(slice_of(copy, size), &ctl, &command);
    if (!rc)
        free(ctl.args);
    free(copy);
    return rc;
}

START_TEST(test_command)
{
    static const char *const args[] = {"/a", "", "/b\n"};
    struct buf body = encode("rm", "rf", args, 3);
    struct ctl ctl;
    struct wire_command command;
    ck_assert_int_eq(wire_get_command(buf_slice(&body), &ctl, &command), 0);
    ck_assert_str_eq(ctl.command->name, "rm");
    ck_assert_str_eq(ctl.db, "store");
    ck_assert_int_eq(ctl.arg_count, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(ctl.args[i], args[i]);
    ck_assert_ptr_null(ctl.args[3]);
    ck_assert(ctl_has(&ctl, 'r') && ctl_has(&ctl, 'f') && !ctl_has(&ctl, 'n'));
    ck_assert_uint_eq(command.umask, 027);
    ck_assert(command.out_is_terminal && !command.wants_progress);
    ck_assert_str_eq(command.cwd, "/here");
    free(ctl.args);
    buf_release(&body);
    body = encode("tree", "L", args, 1);
    ck_assert_int_eq(wire_get_command(buf_slice(&body), &ctl, &command), 0);
    ck_assert_str_eq(ctl.options['L'], "7");
    free(ctl.args);
    buf_release(&body);
}
END_TEST

START_TEST(test_refused)
{
    static const char *const args[] = {"/a", "/b", "/c"};
    struct buf body = encode("destroy", "y", args, 0); // needs the store for itself
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    buf_release(&body);
    body = encode("mv", "", args, 3); // too many
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    buf_release(&body);
    body = encode("mv", "", args, 1); // too few
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    buf_release(&body);
    body = encode("mv", "n", args, 2);
    ck_assert_int_eq(decode(body.data, body.size), 0);
    put_fixed32(body.data + 4, WIRE_VERSION + 1);
    ck_assert_int_eq(decode(body.data, body.size), -EPROTONOSUPPORT);
    put_fixed32(body.data + 4, WIRE_VERSION);
    put_fixed32(body.data + 8, 01000); // umask
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    put_fixed32(body.data + 8, 0777);
    put_fixed32(body.data + 12, 4); // flags
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    buf_release(&body);
}
END_TEST

// No prefix and nothing longer is a command; a changed bit may make another one, or none.
START_TEST(test_damage)
{
    static const char *const args[] = {"/a", "/b"};
    struct buf body = encode("get", "o", args, 2);
    for (size_t size = 0; size < body.size; size++)
        ck_assert_int_eq(decode(body.data, size), -EPROTO);
    for (size_t bit = 0; bit < 8 * body.size; bit++) {
        body.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        int rc = decode(body.data, body.size);
        ck_assert(rc == 0 || rc == -EPROTO || rc == -EPROTONOSUPPORT);
        body.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    ck_assert_int_eq(buf_append(&body, "", 1), 0);
    ck_assert_int_eq(decode(body.data, body.size), -EPROTO);
    buf_release(&body);
}
END_TEST

// A string has one zero, at its end.
START_TEST(test_strings)
{
    static const uint8_t inner[] = {3, 'a', 0, 0}, open[] = {2, 'a', 'b'}, none[] = {0};
    const uint8_t *const wrong[] = {inner, open, none};
    const size_t sizes[] = {sizeof inner, sizeof open, sizeof none};
    const char *text;
    for (int i = 0; i < 3; i++) {
        struct slice body = slice_of(wrong[i], sizes[i]);
        ck_assert(!wire_get_string(&body, &text));
    }
}
END_TEST

START_TEST(test_messages)
{
    int fds[2];
    struct buf send = {0};
    struct wire_message message = {0};
    uint8_t header[8] = {1, 0, 0, 0, 1, 0, 0, 9};
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(wire_append(&send, WIRE_OUT, "bytes", 5), 0);
    ck_assert_int_eq(wire_append(&send, WIRE_SINK_CLOSE, NULL, 0), 0);
    ck_assert_int_eq(wire_append(&send, WIRE_OUT, "more", 4), 0);
    ck_assert_int_eq(wire_send(fds[0], buf_slice(&send)), 0);
    ck_assert_int_eq(wire_receive(fds[1], 5, &message), 0);
    ck_assert_int_eq(message.type, WIRE_OUT);
    ck_assert_uint_eq(message.body.size, 5);
    ck_assert_str_eq((const char *)message.body.data, "bytes");
    ck_assert_int_eq(wire_receive(fds[1], 5, &message), 0);
    ck_assert_int_eq(message.type, WIRE_SINK_CLOSE);
    ck_assert_uint_eq(message.body.size, 0);
    ck_assert_int_eq(wire_receive(fds[1], 3, &message), -EPROTO); // longer than is allowed
    close(fds[0]);
    close(fds[1]);

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ck_assert_int_eq(wire_send(fds[0], slice_of(header, sizeof header)), 0);
    ck_assert_int_eq(wire_receive(fds[1], 5, &message), -EPROTO); // not zero
    header[7] = 0;
    ck_assert_int_eq(wire_send(fds[0], slice_of(header, sizeof header)), 0);
    close(fds[0]);
    ck_assert_int_eq(wire_receive(fds[1], 5, &message), -EPROTO);            // cut off
    ck_assert_int_eq(wire_receive(fds[1], 5, &message), 1);                  // the end
    ck_assert_int_lt(wire_send(fds[1], slice_of(header, sizeof header)), 0); // and no SIGPIPE
    close(fds[1]);
    buf_release(&send);
    buf_release(&message.body);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tc = tcase_create("wire");
    tcase_add_test(tc, test_command);
    tcase_add_test(tc, test_refused);
    tcase_add_test(tc, test_damage);
    tcase_add_test(tc, test_strings);
    tcase_add_test(tc, test_messages);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
