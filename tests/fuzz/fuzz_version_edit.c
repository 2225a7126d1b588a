// Version edits from arbitrary bytes. What decodes must encode to bytes that decode to the same.
#include <assert.h>
#include <stdlib.h>

#include "base/status.h"
#include "version/version.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct buf encode(const struct version_edit *edit)
{
    struct buf out = {0};
    int rc = version_edit_encode(edit, &out);
    assert(rc == 0);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct version_edit edit = {0}, again = {0};
    struct version *empty, *version;
    int rc = version_edit_decode(slice_of(data, size), &edit);
    assert(rc == 0 || rc == LSM_CORRUPTION);
    if (rc)
        return 0;
    struct buf first = encode(&edit);
    rc = version_edit_decode(buf_slice(&first), &again);
    assert(rc == 0);
    struct buf second = encode(&again);
    assert(slice_equal(buf_slice(&first), buf_slice(&second)));
    // It may not fit the empty version, but must not break it.
    rc = version_new(&empty);
    assert(rc == 0);
    rc = version_apply(empty, &edit, &version);
    assert(rc == 0 || rc == LSM_CORRUPTION);
    if (rc == 0) {
        assert(version_files(version) == edit.added_count);
        version_unref(version);
    }
    version_unref(empty);
    version_edit_release(&edit);
    version_edit_release(&again);
    buf_release(&first);
    buf_release(&second);
    return 0;
}
