// Versions: building one from another and an edit, and searching one.
//
// version_apply() makes one pass over the base's tables. Removals and additions are sorted by
// number first, so that each table of the base is looked up in both in logarithmic time: a store of
// n tables and an edit of m costs n log m. Each level's additions, in the level's order, are then
// merged with what stays. Only neighbours of an added table need a check for overlap, since
// removing tables cannot create any.
//
// Invariants of a finished version: a table number occurs once; level 0 is newest first; the tables
// of a sorted level are disjoint and ascending as (key, tag) ranges; each table is referenced once;
// `bytes`, `blob_bytes` and `tombstone_heavy` are sums over `files`.
//
// Thread safety: a version never changes once returned; references are atomic.
// Failure: the result is untouched, nothing is kept.
#include "version/version.h"

#include <assert.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/numbers.h"
#include "base/status.h"
#include "entry/key_prefix.h"

int version_new(struct version **ret_version)
{
    struct version *version = calloc(1, sizeof(*version));
    if (!version)
        return status_no_memory(sizeof(*version));
    atomic_init(&version->refs, 1);
    *ret_version = version;
    return 0;
}

void version_ref(struct version *version)
{
    uint32_t before = atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void version_unref(struct version *version)
{
    if (atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned level = 0; level < VERSION_LEVELS; level++) {
        struct version_level *l = &version->levels[level];
        for (unsigned i = 0; i < l->count; i++)
            file_meta_unref(l->files[i]);
        free(l->files);
        free(l->prefixes);
    }
    free(version);
}

// -------------------------------------------------------------------------------------- applying

struct removed_file {
    uint64_t number;
    unsigned level;
    bool matched;
};

// What an edit does, sorted for lookups.
struct sorted_edit {
    struct removed_file *removed; // by number
    unsigned removed_count;
    struct version_edit_file *by_number; // the additions by number
    struct version_edit_file *by_level;  // the additions by level, then in the level's order
    unsigned added_count;
};

static int compare_numbers(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_removed(const void *a, const void *b)
{
    return compare_numbers(((const struct removed_file *)a)->number,
                           ((const struct removed_file *)b)->number);
}

static int compare_added_numbers(const void *a, const void *b)
{
    return compare_numbers(((const struct version_edit_file *)a)->file->number,
                           ((const struct version_edit_file *)b)->file->number);
}

// <0 if `a` stands before `b` in a level.
static int level_order(unsigned level, const struct file_meta *a, const struct file_meta *b)
{
    if (level > 0)
        return entry_compare(a->smallest, a->smallest_tag, b->smallest, b->smallest_tag);
    int c = compare_numbers(b->max_sequence, a->max_sequence);
    return c ? c : compare_numbers(b->number, a->number);
}

static int compare_added_places(const void *a, const void *b)
{
    const struct version_edit_file *x = a, *y = b;
    if (x->level != y->level)
        return x->level < y->level ? -1 : 1;
    return level_order(x->level, x->file, y->file);
}

static void sorted_edit_release(struct sorted_edit *sorted)
{
    free(sorted->removed);
    free(sorted->by_number);
    free(sorted->by_level);
}

static void *sorted_copy(const void *items, unsigned count, size_t size,
                         int (*compare)(const void *, const void *))
{
    void *copy = malloc(count * size);
    if (!copy)
        return NULL;
    memcpy(copy, items, count * size);
    qsort(copy, count, size, compare);
    return copy;
}

static int sorted_edit_init(struct sorted_edit *sorted, const struct version_edit *edit)
{
    *sorted = (struct sorted_edit){.removed_count = edit->removed_count,
                                   .added_count = edit->added_count};
    size_t want = 0;
    if (edit->removed_count) {
        want = edit->removed_count * sizeof(*sorted->removed);
        sorted->removed = malloc(want);
        if (!sorted->removed)
            goto no_memory;
        for (unsigned i = 0; i < edit->removed_count; i++)
            sorted->removed[i] = (struct removed_file){.number = edit->removed[i].number,
                                                       .level = edit->removed[i].level};
        qsort(sorted->removed, edit->removed_count, sizeof(*sorted->removed), compare_removed);
    }
    if (edit->added_count) {
        size_t size = sizeof(*edit->added);
        want = edit->added_count * size;
        sorted->by_number =
            sorted_copy(edit->added, edit->added_count, size, compare_added_numbers);
        sorted->by_level = sorted_copy(edit->added, edit->added_count, size, compare_added_places);
        if (!sorted->by_number || !sorted->by_level)
            goto no_memory;
    }
    for (unsigned i = 1; i < edit->added_count; i++)
        if (sorted->by_number[i - 1].file->number == sorted->by_number[i].file->number) {
            uint64_t number = sorted->by_number[i].file->number;
            sorted_edit_release(sorted);
            return status_fail(LSM_CORRUPTION, "table %" PRIu64 " is added twice", number);
        }
    return 0;
no_memory:
    sorted_edit_release(sorted);
    return status_no_memory(want);
}

static struct removed_file *find_removed(const struct sorted_edit *sorted, uint64_t number)
{
    size_t i = numbers_find(sorted->removed, sorted->removed_count, sizeof *sorted->removed,
                            offsetof(struct removed_file, number), number);
    return i < sorted->removed_count && sorted->removed[i].number == number ? &sorted->removed[i]
                                                                            : NULL;
}

static bool is_added(const struct sorted_edit *sorted, uint64_t number)
{
    unsigned low = 0, high = sorted->added_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (sorted->by_number[middle].file->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sorted->added_count && sorted->by_number[low].file->number == number;
}

// Appends `file`, which comes after all tables of `out`.
static int level_push(struct version_level *out, unsigned level, struct file_meta *file, bool check)
{
    if (check && level > 0 && out->count > 0) {
        const struct file_meta *last = out->files[out->count - 1];
        if (entry_compare(last->largest, last->largest_tag, file->smallest, file->smallest_tag) >=
            0)
            return status_fail(LSM_CORRUPTION,
                               "tables %" PRIu64 " and %" PRIu64 " of level %u overlap",
                               last->number, file->number, level);
    }
    assert(out->count == 0 || level_order(level, out->files[out->count - 1], file) < 0);
    file_meta_ref(file);
    out->files[out->count++] = file;
    out->bytes += file->size;
    out->blob_bytes += file->blob_bytes;
    out->tombstone_heavy += file_meta_tombstone_heavy(file);
    return 0;
}

// Decides about a table of the base: *ret_keep tells whether it stays.
static int judge(const struct sorted_edit *sorted, unsigned level, const struct file_meta *file,
                 bool *ret_keep)
{
    struct removed_file *removed = find_removed(sorted, file->number);
    *ret_keep = !(removed && removed->level == level && !removed->matched);
    if (!*ret_keep)
        removed->matched = true;
    else if (is_added(sorted, file->number))
        return status_fail(LSM_CORRUPTION, "table %" PRIu64 " is added but level %u has it",
                           file->number, level);
    return 0;
}

// Merges the tables of a level that stay with those that are added; both are in the level's order.
static int apply_level(const struct version_level *base, unsigned level,
                       const struct sorted_edit *sorted, const struct version_edit_file *added,
                       unsigned count, struct version_level *out)
{
    if (base->count + count == 0)
        return 0;
    size_t size = ((size_t)base->count + count) * sizeof(*out->files);
    out->files = malloc(size);
    if (!out->files)
        return status_no_memory(size);
    unsigned next = 0;
    bool after_added = false;
    int rc = 0;
    for (unsigned i = 0; i < base->count && !rc; i++) {
        bool keep;
        rc = judge(sorted, level, base->files[i], &keep);
        if (rc || !keep)
            continue;
        while (!rc && next < count && level_order(level, added[next].file, base->files[i]) < 0) {
            rc = level_push(out, level, added[next++].file, true);
            after_added = true;
        }
        if (!rc)
            rc = level_push(out, level, base->files[i], after_added);
        after_added = false;
    }
    while (!rc && next < count)
        rc = level_push(out, level, added[next++].file, true);
    return rc;
}

// Makes what version_find() searches in.
static int level_prefixes(struct version_level *level)
{
    if (level->count == 0)
        return 0;
    level->prefixes = malloc(level->count * sizeof(*level->prefixes));
    if (!level->prefixes)
        return status_no_memory(level->count * sizeof(*level->prefixes));
    struct slice first = level->files[0]->largest, last = level->files[level->count - 1]->largest;
    size_t n = first.size < last.size ? first.size : last.size;
    level->common = slice_of(first.data, n ? common_prefix(first.data, last.data, n) : 0);
    for (unsigned i = 0; i < level->count; i++) {
        struct slice key = level->files[i]->largest;
        key.data += level->common.size;
        key.size -= level->common.size;
        level->prefixes[i] = key_prefix(key);
    }
    return 0;
}

int version_apply(const struct version *base, const struct version_edit *edit,
                  struct version **ret_version)
{
    struct sorted_edit sorted;
    struct version *version;
    int rc = sorted_edit_init(&sorted, edit);
    if (rc)
        return rc;
    rc = version_new(&version);
    if (rc) {
        sorted_edit_release(&sorted);
        return rc;
    }
    unsigned first = 0;
    for (unsigned level = 0; level < VERSION_LEVELS && !rc; level++) {
        unsigned end = first;
        while (end < sorted.added_count && sorted.by_level[end].level == level)
            end++;
        rc = apply_level(&base->levels[level], level, &sorted,
                         end > first ? sorted.by_level + first : NULL, end - first,
                         &version->levels[level]);
        if (!rc && level > 0)
            rc = level_prefixes(&version->levels[level]);
        first = end;
    }
    assert(rc || first == sorted.added_count);
    for (unsigned i = 0; i < sorted.removed_count && !rc; i++)
        if (!sorted.removed[i].matched)
            rc = status_fail(LSM_CORRUPTION,
                             "table %" PRIu64 " is removed but level %u does not have it",
                             sorted.removed[i].number, sorted.removed[i].level);
    sorted_edit_release(&sorted);
    if (rc) {
        version_unref(version);
        return rc;
    }
    *ret_version = version;
    return 0;
}

// ------------------------------------------------------------------------------------- searching

unsigned version_find(const struct version_level *level, struct slice key)
{
    int c = key_prefix_compare_common(level->common, key);
    if (c)
        return c < 0 ? 0 : level->count;
    size_t common = level->common.size;
    uint64_t prefix = key_prefix(slice_of(key.data + common, key.size - common));
    const uint64_t *prefixes = level->prefixes;
    unsigned count = level->count;
    unsigned low = (unsigned)key_prefix_lower_bound(prefixes, count, prefix), high = count;
    if (low == count || prefixes[low] != prefix)
        return low;
    if (prefix != UINT64_MAX)
        high = low + (unsigned)key_prefix_lower_bound(prefixes + low, count - low, prefix + 1);
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        if (slice_compare(level->files[middle]->largest, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool version_overlaps(const struct version *version, unsigned level, struct slice smallest,
                      struct slice largest)
{
    const struct version_level *l = &version->levels[level];
    if (level > 0) {
        unsigned i = smallest.data ? version_find(l, smallest) : 0;
        return i < l->count &&
               (!largest.data || slice_compare(l->files[i]->smallest, largest) <= 0);
    }
    for (unsigned i = 0; i < l->count; i++)
        if ((!smallest.data || slice_compare(l->files[i]->largest, smallest) >= 0) &&
            (!largest.data || slice_compare(l->files[i]->smallest, largest) <= 0))
            return true;
    return false;
}

uint64_t version_level_entries(const struct version_level *level)
{
    uint64_t entries = 0;
    for (unsigned i = 0; i < level->count; i++)
        entries += level->files[i]->entries;
    return entries;
}

uint64_t version_bytes(const struct version *version)
{
    uint64_t bytes = 0;
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        bytes += version->levels[level].bytes;
    return bytes;
}

unsigned version_files(const struct version *version)
{
    unsigned files = 0;
    for (unsigned level = 0; level < VERSION_LEVELS; level++)
        files += version->levels[level].count;
    return files;
}
