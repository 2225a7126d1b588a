// See the header. Lists, since tests have few objects.
#include "disk/fake_objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int rc)
{
    if (rc)
        abort();
}

struct fake_object *objects_find(const struct fake_objects *objects, const char *name)
{
    struct fake_object *object = objects->first;
    while (object && strcmp(object->name, name) != 0)
        object = object->next;
    return object;
}

static void entries_free(struct fake_entry *entry)
{
    for (struct fake_entry *next; entry; entry = next) {
        next = entry->next;
        buf_release(&entry->key);
        buf_release(&entry->value);
        free(entry);
    }
}

static void object_free(struct fake_object *object)
{
    entries_free(object->attributes);
    entries_free(object->map);
    buf_release(&object->bytes);
    free(object);
}

void objects_free(struct fake_objects *objects)
{
    for (struct fake_object *next; objects->first; objects->first = next) {
        next = objects->first->next;
        object_free(objects->first);
    }
    objects->count = 0;
}

static struct fake_entry **entry_place(struct fake_entry **list, struct slice key)
{
    while (*list && slice_compare(buf_slice(&(*list)->key), key) < 0)
        list = &(*list)->next;
    return list;
}

static bool is_at(struct fake_entry *const *place, struct slice key)
{
    return *place && slice_equal(buf_slice(&(*place)->key), key);
}

static void entry_set(struct fake_entry **list, struct slice key, struct slice value)
{
    struct fake_entry **place = entry_place(list, key);
    if (!is_at(place, key)) {
        struct fake_entry *fresh = calloc(1, sizeof *fresh);
        must(!fresh || buf_assign(&fresh->key, key.data, key.size));
        fresh->next = *place;
        *place = fresh;
    }
    must(buf_assign(&(*place)->value, value.data, value.size));
}

static void entry_unset(struct fake_entry **list, struct slice key)
{
    struct fake_entry **place = entry_place(list, key);
    if (!is_at(place, key))
        return;
    struct fake_entry *gone = *place;
    *place = gone->next;
    gone->next = NULL;
    entries_free(gone);
}

static bool guard_holds(struct fake_object *object, const struct cluster_guard *guard)
{
    struct slice name = slice_str(guard->attribute);
    struct fake_entry **place = entry_place(&object->attributes, name);
    struct slice there = is_at(place, name) ? buf_slice(&(*place)->value) : slice_str("");
    int order = slice_compare(there, guard->value);
    return guard->compare == CLUSTER_IS ? order == 0 : order <= 0;
}

static struct fake_object *object_make(struct fake_objects *objects, const char *name)
{
    struct fake_object *object = calloc(1, sizeof *object);
    must(!object);
    snprintf(object->name, sizeof object->name, "%s", name);
    object->next = objects->first;
    objects->first = object;
    objects->count++;
    return object;
}

static void object_remove(struct fake_objects *objects, struct fake_object *object)
{
    struct fake_object **link = &objects->first;
    while (*link != object)
        link = &(*link)->next;
    *link = object->next;
    objects->count--;
    object_free(object);
}

static void bytes_resize(struct buf *bytes, size_t size)
{
    if (size > bytes->size) {
        must(buf_reserve(bytes, size - bytes->size));
        memset(bytes->data + bytes->size, 0, size - bytes->size);
    }
    bytes->size = size;
}

static void bytes_write(struct buf *bytes, const struct cluster_write *write)
{
    size_t at = (size_t)write->offset;
    for (int i = 0; i < write->piece_count; i++) {
        size_t n = write->pieces[i].iov_len;
        if (!n)
            continue;
        if (at + n > bytes->size)
            bytes_resize(bytes, at + n);
        memcpy(bytes->data + at, write->pieces[i].iov_base, n);
        at += n;
    }
}

int objects_apply(struct fake_objects *objects, const struct cluster_write *write)
{
    struct fake_object *object = objects_find(objects, write->object);
    if (!object && (write->guard_count || write->remove))
        return -ENOENT;
    for (unsigned i = 0; i < write->guard_count; i++)
        if (!guard_holds(object, &write->guards[i]))
            return -ECANCELED;
    if (write->create && object)
        return -EEXIST;
    if (write->remove) {
        object_remove(objects, object);
        return 0;
    }
    if (!object)
        object = object_make(objects, write->object);
    if (write->truncate)
        bytes_resize(&object->bytes, (size_t)write->size);
    bytes_write(&object->bytes, write);
    for (size_t i = 0; i < write->attribute_count; i++)
        entry_set(&object->attributes, write->attributes[i].key, write->attributes[i].value);
    for (size_t i = 0; i < write->unset_count; i++)
        entry_unset(&object->map, write->unset[i]);
    for (size_t i = 0; i < write->set_count; i++)
        entry_set(&object->map, write->set[i].key, write->set[i].value);
    return 0;
}
