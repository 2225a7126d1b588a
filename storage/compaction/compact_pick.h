// Which compaction to do next: pure policy over a version, no I/O, no locks of its own.
//
// Leveled compaction with dynamic level targets (as RocksDB's
// level_compaction_dynamic_level_bytes): targets are derived from the size of the last level
// upwards, so that the last level holds about (ratio-1)/ratio of all data and space amplification
// stays near 1.1. Level 0 compacts by count, which is larger where much is kept for snapshots, or
// when the blobs its entries may have superseded are worth it.
//
// It may be called at any time with a version of any shape. Applied until it picks nothing, it
// comes to an end: each pick moves tables to a deeper level, or rids a last level's tables of their
// tombstones.
#ifndef LSM_COMPACTION_PICK_H
#define LSM_COMPACTION_PICK_H

#include "version/version.h"

struct pick_options {
    unsigned l0_compact;
    unsigned l0_most; // tables that level 0 may gather at most when it waits for snapshots' sake
    uint64_t level_base_size;
    unsigned level_ratio;
    uint64_t table_size;
    uint64_t oldest_snapshot; // sequence of the oldest snapshot in use, or the last sequence if
                              // there is none: what is superseded up to here can be dropped. When
                              // it rises, there may be something to pick again.
    bool idle; // nothing has been written for a while: level 0 is emptied if that can free blobs,
               // or drops many tombstones; a table with 1/8 of them is worth compacting
    bool reclaim; // space is short: every table with tombstones is worth compacting
    bool small;   // no more tables at once than there have to be
};

struct level_targets {
    unsigned base_level;             // where level 0 compacts to; 1 .. VERSION_LEVELS-1
    unsigned l0_compact;             // tables of level 0 that start a compaction
    uint64_t target[VERSION_LEVELS]; // bytes; 0: the level is to be emptied. None for level 0
    double score[VERSION_LEVELS];    // >= 1 wants compaction; tables already compacting not counted
};
void pick_targets(const struct version *version, const struct pick_options *options,
                  struct level_targets *ret_targets) REQUIRES(db_mutex);

// A picked compaction: inputs of two levels and the tables of the level after (to bound the overlap
// of outputs). File pointers borrow the version's references: keep the version while it is used.
//
// All versions of one user key that a level has are inputs together or not at all, so that newer
// ones never sink below older ones and no older one is left behind where a tombstone is dropped.
struct compaction {
    unsigned level, output_level; // equal for a rewrite in place
    struct file_meta **inputs[2]; // [0] from level, [1] from output_level; malloc'd arrays
    unsigned input_count[2];      // level-0 inputs are newest first
    struct file_meta **grandparents;
    unsigned grandparent_count;
    bool trivial_move; // one table that overlaps nothing: only the manifest needs to change. The
                       // caller may rewrite it all the same (to compress it otherwise)
    bool bottom;       // no deeper level overlaps: tombstones may go, sequences may become 0
    bool exclusive;    // passes over levels that have tables (elsewhere): the caller must start no
                       // other compaction while it runs. Only from compact_pick_range()
    bool move_blobs;   // values in draining blob files are to be moved elsewhere
    uint64_t input_bytes;
};

// Picks the best runnable compaction whose inputs are not marked compacting, or leaves
// *ret_compaction NULL. `cursors[level]`: largest key compacted last from each level (round robin);
// updated. Level-0 compactions and ones whose outputs might overlap never run together. Marks
// nothing: the caller sets file->compacting on the inputs under its mutex, before the next pick.
//
// Order: the highest score, then tombstone-heavy tables (deletes over half of entries; an eighth
// when idle, any to reclaim, and level 0 too). Of the last level's, only those are taken whose
// tombstones can all be dropped, since max_sequence <= oldest_snapshot: the rewrite then leaves
// none, and the table is not picked again. A manual range is compact_pick_range(). LSM_NO_MEMORY.
int compact_pick(const struct version *version, const struct pick_options *options,
                 struct buf cursors[VERSION_LEVELS], struct compaction **ret_compaction)
    REQUIRES(db_mutex);

// A compaction that moves values out of draining blob files: a table that refers to one, rewritten
// in place, or level 0. For when compact_pick() has nothing, or reclaim is urgent.
int compact_pick_drain(const struct version *version, const struct pick_options *options,
                       struct compaction **ret_compaction) REQUIRES(db_mutex);

// A compaction that gives back what was kept for snapshots that are gone (file_meta.dead_bytes): a
// table of which they are 1/8 (1/64 when idle, any to reclaim), rewritten in place, or level 0. For
// when there is nothing else.
int compact_pick_kept(const struct version *version, const struct pick_options *options,
                      struct compaction **ret_compaction) REQUIRES(db_mutex);

// All tables of `level` that overlap [lower, upper] (NULL data: unbounded), and those that must go
// with them, into `output_level`: a deeper one, or `level` itself, unless 0, to rewrite it
// (LSM_INVALID for others). If the inputs overlap a level in between, they go only down to the
// first such level, and that is the compaction's output_level. *ret_compaction stays NULL if
// nothing overlaps. LSM_BUSY (no detail) if it has to wait for a running compaction.
int compact_pick_range(const struct version *version, const struct pick_options *options,
                       unsigned level, unsigned output_level, struct slice lower,
                       struct slice upper, struct compaction **ret_compaction) REQUIRES(db_mutex);

void compaction_free(struct compaction *compaction);

#endif
