// Opening a table, finding a key in it, fetching its blocks.
//
// A point get asks the filter, searches the index, fetches one block and searches that. A block
// that is stored as it is, in a table that is not compressed, is used in place, in the mapping of
// the whole file. A compressed one is decompressed into the cache, from the mapping while the
// budget for that lasts (a system call costs as much as the rest of a get), else from what pread
// brings; then the process holds no memory for the table but blocks in the cache. If the file
// cannot be mapped (the system limits the number of mappings), or is not to be, all blocks are read
// with pread and go through the cache.
//
// Checksums. Footer, filter, index and properties are verified when the table is opened. A data
// block in the mapping is verified at its first use (ONCE), at each (ALWAYS) or not at all (NEVER).
// What is read with pread is verified whenever it is read, unless the mode is NEVER. Decoding is
// checked in all modes: damage can give an error, and with NEVER wrong data, but no access out of
// place.
//
// An error while the kernel reads a mapped page raises SIGBUS, which a library cannot handle; that
// the file is as long as the manifest says is checked before it is mapped.
//
// Thread-safe. On failure nothing is left open and outputs are untouched.
#include "sstable/sst_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/coding.h"
#include "base/status.h"
#include "memory/span.h"
#include "sstable/block.h"
#include "sstable/codec.h"
#include "sstable/sst_format.h"
#include "sstable/sst_reader_impl.h"

// Stored blocks up to this size are read into the stack.
#define STACK_READ (16u << 10)

int sst_block_failure(const struct sst_reader *reader, uint64_t offset, int status,
                      const char *what)
{
    if (status != LSM_CORRUPTION)
        return status;
    return status_fail(LSM_CORRUPTION, "%s: block at offset %" PRIu64 ": %s", reader->file->path,
                       offset, what);
}

// ------------------------------------------------------------------------------------- opening

int sst_read_exactly(struct env_file *file, uint64_t offset, size_t size, uint8_t *out)
{
    size_t got;
    int rc = env_pread(file, out, size, offset, &got);
    if (!rc && got != size)
        rc = status_fail(LSM_CORRUPTION, "%s: %zu bytes at offset %" PRIu64 ", not %zu", file->path,
                         got, offset, size);
    return rc;
}

static int read_footer(struct sst_reader *r, struct sst_footer *ret_footer)
{
    uint8_t tail[SST_FOOTER_MAX];
    uint64_t size;
    int rc = r->file->ops->size(r->file, &size);
    if (rc)
        return rc;
    if (size != r->size)
        return status_fail(LSM_CORRUPTION, "%s: the file has %" PRIu64 " bytes instead of %" PRIu64,
                           r->file->path, size, r->size);
    size_t n = size < sizeof(tail) ? (size_t)size : sizeof(tail);
    rc = sst_read_exactly(r->file, size - n, n, tail);
    if (rc)
        return rc;
    return sst_footer_decode(slice_of(tail, n), size, r->number, r->file->path, ret_footer);
}

// Reads and verifies an uncompressed block and its trailer into `out`.
static int read_meta(struct sst_reader *r, uint64_t offset, uint64_t size, uint8_t *out)
{
    int rc = sst_read_exactly(r->file, offset, (size_t)size + SST_TRAILER_SIZE, out);
    if (rc)
        return rc;
    if (!sst_trailer_ok(out, (size_t)size, sst_seed(r->number, offset)) ||
        out[size] != LSM_COMPRESSION_NONE)
        return sst_block_failure(r, offset, LSM_CORRUPTION, "bad checksum");
    return LSM_OK;
}

static int open_properties(struct sst_reader *r, const struct sst_footer *footer)
{
    uint8_t *bytes = malloc((size_t)footer->properties_size + SST_TRAILER_SIZE);
    if (!bytes)
        return status_no_memory((size_t)footer->properties_size);
    int rc = read_meta(r, footer->properties_offset, footer->properties_size, bytes);
    if (!rc) {
        rc =
            sst_properties_decode(slice_of(bytes, (size_t)footer->properties_size), &r->properties);
        rc = sst_block_failure(r, footer->properties_offset, rc, "bad properties");
    }
    free(bytes);
    return rc;
}

static int open_index(struct sst_reader *r, const struct sst_footer *footer)
{
    uint8_t *bytes = malloc((size_t)footer->index_size + SST_TRAILER_SIZE);
    if (!bytes)
        return status_no_memory((size_t)footer->index_size);
    int rc = read_meta(r, footer->index_offset, footer->index_size, bytes);
    if (!rc) {
        rc = sst_index_new(slice_of(bytes, (size_t)footer->index_size), r->properties.data_blocks,
                           footer->filter_offset, &r->index);
        rc = sst_block_failure(r, footer->index_offset, rc, "bad index");
    }
    free(bytes);
    return rc;
}

static int open_filter(struct sst_reader *r, const struct sst_footer *footer)
{
    if (!footer->filter_size)
        return LSM_OK;
    size_t size = (size_t)footer->filter_size;
    r->filter_room = size + SST_TRAILER_SIZE;
    r->filter_memory = span_alloc(r->filter_room); // aligned to FILTER_LINE
    if (!r->filter_memory)
        return status_no_memory(r->filter_room);
    int rc = read_meta(r, footer->filter_offset, size, r->filter_memory);
    if (rc)
        return rc;
    rc = filter_init(&r->filter, slice_of(r->filter_memory, size));
    return sst_block_failure(r, footer->filter_offset, rc, "bad filter");
}

static bool budget_take(struct sst_map_budget *budget, uint64_t size)
{
    uint64_t left = atomic_load_explicit(&budget->left, memory_order_relaxed);
    while (left >= size)
        if (atomic_compare_exchange_weak_explicit(&budget->left, &left, left - size,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    return false;
}

static void budget_give(struct sst_reader *r)
{
    atomic_fetch_add_explicit(&r->budget->left, r->size, memory_order_relaxed);
}

void sst_want_mapped(struct sst_reader *reader)
{
    if (!reader->budget || !reader->map || sst_mapped(reader) ||
        !budget_take(reader->budget, reader->size))
        return;
    if (atomic_exchange_explicit(&reader->in_budget, true, memory_order_relaxed))
        budget_give(reader); // another thread was faster
}

static void map_file(struct sst_reader *r)
{
    void *map;
    if (r->file->ops->map(r->file, 0, (size_t)r->size, false, &map))
        return;
    r->map = map;
    r->file->ops->advise_map(r->file, map, (size_t)r->size, ENV_ADVISE_RANDOM);
}

// Whether more than half of the data is in blocks that are not compressed.
static bool is_plain(const struct sst_index *index)
{
    uint64_t plain = 0;
    for (size_t i = 0; i < index->count; i++)
        if (sst_index_compression(index, i) == LSM_COMPRESSION_NONE)
            plain += sst_index_offset(index, i + 1) - sst_index_offset(index, i);
    return plain > sst_index_offset(index, index->count) / 2;
}

static int open_parts(struct sst_reader *r)
{
    struct sst_footer footer;
    int rc = read_footer(r, &footer);
    if (!rc)
        rc = open_properties(r, &footer);
    if (!rc)
        rc = open_index(r, &footer);
    if (!rc)
        rc = open_filter(r, &footer);
    if (rc)
        return rc;
    size_t words = (r->index.count + 63) / 64;
    r->verified = calloc(words, sizeof(*r->verified));
    if (!r->verified)
        return status_no_memory(words * sizeof(*r->verified));
    r->plain = is_plain(&r->index);
    r->file->ops->advise(r->file, 0, r->size, ENV_ADVISE_RANDOM);
    return LSM_OK;
}

static void reader_free(struct sst_reader *r)
{
    if (r->map)
        r->file->ops->unmap(r->file, r->map, (size_t)r->size);
    if (sst_mapped(r))
        budget_give(r);
    (void)env_close(r->file); // the file was opened for reading, so a failed close loses nothing
    sst_index_release(&r->index);
    span_free(r->filter_memory, r->filter_room);
    free(r->verified);
    free(r);
}

int sst_open(struct env *env, const char *path, uint64_t number, uint64_t file_size,
             const struct sst_read_options *options, struct sst_reader **ret_reader)
{
    struct sst_reader *r = aligned_alloc(_Alignof(struct sst_reader), sizeof(*r));
    if (!r)
        return status_no_memory(sizeof(*r));
    *r = (struct sst_reader){.number = number, .size = file_size};
    r->checksums = options->checksums;
    r->cache = options->cache;
    r->budget = options->map_budget;
    atomic_init(&r->in_budget, false);
    atomic_init(&r->refs, 1);
    int rc = env_open(env, path, ENV_READ, &r->file);
    if (rc) {
        free(r);
        return rc;
    }
    rc = open_parts(r);
    if (rc) {
        reader_free(r);
        return rc;
    }
    if (!options->unmapped)
        map_file(r);
    *ret_reader = r;
    return LSM_OK;
}

void sst_reader_ref(struct sst_reader *reader)
{
    uint32_t before = atomic_fetch_add_explicit(&reader->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void sst_reader_unref(struct sst_reader *reader)
{
    if (atomic_fetch_sub_explicit(&reader->refs, 1, memory_order_acq_rel) == 1)
        reader_free(reader);
}

static void drop_owner_reference(struct epoch_node *node)
{
    sst_reader_unref(
        (struct sst_reader *)(void *)((char *)node - offsetof(struct sst_reader, node)));
}

void sst_reader_retire(struct sst_reader *reader)
{
    epoch_retire(&reader->node, drop_owner_reference);
}

void sst_reader_properties(const struct sst_reader *reader, struct sst_properties *ret_properties)
{
    *ret_properties = reader->properties;
}

size_t sst_reader_memory(const struct sst_reader *reader)
{
    return sizeof(*reader) + sst_index_memory(&reader->index) +
           (size_t)reader->properties.filter_bytes + (reader->index.count + 63) / 64 * 8;
}

// ------------------------------------------------------------------------------------- blocks

// `stored`: a block as it is in the file, with its trailer.
static bool stored_ok(const struct sst_reader *r, const struct sst_place *place,
                      const uint8_t *stored)
{
    return sst_trailer_ok(stored, place->size, sst_seed(r->number, place->offset)) &&
           stored[place->size] == place->compression;
}

int sst_block_in_place(struct sst_reader *reader, const struct sst_place *place,
                       struct slice *ret_contents)
{
    assert(reader->map && place->block < reader->index.count);
    const uint8_t *data = reader->map + place->offset;
    if (reader->checksums != LSM_CHECKSUMS_NEVER) {
        _Atomic uint64_t *word = &reader->verified[place->block / 64];
        uint64_t bit = UINT64_C(1) << (place->block % 64);
        if (reader->checksums == LSM_CHECKSUMS_ALWAYS ||
            !(atomic_load_explicit(word, memory_order_relaxed) & bit)) {
            if (!stored_ok(reader, place, data))
                return sst_block_failure(reader, place->offset, LSM_CORRUPTION, "bad checksum");
            if (reader->checksums == LSM_CHECKSUMS_ONCE)
                atomic_fetch_or_explicit(word, bit, memory_order_relaxed);
        }
    }
    *ret_contents = slice_of(data, place->size);
    return LSM_OK;
}

// Where a block read from the file goes: to a buffer, to given memory if it suffices, or to a new
// block of the cache.
struct read_target {
    struct buf *buf; // NULL: not to a buffer
    uint8_t *scratch;
    size_t scratch_size;
    struct cached_block *block; // the cache's, once there is one; the caller's to use or discard
    size_t size;                // of the data
};

static void read_target_filled(struct read_target *to, size_t size)
{
    assert(!to->buf || size <= to->buf->capacity);
    to->size = size;
    if (to->buf)
        to->buf->size = size;
}

// Room for `size` bytes, or NULL.
static uint8_t *read_target_reserve(struct sst_reader *r, struct read_target *to, size_t size)
{
    if (to->buf) {
        to->buf->size = 0;
        return buf_reserve(to->buf, size) ? NULL : to->buf->data;
    }
    if (size <= to->scratch_size)
        return to->scratch;
    to->block = cached_block_new(r->cache, size);
    return to->block ? cached_block_room(to->block) : NULL;
}

// Reads an uncompressed block straight to its target, or copies it from `stored`.
static int read_plain(struct sst_reader *r, const struct sst_place *place, bool verify,
                      const uint8_t *stored, struct read_target *to)
{
    size_t size = place->size + SST_TRAILER_SIZE;
    uint8_t *data = read_target_reserve(r, to, size);
    if (!data)
        return status_no_memory(size);
    int rc = LSM_OK;
    if (stored)
        memcpy(data, stored, size);
    else
        rc = sst_read_exactly(r->file, place->offset, size, data);
    if (rc)
        return rc;
    if (verify && !stored_ok(r, place, data))
        return sst_block_failure(r, place->offset, LSM_CORRUPTION, "bad checksum");
    read_target_filled(to, place->size);
    return LSM_OK;
}

// Decompresses a block from `stored`, its bytes in the file with the trailer.
static int decompress(struct sst_reader *r, const struct sst_place *place, bool verify,
                      const uint8_t *stored, struct read_target *to)
{
    if (verify && !stored_ok(r, place, stored))
        return sst_block_failure(r, place->offset, LSM_CORRUPTION, "bad checksum");
    struct slice bytes = slice_of(stored, place->size);
    size_t size = codec_size(bytes);
    if (!size)
        return sst_block_failure(r, place->offset, LSM_CORRUPTION, "bad uncompressed size");
    uint8_t *data = read_target_reserve(r, to, size);
    if (!data)
        return status_no_memory(size);
    int rc = codec_decompress(place->compression, bytes, data);
    if (rc)
        return sst_block_failure(r, place->offset, rc, "does not decompress");
    read_target_filled(to, size);
    return LSM_OK;
}

// Reads a compressed block into `stored`, which has room for it and its trailer, and decompresses
// it to its target.
static int read_compressed(struct sst_reader *r, const struct sst_place *place, bool verify,
                           uint8_t *stored, struct read_target *to)
{
    int rc = sst_read_exactly(r->file, place->offset, place->size + SST_TRAILER_SIZE, stored);
    return rc ? rc : decompress(r, place, verify, stored, to);
}

static int read_block(struct sst_reader *reader, const struct sst_place *place, bool verify,
                      const uint8_t *stored, struct read_target *to)
{
    if (place->compression == LSM_COMPRESSION_NONE)
        return read_plain(reader, place, verify, stored, to);
    if (stored)
        return decompress(reader, place, verify, stored, to);
    size_t size = place->size + SST_TRAILER_SIZE;
    if (size <= STACK_READ) {
        uint8_t bytes[STACK_READ];
        return read_compressed(reader, place, verify, bytes, to);
    }
    if (size > SST_COMPRESS_MAX)
        return sst_block_failure(reader, place->offset, LSM_CORRUPTION, "bad compressed size");
    uint8_t *bytes = malloc(size);
    if (!bytes)
        return status_no_memory(size);
    int rc = read_compressed(reader, place, verify, bytes, to);
    free(bytes);
    return rc;
}

// Reads any block to its target, verified as the reader's options ask.
static int read_wanted(struct sst_reader *r, const struct sst_place *place, const uint8_t *stored,
                       struct read_target *to)
{
    bool verify = r->checksums != LSM_CHECKSUMS_NEVER;
    if (!stored && sst_mapped(r)) {
        struct slice mapped;
        int rc = sst_block_in_place(r, place, &mapped);
        if (rc)
            return rc;
        stored = mapped.data;
        verify = false;
    }
    return read_block(r, place, verify, stored, to);
}

int sst_block_read(struct sst_reader *reader, const struct sst_place *place, const uint8_t *stored,
                   struct buf *out)
{
    struct read_target to = {.buf = out};
    return read_wanted(reader, place, stored, &to);
}

int sst_block_reread(struct sst_reader *reader, const struct sst_place *place, struct buf *out)
{
    struct read_target to = {.buf = out};
    return read_block(reader, place, true, NULL, &to);
}

// Puts a block that was read into the cache. `status`: how the reading went; on failure the block's
// memory is given back and the status returned.
static int insert(struct sst_reader *r, const struct sst_place *place, bool keep, int status,
                  struct read_target *to, struct cached_block **ret_cached)
{
    if (status) {
        cached_block_discard(to->block);
        return status;
    }
    *ret_cached = block_cache_insert(r->cache, r->number, place->offset, to->block, to->size, keep);
    return LSM_OK;
}

int sst_block_fill(struct sst_reader *reader, const struct sst_place *place, const uint8_t *stored,
                   struct cached_block **ret_cached)
{
    struct read_target to = {0};
    int rc = read_wanted(reader, place, stored, &to);
    return insert(reader, place, true, rc, &to, ret_cached);
}

// ------------------------------------------------------------------------------------- look-up

bool sst_may_contain(const struct sst_reader *reader, uint64_t hash)
{
    return filter_may_contain(&reader->filter, hash);
}

void sst_prefetch(const struct sst_reader *reader)
{
    __builtin_prefetch(reader);
    __builtin_prefetch((const char *)reader + 64);
}

void sst_prefetch_key(const struct sst_reader *reader, uint64_t hash)
{
    if (reader->filter.lines)
        __builtin_prefetch(filter_line(&reader->filter, hash));
    size_t groups = reader->index.count / SST_INDEX_GROUP;
    if (groups)
        __builtin_prefetch(reader->index.tops + (groups / 2 - 1));
}

// The search in a block begins at its end, with the restart array, and goes on in its middle. Both
// are likely to miss the processor's cache and TLB, so all are asked for at once.
static inline void prefetch_search(struct slice block)
{
    const uint8_t *middle = block.data + block.size / 2;
    __builtin_prefetch(block.data + block.size - 4);
    __builtin_prefetch(block.data);
    __builtin_prefetch(middle);
    __builtin_prefetch(middle - (block.size > 128 ? 64 : 0));
}

// Reads a block that the cache does not have: into the cache, or, if it is not worth keeping, into
// the scratch.
static int get_missed(struct sst_reader *r, const struct sst_place *place,
                      struct sst_lookup *lookup, struct slice *ret_contents)
{
    struct cached_block *cached;
    sst_want_mapped(r);
    sst_reads(r, place);
    bool keep = lookup->fill_cache &&
                block_cache_admits(r->cache, r->number, place->offset, place->size * 2);
    struct read_target to = {.scratch = lookup->scratch,
                             .scratch_size = keep ? 0 : lookup->scratch_size};
    int rc = read_wanted(r, place, NULL, &to);
    if (!rc && !to.block) {
        *ret_contents = slice_of(to.scratch, to.size);
        return LSM_OK;
    }
    rc = insert(r, place, keep, rc, &to, &cached);
    if (!rc)
        *ret_contents = cached_block_data(cached);
    return rc;
}

static int get_block(struct sst_reader *r, const struct sst_place *place, struct sst_lookup *lookup,
                     struct slice *ret_contents)
{
    if (sst_in_place(r, place)) {
        prefetch_search(slice_of(r->map + place->offset, place->size));
        return sst_block_in_place(r, place, ret_contents);
    }
    if (sst_mapped(r)) // let a miss of the cache's table and one of the block overlap
        __builtin_prefetch(r->map + place->offset);
    struct cached_block *cached = block_cache_lookup(r->cache, r->number, place->offset);
    if (!cached)
        return get_missed(r, place, lookup, ret_contents);
    *ret_contents = cached_block_data(cached);
    prefetch_search(*ret_contents);
    return LSM_OK;
}

int sst_get(struct sst_reader *reader, struct sst_lookup *lookup)
{
    if (!filter_may_contain(&reader->filter, lookup->hash))
        return LSM_NOT_FOUND;
    uint64_t tag = tag_seek(lookup->sequence);
    size_t i = sst_index_seek(&reader->index, lookup->key, tag);
    if (i == reader->index.count)
        return LSM_NOT_FOUND;
    struct sst_place place = sst_place_of(reader, i);
    struct slice contents;
    int rc = get_block(reader, &place, lookup, &contents);
    if (rc)
        return rc;
    struct block block;
    rc = block_init(&block, contents);
    if (!rc)
        rc = block_get(&block, lookup->key, tag, &lookup->tag, &lookup->value);
    return sst_block_failure(reader, place.offset, rc, "malformed");
}
