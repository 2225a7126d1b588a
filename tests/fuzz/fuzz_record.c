// Arbitrary bytes as a record. What decodes must encode again, to bytes that decode to the same.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "lsm.h"
#include "ns/keys/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void assert_same(const struct record *a, const struct record *b)
{
    assert(a->is_link == b->is_link && a->is_inline == b->is_inline);
    assert(a->has_xattrs == b->has_xattrs && a->ino == b->ino && a->mode == b->mode);
    assert(a->nlink == b->nlink && a->uid == b->uid && a->gid == b->gid && a->rdev == b->rdev);
    assert(a->flags == b->flags && a->size == b->size && a->data_bytes == b->data_bytes);
    assert(same_time(a->atime, b->atime) && same_time(a->mtime, b->mtime));
    assert(same_time(a->ctime, b->ctime) && same_time(a->btime, b->btime));
    assert(slice_equal(a->prefix, b->prefix) && slice_equal(a->content, b->content));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record rec, again;
    struct buf out = {0};
    // A copy of exactly this size, so that reading past the end is seen.
    uint8_t *bytes = malloc(size ? size : 1);
    if (!bytes)
        return 0;
    if (size)
        memcpy(bytes, data, size);
    int status = record_decode(bytes, size, &rec);
    assert(status == 0 || status == LSM_CORRUPTION || status == LSM_NEWER_FORMAT);
    if (status == 0) {
        assert(rec.ino != 0);
        if (rec.is_inline)
            assert(rec.content.size == rec.size);
        status = record_encode(&rec, &out);
        assert(status == 0 && out.size <= size);
        status = record_decode(out.data, out.size, &again);
        assert(status == 0);
        assert_same(&rec, &again);
    }
    buf_release(&out);
    free(bytes);
    return 0;
}
