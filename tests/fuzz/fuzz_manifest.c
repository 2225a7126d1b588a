// Recovery of a directory from arbitrary bytes: the first byte says of how many of the others
// CURRENT is made, the rest is MANIFEST-000001. Each input is read as it is, and once more with a
// good CURRENT and header and all checksums put right, so that what lies behind them is reached.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "disk/env_fault.h"
#include "version/manifest.h"
#include "version/manifest_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_file(struct env *env, const char *path, const void *data, size_t size)
{
    struct env_file *file;
    int rc = env_open(env, path, ENV_WRITE | ENV_CREATE | ENV_TRUNCATE, &file);
    assert(rc == 0);
    rc = env_pwrite(file, data, size, 0);
    assert(rc == 0);
    rc = env_close(file);
    assert(rc == 0);
}

static void recover(const void *current, size_t current_size, const void *manifest, size_t size)
{
    struct manifest_state state;
    struct env *env = env_fault_new();
    assert(env);
    put_file(env, "/CURRENT", current, current_size);
    put_file(env, "/MANIFEST-000001", manifest, size);
    int rc = manifest_recover(env, &state);
    if (rc == 0) {
        assert(state.manifest_number == 1 && state.next_file > 1);
        assert(state.last_sequence <= SEQUENCE_MAX);
        manifest_state_release(&state);
    } else {
        assert(rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT || rc == LSM_NOT_A_STORE);
        assert(lsm_error_detail()[0]);
    }
    env_fault_free(env);
}

// Makes the bytes a manifest whose records have the right checksums, as far as lengths allow.
static void put_right(uint8_t *data, size_t size)
{
    uint8_t covered[MANIFEST_HEADER_SIZE - 4];
    if (size < MANIFEST_HEADER_SIZE)
        return;
    memcpy(data, MANIFEST_MAGIC, 8);
    put_fixed32(data + 8, MANIFEST_FORMAT);
    put_fixed64(data + 16, 1);
    memcpy(covered, data, 12);
    memcpy(covered + 12, data + 16, MANIFEST_HEADER_SIZE - 16);
    put_fixed32(data + 12, crc32_of(covered, sizeof(covered)));
    size_t at = MANIFEST_HEADER_SIZE;
    while (size - at > MANIFEST_RECORD_HEADER) {
        uint8_t *p = data + at;
        size_t length = get_fixed32(p) & 0x3ff; // short records, so that there are several
        if (length >= size - at - MANIFEST_RECORD_HEADER)
            length = size - at - MANIFEST_RECORD_HEADER - 1;
        put_fixed32(p, (uint32_t)length);
        put_fixed32(p + 4, crc32_of(p + MANIFEST_RECORD_HEADER, length));
        put_fixed32(p + 8, crc32_of(p, 8));
        p[MANIFEST_RECORD_HEADER + length] = MANIFEST_END_MARK;
        at += MANIFEST_RECORD_HEADER + length + 1;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char current[] = "tinylsm 1\nMANIFEST-000001\ncrc32 58f0ea50\n";
    if (size == 0)
        return 0;
    size_t n = data[0] < size ? data[0] : size - 1;
    recover(data + 1, n, data + 1 + n, size - 1 - n);
    uint8_t *copy = malloc(size);
    assert(copy);
    memcpy(copy, data, size);
    put_right(copy + 1 + n, size - 1 - n);
    recover(current, sizeof(current) - 1, copy + 1 + n, size - 1 - n);
    free(copy);
    return 0;
}
