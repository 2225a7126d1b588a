// Ranges of snapshots in a fixed array. No memory, no locks, no failures.
#include "version/kept.h"

#include <assert.h>
#include <string.h>

#include "base/numbers.h"
#include "entry/iter.h"

static int compare(const struct kept_range *range, uint64_t first, uint64_t last)
{
    if (range->first != first)
        return range->first < first ? -1 : 1;
    if (range->last != last)
        return range->last < last ? -1 : 1;
    return 0;
}

static void remove_at(struct kept_ranges *kept, size_t i)
{
    kept->count--;
    memmove(kept->at + i, kept->at + i + 1, (kept->count - i) * sizeof *kept->at);
}

// Joins two neighbours to one range: those that have the fewest bytes together.
static void merge_smallest(struct kept_ranges *kept)
{
    size_t best = 0;
    for (size_t i = 1; i + 1 < kept->count; i++)
        if (kept->at[i].bytes + kept->at[i + 1].bytes <
            kept->at[best].bytes + kept->at[best + 1].bytes)
            best = i;
    struct kept_range *a = &kept->at[best];
    const struct kept_range *b = a + 1;
    uint64_t first = a->first, last = a->last > b->last ? a->last : b->last;
    uint64_t bytes = a->bytes + b->bytes;
    remove_at(kept, best);
    remove_at(kept, best);
    kept_add(kept, first, last, bytes); // its new end may put it in another place
}

void kept_add(struct kept_ranges *kept, uint64_t first, uint64_t last, uint64_t bytes)
{
    assert(first <= last && kept->count <= KEPT_RANGES_MAX);
    size_t at = 0, high = kept->count; // `at` becomes the index of the first greater range
    while (at < high) {
        size_t middle = at + (high - at) / 2;
        if (compare(&kept->at[middle], first, last) <= 0)
            at = middle + 1;
        else
            high = middle;
    }
    if (at > 0 && compare(&kept->at[at - 1], first, last) == 0) {
        kept->at[at - 1].bytes += bytes;
        return;
    }
    if (kept->count == KEPT_RANGES_MAX) {
        merge_smallest(kept);
        kept_add(kept, first, last, bytes); // there is room now
        return;
    }
    memmove(kept->at + at + 1, kept->at + at, (kept->count - at) * sizeof *kept->at);
    kept->at[at] = (struct kept_range){first, last, bytes};
    kept->count++;
    assert(at + 1 == kept->count || compare(&kept->at[at + 1], first, last) > 0);
}

uint64_t kept_dead_bytes(const struct kept_range *ranges, size_t count, const uint64_t *snapshots,
                         size_t snapshot_count)
{
    uint64_t dead = 0;
    for (size_t i = 0; i < count; i++) {
        size_t low = numbers_find(snapshots, snapshot_count, sizeof *snapshots, 0, ranges[i].first);
        if (low == snapshot_count || snapshots[low] > ranges[i].last)
            dead += ranges[i].bytes;
    }
    return dead;
}

bool kept_legal(const struct kept_range *ranges, size_t count)
{
    if (count == 0 || count > KEPT_RANGES_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct kept_range *range = &ranges[i];
        if (range->first > range->last || range->last > SEQUENCE_MAX || range->bytes == 0 ||
            range->bytes > INT64_MAX)
            return false;
        if (i > 0 && compare(range, ranges[i - 1].first, ranges[i - 1].last) <= 0)
            return false;
    }
    return true;
}
