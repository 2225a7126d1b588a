// The stream of lsmfsctl send and receive (docs/format.md, section 10): a snapshot's keys and
// values, or what is other than in an earlier snapshot, in frames.
//
// The checksum of each frame covers it and the frame before, so that none can be missing, repeated
// or of another stream; the last one says that it is the last. Bytes from a stream are checked.
//
// Thread safety: one thread a writer or reader.
#ifndef COMMANDS_STREAM_FORMAT_H
#define COMMANDS_STREAM_FORMAT_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/slice.h"
#include "lsm.h"

#define STREAM_VERSION  1u
#define STREAM_HEAD     16u
#define STREAM_FRAME    16u        // bytes before a payload
#define STREAM_PAYLOAD  (2u << 20) // at most
#define STREAM_GATHERED (1u << 18) // bytes of changes that make a frame

enum stream_frame { STREAM_BEGIN = 1, STREAM_CHANGES = 2, STREAM_END = 3 };
enum stream_change { STREAM_DELETE = 0, STREAM_PUT = 1 };

// What the stream holds.
struct stream_begin {
    uint8_t identity[LSM_SNAPSHOT_IDENTITY], base[LSM_SNAPSHOT_IDENTITY]; // base zero: all of it
    uint64_t created_us;
    char name[LSM_SNAPSHOT_NAME_MAX + 1], base_name[LSM_SNAPSHOT_NAME_MAX + 1]; // base_name: or ""
};
bool stream_is_whole(const struct stream_begin *begin);

// ---- writing

struct stream_writer {
    int (*write)(void *arg, const void *data, size_t size); // 0 or not, which is passed on
    void *arg;
    uint64_t check, puts, deletes;
    struct buf frame;
};

// All return 0, LSM_NO_MEMORY, LSM_INVALID (a value that is too large), or what `write` did.
int stream_write_begin(struct stream_writer *writer, const struct stream_begin *begin);
// In the order of keys, each once. `value` NULL: there is no such key.
int stream_write_change(struct stream_writer *writer, struct slice key, const struct slice *value);
int stream_write_end(struct stream_writer *writer);
void stream_writer_release(struct stream_writer *writer);

// ---- reading

struct stream_reader {
    ssize_t (*read)(void *arg, void *data, size_t size); // all of it, less at the end, or negative
    void *arg;
    const char *problem; // after a failure: what is wrong with the stream
    uint64_t check, puts, deletes, bytes;
    bool is_whole;
    struct buf payload, last; // of changes; the last key
    const uint8_t *next;      // in the payload
};

struct stream_op {
    enum stream_change change;
    struct slice key, value;
};

// The beginning. LSM_OK; LSM_CORRUPTION; LSM_NEWER_FORMAT; LSM_NO_MEMORY; LSM_IO_ERROR: `read`
// failed.
int stream_read_begin(struct stream_reader *reader, struct stream_begin *ret_begin);
// 1: the next changes, all of which are well-formed; 0: the end, nothing follows; or as above.
int stream_read_frame(struct stream_reader *reader);
// The next of these changes; false: no more. Valid until the next frame.
bool stream_next(struct stream_reader *reader, struct stream_op *ret_op);
void stream_reader_release(struct stream_reader *reader);

#endif
