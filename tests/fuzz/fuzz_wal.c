// Recovery of a log from arbitrary bytes. Each input is read as it is, and once more with its
// header and checksums put right, so that what lies behind them is reached.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "disk/env_fault.h"
#include "wal/wal_format.h"
#include "wal/wal_reader.h"

#define NUMBER 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t records;
    uint64_t end;
    uint64_t bytes; // read, so that a sanitizer sees all of each payload touched
};

static int see_record(void *arg, uint64_t sequence, struct slice payload, uint64_t offset)
{
    struct seen *seen = arg;
    (void)sequence;
    assert(offset % WAL_ALIGN == 0 && offset >= seen->end);
    seen->records++;
    seen->end = offset + wal_record_size(payload.size);
    seen->bytes += hash64(payload.data, payload.size) & 1;
    return 0;
}

static void read_log(const uint8_t *data, size_t size)
{
    struct env *env = env_fault_new();
    struct env_file *file;
    assert(env);
    int rc = env_open(env, "/log", ENV_WRITE | ENV_CREATE, &file);
    assert(rc == 0);
    rc = env_pwrite(file, data, size, 0);
    assert(rc == 0);
    rc = env_close(file);
    assert(rc == 0);

    struct seen seen = {0};
    struct wal_read_result result;
    memset(&result, 0xee, sizeof(result));
    rc = wal_read(env, "/log", NUMBER, see_record, &seen, &result);
    if (rc == 0) {
        assert(result.records == seen.records);
        assert(result.end == 0 || result.end <= size + WAL_ALIGN - 1);
        assert(result.records == 0 || result.end == seen.end);
        assert(result.max_durable <= result.end);
    } else {
        assert(rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT);
        assert(strstr(lsm_error_detail(), "/log"));
    }
    env_fault_free(env);
}

// Makes a valid header and valid checksums over whatever lengths and fields the bytes have.
static void repair(uint8_t *data, size_t size)
{
    struct wal_header header = {NUMBER, 99};
    if (size < WAL_HEADER_SIZE)
        return;
    wal_header_encode(data, &header);
    size_t at = WAL_HEADER_SIZE;
    while (size - at >= WAL_RECORD_HEADER) {
        uint32_t payload_size = get_fixed32(data + at);
        if (payload_size > size - at - WAL_RECORD_HEADER)
            payload_size %= (uint32_t)(size - at - WAL_RECORD_HEADER + 1);
        // One record in four keeps its tag and checksum: damage in the middle.
        if (data[at + 4] % 4) {
            put_fixed32(data + at, payload_size);
            put_fixed32(data + at + 8, wal_tag(&header));
            put_fixed32(data + at + 4, checksum32(data + at + 8, 16 + payload_size, payload_size));
        }
        uint64_t step = wal_record_size(payload_size);
        if (step > size - at)
            break;
        at += step;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 20)
        return 0;
    read_log(data, size);
    uint8_t *copy = malloc(size + 1);
    assert(copy);
    memcpy(copy, data, size);
    repair(copy, size);
    read_log(copy, size);
    free(copy);
    return 0;
}
