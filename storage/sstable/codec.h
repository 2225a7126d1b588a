// Compression of single blocks. See sst_format.h for the bytes.
#ifndef LSM_SSTABLE_CODEC_H
#define LSM_SSTABLE_CODEC_H

#include "base/slice.h"
#include "lsm.h"

// The compressing side with its working memory. Not thread-safe.
struct codec;

int codec_new(enum lsm_compression compression, struct codec **ret_codec); // 0 or LSM_NO_MEMORY
void codec_free(struct codec *codec);                                      // NULL is allowed

// Replaces `out` by the compressed form of `in` and says in *ret_compression how it is stored. If
// that would not save at least 1/8 it says NONE and leaves `out` alone. 0 or LSM_NO_MEMORY.
int codec_compress(struct codec *codec, struct slice in, struct buf *out,
                   enum lsm_compression *ret_compression);

// Uncompressed size of a stored compressed block, 1 to SST_COMPRESS_MAX; 0: the size is damaged.
size_t codec_size(struct slice stored);

// Decompresses into `out`, which has room for codec_size() bytes. LSM_CORRUPTION (without a
// detail) unless exactly that many come out; LSM_NO_MEMORY. Thread-safe.
int codec_decompress(enum lsm_compression compression, struct slice stored, uint8_t *out);

#endif
