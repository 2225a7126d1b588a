// Stores inside of stores.
#ifndef COMMON_NESTED_H
#define COMMON_NESTED_H

#include <limits.h>
#include <stdbool.h>

// Whether a store that would be made in directory `path`, which may be absent, lay inside another
// one's directory, which is then in `ret_outer`. Nothing keeps the inner one from being taken away
// with the outer one, or from being copied as a part of it. False if `path` is a store already.
bool is_nested_store(const char *path, char ret_outer[PATH_MAX]);

#endif
