// Pointers and blob files from arbitrary bytes. The first bytes are a pointer (its size, then the
// pointer), the rest is the file it points into. What decodes must encode to bytes that decode to
// the same; what is read lies in the range asked for, and damage is an error.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "blob/blob_record.h"
#include "disk/env_fault.h"

#define READ_MAX 70000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct env_file *file, const struct blob_pointer *pointer)
{
    uint32_t n = pointer->length < READ_MAX ? pointer->length : READ_MAX;
    uint8_t *out = malloc(n);
    assert(out);
    int rc = blob_record_read(file, pointer, 0, out, n);
    assert(rc == 0 || rc == LSM_CORRUPTION);
    rc = blob_record_read(file, pointer, pointer->length - n, out, n);
    assert(rc == 0 || rc == LSM_CORRUPTION);
    free(out);
    rc = blob_record_verify_head(file, pointer);
    assert(rc == 0 || rc == LSM_CORRUPTION);
    if (pointer->length <= READ_MAX) {
        rc = blob_record_verify(file, pointer);
        assert(rc == 0 || rc == LSM_CORRUPTION);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct blob_pointer pointer, again;
    uint8_t bytes[BLOB_POINTER_MAX];
    size_t n = size ? data[0] : 0;
    if (size == 0 || n > size - 1)
        return 0;
    if (size - 1 - n >= BLOB_FILE_HEADER) {
        int rc = blob_file_header_decode(data + 1 + n, 7, "file");
        assert(rc == 0 || rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT);
    }
    if (blob_pointer_decode(slice_of(data + 1, n), &pointer))
        return 0;
    size_t encoded = blob_pointer_encode(&pointer, bytes);
    assert(encoded <= BLOB_POINTER_MAX);
    int rc = blob_pointer_decode(slice_of(bytes, encoded), &again);
    assert(rc == 0 && blob_pointer_encode(&again, bytes) == encoded);
    assert(blob_pointer_bytes(&pointer) > 0);

    struct env *env = env_fault_new();
    struct env_file *file;
    assert(env);
    rc = env_open(env, "/file", ENV_WRITE | ENV_CREATE, &file);
    assert(rc == 0);
    rc = env_pwrite(file, data + 1 + n, size - 1 - n, 0);
    assert(rc == 0);
    read_all(file, &pointer);
    rc = env_close(file);
    assert(rc == 0);
    env_fault_free(env);
    return 0;
}
