// receive: a stream of send becomes a store, or the next state of one, in one step.
//
// A whole snapshot makes a new store: at first beside DB, called DB.receiving. When the stream has
// been read to its end and all of it is durable, with a snapshot of the same name, identity and
// time, that store gets DB's name. What is left of it after a crash the next receive removes. In a
// cluster no store can get another's name. There it is made where it is to be, marked as not
// complete until the end; what a crash leaves of it cannot be opened, and 'lsmfsctl destroy'
// removes it.
//
// Changes are for a store that has their base, by identity, and shows it still. They go into a
// table of DB that nobody sees (lsm_ingest_read), and become the present, with the snapshot, when
// the stream has been read to its end (intake.h). Until then DB is as it was, also after a crash.
//
// The daemon that has DB mounted does the same, beside all other use of it.
//
// Thread safety: one thread. DB is locked meanwhile.
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/command.h"
#include "commands/stream_format.h"
#include "common/store_place.h"
#include "ns/changes/intake.h"

#define WRITE_BUFFER (16u << 20)

struct receiving {
    struct ctl *ctl;
    struct stream_reader reader;
    struct stream_begin begin;
    ssize_t source_rc;         // what the last read returned
    char *db, *beside;         // directories
    struct lsm *old;           // of a stream of changes: DB, locked
    struct lsm *staged;        // of a whole snapshot: the one that is made
    struct lsm_ingest *ingest; // of changes
    struct intake intake;
    int stream_rc; // why they could not be read
    struct lsm_batch *batch;
    char base[LSM_SNAPSHOT_NAME_MAX + 1]; // what DB calls the stream's base
    bool has_it;                          // DB has what the stream would make
    bool made;                            // there is something at `beside`
    bool in_place;                        // DB is in a cluster: `beside` is DB
};

static ssize_t read_source(void *arg, void *data, size_t size)
{
    struct receiving *r = arg;
    size_t got = 0;
    while (got < size) {
        ssize_t n = r->ctl->front->ops->source_read(r->ctl->front, (char *)data + got, size - got);
        r->source_rc = n;
        if (n < 0)
            return n;
        if (n == 0)
            break;
        got += (size_t)n;
    }
    progress_add(r->ctl->front, got);
    return (ssize_t)got;
}

// ------------------------------------------------------------------------------- messages

static bool out_of_memory(const struct receiving *r)
{
    complain(r->ctl, "out of memory");
    return false;
}

static bool stream_failed(const struct receiving *r, int rc)
{
    // The client of a daemon says at first only that its reading was interrupted.
    bool is_interrupted = rc == LSM_IO_ERROR && r->source_rc == -EINTR;
    if (is_cancelled(r->ctl->front) || is_interrupted)
        complain(r->ctl, "%s: cancelled, and unchanged", r->ctl->db);
    else if (rc == LSM_IO_ERROR)
        complain(r->ctl, "standard input: %s", strerror((int)-r->source_rc));
    else if (r->reader.problem)
        complain(r->ctl, "%s: %s: nothing is changed", r->ctl->db, r->reader.problem);
    else
        out_of_memory(r);
    return false;
}

static bool engine_failed(const struct receiving *r)
{
    complain(r->ctl, "%s", ctl_store_words(r->ctl, lsm_error_detail()));
    return false;
}

static bool was_changed(const struct receiving *r)
{
    complain(r->ctl,
             "%s: was changed after snapshot %s: 'lsmfsctl snapshot rollback' gives that up",
             r->ctl->db, r->base);
    return false;
}

static bool system_failed(const struct receiving *r, const char *path)
{
    complain(r->ctl, "%s: %s", path, strerror(errno));
    return false;
}

// ------------------------------------------------------------------------------- DB

static bool exists_already(const struct receiving *r)
{
    complain(r->ctl, "%s: exists already: a whole snapshot makes a new store", r->ctl->db);
    return false;
}

// Where DB is, and where the other one goes.
static bool find_places(struct receiving *r)
{
    struct stat st;
    r->in_place = store_place_is_remote(r->ctl->db) || r->ctl->live;
    if (r->ctl->live && stream_is_whole(&r->begin))
        return exists_already(r);
    if (r->in_place) {
        r->db = strdup(r->ctl->db);
        r->beside = strdup(r->ctl->db);
        return (r->db && r->beside) || out_of_memory(r);
    }
    bool is_there = lstat(r->ctl->db, &st) == 0;
    if (stream_is_whole(&r->begin)) {
        if (is_there)
            return exists_already(r);
        r->db = strdup(r->ctl->db);
    } else {
        r->db = realpath(r->ctl->db, NULL);
        if (!r->db)
            return system_failed(r, r->ctl->db);
    }
    if (!r->db)
        return out_of_memory(r);
    for (size_t n = strlen(r->db); n > 1 && r->db[n - 1] == '/';)
        r->db[--n] = 0;
    if (asprintf(&r->beside, "%s.receiving", r->db) < 0) {
        r->beside = NULL;
        return out_of_memory(r);
    }
    return true;
}

static int note_snapshot(void *arg, const struct lsm_snapshot_info *info)
{
    struct receiving *r = arg;
    assert(strlen(info->name) <= LSM_SNAPSHOT_NAME_MAX);
    if (memcmp(info->identity, r->begin.base, sizeof info->identity) == 0)
        strcpy(r->base, info->name);
    if (memcmp(info->identity, r->begin.identity, sizeof info->identity) == 0)
        r->has_it = true;
    return 0;
}

// Whether a key has another value now than the snapshot shows. LSM_OK, or a failure.
static int is_changed(struct lsm *db, const struct lsm_snapshot *then, struct slice key,
                      struct lsm_buf bufs[2], bool *ret_changed)
{
    const struct lsm_read_options at = {.snapshot = then};
    int before = lsm_get(db, &at, key.data, key.size, &bufs[0]);
    int now = lsm_get(db, NULL, key.data, key.size, &bufs[1]);
    if (before && before != LSM_NOT_FOUND)
        return before;
    if (now && now != LSM_NOT_FOUND)
        return now;
    *ret_changed = before != now || (!now && !slice_equal(slice_of(bufs[0].data, bufs[0].size),
                                                          slice_of(bufs[1].data, bufs[1].size)));
    return LSM_OK;
}

// Whether DB shows something else than the base.
static int find_change(struct receiving *r, bool *ret_changed)
{
    const struct lsm_snapshot *then = NULL, *now = NULL;
    struct lsm_diff *diff = NULL;
    struct lsm_buf bufs[2] = {0};
    int rc = lsm_snapshot_open(r->old, r->base, &then);
    if (!rc)
        rc = lsm_snapshot_new(r->old, &now);
    if (!rc)
        rc = lsm_diff_new(r->old, then, now, &diff);
    *ret_changed = false;
    while (!rc && !*ret_changed && (rc = lsm_diff_next(diff)) > 0) {
        struct slice key;
        key.data = lsm_diff_key(diff, &key.size);
        if (intake_is_shown(r->old, then, key.data, key.size))
            rc = is_changed(r->old, then, key, bufs, ret_changed);
        else
            rc = LSM_OK;
    }
    lsm_diff_free(diff);
    if (now)
        lsm_snapshot_free(r->old, now);
    if (then)
        lsm_snapshot_free(r->old, then);
    lsm_buf_release(&bufs[0]);
    lsm_buf_release(&bufs[1]);
    return rc;
}

// Checks that DB is what the changes are for.
static bool check_base(struct receiving *r)
{
    bool changed;
    if (lsm_snapshot_list(r->old, note_snapshot, r))
        return engine_failed(r);
    if (r->has_it || !*r->base) {
        if (r->has_it)
            complain(r->ctl, "%s: has this snapshot already (%s)", r->ctl->db, r->begin.name);
        else
            complain(r->ctl, "%s: does not have the snapshot %s that the changes are for",
                     r->ctl->db, r->begin.base_name);
        return false;
    }
    if (find_change(r, &changed))
        return engine_failed(r);
    return !changed || was_changed(r);
}

static void set_options(struct lsm_options *options)
{
    lsm_options_init(options);
    options->write_buffer_size = WRITE_BUFFER;
    options->lock_note = "lsmfsctl receive";
}

static bool open_old(struct receiving *r)
{
    struct lsm_options options;
    if (r->ctl->live) {
        r->old = ns_engine(r->ctl->live->ns);
        return check_base(r);
    }
    set_options(&options);
    options.create_if_missing = false;
    int rc;
    do {
        rc = lsm_open(r->db, &options, &r->old);
    } while (ctl_store_retry(r->ctl, rc));
    if (rc)
        ctl_store_failed(r->ctl, rc);
    return !rc && check_base(r);
}

// ------------------------------------------------------------------------------- beside it

// Removes what an interrupted receive has left.
static bool remove_remains(struct receiving *r)
{
    struct stat st;
    if (r->in_place)
        return true;
    if (lstat(r->beside, &st))
        return errno == ENOENT || system_failed(r, r->beside);
    if (rmdir(r->beside) == 0) // a power cut has left no more of it
        return true;
    return lsm_destroy(r->beside, NULL) == 0 || engine_failed(r);
}

static bool open_staged(struct receiving *r)
{
    struct lsm_options options;
    set_options(&options);
    options.error_if_exists = true;
    options.unfinished = r->in_place;
    int rc = lsm_open(r->beside, &options, &r->staged);
    r->made = !rc;
    if (!rc)
        rc = lsm_batch_new(&r->batch);
    if (!rc)
        return true;
    engine_failed(r);
    // A client that has met a failure of the cluster cannot take back what it has begun to make.
    const struct lsm_options begun = {.unfinished = true};
    if (r->in_place && rc == LSM_IO_ERROR)
        (void)!lsm_destroy(r->db, &begun);
    return false;
}

static int apply_frame(struct receiving *r)
{
    struct stream_op op;
    int rc = LSM_OK;
    lsm_batch_clear(r->batch);
    while (!rc && stream_next(&r->reader, &op))
        rc = op.change == STREAM_PUT
                 ? lsm_batch_put(r->batch, op.key.data, op.key.size, op.value.data, op.value.size)
                 : lsm_batch_delete(r->batch, op.key.data, op.key.size);
    return rc ? rc : lsm_write(r->staged, NULL, r->batch);
}

static struct lsm_snapshot_info origin_of(const struct stream_begin *begin)
{
    struct lsm_snapshot_info origin = {.name = begin->name, .created_us = begin->created_us};
    memcpy(origin.identity, begin->identity, sizeof origin.identity);
    return origin;
}

// To the end of the stream; then all is durable, with the snapshot.
static bool stage(struct receiving *r)
{
    const struct lsm_snapshot_info origin = origin_of(&r->begin);
    int rc;
    while ((rc = stream_read_frame(&r->reader)) > 0)
        if (is_cancelled(r->ctl->front))
            return stream_failed(r, LSM_CANCELLED);
        else if (apply_frame(r))
            return engine_failed(r);
    if (rc)
        return stream_failed(r, rc);
    if (lsm_snapshot_create_as(r->staged, r->begin.name, &origin))
        return engine_failed(r);
    struct lsm *staged = r->staged;
    r->staged = NULL;
    return lsm_close(staged) == 0 || engine_failed(r);
}

// Checks that the new store is a file system that this program knows.
static bool try_open(struct receiving *r)
{
    struct ns_options options;
    struct ns *ns;
    ns_options_init(&options);
    options.engine.read_only = true;
    options.engine.create_if_missing = false;
    options.engine.unfinished = r->in_place;
    return (ns_open(r->beside, &options, &ns) == 0 && ns_close(ns) == 0) || engine_failed(r);
}

static bool sync_parent(const struct receiving *r)
{
    char *path = NULL;
    if (asprintf(&path, "%s/..", r->db) < 0)
        return out_of_memory(r);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool done = (fd >= 0 && fsync(fd) == 0) || system_failed(r, path);
    if (fd >= 0)
        close(fd);
    free(path);
    return done;
}

static bool put_in_place(struct receiving *r)
{
    if (r->in_place) {
        r->made = lsm_complete(r->db, NULL) != 0;
        return !r->made || engine_failed(r);
    }
    if (rename(r->beside, r->db))
        return system_failed(r, r->db);
    r->made = false;
    return sync_parent(r);
}

// ------------------------------------------------------------------------------- changes

static int next_change(void *arg, struct lsm_change *ret_change)
{
    struct receiving *r = arg;
    struct stream_op op;
    while (!stream_next(&r->reader, &op)) {
        int rc = is_cancelled(r->ctl->front) ? LSM_CANCELLED : stream_read_frame(&r->reader);
        if (rc <= 0) {
            r->stream_rc = rc;
            return rc;
        }
    }
    *ret_change = (struct lsm_change){.key = op.key.data,
                                      .key_size = op.key.size,
                                      .value = op.value.data,
                                      .value_size = op.value.size,
                                      .is_delete = op.change == STREAM_DELETE};
    int rc = intake_check(&r->intake, ret_change);
    return rc ? rc : 1;
}

// A status, or what intake.h has.
static int apply_changes(struct receiving *r, const struct lsm_snapshot_info *origin)
{
    struct live *live = r->ctl->live;
    if (!live)
        return intake_apply(r->old, &r->intake, r->ingest, r->base, origin);
    live->snapshot_begin(live); // what programs have written is a change
    int rc = intake_apply_live(live->ns, &r->intake, r->ingest, r->base, origin);
    if ((!rc || rc == INTAKE_HALF) && live->changes_taken(live, r->base, r->begin.name))
        rc = INTAKE_HALF;
    return rc;
}

static bool take_in(struct receiving *r)
{
    const struct lsm_snapshot_info origin = origin_of(&r->begin);
    int rc = lsm_ingest_read(r->old, next_change, r, &r->ingest);
    if (r->stream_rc || is_cancelled(r->ctl->front))
        return stream_failed(r, r->stream_rc);
    if (!rc)
        rc = apply_changes(r, &origin);
    if (rc == INTAKE_CHANGED)
        return was_changed(r);
    if (rc == INTAKE_NAMELESS)
        complain(r->ctl, "%s: a file without a name is open: nothing is changed", r->ctl->db);
    else if (rc == INTAKE_HALF)
        complain(r->ctl, "%s: is changed, but the mount may not show it: mount it again: %s",
                 r->ctl->db, ctl_store_words(r->ctl, lsm_error_detail()));
    else if (rc)
        ctl_store_failed(r->ctl, rc);
    return !rc;
}

// What was made in it belongs to whom the directory does.
static bool keep_owner(struct receiving *r)
{
    struct stat st;
    if (geteuid() != 0 || r->in_place)
        return true;
    DIR *dir = opendir(r->db);
    bool done = dir && fstat(dirfd(dir), &st) == 0;
    for (struct dirent *entry; done && (entry = readdir(dir));)
        done = strcmp(entry->d_name, "..") == 0 ||
               fchownat(dirfd(dir), entry->d_name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) == 0;
    if (!done)
        system_failed(r, r->db);
    if (dir)
        closedir(dir);
    return done;
}

static bool receive_changes(struct receiving *r)
{
    assert(!r->old && !r->staged);
    bool done = open_old(r) && remove_remains(r) && take_in(r);
    if (!r->old)
        return done;
    lsm_ingest_free(r->old, r->ingest);
    if (r->ctl->live)
        return done;
    if (lsm_close(r->old) && done)
        done = engine_failed(r);
    return keep_owner(r) && done;
}

static bool receive(struct receiving *r)
{
    int rc = stream_read_begin(&r->reader, &r->begin);
    if (rc)
        return stream_failed(r, rc);
    if (!find_places(r) || (!r->ctl->live && !ctl_store_may_create(r->ctl, r->db)))
        return false;
    if (!stream_is_whole(&r->begin))
        return receive_changes(r);
    return remove_remains(r) && open_staged(r) && stage(r) && try_open(r) && put_in_place(r);
}

enum exit_status command_receive(struct ctl *ctl)
{
    struct receiving r = {.ctl = ctl, .reader = {.read = read_source, .arg = &r}};
    ctl->front->ops->hold_signals(ctl->front);
    progress_unit(ctl->front, PROGRESS_BYTES);
    bool done = receive(&r);
    lsm_batch_free(r.batch);
    if (r.staged)
        (void)lsm_close(r.staged);
    const struct lsm_options options = {.unfinished = r.in_place};
    if (r.made && lsm_destroy(r.beside, &options))
        done = engine_failed(&r);
    stream_reader_release(&r.reader);
    free(r.db);
    free(r.beside);
    // What came after the last moment at which it could be cancelled does not count.
    atomic_store(&ctl->front->has_seen, false);
    return done ? EXIT_OK : EXIT_FAILED;
}
