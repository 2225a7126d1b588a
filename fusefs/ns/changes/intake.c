// See intake.h.
#include "ns/changes/intake.h"

#include <assert.h>
#include <string.h>

#include "base/coding.h"
#include "base/status.h"
#include "ns/operation/ns_internal.h"

static bool is_of_orphan(struct lsm *db, const struct lsm_snapshot *base, struct slice key)
{
    struct pathkey orphan;
    struct slice name;
    uint64_t ino;
    size_t got;
    const struct lsm_read_options at = {.snapshot = base};
    if (!pathkey_parse_xattr(key, &ino, &name))
        return false;
    pathkey_number(&orphan, KEY_ORPHAN, ino);
    return lsm_get_range(db, &at, orphan.data, orphan.size, 0, NULL, 0, &got, NULL) == LSM_OK;
}

bool intake_is_shown(struct lsm *db, const struct lsm_snapshot *base, const void *key, size_t size)
{
    static const char shown[] = {KEY_ENTRY, KEY_INODE, KEY_ROOT, KEY_XATTR};
    return size && memchr(shown, *(const char *)key, sizeof shown) &&
           !is_of_orphan(db, base, slice_of(key, size));
}

static bool is_number(struct slice value, uint64_t least)
{
    return value.size == 8 && get_fixed64(value.data) >= least;
}

static bool is_root(struct slice value)
{
    struct record rec;
    return record_decode(value.data, value.size, &rec) == 0 && !rec.is_link && S_ISDIR(rec.mode) &&
           rec.ino == NS_ROOT_INO;
}

int intake_check(struct intake *intake, const struct lsm_change *change)
{
    struct slice value = slice_of(change->value, change->value_size);
    bool is_alone = !change->is_delete && change->key_size == 1, fits = true;
    assert(change->key_size > 0);
    switch (*(const uint8_t *)change->key) {
    case KEY_SUPER:
        if (is_alone)
            return super_check("the changes", value);
        fits = false;
        break;
    case KEY_RESERVED:
        fits = is_alone && is_number(value, NS_ROOT_INO + 1);
        if (fits)
            intake->reserved = get_fixed64(value.data);
        break;
    case KEY_ROOT:
        fits = is_alone && is_root(value);
        break;
    case KEY_COUNTER:
        fits = change->is_delete || is_number(value, 0);
        break;
    default:
        break;
    }
    return fits ? LSM_OK : status_fail(LSM_CORRUPTION, "the changes make no file system");
}

// Of the two stores' counts of reserved inode numbers the larger one is kept.
static bool is_kept(void *arg, const void *key, size_t size)
{
    const struct intake *intake = arg;
    return size == 1 && *(const uint8_t *)key == KEY_RESERVED &&
           intake->reserved_here >= intake->reserved;
}

static bool is_fixed(void *arg, const void *key, size_t size)
{
    const struct intake *intake = arg;
    return intake_is_shown(intake->db, intake->base, key, size);
}

static int read_reserved(struct lsm *db, uint64_t *ret_reserved)
{
    struct pathkey key;
    struct lsm_buf value = {0};
    pathkey_single(&key, KEY_RESERVED);
    int rc = lsm_get(db, NULL, key.data, key.size, &value);
    if (rc == LSM_NOT_FOUND || (!rc && value.size != 8))
        rc = status_fail(LSM_CORRUPTION, "inode numbers are missing");
    if (!rc)
        *ret_reserved = get_fixed64(value.data);
    lsm_buf_release(&value);
    return rc;
}

int intake_apply(struct lsm *db, struct intake *intake, struct lsm_ingest *ingest, const char *base,
                 const struct lsm_snapshot_info *origin)
{
    const struct lsm_ingest_rules rules = {.keep = is_kept, .fixed = is_fixed, .arg = intake};
    int rc = read_reserved(db, &intake->reserved_here);
    assert(!intake->reserved || intake->reserved > NS_ROOT_INO);
    if (!rc)
        rc = lsm_snapshot_open(db, base, &intake->base);
    if (rc)
        return rc;
    intake->db = db;
    rc = lsm_ingest_apply(db, ingest, base, origin, &rules);
    struct status_kept kept;
    status_keep(&kept);
    lsm_snapshot_free(db, intake->base);
    status_restore(&kept);
    intake->base = NULL;
    return rc;
}
