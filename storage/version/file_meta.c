// One table's metadata, reference-counted.
//
// The struct and its two keys are one allocation. Versions, edits in flight and compactions count
// references; readers under an epoch pin do not. The last reference can only go when no version
// that readers may still reach has the table, so the hook and the free need no grace period of
// their own.
//
// Thread-safe: ref and unref from any thread; other fields as the header says.
#include "version/file_meta.h"

#include <assert.h>
#include <stdlib.h>

#include "base/status.h"

struct file_meta *file_meta_new(struct slice smallest, struct slice largest)
{
    size_t size = sizeof(struct file_meta) + smallest.size + largest.size;
    struct file_meta *file = calloc(1, size);
    if (!file) {
        (void)status_no_memory(size);
        return NULL;
    }
    uint8_t *keys = (uint8_t *)(file + 1);
    if (smallest.size)
        memcpy(keys, smallest.data, smallest.size);
    if (largest.size)
        memcpy(keys + smallest.size, largest.data, largest.size);
    file->smallest = slice_of(keys, smallest.size);
    file->largest = slice_of(keys + smallest.size, largest.size);
    atomic_init(&file->refs, 1);
    return file;
}

int file_meta_set_blobs(struct file_meta *file, const struct blob_ref *blobs, size_t count)
{
    struct blob_ref *copy = count ? malloc(count * sizeof *copy) : NULL;
    if (count && !copy)
        return status_no_memory(count * sizeof *copy);
    file->blob_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        copy[i] = (struct blob_ref){.number = blobs[i].number, .bytes = blobs[i].bytes};
        file->blob_bytes += blobs[i].bytes;
    }
    free(file->blobs);
    file->blobs = copy;
    file->blob_count = count;
    return LSM_OK;
}

int file_meta_set_kept(struct file_meta *file, const struct kept_range *kept, size_t count)
{
    struct kept_range *copy = count ? malloc(count * sizeof *copy) : NULL;
    if (count && !copy)
        return status_no_memory(count * sizeof *copy);
    if (count)
        memcpy(copy, kept, count * sizeof *copy);
    file->kept_bytes = 0;
    for (size_t i = 0; i < count; i++)
        file->kept_bytes += kept[i].bytes;
    free(file->kept);
    file->kept = copy;
    file->kept_count = count;
    return LSM_OK;
}

void file_meta_ref(struct file_meta *file)
{
    uint32_t before = atomic_fetch_add_explicit(&file->refs, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void file_meta_unref(struct file_meta *file)
{
    // Release: what this holder did to the struct happens before the last holder frees it.
    uint32_t before = atomic_fetch_sub_explicit(&file->refs, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1)
        return;
    if (file->on_last_unref)
        file->on_last_unref(file, file->owner);
    free(file->blobs);
    free(file->kept);
    free(file);
}
