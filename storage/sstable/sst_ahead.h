// Reading ahead in a table across requests. One scan, or a get, reads a few blocks; who walks a
// tree makes many of them, each of which begins near where the last one ended. So a table notes
// where blocks were read from the file. After a few that lie close together, going forward, the
// kernel is asked for what follows, 64 KiB at first and up to 512 KiB.
//
// Several walks at once, or one that reads two places in turn, are told apart (SST_AHEAD_STREAMS).
// Blocks read here and there cost a few comparisons and no system call.
//
// Thread safety: any thread. Whoever finds the state in use goes on without noting anything: it is
// only a hint.
#ifndef LSM_SSTABLE_AHEAD_H
#define LSM_SSTABLE_AHEAD_H

#include <stdatomic.h>
#include <stdint.h>

#include "env/env.h"

#define SST_AHEAD_STREAMS 4

struct sst_ahead {
    atomic_bool busy; // guards what follows: taken with acquire, given back with release
    uint32_t uses;
    struct sst_ahead_stream {
        uint64_t end;    // of the block read last
        uint64_t asked;  // the kernel was asked for what lies before it
        uint32_t window; // to ask for next
        uint32_t run;    // blocks read close together, up to now
        uint32_t used;   // value of `uses` at the last block
    } streams[SST_AHEAD_STREAMS];
};

// Notes that [begin, end) of the file is read now; its data ends at `data_end`.
void sst_ahead_note(struct sst_ahead *ahead, struct env_file *file, uint64_t begin, uint64_t end,
                    uint64_t data_end);

#endif
