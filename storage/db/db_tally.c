// What readers count (db.h): each thread has a line of its own among a few, taken in turn.
#include "db/db.h"

_Thread_local unsigned db_tally_index;

unsigned db_tally_choose(void)
{
    static _Atomic unsigned threads;
    unsigned index = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % DB_TALLIES;
    return db_tally_index = index + 1;
}
