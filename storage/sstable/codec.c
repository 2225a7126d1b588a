// LZ4 and deflate over one block at a time. Every block stands alone.
//
// Both decoders are given exact input and output sizes and check every access against them, so
// damaged input can fail but not read or write out of place.
#include "sstable/codec.h"

#include <assert.h>
#include <lz4.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/coding.h"
#include "base/status.h"
#include "sstable/sst_format.h"

#define SIZE_FIELD    4
#define DEFLATE_LEVEL 6
#define DEFLATE_BITS  (-MAX_WBITS) // no zlib header or sum: the block has its own

struct codec {
    enum lsm_compression compression;
    z_stream deflate; // ZLIB only
    void *lz4;        // LZ4 only: its hash table
};

int codec_new(enum lsm_compression compression, struct codec **ret_codec)
{
    assert(compression <= LSM_COMPRESSION_ZLIB);
    struct codec *codec = calloc(1, sizeof(*codec));
    if (!codec)
        return status_no_memory(sizeof(*codec));
    codec->compression = compression;
    if (compression == LSM_COMPRESSION_LZ4) {
        codec->lz4 = malloc((size_t)LZ4_sizeofState());
        if (!codec->lz4) {
            free(codec);
            return status_no_memory((size_t)LZ4_sizeofState());
        }
    } else if (compression == LSM_COMPRESSION_ZLIB) {
        if (deflateInit2(&codec->deflate, DEFLATE_LEVEL, Z_DEFLATED, DEFLATE_BITS, 8,
                         Z_DEFAULT_STRATEGY) != Z_OK) {
            free(codec);
            return status_no_memory(256 << 10);
        }
    }
    *ret_codec = codec;
    return LSM_OK;
}

void codec_free(struct codec *codec)
{
    if (!codec)
        return;
    if (codec->compression == LSM_COMPRESSION_ZLIB)
        deflateEnd(&codec->deflate);
    free(codec->lz4);
    free(codec);
}

// The compressed size, 0 if it does not fit `room`.
static size_t compress_into(struct codec *codec, struct slice in, uint8_t *out, size_t room)
{
    if (codec->compression == LSM_COMPRESSION_LZ4) {
        int n = LZ4_compress_fast_extState(codec->lz4, (const char *)in.data, (char *)out,
                                           (int)in.size, (int)room, 1);
        return n > 0 ? (size_t)n : 0;
    }
    z_stream *z = &codec->deflate;
    if (deflateReset(z) != Z_OK)
        return 0;
    z->next_in = (Bytef *)(uintptr_t)in.data;
    z->avail_in = (uInt)in.size;
    z->next_out = out;
    z->avail_out = (uInt)room;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? room - z->avail_out : 0;
}

int codec_compress(struct codec *codec, struct slice in, struct buf *out,
                   enum lsm_compression *ret_compression)
{
    // A compressed block is kept only if it is no larger than this.
    size_t most = in.size - in.size / 8;
    if (codec->compression == LSM_COMPRESSION_NONE || in.size > SST_COMPRESS_MAX ||
        most <= SIZE_FIELD) {
        *ret_compression = LSM_COMPRESSION_NONE;
        return LSM_OK;
    }
    if (most > out->capacity) {
        int rc = buf_reserve(out, most - out->size);
        if (rc)
            return rc;
    }
    size_t n = compress_into(codec, in, out->data + SIZE_FIELD, most - SIZE_FIELD);
    if (!n) {
        *ret_compression = LSM_COMPRESSION_NONE;
        return LSM_OK;
    }
    put_fixed32(out->data, (uint32_t)in.size);
    out->size = SIZE_FIELD + n;
    assert(out->size <= most);
    *ret_compression = codec->compression;
    return LSM_OK;
}

size_t codec_size(struct slice stored)
{
    if (stored.size <= SIZE_FIELD)
        return 0;
    size_t size = get_fixed32(stored.data);
    return size <= SST_COMPRESS_MAX ? size : 0;
}

static int decompress_deflate(struct slice in, uint8_t *out, size_t size)
{
    z_stream z = {0};
    if (inflateInit2(&z, DEFLATE_BITS) != Z_OK)
        return status_no_memory(64 << 10);
    z.next_in = (Bytef *)(uintptr_t)in.data;
    z.avail_in = (uInt)in.size;
    z.next_out = out;
    z.avail_out = (uInt)size;
    int rc = inflate(&z, Z_FINISH);
    bool whole = rc == Z_STREAM_END && z.avail_out == 0 && z.avail_in == 0;
    inflateEnd(&z);
    if (rc == Z_MEM_ERROR)
        return status_no_memory(64 << 10);
    return whole ? LSM_OK : LSM_CORRUPTION;
}

int codec_decompress(enum lsm_compression compression, struct slice stored, uint8_t *out)
{
    size_t size = codec_size(stored);
    struct slice in = slice_of(stored.data + SIZE_FIELD, stored.size - SIZE_FIELD);
    if (!size || in.size > SST_COMPRESS_MAX)
        return LSM_CORRUPTION;
    switch (compression) {
    case LSM_COMPRESSION_LZ4: {
        int n = LZ4_decompress_safe((const char *)in.data, (char *)out, (int)in.size, (int)size);
        return n >= 0 && (size_t)n == size ? LSM_OK : LSM_CORRUPTION;
    }
    case LSM_COMPRESSION_ZLIB:
        return decompress_deflate(in, out, size);
    case LSM_COMPRESSION_NONE:
        break;
    }
    return LSM_CORRUPTION;
}
