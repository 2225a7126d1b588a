// A table of arbitrary bytes: opened, searched, walked, verified. Each input is read as it is, and
// once more with footer and checksums put right, so that what lies behind them is reached.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "disk/env_fault.h"
#include "memtable/epoch.h"
#include "sstable/sst_format.h"
#include "sstable/sst_reader.h"

#define PATH        "/t.sst"
#define NUMBER      7
#define ENTRIES_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void get(struct sst_reader *reader, struct slice key, uint64_t sequence, bool must)
{
    uint8_t scratch[8192];
    struct sst_lookup lookup = {.key = key,
                                .hash = hash64(key.data, key.size),
                                .sequence = sequence,
                                .fill_cache = key.size % 2,
                                .scratch = scratch,
                                .scratch_size = sizeof scratch};
    epoch_pin();
    int status = sst_get(reader, &lookup);
    if (status == 0)
        (void)hash64(lookup.value.data, lookup.value.size);
    epoch_unpin();
    assert(status == 0 || (!must && (status == LSM_NOT_FOUND || status == LSM_CORRUPTION)));
}

static uint64_t walk(struct sst_reader *reader, bool forward, bool sound)
{
    struct iter *it;
    struct buf key = {0};
    uint64_t count = 0;
    int status = sst_iter_new(reader, &(struct sst_iter_options){forward, 0}, &it);
    assert(status == 0);
    if (forward)
        iter_seek_first(it);
    else
        iter_seek_last(it);
    while (it->valid && count < ENTRIES_MAX) {
        count++;
        (void)hash64(it->entry.value.data, it->entry.value.size);
        status = buf_assign(&key, it->entry.key.data, it->entry.key.size);
        assert(status == 0);
        if (key.size && count % 7 == 0)
            get(reader, buf_slice(&key), tag_sequence(it->entry.tag), sound);
        if (forward)
            iter_next(it);
        else
            iter_prev(it);
    }
    assert(it->status == 0 || (!sound && it->status == LSM_CORRUPTION));
    iter_seek(it, buf_slice(&key), 256);
    assert(it->status == 0 || (!sound && it->status == LSM_CORRUPTION));
    iter_free(it);
    buf_release(&key);
    return count;
}

static void read_table(const uint8_t *data, size_t size, enum lsm_checksums checksums)
{
    struct env *env = env_fault_new();
    struct env_file *file;
    struct block_cache *cache;
    assert(env);
    int rc = env_open(env, PATH, ENV_WRITE | ENV_CREATE, &file);
    assert(rc == 0);
    rc = env_pwrite(file, data, size, 0);
    assert(rc == 0);
    rc = env_close(file);
    assert(rc == 0);
    rc = block_cache_new(1 << 20, &cache);
    assert(rc == 0);

    struct sst_map_budget budget = {1u << 30};
    struct sst_read_options options = {
        .checksums = checksums, .cache = cache, .map_budget = &budget};
    struct sst_reader *reader;
    rc = sst_open(env, PATH, NUMBER, size, &options, &reader);
    if (rc == 0) {
        struct sst_properties properties;
        sst_reader_properties(reader, &properties);
        rc = sst_verify(reader);
        bool sound = rc == 0;
        assert(sound || (rc == LSM_CORRUPTION && strstr(lsm_error_detail(), PATH)));
        uint64_t forward = walk(reader, true, sound), backward = walk(reader, false, sound);
        assert(!sound ||
               (forward == backward && (forward == properties.entries || forward == ENTRIES_MAX)));
        get(reader, slice_str("key07"), SEQUENCE_MAX, false);
        sst_reader_unref(reader);
        epoch_barrier();
    } else {
        assert(rc == LSM_CORRUPTION || rc == LSM_NEWER_FORMAT);
        assert(strstr(lsm_error_detail(), PATH));
    }
    block_cache_free(cache);
    env_fault_free(env);
}

// A valid footer over whatever sizes it has, as long as they fit; then valid trailers of the parts.
static bool repair(uint8_t *data, size_t size)
{
    if (size < SST_FOOTER_SIZE)
        return false;
    uint8_t *p = data + size - SST_FOOTER_SIZE;
    uint64_t end = size - SST_FOOTER_SIZE;
    struct sst_footer f = {.version = SST_VERSION,
                           .number = NUMBER,
                           .filter_size = get_fixed64(p + 16) % (size + 1),
                           .index_size = get_fixed64(p + 32) % (size + 1),
                           .properties_size = get_fixed64(p + 48) % (size + 1)};
    uint64_t filter = f.filter_size ? f.filter_size + SST_TRAILER_SIZE : 0;
    uint64_t meta = filter + f.index_size + f.properties_size + 2 * SST_TRAILER_SIZE;
    if (meta >= end)
        return false;
    f.filter_offset = end - meta;
    f.index_offset = f.filter_offset + filter;
    f.properties_offset = f.index_offset + f.index_size + SST_TRAILER_SIZE;
    sst_footer_encode(&f, p);
    if (filter)
        sst_put_trailer(data + f.filter_offset, f.filter_size, LSM_COMPRESSION_NONE,
                        sst_seed(NUMBER, f.filter_offset));
    sst_put_trailer(data + f.index_offset, f.index_size, LSM_COMPRESSION_NONE,
                    sst_seed(NUMBER, f.index_offset));
    sst_put_trailer(data + f.properties_offset, f.properties_size, LSM_COMPRESSION_NONE,
                    sst_seed(NUMBER, f.properties_offset));
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 << 16)
        return 0;
    read_table(data, size, LSM_CHECKSUMS_ONCE);
    uint8_t *copy = malloc(size + 1);
    assert(copy);
    memcpy(copy, data, size);
    if (repair(copy, size))
        read_table(copy, size, LSM_CHECKSUMS_NEVER);
    free(copy);
    return 0;
}
