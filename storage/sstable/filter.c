// Building and opening a filter; the look-up is in filter.h.
//
// Bit i of a line is bit i % 8 of its byte i / 8. The number of probes is what minimises the rate
// of false positives for lines of 512 bits, which is a little less than for an unblocked filter
// (bits * ln 2), because keys crowd some lines.
#include "sstable/filter.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/coding.h"
#include "base/status.h"

int filter_builder_add(struct filter_builder *builder, uint64_t hash)
{
    if (!array_grow(&builder->hashes, &builder->capacity, builder->count, sizeof *builder->hashes))
        return status_no_memory((builder->count + 1) * sizeof *builder->hashes);
    builder->hashes[builder->count++] = hash;
    return LSM_OK;
}

void filter_builder_release(struct filter_builder *builder)
{
    free(builder->hashes);
    *builder = (struct filter_builder){0};
}

static size_t line_count(size_t keys, unsigned bits_per_key)
{
    size_t lines = (keys * bits_per_key + 8 * FILTER_LINE - 1) / (8 * FILTER_LINE);
    return lines < UINT32_MAX ? lines : UINT32_MAX;
}

static unsigned probe_count(unsigned bits_per_key)
{
    unsigned probes = bits_per_key * 3 / 5;
    if (probes < 1)
        return 1;
    return probes < FILTER_PROBES_MAX ? probes : FILTER_PROBES_MAX;
}

size_t filter_builder_size(const struct filter_builder *builder, unsigned bits_per_key)
{
    if (!builder->count || !bits_per_key)
        return 0;
    return line_count(builder->count, bits_per_key) * FILTER_LINE + 4;
}

void filter_builder_finish(const struct filter_builder *builder, unsigned bits_per_key,
                           uint8_t *out)
{
    uint64_t lines = line_count(builder->count, bits_per_key);
    unsigned probes = probe_count(bits_per_key);
    assert(lines > 0); // of no keys there is no filter
    assert(probes >= 1 && probes <= FILTER_PROBES_MAX);
    memset(out, 0, lines * FILTER_LINE);
    for (size_t i = 0; i < builder->count; i++) {
        uint64_t hash = builder->hashes[i];
        uint8_t *line = out + ((hash >> 32) * lines >> 32) * FILTER_LINE;
        uint32_t h = (uint32_t)hash;
        for (unsigned j = 0; j < probes; j++) {
            h *= 0x9E3779B9u;
            line[h >> 26] |= (uint8_t)(1u << (h >> 23 & 7));
        }
    }
    put_fixed32(out + lines * FILTER_LINE, probes);
}

int filter_init(struct filter *filter, struct slice contents)
{
    if (contents.size < FILTER_LINE + 4 || (contents.size - 4) % FILTER_LINE)
        return LSM_CORRUPTION;
    uint32_t probes = get_fixed32(contents.data + contents.size - 4);
    uint64_t lines = (contents.size - 4) / FILTER_LINE;
    if (probes < 1 || probes > FILTER_PROBES_MAX || lines > UINT32_MAX)
        return LSM_CORRUPTION;
    *filter = (struct filter){contents.data, lines, probes};
    return LSM_OK;
}
