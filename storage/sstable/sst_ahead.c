// See sst_ahead.h. A block belongs to the stream that ended at most NEAR bytes before it. If there
// is no such stream, the block begins one, in the place of the stream that was not used for the
// longest time.
//
// Blocks that the cache has are not read, so a stream has gaps where somebody else was before.
#include "sstable/sst_ahead.h"

#include <assert.h>
#include <stddef.h>

#define NEAR    ((uint64_t)32 << 10)
#define AFTER   4 // blocks of a stream; most gets and short scans that are no walk read fewer
#define FIRST   (64u << 10)
#define LARGEST (512u << 10)

static struct sst_ahead_stream *stream_of(struct sst_ahead *ahead, uint64_t begin)
{
    struct sst_ahead_stream *oldest = &ahead->streams[0];
    for (size_t i = 0; i < SST_AHEAD_STREAMS; i++) {
        struct sst_ahead_stream *s = &ahead->streams[i];
        if (s->run && begin >= s->end && begin - s->end <= NEAR)
            return s;
        if (ahead->uses - s->used > ahead->uses - oldest->used)
            oldest = s;
    }
    *oldest = (struct sst_ahead_stream){.window = FIRST};
    return oldest;
}

// What to ask for now: *ret_from and a size; 0: nothing.
static uint64_t stream_wants(struct sst_ahead_stream *s, uint64_t data_end, uint64_t *ret_from)
{
    if (s->run < AFTER)
        return 0;
    uint64_t from = s->asked > s->end ? s->asked : s->end;
    // What was asked for is on its way: the next part is wanted before this one is used up.
    if (from - s->end > s->window / 2 || from >= data_end)
        return 0;
    uint64_t size = data_end - from < s->window ? data_end - from : s->window;
    s->asked = from + size;
    assert(s->asked <= data_end && s->window >= FIRST && s->window <= LARGEST);
    if (s->window < LARGEST)
        s->window *= 2;
    *ret_from = from;
    return size;
}

void sst_ahead_note(struct sst_ahead *ahead, struct env_file *file, uint64_t begin, uint64_t end,
                    uint64_t data_end)
{
    assert(begin < end && end <= data_end);
    if (atomic_exchange_explicit(&ahead->busy, true, memory_order_acquire))
        return;
    struct sst_ahead_stream *s = stream_of(ahead, begin);
    s->end = end;
    s->run++;
    s->used = ++ahead->uses;
    uint64_t from = 0, size = stream_wants(s, data_end, &from);
    atomic_store_explicit(&ahead->busy, false, memory_order_release);
    if (size)
        file->ops->advise(file, from, size, ENV_ADVISE_WILLNEED);
}
