// Keys of the namespace: see pathkey.h for the table, docs/format.md for every byte.
//
// Prefixes. A name holds neither '/' nor 0x00, so 0x00 ends a prefix and 0x01 can separate its
// components once 0x01 and 0x02 inside names are escaped:
//     0x01 -> 0x02 0x03      0x02 -> 0x02 0x04
// 0x02 0x05 starts a fresh prefix; an escaped name never contains these two bytes in a row, so the
// two kinds cannot meet. In an entry key the name follows 0x00 as it is.
//
// Order. Below 'E' prefix: 0x00 (the directory's own entries) sorts before 0x01 (those of the
// directories below it), which sorts before all bytes that continue the last component. So both a
// directory's entries and its whole subtree are one range.
//
// Thread safety: pure functions.
#include "ns/keys/pathkey.h"

#include <assert.h>

enum { ESC = 2, ESC_1 = 3, ESC_2 = 4, ESC_FRESH = 5 };

static void key_put(struct pathkey *key, const void *data, size_t size)
{
    assert(size <= sizeof(key->data) - key->size);
    if (size)
        memcpy(key->data + key->size, data, size);
    key->size += size;
}

static void key_put_byte(struct pathkey *key, int byte)
{
    assert(key->size < sizeof(key->data));
    key->data[key->size++] = (uint8_t)byte;
}

static void key_start(struct pathkey *key, int type)
{
    key->size = 1;
    key->data[0] = (uint8_t)type;
}

static void key_put_number(struct pathkey *key, uint64_t number)
{
    uint8_t bytes[8];
    put_big64(bytes, number);
    key_put(key, bytes, sizeof(bytes));
}

void pathkey_entry(struct pathkey *ret_key, struct slice prefix, struct slice name)
{
    key_start(ret_key, KEY_ENTRY);
    key_put(ret_key, prefix.data, prefix.size);
    key_put_byte(ret_key, 0);
    key_put(ret_key, name.data, name.size);
}

void pathkey_marker(struct pathkey *ret_key, struct slice prefix)
{
    key_start(ret_key, KEY_MARKER);
    key_put(ret_key, prefix.data, prefix.size);
}

void pathkey_number(struct pathkey *ret_key, enum pathkey_type type, uint64_t ino)
{
    key_start(ret_key, (int)type);
    key_put_number(ret_key, ino);
}

void pathkey_extent(struct pathkey *ret_key, uint64_t ino, uint64_t offset)
{
    pathkey_number(ret_key, KEY_EXTENT, ino);
    key_put_number(ret_key, offset);
}

void pathkey_range(struct pathkey *ret_key, enum pathkey_type type, uint64_t ino, uint64_t start)
{
    pathkey_number(ret_key, type, ino);
    key_put_number(ret_key, start);
}

void pathkey_xattr(struct pathkey *ret_key, uint64_t ino, struct slice name)
{
    pathkey_number(ret_key, KEY_XATTR, ino);
    key_put(ret_key, name.data, name.size);
}

void pathkey_place(struct pathkey *ret_key, uint64_t ino, struct slice prefix, struct slice name)
{
    pathkey_number(ret_key, KEY_PLACE, ino);
    key_put(ret_key, prefix.data, prefix.size);
    key_put_byte(ret_key, 0);
    key_put(ret_key, name.data, name.size);
}

void pathkey_counter(struct pathkey *ret_key, unsigned stripe)
{
    key_start(ret_key, KEY_COUNTER);
    key_put_byte(ret_key, (int)stripe);
}

void pathkey_single(struct pathkey *ret_key, enum pathkey_type type)
{
    key_start(ret_key, (int)type);
}

void pathkey_dir_bounds(struct slice prefix, struct pathkey *ret_lower, struct pathkey *ret_upper)
{
    pathkey_entry(ret_lower, prefix, slice_of(NULL, 0));
    *ret_upper = *ret_lower;
    ret_upper->data[ret_upper->size - 1] = 1;
}

void pathkey_ino_bounds(enum pathkey_type type, uint64_t ino, struct pathkey *ret_lower,
                        struct pathkey *ret_upper)
{
    pathkey_number(ret_lower, type, ino);
    if (ino == UINT64_MAX)
        key_start(ret_upper, (int)type + 1);
    else
        pathkey_number(ret_upper, type, ino + 1);
}

void pathkey_type_bounds(enum pathkey_type type, struct pathkey *ret_lower,
                         struct pathkey *ret_upper)
{
    key_start(ret_lower, (int)type);
    key_start(ret_upper, (int)type + 1);
}

// Of what follows the type, or the number: prefix, 00, name.
static bool parse_entry_at(struct slice rest, struct slice *ret_prefix, struct slice *ret_name)
{
    const uint8_t *nul = rest.size ? memchr(rest.data, 0, rest.size) : NULL;
    if (!nul)
        return false;
    size_t prefix_size = (size_t)(nul - rest.data);
    struct slice name = slice_of(nul + 1, rest.size - prefix_size - 1);
    if (prefix_size > PATHKEY_PREFIX_MAX || !pathkey_name_ok(name))
        return false;
    *ret_prefix = slice_of(rest.data, prefix_size);
    *ret_name = name;
    return true;
}

bool pathkey_parse_entry(struct slice key, struct slice *ret_prefix, struct slice *ret_name)
{
    return key.size >= 3 && key.data[0] == KEY_ENTRY &&
           parse_entry_at(slice_of(key.data + 1, key.size - 1), ret_prefix, ret_name);
}

bool pathkey_parse_place(struct slice key, uint64_t *ret_ino, struct slice *ret_prefix,
                         struct slice *ret_name)
{
    if (key.size < 11 || key.data[0] != KEY_PLACE ||
        !parse_entry_at(slice_of(key.data + 9, key.size - 9), ret_prefix, ret_name))
        return false;
    *ret_ino = get_big64(key.data + 1);
    return true;
}

bool pathkey_parse_number(struct slice key, enum pathkey_type type, uint64_t *ret_ino)
{
    if (key.size != 9 || key.data[0] != type)
        return false;
    *ret_ino = get_big64(key.data + 1);
    return true;
}

static bool parse_two_numbers(struct slice key, enum pathkey_type type, uint64_t *ret_first,
                              uint64_t *ret_second)
{
    if (key.size != 17 || key.data[0] != type)
        return false;
    *ret_first = get_big64(key.data + 1);
    *ret_second = get_big64(key.data + 9);
    return true;
}

bool pathkey_parse_extent(struct slice key, uint64_t *ret_ino, uint64_t *ret_offset)
{
    return parse_two_numbers(key, KEY_EXTENT, ret_ino, ret_offset);
}

bool pathkey_parse_range(struct slice key, enum pathkey_type type, uint64_t *ret_ino,
                         uint64_t *ret_start)
{
    return parse_two_numbers(key, type, ret_ino, ret_start);
}

bool pathkey_parse_xattr(struct slice key, uint64_t *ret_ino, struct slice *ret_name)
{
    if (key.size < 10 || key.size > 9 + PATHKEY_NAME_MAX || key.data[0] != KEY_XATTR)
        return false;
    *ret_ino = get_big64(key.data + 1);
    *ret_name = slice_of(key.data + 9, key.size - 9);
    return true;
}

bool pathkey_child_prefix(struct slice parent, struct slice name, struct pathkey_prefix *ret_prefix)
{
    size_t n = parent.size;
    if (n + 1 + name.size > PATHKEY_PREFIX_MAX)
        return false;
    if (n) {
        memcpy(ret_prefix->data, parent.data, n);
        ret_prefix->data[n++] = 1;
    }
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool escape = c == 1 || c == 2;
        if (n + 1 + escape > PATHKEY_PREFIX_MAX)
            return false;
        if (escape)
            ret_prefix->data[n++] = ESC;
        ret_prefix->data[n++] = c == 1 ? ESC_1 : c == 2 ? ESC_2 : c;
    }
    ret_prefix->size = n;
    return true;
}

void pathkey_fresh_prefix(uint64_t ino, struct pathkey_prefix *ret_prefix)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    size_t n = 0;
    ret_prefix->data[n++] = ESC;
    ret_prefix->data[n++] = ESC_FRESH;
    int shift = 60;
    while (shift > 0 && !(ino >> shift))
        shift -= 5;
    for (; shift >= 0; shift -= 5)
        ret_prefix->data[n++] = (uint8_t)digits[(ino >> shift) & 31];
    ret_prefix->size = n;
}

bool pathkey_is_fresh(struct slice prefix)
{
    return prefix.size >= 2 && prefix.data[0] == ESC && prefix.data[1] == ESC_FRESH &&
           !memchr(prefix.data, 1, prefix.size);
}

bool pathkey_fresh_ino(struct slice prefix, uint64_t *ret_ino)
{
    uint64_t ino = 0;
    if (!pathkey_is_fresh(prefix) || prefix.size < 3 || prefix.size > 2 + 13)
        return false;
    for (size_t i = 2; i < prefix.size; i++) {
        uint8_t c = prefix.data[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'v'))
            return false;
        ino = ino << 5 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_ino = ino;
    return true;
}

bool pathkey_prefix_split(struct slice prefix, struct slice *ret_parent, uint8_t *name,
                          size_t *ret_name_size)
{
    size_t start = prefix.size, n = 0;
    while (start && prefix.data[start - 1] != 1)
        start--;
    for (size_t i = start; i < prefix.size; i++) {
        uint8_t c = prefix.data[i];
        if (c == ESC) {
            if (++i == prefix.size || (prefix.data[i] != ESC_1 && prefix.data[i] != ESC_2))
                return false;
            c = prefix.data[i] == ESC_1 ? 1 : 2;
        }
        if (n == PATHKEY_NAME_MAX)
            return false;
        name[n++] = c;
    }
    *ret_parent = slice_of(prefix.data, start ? start - 1 : 0);
    *ret_name_size = n;
    return n > 0;
}

bool pathkey_name_ok(struct slice name)
{
    if (name.size == 0 || name.size > PATHKEY_NAME_MAX)
        return false;
    if (memchr(name.data, '/', name.size) || memchr(name.data, 0, name.size))
        return false;
    return !(name.data[0] == '.' && (name.size == 1 || (name.size == 2 && name.data[1] == '.')));
}
