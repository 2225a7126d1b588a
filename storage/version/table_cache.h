// Keeps at most `capacity` tables open. A table's file_meta points to its open reader, so that a
// hit is one atomic load. The cache opens a table on a miss, and closes the least recently used one
// (second chance) when there are too many.
//
// Lock: one mutex for misses, evictions and forgets; taken alone. Opening does its I/O outside of
// it.
#ifndef LSM_VERSION_TABLE_CACHE_H
#define LSM_VERSION_TABLE_CACHE_H

#include "sstable/sst_reader.h"
#include "version/file_meta.h"
#include "version/store_files.h"

struct table_cache;

// `dir` is copied; `env` and options->cache outlive the cache.
int table_cache_new(struct env *env, unsigned capacity, const struct sst_read_options *options,
                    struct table_cache **ret_cache);
void table_cache_free(struct table_cache *cache); // all files must have been forgotten

// The open reader of `file`, opening it if need be. The caller must be pinned (and the file be
// referenced by something it can reach); the reader is valid until it unpins, or for longer with
// sst_reader_ref().
int table_cache_get(struct table_cache *cache, struct file_meta *file,
                    struct sst_reader **ret_reader);

// Closes the file's reader, if open. Called when its last reference goes.
void table_cache_forget(struct table_cache *cache, struct file_meta *file);

unsigned table_cache_open_tables(struct table_cache *cache);
size_t table_cache_memory(struct table_cache *cache); // resident bytes of all open tables

#endif
