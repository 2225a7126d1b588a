// Writing a table. Layout: sst_format.h.
//
// A data block is finished when the next entry would take it past block_size; a larger entry gets a
// block of its own. The index entry of a finished block waits until the next key is known, because
// the separator lies between the two. The index and the hashes of all keys stay in memory until
// finish.
//
// Invariants: `pending` is set exactly while the last finished block has no index entry yet; the
// block builder's last_key and `last_tag` are those of the last entry added.
//
// One thread at a time. Failure: the first one is sticky; the file is then of no use.
#include "sstable/sst_builder.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/hash.h"
#include "base/status.h"
#include "sstable/block_builder.h"
#include "sstable/codec.h"
#include "sstable/filter.h"
#include "sstable/sst_format.h"
#include "sstable/sst_index.h"

#define INDEX_RESTART_INTERVAL 128

// Writes have this size and begin at multiples of it. So the page cache keeps the file in its
// largest folios, and finds a block with half of the effort.
#define WRITE_BUFFER (2u << 20)

struct sst_builder {
    struct env_file *file; // borrowed
    struct env_writer *writer;
    uint64_t number;
    struct sst_build_options options;
    int status; // sticky

    struct block_builder data;
    struct block_builder index;
    struct filter_builder filter;
    struct codec *codec;
    struct buf compressed;
    struct buf separator;

    bool pending; // the last block's index entry is still to come
    uint64_t pending_size;
    enum lsm_compression pending_compression;

    bool blobs; // there are entries of type ENTRY_BLOB
    uint64_t last_tag;
    struct buf smallest_key;
    uint64_t smallest_tag;
    struct sst_properties properties;
};

void sst_info_release(struct sst_info *info)
{
    buf_release(&info->smallest_key);
    buf_release(&info->largest_key);
}

int sst_builder_new(struct env_file *file, uint64_t number, const struct sst_build_options *options,
                    struct sst_builder **ret_builder)
{
    if (options->block_size == 0 || options->block_size > SST_COMPRESS_MAX ||
        options->restart_interval == 0 || options->restart_interval > SST_RESTART_MAX)
        return status_fail(LSM_INVALID, "table: block size %zu, restart interval %u",
                           options->block_size, options->restart_interval);
    struct sst_builder *b = calloc(1, sizeof(*b));
    if (!b)
        return status_no_memory(sizeof(*b));
    b->file = file;
    b->number = number;
    b->options = *options;
    b->properties.min_sequence = SEQUENCE_MAX;
    block_builder_init(&b->data, options->restart_interval);
    block_builder_init(&b->index, INDEX_RESTART_INTERVAL);
    int rc = codec_new(options->compression, &b->codec);
    if (!rc)
        rc = env_writer_new(file, WRITE_BUFFER, 0, &b->writer);
    if (rc) {
        sst_builder_free(b);
        return rc;
    }
    *ret_builder = b;
    return LSM_OK;
}

void sst_builder_free(struct sst_builder *builder)
{
    if (!builder)
        return;
    if (builder->writer)
        env_writer_free(builder->writer);
    block_builder_release(&builder->data);
    block_builder_release(&builder->index);
    filter_builder_release(&builder->filter);
    codec_free(builder->codec);
    buf_release(&builder->compressed);
    buf_release(&builder->separator);
    buf_release(&builder->smallest_key);
    free(builder);
}

// Appends a block of `size` bytes, which has room for the trailer behind it.
static int write_block(struct sst_builder *b, uint8_t *block, size_t size,
                       enum lsm_compression compression)
{
    sst_put_trailer(block, size, compression, sst_seed(b->number, env_writer_offset(b->writer)));
    return env_writer_append(b->writer, block, size + SST_TRAILER_SIZE);
}

static int finish_data_block(struct sst_builder *b)
{
    assert(!b->pending);
    int rc = block_builder_finish(&b->data, SST_TRAILER_SIZE);
    if (rc)
        return rc;
    struct buf *stored = &b->data.data;
    enum lsm_compression compression;
    rc = codec_compress(b->codec, buf_slice(stored), &b->compressed, &compression);
    if (rc)
        return rc;
    if (compression != LSM_COMPRESSION_NONE) {
        stored = &b->compressed;
        rc = buf_reserve(stored, SST_TRAILER_SIZE);
        if (rc)
            return rc;
    }
    rc = write_block(b, stored->data, stored->size, compression);
    if (rc)
        return rc;
    b->pending = true;
    b->pending_size = stored->size;
    b->pending_compression = compression;
    b->properties.data_blocks++;
    b->properties.data_bytes += stored->size + SST_TRAILER_SIZE;
    size_t keep = 2 * b->options.block_size + SST_TRAILER_SIZE;
    block_builder_reset(&b->data, keep);
    if (b->compressed.capacity > keep)
        buf_release(&b->compressed);
    return LSM_OK;
}

// The index entry of the pending block, with separator (key, tag).
static int add_index_entry(struct sst_builder *b, struct slice key, uint64_t tag)
{
    assert(b->pending);
    uint8_t value[CODING_VARINT64_MAX + 1];
    uint8_t *p = put_varint64(value, b->pending_size);
    *p++ = (uint8_t)b->pending_compression;
    size_t size = (size_t)(p - value);
    if (block_builder_size_with(&b->index, key.size, size) > UINT32_MAX)
        return status_fail(LSM_INVALID, "%s: the table's index grows beyond 4 GiB", b->file->path);
    int rc = block_builder_add(&b->index, key, tag, slice_of(value, size));
    if (!rc)
        b->pending = false;
    return rc;
}

// Adds the last block's index entry. Its key is a separator between the last entry and `next`, the
// first of the next block.
static int separate(struct sst_builder *b, struct slice next)
{
    struct slice last = buf_slice(&b->data.last_key);
    if (slice_equal(last, next))
        return add_index_entry(b, last, b->last_tag);
    int rc = sst_separator(last, next, &b->separator);
    return rc ? rc : add_index_entry(b, buf_slice(&b->separator), 0);
}

static int check_order(const struct sst_builder *b, struct slice key, uint64_t tag, bool *ret_new)
{
    if (b->properties.entries == 0) {
        *ret_new = true;
        return LSM_OK;
    }
    int c = slice_compare(buf_slice(&b->data.last_key), key);
    if (c > 0 || (c == 0 && b->last_tag <= tag))
        return status_fail(LSM_INVALID, "%s: entries out of order", b->file->path);
    *ret_new = c != 0;
    return LSM_OK;
}

static int add(struct sst_builder *b, struct slice key, uint64_t tag, struct slice value)
{
    if (key.size == 0 || key.size > LSM_MAX_KEY || value.size > LSM_MAX_VALUE)
        return status_fail(LSM_INVALID, "%s: a key of %zu bytes with a value of %zu", b->file->path,
                           key.size, value.size);
    bool new_key = false;
    int rc = check_order(b, key, tag, &new_key);
    if (rc)
        return rc;
    if (b->data.entries &&
        block_builder_size_with(&b->data, key.size, value.size) > b->options.block_size) {
        rc = finish_data_block(b);
        if (rc)
            return rc;
    }
    if (b->pending) {
        rc = separate(b, key);
        if (rc)
            return rc;
    }
    if (b->properties.entries == 0) {
        rc = buf_assign(&b->smallest_key, key.data, key.size);
        b->smallest_tag = tag;
    }
    if (!rc && new_key && b->options.bloom_bits_per_key)
        rc = filter_builder_add(&b->filter, hash64(key.data, key.size));
    if (!rc)
        rc = block_builder_add(&b->data, key, tag, value);
    if (rc)
        return rc;

    uint64_t sequence = tag_sequence(tag);
    struct sst_properties *p = &b->properties;
    p->entries++;
    p->deletes += tag_type(tag) == ENTRY_DELETE;
    b->blobs = b->blobs || tag_type(tag) == ENTRY_BLOB;
    p->raw_bytes += key.size + value.size;
    if (sequence < p->min_sequence)
        p->min_sequence = sequence;
    if (sequence > p->max_sequence)
        p->max_sequence = sequence;
    b->last_tag = tag;
    return LSM_OK;
}

int sst_builder_add(struct sst_builder *builder, struct slice key, uint64_t tag, struct slice value)
{
    if (!builder->status)
        builder->status = add(builder, key, tag, value);
    return builder->status;
}

uint64_t sst_builder_size(const struct sst_builder *builder)
{
    uint64_t size = env_writer_offset(builder->writer) + SST_FOOTER_SIZE +
                    block_builder_size(&builder->index) +
                    filter_builder_size(&builder->filter, builder->options.bloom_bits_per_key);
    if (builder->data.entries)
        size += block_builder_size(&builder->data) + SST_TRAILER_SIZE;
    return size;
}

static int write_filter(struct sst_builder *b, struct sst_footer *footer)
{
    footer->filter_offset = env_writer_offset(b->writer);
    size_t size = filter_builder_size(&b->filter, b->options.bloom_bits_per_key);
    if (!size)
        return LSM_OK;
    uint8_t *filter = malloc(size + SST_TRAILER_SIZE);
    if (!filter)
        return status_no_memory(size);
    filter_builder_finish(&b->filter, b->options.bloom_bits_per_key, filter);
    footer->filter_size = b->properties.filter_bytes = size;
    int rc = write_block(b, filter, size, LSM_COMPRESSION_NONE);
    free(filter);
    return rc;
}

static int write_index(struct sst_builder *b, struct sst_footer *footer)
{
    int rc = add_index_entry(b, buf_slice(&b->data.last_key), b->last_tag);
    if (!rc)
        rc = block_builder_finish(&b->index, SST_TRAILER_SIZE);
    if (rc)
        return rc;
    footer->index_offset = env_writer_offset(b->writer);
    footer->index_size = b->properties.index_bytes = b->index.data.size;
    return write_block(b, b->index.data.data, b->index.data.size, LSM_COMPRESSION_NONE);
}

static int write_properties(struct sst_builder *b, struct sst_footer *footer)
{
    struct buf bytes = {0};
    int rc = sst_properties_encode(&b->properties, &bytes);
    if (!rc)
        rc = buf_reserve(&bytes, SST_TRAILER_SIZE);
    if (!rc) {
        footer->properties_offset = env_writer_offset(b->writer);
        footer->properties_size = bytes.size;
        rc = write_block(b, bytes.data, bytes.size, LSM_COMPRESSION_NONE);
    }
    buf_release(&bytes);
    return rc;
}

static int write_footer(struct sst_builder *b, const struct sst_footer *footer)
{
    uint8_t bytes[SST_FOOTER_SIZE];
    sst_footer_encode(footer, bytes);
    int rc = env_writer_append(b->writer, bytes, sizeof(bytes));
    if (!rc)
        rc = env_writer_flush(b->writer);
    return rc ? rc : env_sync(b->file);
}

static int finish(struct sst_builder *b, struct sst_info *info)
{
    if (!b->properties.entries)
        return status_fail(LSM_INVALID, "%s: a table without entries", b->file->path);
    struct sst_footer footer = {.version = b->blobs ? SST_VERSION_BLOB : 1, .number = b->number};
    int rc = LSM_OK;
    if (b->data.entries)
        rc = finish_data_block(b);
    if (!rc)
        rc = write_filter(b, &footer);
    if (!rc)
        rc = write_index(b, &footer);
    if (!rc)
        rc = write_properties(b, &footer);
    if (!rc)
        rc = write_footer(b, &footer);
    if (rc)
        return rc;
    *info = (struct sst_info){
        .file_size = env_writer_offset(b->writer),
        .entries = b->properties.entries,
        .deletes = b->properties.deletes,
        .raw_bytes = b->properties.raw_bytes,
        .min_sequence = b->properties.min_sequence,
        .max_sequence = b->properties.max_sequence,
        .smallest_key = b->smallest_key,
        .largest_key = b->data.last_key,
        .smallest_tag = b->smallest_tag,
        .largest_tag = b->last_tag,
    };
    b->smallest_key = b->data.last_key = (struct buf){0};
    return LSM_OK;
}

int sst_builder_finish(struct sst_builder *builder, struct sst_info *ret_info)
{
    int rc = builder->status;
    if (!rc)
        rc = finish(builder, ret_info);
    // After finish() the builder accepts no more calls.
    builder->status = rc ? rc : LSM_INVALID;
    return rc;
}
