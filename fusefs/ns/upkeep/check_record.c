// The check of one file: its record, and the extents and ranges that belong to it.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "ns/content/extents.h"
#include "ns/content/ranges.h"
#include "ns/content/tail.h"
#include "ns/upkeep/check_internal.h"

// The extents of a regular file whose content is not inline.
static int check_extents(struct check *check, const struct check_subject *subject,
                         const struct record *rec)
{
    struct lsm_iter *iter = check->extents;
    assert(iter && !rec->is_inline && rec->nlink);
    struct pathkey lower, upper;
    uint64_t bytes = 0, behind = 0; // where the previous extent ends
    bool in_tail = false;
    int rc = 0;
    pathkey_ino_bounds(KEY_EXTENT, rec->ino, &lower, &upper);
    lsm_iter_seek(iter, lower.data, lower.size);
    for (; !rc && lsm_iter_valid(iter); lsm_iter_next(iter)) {
        struct slice key = check_key(iter);
        uint64_t ino, start, size = lsm_iter_value_size(iter);
        if (slice_compare(key, pathkey_slice(&upper)) >= 0)
            break;
        if (!pathkey_parse_extent(key, &ino, &start)) {
            rc = check_problem(check, subject, "an extent with a key of %zu bytes", key.size);
            continue;
        }
        if (size == 0 || size > NS_EXTENT_MAX - start % NS_EXTENT_MAX)
            rc = check_problem(check, subject, "an extent of %" PRIu64 " bytes at offset %" PRIu64,
                               size, start);
        if (!rc && start < behind)
            rc = check_problem(check, subject, "extents overlap at offset %" PRIu64, start);
        if (!rc && start >= rec->size && !in_tail) {
            uint64_t begin;
            rc = tail_begin(check->ns, rec->ino, &begin);
            in_tail = start >= begin;
        }
        if (in_tail) // extents of a tail are no content any more
            continue;
        if (!rc && (start > rec->size || size > rec->size - start))
            rc = check_problem(check, subject,
                               "an extent at offset %" PRIu64 " reaches beyond the size %" PRIu64,
                               start, rec->size);
        behind = start + size;
        bytes += size;
    }
    if (!rc && !lsm_iter_valid(iter))
        rc = ns_err(lsm_iter_status(iter));
    if (!rc && bytes != rec->data_bytes)
        rc = check_problem(check, subject,
                           "extents of %" PRIu64 " bytes, but the record says %" PRIu64, bytes,
                           rec->data_bytes);
    return rc;
}

// The unwritten or lost ranges of such a file: a sound list of the sum that the record says, apart
// from its extents.
static int check_ranges(struct check *check, const struct check_subject *subject,
                        const struct record *rec, enum pathkey_type type, uint64_t sum)
{
    const char *what = type == KEY_LOST ? "lost" : "unwritten";
    assert(type == KEY_LOST || type == KEY_UNWRITTEN);
    struct extent_list ranges = {0}, written = {0};
    uint64_t bytes = 0, behind = 0;
    int rc = ranges_list(check->ns, NULL, type, rec->ino, 0, UINT64_MAX, SIZE_MAX, &ranges);
    bool sound = rc != -EIO;
    if (!sound)
        rc = check_problem(check, subject, "%s range that makes no sense",
                           type == KEY_LOST ? "a lost" : "an unwritten");
    for (size_t i = 0; sound && i < ranges.count && !rc; i++) {
        struct extent range = ranges.at[i];
        if (range.start < behind)
            rc = check_problem(check, subject, "%s ranges overlap at offset %" PRIu64, what,
                               range.start);
        behind = range.start + range.size;
        bytes += range.size;
        if (!rc)
            rc = extents_list(check->ns, rec->ino, range.start, behind, 1, &written);
        if (!rc && written.count)
            rc = check_problem(check, subject, "what is %s at offset %" PRIu64 " is written", what,
                               range.start);
    }
    if (!rc && sound && type == KEY_LOST && behind > rec->size)
        rc = check_problem(check, subject, "a lost range beyond the end");
    if (!rc && sound && bytes != sum)
        rc = check_problem(check, subject, "%" PRIu64 " bytes are %s, but the record says %" PRIu64,
                           bytes, what, sum);
    free(ranges.at);
    free(written.at);
    return rc;
}

int check_record(struct check *check, const struct check_subject *subject, const struct record *rec,
                 bool *ret_new)
{
    bool is_orphan = rec->nlink == 0;
    bool has_data = is_orphan || (S_ISREG(rec->mode) && !rec->is_inline), added;
    *ret_new = true;
    int rc = 0;
    if (rec->ino >= check->reserved)
        rc = check_problem(check, subject, "inode number %" PRIu64 " was never handed out",
                           rec->ino);
    if (!rc)
        rc = ino_set_add(&check->seen, rec->ino, ret_new);
    if (!rc && !*ret_new)
        return check_problem(check, subject, "inode number %" PRIu64 " is in use twice", rec->ino);
    if (!rc && has_data)
        rc = ino_set_add(&check->data, rec->ino, &added);
    if (!rc && rec->has_xattrs)
        rc = ino_set_add(&check->xattrs, rec->ino, &added);
    if (!rc && has_data && !is_orphan)
        rc = check_extents(check, subject, rec);
    if (!rc && (rec->unwritten_bytes || is_orphan))
        rc = ino_set_add(&check->unwritten, rec->ino, &added);
    if (!rc && rec->unwritten_bytes && !is_orphan)
        rc = check_ranges(check, subject, rec, KEY_UNWRITTEN, rec->unwritten_bytes);
    if (!rc && (rec->lost_bytes || is_orphan))
        rc = ino_set_add(&check->lost, rec->ino, &added);
    if (!rc && rec->lost_bytes && !is_orphan)
        rc = check_ranges(check, subject, rec, KEY_LOST, rec->lost_bytes);
    return rc;
}
