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

static const char manifest_prefix[] = "MANIFEST-";

void store_file_name(char name[STORE_NAME_MAX], enum store_file kind, uint64_t number)
{
    const size_t size = STORE_NAME_MAX;
    int n = -1;
    switch (kind) {
    case STORE_TABLE:
        n = snprintf(name, size, "%06" PRIu64 ".sst", number);
        break;
    case STORE_LOG:
        n = snprintf(name, size, "%06" PRIu64 ".log", number);
        break;
    case STORE_BLOB:
        n = snprintf(name, size, "%06" PRIu64 ".blob", number);
        break;
    case STORE_MANIFEST:
        n = snprintf(name, size, "%s%06" PRIu64, manifest_prefix, number);
        break;
    case STORE_CURRENT:
        n = snprintf(name, size, "CURRENT");
        break;
    case STORE_LOCK:
        n = snprintf(name, size, "LOCK");
        break;
    case STORE_UNFINISHED:
        n = snprintf(name, size, "UNFINISHED");
        break;
    case STORE_FOLLOWERS:
        n = snprintf(name, size, "FOLLOWERS");
        break;
    case STORE_CONTROL:
        n = snprintf(name, size, "control");
        break;
    case STORE_TEMP:
        n = snprintf(name, size, "%06" PRIu64 ".tmp", number);
        break;
    case STORE_RECYCLED:
        n = snprintf(name, size, "%06" PRIu64 ".old", number);
        break;
    case STORE_UNKNOWN:
        break;
    }
    assert(n > 0 && (size_t)n < size);
    (void)n;
}

// Reads digits up to `end`; false if there are none, others among them, or too many for 64 bits.
static bool parse_number(const char *p, const char *end, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (p == end)
        return false;
    for (; p < end; p++) {
        if (*p < '0' || *p > '9')
            return false;
        unsigned digit = (unsigned)(*p - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    *ret_number = number;
    return true;
}

static bool numbered(const char *name, enum store_file kind, const char *digits, const char *end,
                     uint64_t *ret_number)
{
    char canonical[STORE_NAME_MAX];
    uint64_t number;
    assert(name <= digits && digits <= end);
    if (!parse_number(digits, end, &number))
        return false;
    store_file_name(canonical, kind, number);
    if (strcmp(name, canonical) != 0)
        return false;
    *ret_number = number;
    return true;
}

enum store_file store_file_parse(const char *name, uint64_t *ret_number)
{
    static const struct {
        const char *suffix;
        enum store_file kind;
    } suffixes[] = {{".sst", STORE_TABLE},
                    {".log", STORE_LOG},
                    {".old", STORE_RECYCLED},
                    {".blob", STORE_BLOB}};
    size_t size = strlen(name);
    const char *end = name + size;

    *ret_number = 0;
    if (strcmp(name, "CURRENT") == 0)
        return STORE_CURRENT;
    if (strcmp(name, "LOCK") == 0)
        return STORE_LOCK;
    if (strcmp(name, "UNFINISHED") == 0)
        return STORE_UNFINISHED;
    if (strcmp(name, "FOLLOWERS") == 0)
        return STORE_FOLLOWERS;
    if (strcmp(name, "control") == 0)
        return STORE_CONTROL;
    if (strncmp(name, manifest_prefix, sizeof(manifest_prefix) - 1) == 0)
        return numbered(name, STORE_MANIFEST, name + sizeof(manifest_prefix) - 1, end, ret_number)
                   ? STORE_MANIFEST
                   : STORE_UNKNOWN;
    if (size < 5)
        return STORE_UNKNOWN;
    if (strcmp(end - 4, ".tmp") == 0) {
        (void)numbered(name, STORE_TEMP, name, end - 4, ret_number);
        return STORE_TEMP;
    }
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        size_t n = strlen(suffixes[i].suffix);
        if (size > n && strcmp(end - n, suffixes[i].suffix) == 0 &&
            numbered(name, suffixes[i].kind, name, end - n, ret_number))
            return suffixes[i].kind;
    }
    return STORE_UNKNOWN;
}
