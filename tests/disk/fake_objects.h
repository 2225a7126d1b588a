// The objects of a simulated cluster: bytes, attributes, maps, and one write operation on them. Not
// synchronised. Out of memory aborts.
#ifndef TESTS_DISK_FAKE_OBJECTS_H
#define TESTS_DISK_FAKE_OBJECTS_H

#include "env_rados/cluster.h"

struct fake_entry {
    struct fake_entry *next; // in the order of keys
    struct buf key, value;
};

struct fake_object {
    struct fake_object *next;
    char name[CLUSTER_NAME_MAX];
    struct buf bytes;
    struct fake_entry *attributes, *map;
};

struct fake_objects {
    struct fake_object *first;
    size_t count;
};

struct fake_object *objects_find(const struct fake_objects *objects, const char *name);
int objects_apply(struct fake_objects *objects, const struct cluster_write *write);
void objects_free(struct fake_objects *objects);

#endif
