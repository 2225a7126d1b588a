// The names of a store's files.
//
// A number is written with six digits, more when it needs them, and read back in exactly that form:
// a name and its (kind, number) determine each other, so that a stray "1.sst" or "0000001.sst" is
// not taken for table 1. Thread-safe: no state.
#include "version/store_files.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

static const struct {
    const char *prefix, *suffix;
    bool numbered;
} forms[STORE_UNKNOWN] = {
    [STORE_TABLE] = {"", ".sst", true},
    [STORE_LOG] = {"", ".log", true},
    [STORE_BLOB] = {"", ".blob", true},
    [STORE_MANIFEST] = {"MANIFEST-", "", true},
    [STORE_CURRENT] = {"CURRENT", "", false},
    [STORE_LOCK] = {"LOCK", "", false},
    [STORE_UNFINISHED] = {"UNFINISHED", "", false},
    [STORE_FOLLOWERS] = {"FOLLOWERS", "", false},
    [STORE_CONTROL] = {"control", "", false},
    [STORE_TEMP] = {"", ".tmp", true},
    [STORE_RECYCLED] = {"", ".old", true},
};

void store_file_name(char name[STORE_NAME_MAX], enum store_file kind, uint64_t number)
{
    assert(kind < STORE_UNKNOWN);
    int n = forms[kind].numbered ? snprintf(name, STORE_NAME_MAX, "%s%06" PRIu64 "%s",
                                            forms[kind].prefix, number, forms[kind].suffix)
                                 : snprintf(name, STORE_NAME_MAX, "%s", forms[kind].prefix);
    assert(n > 0 && n < STORE_NAME_MAX);
    (void)n;
}

// Whether `name` is a name that store_file_name() makes for the kind; *ret_number: its number.
static bool is_of_kind(const char *name, enum store_file kind, uint64_t *ret_number)
{
    const size_t size = strlen(name), before = strlen(forms[kind].prefix),
                 after = strlen(forms[kind].suffix);
    char canonical[STORE_NAME_MAX];
    uint64_t number = 0;
    if (size < before + after)
        return false;
    if (forms[kind].numbered && number_read(name + before, 10, &number) != name + size - after)
        return false;
    store_file_name(canonical, kind, number);
    if (strcmp(name, canonical) != 0)
        return false;
    *ret_number = number;
    return true;
}

enum store_file store_file_parse(const char *name, uint64_t *ret_number)
{
    size_t size = strlen(name);
    *ret_number = 0;
    for (unsigned kind = 0; kind < STORE_UNKNOWN; kind++)
        if (is_of_kind(name, (enum store_file)kind, ret_number))
            return (enum store_file)kind;
    return size > 4 && strcmp(name + size - 4, ".tmp") == 0 ? STORE_TEMP : STORE_UNKNOWN;
}
