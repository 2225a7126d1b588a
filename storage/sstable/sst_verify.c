// Reading a whole table to see that it is what was written.
//
// Beyond checksums: every block decodes completely, entries ascend across the whole table, each
// separator lies where it must, the filter knows every key, and the counts are those of the
// properties. Blocks are read with pread past all caches of this process, and always verified.
//
// Thread-safe. Nothing is changed.
#include <inttypes.h>

#include "base/hash.h"
#include "base/status.h"
#include "sstable/block.h"
#include "sstable/sst_format.h"
#include "sstable/sst_reader_impl.h"

#define READAHEAD (1u << 20)

struct verify {
    struct sst_reader *reader;
    size_t block;
    struct sst_properties seen;
    struct buf last_key;
    uint64_t last_tag;
    const char *problem;
};

static int wrong(struct verify *v, const char *problem)
{
    v->problem = problem;
    return LSM_CORRUPTION;
}

static int visit(void *arg, const struct entry *e)
{
    struct verify *v = arg;
    const struct sst_index *ix = &v->reader->index;
    struct sst_properties *p = &v->seen;
    if (e->key.size == 0)
        return wrong(v, "an empty key");
    if (tag_type(e->tag) > ENTRY_BLOB)
        return wrong(v, "an entry of unknown type");
    if (p->entries && entry_compare(buf_slice(&v->last_key), v->last_tag, e->key, e->tag) >= 0)
        return wrong(v, "entries out of order");
    if (v->block && sst_index_compare(ix, v->block - 1, e->key, e->tag) >= 0)
        return wrong(v, "an entry before its block's range");
    if (sst_index_compare(ix, v->block, e->key, e->tag) < 0)
        return wrong(v, "an entry after its block's range");
    if (!sst_may_contain(v->reader, hash64(e->key.data, e->key.size)))
        return wrong(v, "a key the filter does not know");
    uint64_t sequence = tag_sequence(e->tag);
    p->entries++;
    p->deletes += tag_type(e->tag) == ENTRY_DELETE;
    p->raw_bytes += e->key.size + e->value.size;
    if (sequence < p->min_sequence)
        p->min_sequence = sequence;
    if (sequence > p->max_sequence)
        p->max_sequence = sequence;
    v->last_tag = e->tag;
    return buf_assign(&v->last_key, e->key.data, e->key.size);
}

static int verify_block(struct verify *v, size_t index, struct buf *bytes)
{
    struct sst_place place = sst_place_of(v->reader, index);
    int rc = sst_block_reread(v->reader, &place, bytes);
    if (rc)
        return rc;
    v->block = index;
    v->problem = "malformed";
    struct block block;
    rc = block_init(&block, buf_slice(bytes));
    if (!rc)
        rc = block_check(&block, visit, v);
    return sst_block_failure(v->reader, place.offset, rc, v->problem);
}

static int compare_counts(const struct verify *v)
{
    const struct sst_properties *a = &v->seen, *b = &v->reader->properties;
    const struct {
        const char *name;
        uint64_t seen, said;
    } pairs[] = {
        {"entries", a->entries, b->entries},
        {"deletes", a->deletes, b->deletes},
        {"bytes", a->raw_bytes, b->raw_bytes},
        {"bytes of blocks", sst_index_offset(&v->reader->index, v->reader->index.count),
         b->data_bytes},
        {"as lowest sequence", a->min_sequence, b->min_sequence},
        {"as highest sequence", a->max_sequence, b->max_sequence},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        if (pairs[i].seen != pairs[i].said)
            return status_fail(LSM_CORRUPTION,
                               "%s: the table has %" PRIu64 " %s, its properties say %" PRIu64,
                               v->reader->file->path, pairs[i].seen, pairs[i].name, pairs[i].said);
    }
    return LSM_OK;
}

int sst_verify(struct sst_reader *reader)
{
    struct verify v = {.reader = reader, .seen = {.min_sequence = SEQUENCE_MAX}};
    struct buf bytes = {0};
    uint64_t asked = 0;
    int rc = LSM_OK;
    for (size_t i = 0; i < reader->index.count && !rc; i++) {
        uint64_t offset = sst_index_offset(&reader->index, i);
        if (offset + READAHEAD / 2 >= asked) {
            reader->file->ops->advise(reader->file, asked, READAHEAD, ENV_ADVISE_WILLNEED);
            asked = (asked > offset ? asked : offset) + READAHEAD;
        }
        rc = verify_block(&v, i, &bytes);
    }
    if (!rc)
        rc = compare_counts(&v);
    buf_release(&bytes);
    buf_release(&v.last_key);
    return rc;
}
