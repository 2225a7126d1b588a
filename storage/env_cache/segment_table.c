// Chains from hashes to segments, and two rings in the order of use. See the header.
#include "env_cache/segment_table.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/status.h"

#define BUCKETS_MIN 64

// ------------------------------------------------------------------------------------- rings

static void ring_init(struct segment_link *link)
{
    link->newer = link->older = link;
}

static void ring_take(struct segment_link *link)
{
    link->newer->older = link->older;
    link->older->newer = link->newer;
    ring_init(link);
}

static void ring_put_newest(struct segment_link *head, struct segment_link *link)
{
    link->older = head->older;
    link->newer = head;
    head->older->newer = link;
    head->older = link;
}

static struct segment *by_use(const struct segment_link *link)
{
    return (struct segment *)(void *)((char *)link - offsetof(struct segment, by_use));
}

static struct segment *by_opening(const struct segment_link *link)
{
    return (struct segment *)(void *)((char *)link - offsetof(struct segment, by_opening));
}

// ------------------------------------------------------------------------------------- the table

static uint64_t key_hash(const struct segment_key *key)
{
    const uint64_t parts[3] = {key->store, key->file, key->segment};
    return hash64(parts, sizeof parts);
}

int segment_table_init(struct segment_table *table)
{
    *table = (struct segment_table){.size = BUCKETS_MIN};
    table->buckets = calloc(BUCKETS_MIN, sizeof(struct segment *));
    ring_init(&table->by_use);
    ring_init(&table->by_opening);
    return table->buckets ? 0 : status_no_memory(BUCKETS_MIN * sizeof(struct segment *));
}

void segment_table_release(struct segment_table *table)
{
    assert(table->count == 0);
    free(table->buckets);
    table->buckets = NULL;
}

struct segment *segment_find(const struct segment_table *table, const struct segment_key *key)
{
    struct segment *at = table->buckets[key_hash(key) & (table->size - 1)];
    while (at && (at->key.store != key->store || at->key.file != key->file ||
                  at->key.segment != key->segment))
        at = at->chain;
    return at;
}

static void chain(struct segment **buckets, size_t size, struct segment *segment)
{
    struct segment **bucket = &buckets[key_hash(&segment->key) & (size - 1)];
    segment->chain = *bucket;
    *bucket = segment;
}

// Longer chains do no harm: without memory it stays as it is.
static void grow(struct segment_table *table)
{
    size_t size = table->size * 2;
    struct segment **buckets = calloc(size, sizeof(struct segment *));
    if (!buckets)
        return;
    for (size_t i = 0; i < table->size; i++) {
        for (struct segment *at = table->buckets[i], *next; at; at = next) {
            next = at->chain;
            chain(buckets, size, at);
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
}

struct segment *segment_add(struct segment_table *table, const struct segment_key *key)
{
    struct segment *segment = calloc(1, sizeof *segment);
    if (!segment)
        return NULL;
    assert(!segment_find(table, key));
    segment->key = *key;
    ring_init(&segment->by_opening);
    ring_put_newest(&table->by_use, &segment->by_use);
    if (++table->count > table->size)
        grow(table);
    chain(table->buckets, table->size, segment);
    return segment;
}

void segment_free(struct segment_table *table, struct segment *segment)
{
    struct segment **link = &table->buckets[key_hash(&segment->key) & (table->size - 1)];
    assert(table->count > 0 && segment->users == 0 && !segment->file);
    while (*link != segment)
        link = &(*link)->chain;
    *link = segment->chain;
    table->count--;
    ring_take(&segment->by_use);
    free(segment);
}

void segment_used(struct segment_table *table, struct segment *segment)
{
    assert(!segment->leaving);
    ring_take(&segment->by_use);
    ring_put_newest(&table->by_use, &segment->by_use);
    if (segment->file) {
        ring_take(&segment->by_opening);
        ring_put_newest(&table->by_opening, &segment->by_opening);
    }
}

void segment_leave(struct segment *segment)
{
    segment->leaving = true;
    ring_take(&segment->by_use);
}

void segment_opened(struct segment_table *table, struct segment *segment, struct env_file *file)
{
    assert(!segment->file);
    segment->file = file;
    table->open_count++;
    ring_put_newest(&table->by_opening, &segment->by_opening);
}

struct env_file *segment_closed(struct segment_table *table, struct segment *segment)
{
    struct env_file *file = segment->file;
    if (file) {
        assert(table->open_count > 0);
        table->open_count--;
        ring_take(&segment->by_opening);
    }
    segment->file = NULL;
    return file;
}

struct segment *segment_oldest(const struct segment_table *table)
{
    const struct segment_link *at = table->by_use.newer;
    while (at != &table->by_use && by_use(at)->users)
        at = at->newer;
    return at == &table->by_use ? NULL : by_use(at);
}

struct segment *segment_oldest_open(const struct segment_table *table)
{
    const struct segment_link *at = table->by_opening.newer;
    while (at != &table->by_opening && by_opening(at)->users)
        at = at->newer;
    return at == &table->by_opening ? NULL : by_opening(at);
}

struct segment *segment_next(const struct segment_table *table, const struct segment *segment)
{
    const struct segment_link *at = segment ? segment->by_use.newer : table->by_use.newer;
    return at == &table->by_use ? NULL : by_use(at);
}
