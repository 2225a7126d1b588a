// Arbitrary bytes as a generation of a backup: as they are, and with the checksum made right. What
// decodes must encode again, to bytes that decode to the same; no name leads out of a directory.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "commands/backup_format.h"
#include "lsm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_bytes(struct slice bytes)
{
    struct generation generation, again;
    struct buf out = {0};
    int rc = generation_decode(bytes, &generation);
    assert(rc == 0 || rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT);
    if (rc)
        return;
    assert(generation_encode(&generation, &out) == 0 && out.size <= bytes.size);
    assert(generation_decode(buf_slice(&out), &again) == 0);
    assert(generation.number == again.number && generation.created_us == again.created_us);
    assert(generation.count == again.count);
    for (size_t i = 0; i < generation.count; i++) {
        const struct generation_file *a = &generation.files[i], *b = &again.files[i];
        assert(!strcmp(a->name, b->name) && !strchr(a->name, '/') && *a->name != '.' && *a->name);
        assert(a->is_here == b->is_here && a->size == b->size);
        assert(!memcmp(a->hash, b->hash, HASH128_SIZE) && slice_equal(a->content, b->content));
    }
    generation_release(&again);
    generation_release(&generation);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_bytes(slice_of(data, size));
    uint8_t *bytes = malloc(size + 8); // exactly as large, so that no byte beyond is touched
    assert(bytes);
    if (size)
        memcpy(bytes, data, size);
    uint64_t hash = hash64(bytes, size);
    memcpy(bytes + size, &hash, 8);
    try_bytes(slice_of(bytes, size + 8));
    if (size >= 8) {
        hash = hash64(bytes, size - 8);
        memcpy(bytes + size - 8, &hash, 8);
        try_bytes(slice_of(bytes, size));
    }
    free(bytes);
    return 0;
}
