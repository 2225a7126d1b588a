// Encoders and checked decoders of the small parts of a table: trailer, footer, properties.
//
// Layout: sst_format.h. Stateless; thread-safe. Decoders leave their outputs untouched on failure.
#include "sstable/sst_format.h"

#include <assert.h>
#include <inttypes.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"

void sst_put_trailer(uint8_t *block, size_t size, enum lsm_compression compression, uint64_t seed)
{
    block[size] = (uint8_t)compression;
    put_fixed32(block + size + 1, checksum32(block, size + 1, seed));
}

bool sst_trailer_ok(const uint8_t *block, size_t size, uint64_t seed)
{
    return get_fixed32(block + size + 1) == checksum32(block, size + 1, seed);
}

void sst_footer_encode(const struct sst_footer *footer, uint8_t out[SST_FOOTER_SIZE])
{
    uint8_t *p = out;
    assert(footer->version >= 1 && footer->version <= SST_VERSION);
    p = put_fixed64(p, footer->number);
    p = put_fixed64(p, footer->filter_offset);
    p = put_fixed64(p, footer->filter_size);
    p = put_fixed64(p, footer->index_offset);
    p = put_fixed64(p, footer->index_size);
    p = put_fixed64(p, footer->properties_offset);
    p = put_fixed64(p, footer->properties_size);
    p = put_fixed16(p, (uint16_t)footer->version);
    p = put_fixed16(p, SST_FOOTER_SIZE);
    memcpy(p, SST_MAGIC, 8);
    p += 8;
    assert(p + 4 == out + SST_FOOTER_SIZE);
    put_fixed32(p, crc32_of(out, (size_t)(p - out)));
}

// The parts lie back to back and end where the footer begins.
static bool parts_fill_file(const struct sst_footer *f, uint64_t end)
{
    uint64_t at = f->filter_offset;
    if (at == 0 || at > end)
        return false;
    if (f->filter_size) {
        if (end - at < SST_TRAILER_SIZE || f->filter_size > end - at - SST_TRAILER_SIZE)
            return false;
        at += f->filter_size + SST_TRAILER_SIZE;
    }
    if (f->index_offset != at || end - at < SST_TRAILER_SIZE ||
        f->index_size > end - at - SST_TRAILER_SIZE)
        return false;
    at += f->index_size + SST_TRAILER_SIZE;
    return f->properties_offset == at && end - at >= SST_TRAILER_SIZE &&
           f->properties_size == end - at - SST_TRAILER_SIZE;
}

int sst_footer_decode(struct slice tail, uint64_t file_size, uint64_t number, const char *path,
                      struct sst_footer *ret_footer)
{
    if (tail.size < SST_FOOTER_SIZE)
        return status_fail(LSM_CORRUPTION, "%s: %" PRIu64 " bytes are too few for a table", path,
                           file_size);
    const uint8_t *end = tail.data + tail.size;
    if (memcmp(end - 12, SST_MAGIC, 8) != 0)
        return status_fail(LSM_CORRUPTION, "%s: footer: bad magic, not a table", path);
    unsigned version = get_fixed16(end - 16);
    size_t size = get_fixed16(end - 14);
    if (size < 16 || size > tail.size || size > SST_FOOTER_MAX ||
        crc32_of(end - size, size - 4) != get_fixed32(end - 4))
        return status_fail(LSM_CORRUPTION, "%s: footer: bad checksum", path);
    if (version > SST_VERSION)
        return status_fail(LSM_NEWER_FORMAT, "%s: table format %u, this program knows up to %d",
                           path, version, SST_VERSION);
    if (version == 0 || size != SST_FOOTER_SIZE)
        return status_fail(LSM_CORRUPTION, "%s: footer: version %u with %zu bytes", path, version,
                           size);
    const uint8_t *p = end - size;
    struct sst_footer f = {
        .version = version,
        .number = get_fixed64(p),
        .filter_offset = get_fixed64(p + 8),
        .filter_size = get_fixed64(p + 16),
        .index_offset = get_fixed64(p + 24),
        .index_size = get_fixed64(p + 32),
        .properties_offset = get_fixed64(p + 40),
        .properties_size = get_fixed64(p + 48),
    };
    if (f.number != number)
        return status_fail(LSM_CORRUPTION,
                           "%s: footer: the file says it is table %" PRIu64 ", not %" PRIu64, path,
                           f.number, number);
    if (!parts_fill_file(&f, file_size - SST_FOOTER_SIZE))
        return status_fail(LSM_CORRUPTION, "%s: footer: the parts do not fill the file", path);
    *ret_footer = f;
    return LSM_OK;
}

int sst_properties_encode(const struct sst_properties *properties, struct buf *out)
{
    const uint64_t pairs[][2] = {
        {SST_PROPERTY_ENTRIES, properties->entries},
        {SST_PROPERTY_DELETES, properties->deletes},
        {SST_PROPERTY_RAW_BYTES, properties->raw_bytes},
        {SST_PROPERTY_DATA_BLOCKS, properties->data_blocks},
        {SST_PROPERTY_DATA_BYTES, properties->data_bytes},
        {SST_PROPERTY_INDEX_BYTES, properties->index_bytes},
        {SST_PROPERTY_FILTER_BYTES, properties->filter_bytes},
        {SST_PROPERTY_MIN_SEQUENCE, properties->min_sequence},
        {SST_PROPERTY_MAX_SEQUENCE, properties->max_sequence},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        int rc = buf_put_varint64(out, pairs[i][0]);
        if (!rc)
            rc = buf_put_varint64(out, pairs[i][1]);
        if (rc)
            return rc;
    }
    return LSM_OK;
}

int sst_properties_decode(struct slice in, struct sst_properties *ret_properties)
{
    struct sst_properties d = {0};
    uint64_t *const fields[] = {
        [SST_PROPERTY_ENTRIES] = &d.entries,
        [SST_PROPERTY_DELETES] = &d.deletes,
        [SST_PROPERTY_RAW_BYTES] = &d.raw_bytes,
        [SST_PROPERTY_DATA_BLOCKS] = &d.data_blocks,
        [SST_PROPERTY_DATA_BYTES] = &d.data_bytes,
        [SST_PROPERTY_INDEX_BYTES] = &d.index_bytes,
        [SST_PROPERTY_FILTER_BYTES] = &d.filter_bytes,
        [SST_PROPERTY_MIN_SEQUENCE] = &d.min_sequence,
        [SST_PROPERTY_MAX_SEQUENCE] = &d.max_sequence,
    };
    const uint8_t *p = in.data, *end = in.data + in.size;
    uint64_t last = 0;
    unsigned known = 0;
    while (p < end) {
        uint64_t id, value;
        p = get_varint64(p, end, &id);
        if (!p || id <= last)
            return LSM_CORRUPTION;
        p = get_varint64(p, end, &value);
        if (!p)
            return LSM_CORRUPTION;
        last = id;
        if (id < sizeof(fields) / sizeof(fields[0])) {
            *fields[id] = value;
            known++;
        }
    }
    if (known != sizeof(fields) / sizeof(fields[0]) - 1)
        return LSM_CORRUPTION;
    *ret_properties = d;
    return LSM_OK;
}
