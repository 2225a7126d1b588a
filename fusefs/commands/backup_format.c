// Encoding and decoding of generations.
//
// Bytes from disk are checked to the last one before anything is made of them. Thread safety: no
// state.
#include "commands/backup_format.h"

#include <assert.h>
#include <stdlib.h>

#include "base/array.h"
#include "base/coding.h"
#include "lsm.h"

#define HEAD_SIZE  40u
#define CHECK_SIZE 8u
#define FILE_LEAST 4u // bytes that a file takes at least

static const char magic[8] = {'l', 's', 'm', 'f', 's', 'G', 'E', 'N'};

enum { IN_POOL = 1, IS_HERE = 2 };

static_assert(HEAD_SIZE == sizeof magic + 4 + 4 + 8 + 8 + 8, "docs/format.md");

void generation_release(struct generation *generation)
{
    free(generation->files);
    *generation = (struct generation){0};
}

bool generation_name_legal(struct slice name)
{
    if (name.size == 0 || name.size > GENERATION_NAME_MAX || name.data[0] == '.')
        return false;
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.')
            return false;
    }
    return true;
}

int generation_add(struct generation *generation, const struct generation_file *file)
{
    if (!generation_name_legal(slice_str(file->name)))
        return LSM_INVALID;
    if (!array_grow(&generation->files, &generation->capacity, generation->count,
                    sizeof *generation->files))
        return LSM_NO_MEMORY;
    generation->files[generation->count++] = *file;
    return LSM_OK;
}

// ------------------------------------------------------------------------------- encoding

static int put_file(const struct generation_file *file, struct buf *out)
{
    uint8_t kind = file->is_here ? IS_HERE : IN_POOL;
    int rc = buf_append(out, &kind, 1);
    if (!rc)
        rc = buf_put_slice(out, slice_str(file->name));
    if (!rc && file->is_here)
        return buf_put_slice(out, file->content);
    if (!rc)
        rc = buf_put_varint64(out, file->size);
    return rc ? rc : buf_append(out, file->hash, HASH128_SIZE);
}

int generation_encode(const struct generation *generation, struct buf *out)
{
    uint8_t head[HEAD_SIZE], *p = head;
    assert(generation->number > 0);
    size_t start = out->size;
    memcpy(p, magic, sizeof magic);
    p = put_fixed32(p + sizeof magic, GENERATION_VERSION);
    p = put_fixed32(p, 0);
    p = put_fixed64(p, generation->number);
    p = put_fixed64(p, generation->created_us);
    put_fixed64(p, generation->count);
    int rc = buf_append(out, head, sizeof head);
    for (size_t i = 0; i < generation->count && !rc; i++)
        rc = put_file(&generation->files[i], out);
    return rc ? rc : buf_put_fixed64(out, hash64(out->data + start, out->size - start));
}

// ------------------------------------------------------------------------------- decoding

// NULL: not well-formed.
static const uint8_t *get_file(const uint8_t *p, const uint8_t *end, struct generation_file *file)
{
    struct slice name;
    if (p == end || (*p != IN_POOL && *p != IS_HERE))
        return NULL;
    *file = (struct generation_file){.is_here = *p == IS_HERE};
    p = get_slice(p + 1, end, &name);
    if (!p || !generation_name_legal(name))
        return NULL;
    memcpy(file->name, name.data, name.size);
    if (file->is_here) {
        p = get_slice(p, end, &file->content);
        file->size = p ? file->content.size : 0;
        return p;
    }
    p = get_varint64(p, end, &file->size);
    if (!p || file->size > INT64_MAX || end - p < HASH128_SIZE)
        return NULL;
    memcpy(file->hash, p, HASH128_SIZE);
    return p + HASH128_SIZE;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int check_names(const struct generation *generation)
{
    const char **names = malloc((generation->count + 1) * sizeof *names);
    if (!names)
        return LSM_NO_MEMORY;
    for (size_t i = 0; i < generation->count; i++)
        names[i] = generation->files[i].name;
    qsort(names, generation->count, sizeof *names, compare_names);
    bool twice = false;
    for (size_t i = 1; i < generation->count; i++)
        twice = twice || strcmp(names[i - 1], names[i]) == 0;
    free(names);
    return twice ? LSM_CORRUPTION : LSM_OK;
}

int generation_decode(struct slice data, struct generation *ret_generation)
{
    struct generation generation = {0};
    if (data.size < HEAD_SIZE + CHECK_SIZE || memcmp(data.data, magic, sizeof magic) != 0)
        return LSM_CORRUPTION;
    size_t size = data.size - CHECK_SIZE;
    if (get_fixed64(data.data + size) != hash64(data.data, size))
        return LSM_CORRUPTION;
    if (get_fixed32(data.data + 8) > GENERATION_VERSION)
        return LSM_NEWER_FORMAT;
    generation.number = get_fixed64(data.data + 16);
    generation.created_us = get_fixed64(data.data + 24);
    uint64_t count = get_fixed64(data.data + 32);
    const uint8_t *p = data.data + HEAD_SIZE, *end = data.data + size;
    if (get_fixed32(data.data + 8) != GENERATION_VERSION || get_fixed32(data.data + 12) != 0 ||
        generation.number == 0 || count > (size_t)(end - p) / FILE_LEAST)
        return LSM_CORRUPTION;
    int rc = LSM_OK;
    for (uint64_t i = 0; i < count && !rc; i++) {
        struct generation_file file;
        p = get_file(p, end, &file);
        rc = p ? generation_add(&generation, &file) : LSM_CORRUPTION;
    }
    if (!rc && p != end)
        rc = LSM_CORRUPTION;
    if (!rc)
        rc = check_names(&generation);
    if (rc) {
        generation_release(&generation);
        return rc;
    }
    *ret_generation = generation;
    return LSM_OK;
}
