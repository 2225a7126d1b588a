// send: a snapshot, or what has changed from one to another, as a stream on standard output.
//
// The engine's keys are sent as the snapshot shows them, with their values; a value that several
// keys share is sent for each. The store goes on being used.
//
// Thread safety: one thread.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "commands/command.h"
#include "commands/stream_format.h"

struct sending {
    struct ctl *ctl;
    struct stream_writer writer;
    struct stream_begin begin;
    const struct lsm_snapshot *to, *from;
    struct lsm_diff *diff;           // between the two
    const char *to_name, *from_name; // from_name NULL: the whole
    bool too_large;                  // a value was, for the stream
    int sink_rc;                     // what the sink's last call returned
};

static int write_out(void *arg, const void *data, size_t size)
{
    struct sending *s = arg;
    s->sink_rc = s->ctl->front->ops->sink_write(s->ctl->front, data, size);
    if (s->sink_rc)
        return LSM_IO_ERROR;
    progress_add(s->ctl->front, size);
    return is_cancelled(s->ctl->front) ? LSM_CANCELLED : LSM_OK;
}

static int note_snapshot(void *arg, const struct lsm_snapshot_info *info)
{
    struct sending *s = arg;
    assert(strlen(info->name) <= LSM_SNAPSHOT_NAME_MAX);
    if (strcmp(info->name, s->to_name) == 0) {
        memcpy(s->begin.identity, info->identity, sizeof s->begin.identity);
        strcpy(s->begin.name, info->name);
        s->begin.created_us = info->created_us;
    }
    if (s->from_name && strcmp(info->name, s->from_name) == 0) {
        memcpy(s->begin.base, info->identity, sizeof s->begin.base);
        strcpy(s->begin.base_name, info->name);
    }
    return 0;
}

static int change(struct sending *s, struct slice key, const void *value, size_t size)
{
    const struct slice bytes = slice_of(size ? value : "", size);
    int rc = stream_write_change(&s->writer, key, &bytes);
    s->too_large = rc == LSM_INVALID;
    return rc;
}

static int send_whole(struct sending *s)
{
    struct lsm_iter_options options = {.snapshot = s->to, .no_fill_cache = true};
    struct lsm_iter *iter;
    int rc = lsm_iter_new(s->ctl->engine, &options, &iter);
    if (rc)
        return rc;
    for (lsm_iter_seek_first(iter); !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        struct slice key, value;
        key.data = lsm_iter_key(iter, &key.size);
        value.data = lsm_iter_value(iter, &value.size);
        if (!lsm_iter_valid(iter))
            break;
        rc = change(s, key, value.data, value.size);
    }
    if (!rc)
        rc = lsm_iter_status(iter);
    lsm_iter_free(iter);
    return rc;
}

static int send_key(struct sending *s, struct slice key, struct lsm_buf *buf)
{
    const struct lsm_read_options ro = {.snapshot = s->to, .no_fill_cache = true};
    int rc = lsm_get(s->ctl->engine, &ro, key.data, key.size, buf);
    if (rc == LSM_NOT_FOUND)
        return stream_write_change(&s->writer, key, NULL);
    return rc ? rc : change(s, key, buf->data, buf->size);
}

static int send_changes(struct sending *s)
{
    struct lsm_buf buf = {0};
    int rc;
    while ((rc = lsm_diff_next(s->diff)) > 0) {
        struct slice key;
        key.data = lsm_diff_key(s->diff, &key.size);
        rc = send_key(s, key, &buf);
        if (rc)
            break;
    }
    lsm_buf_release(&buf);
    return rc;
}

static int send_all(struct sending *s)
{
    int rc = lsm_snapshot_open(s->ctl->engine, s->to_name, &s->to);
    if (!rc && s->from_name)
        rc = lsm_snapshot_open(s->ctl->engine, s->from_name, &s->from);
    if (!rc && s->from)
        rc = lsm_diff_new(s->ctl->engine, s->from, s->to, &s->diff);
    if (!rc)
        rc = lsm_snapshot_list(s->ctl->engine, note_snapshot, s);
    if (!rc)
        rc = stream_write_begin(&s->writer, &s->begin);
    assert(rc || !s->from == stream_is_whole(&s->begin));
    if (!rc)
        rc = s->from ? send_changes(s) : send_whole(s);
    if (!rc)
        rc = stream_write_end(&s->writer);
    return rc;
}

static void say_failed(struct sending *s, int rc)
{
    struct ctl *ctl = s->ctl;
    if (is_cancelled(ctl->front))
        return;
    if (s->sink_rc)
        complain(ctl, "standard output: %s", strerror(-s->sink_rc));
    else if (s->too_large)
        complain(ctl, "%s: holds a value that is too large to be sent", ctl->db);
    else
        ctl_store_failed(ctl, rc);
}

enum exit_status command_send(struct ctl *ctl)
{
    struct sending s = {.ctl = ctl,
                        .writer = {.write = write_out, .arg = &s},
                        .to_name = ctl->args[0],
                        .from_name = ctl->options['F']};
    if (ctl->front->out_is_terminal) {
        complain_usage(ctl, "a stream is not for a terminal: send it to a file or a pipe");
        return EXIT_USAGE;
    }
    if (!engine_open(ctl, OPEN_READ))
        return EXIT_FAILED;
    progress_unit(ctl->front, PROGRESS_BYTES);
    int rc = send_all(&s);
    if (rc)
        say_failed(&s, rc);
    lsm_diff_free(s.diff);
    if (s.to)
        lsm_snapshot_free(ctl->engine, s.to);
    if (s.from)
        lsm_snapshot_free(ctl->engine, s.from);
    stream_writer_release(&s.writer);
    return ctl_store_close(ctl, rc ? EXIT_FAILED : EXIT_OK);
}
