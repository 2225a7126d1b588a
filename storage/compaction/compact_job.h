// Carrying out a flush or a compaction: merged entries in, finished and synced tables out, dropping
// what no reader can see any more. Touches neither version nor manifest.
#ifndef LSM_COMPACTION_JOB_H
#define LSM_COMPACTION_JOB_H

#include <stdatomic.h>

#include "blob/blob_store.h"
#include "entry/iter.h"
#include "env/env.h"
#include "sstable/sst_builder.h"
#include "version/file_meta.h"

struct compact_job {
    // Set by the caller.
    struct env *env; // the directory
    struct sst_build_options build;
    uint64_t table_size;       // an output is finished when it reaches this; UINT64_MAX: one table
    const uint64_t *snapshots; // sequences of live snapshots, ascending
    size_t snapshot_count;
    struct slice until;              // the last user key to take; NULL data: all
    bool bottom;                     // nothing older of these keys exists below the output
    struct file_meta **grandparents; // tables below the output, ascending; outputs are cut so that
    unsigned grandparent_count;      // none overlaps more than ten tables' worth of them
    const _Atomic bool *cancel;      // becomes true to stop with LSM_CLOSED
    _Atomic uint64_t *progress;      // NULL, or gets entries_in now and then
    // NULL, or called with entries_in now and then. A result other than 0 stops with LSM_CANCELLED.
    int (*told)(void *arg, uint64_t entries_in);
    void *told_arg;
    uint64_t (*new_number)(void *arg); // a fresh file number
    void *arg;
    struct blob_store *blobs; // NULL: pointers are kept as they are
    // Values in draining blob files are moved, up to about so many bytes of them: to other blob
    // files or, if they are smaller than inline_size, into the table.
    uint64_t move_bytes;
    size_t inline_size;
    // NULL, or while it is 0 the moving pauses half of the time, for the sake of others.
    const _Atomic unsigned *pressure;
    size_t separate_size; // values of this size or more go to blob files; 0: none
    // NULL, or called for every pointer (repair). *ret_keep false: the entry is dropped.
    int (*keep_pointer)(void *arg, const struct blob_pointer *pointer, bool *ret_keep);

    // Results. On failure all output files have been removed again.
    struct file_meta **outputs; // one reference each, the caller's; the array too
    unsigned output_count;
    size_t output_capacity;
    uint64_t bytes_written;
    uint64_t moved_bytes; // of values
    uint64_t entries_in, entries_out;
    struct blob_refs moved; // files that values went to, with a reference each
};

// Consumes `input` (not freed), which yields internal entries in order, from where it stands to its
// end or to the last entry of key `until`. If all entries were dropped there is no output. If there
// are outputs, they, their names in the directory and the blobs moved have been synced. Each output
// knows what it references of blob files.
int compact_job_run(struct compact_job *job, struct iter *input);

// Drops the references to the outputs and to blob files and, if `remove`, the outputs' files.
void compact_job_release(struct compact_job *job, bool remove);

#endif
