// What readers count (struct db_tally of db.h). Each thread counts in one of a few cache lines,
// which threads take in turn.
#include <assert.h>

#include "db/db.h"

static_assert(sizeof(struct db_tally) == 64, "as long as a line of the processor's cache");

_Thread_local unsigned db_tally_index;

unsigned db_tally_choose(void)
{
    static _Atomic unsigned threads;
    assert(!db_tally_index);
    unsigned index = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % DB_TALLIES;
    return db_tally_index = index + 1;
}
