// The names of a store's files.
//
// A number is written with six digits, more when it needs them, and read back in exactly that form:
// a name and its (kind, number) determine each other, so that a stray "1.sst" or "0000001.sst" is
// not taken for table 1. Thread-safe: no state.
#include "version/store_files.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"

static const char manifest_prefix[] = "MANIFEST-";

static int name_format(char *name, size_t size, enum store_file kind, uint64_t number)
{
    switch (kind) {
    case STORE_TABLE:
        return snprintf(name, size, "%06" PRIu64 ".sst", number);
    case STORE_LOG:
        return snprintf(name, size, "%06" PRIu64 ".log", number);
    case STORE_BLOB:
        return snprintf(name, size, "%06" PRIu64 ".blob", number);
    case STORE_MANIFEST:
        return snprintf(name, size, "%s%06" PRIu64, manifest_prefix, number);
    case STORE_CURRENT:
        return snprintf(name, size, "CURRENT");
    case STORE_LOCK:
        return snprintf(name, size, "LOCK");
    case STORE_TEMP:
        return snprintf(name, size, "%06" PRIu64 ".tmp", number);
    case STORE_RECYCLED:
        return snprintf(name, size, "%06" PRIu64 ".old", number);
    case STORE_UNKNOWN:
        break;
    }
    return -1;
}

int store_path(char *path, size_t size, const char *dir, enum store_file kind, uint64_t number)
{
    char name[64];
    if (name_format(name, sizeof(name), kind, number) < 0)
        return status_fail(LSM_INVALID, "%s: no name for file kind %d", dir, (int)kind);
    int n = snprintf(path, size, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= size)
        return status_fail(LSM_INVALID, "%s/%s: path longer than %zu bytes", dir, name, size);
    return 0;
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
    char canonical[64];
    uint64_t number;
    if (!parse_number(digits, end, &number))
        return false;
    if (name_format(canonical, sizeof(canonical), kind, number) < 0 || strcmp(name, canonical) != 0)
        return false;
    *ret_number = number;
    return true;
}

enum store_file store_parse_name(const char *name, uint64_t *ret_number)
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
