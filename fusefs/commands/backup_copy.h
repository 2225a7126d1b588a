// Copying files so that what has arrived is known to be what was read.
#ifndef COMMANDS_BACKUP_COPY_H
#define COMMANDS_BACKUP_COPY_H

#include "base/hash.h"
#include "commands/command.h"

// Where bytes come from. Reads up to `size` of them; 0 at the end; false, with a message: failed.
struct copy_source {
    bool (*read)(struct copy_source *source, uint64_t offset, void *data, size_t size,
                 size_t *ret_size);
};

// Where they go. False, with a message: failed.
struct copy_sink {
    bool (*write)(struct copy_sink *sink, uint64_t offset, const void *data, size_t size);
    bool (*sync)(struct copy_sink *sink); // what `back` reads then is what has arrived
    struct copy_source back;
    const char *where, *name; // for messages: a directory, the file
};

struct copier {
    struct ctl *ctl;
    struct hash128 *hash;
    uint8_t *block;
};

bool copier_init(struct copier *copier, struct ctl *ctl); // false, with a message: no memory
void copier_release(struct copier *copier);

// Reads the source to its end: size and hash of what it holds. Progress goes on. False, with a
// message unless it was cancelled.
bool copy_read(struct copier *copier, struct copy_source *source, uint64_t *ret_size,
               uint8_t ret_hash[HASH128_SIZE]);

// Copies the source to the sink, syncs that, and compares what it has then with what was read.
// False, with a message unless it was cancelled.
bool copy_to(struct copier *copier, struct copy_source *source, struct copy_sink *sink,
             uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE]);

// Makes the new file `name` in directory `dir` of the source's bytes, syncs it, and reads it back
// from the disk, as far as the kernel lets go of what it has in memory. `where` is the directory
// for messages. On failure, with a message unless it was cancelled, there is no such file.
bool copy_file(struct copier *copier, struct copy_source *source, int dir, const char *where,
               const char *name, uint64_t *ret_size, uint8_t ret_hash[HASH128_SIZE]);

// A file of a directory as a source.
struct copy_from_file {
    struct copy_source source; // first
    struct ctl *ctl;
    int fd;
    const char *where, *name;
};
// False, with a message: it cannot be opened. Both names have to stay.
bool copy_from_file_open(struct copy_from_file *file, struct ctl *ctl, int dir, const char *where,
                         const char *name);
void copy_from_file_close(struct copy_from_file *file);

#endif
