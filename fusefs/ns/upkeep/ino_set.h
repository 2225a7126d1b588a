// Sets for the check of a whole store: inode numbers, compactly, and sorted lists of numbers.
#ifndef NS_INO_SET_H
#define NS_INO_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// A set of inode numbers. Zero-initialise. At most 4 bytes a member and 96 bytes for each 65,536
// consecutive numbers of which one is a member; from 4,096 members of these on, 8 KiB.
struct ino_chunk;
struct ino_set {
    struct ino_chunk *chunks; // ascending by number
    size_t count, capacity;
};

int ino_set_add(struct ino_set *set, uint64_t ino, bool *ret_added); // 0 or -ENOMEM
bool ino_set_has(const struct ino_set *set, uint64_t ino);
void ino_set_release(struct ino_set *set);

#endif
