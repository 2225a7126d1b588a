// What the options of a program take, and where their values go: a table.
//
// lsmfs reads its options after -o here, lsmfsctl its numbers, lsm_bench its command line. How an
// option is written there (a comma, a letter, two dashes) is theirs; what stands behind it is read
// here, so that a number, a size and a word are the same everywhere, and so is what is said about a
// wrong one: the program names the option and the value, as they were given, and this module says
// what is allowed.
//
// Thread safety: all functions touch only what they are given.
#ifndef COMMON_OPTION_H
#define COMMON_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPT_COUNT, // decimal digits
    OPT_OCTAL, // octal digits
    OPT_SIZE,  // decimal digits, perhaps K, M, G or T behind them (1,024 and its powers), small too
    OPT_CHOICE, // one of `words`
    OPT_STRING, // anything; the field is a const char *, and points to the value as given
    OPT_ON,     // no value; the field becomes 1
    OPT_OFF,    // no value; the field becomes 0
    OPT_OWN,    // this and what is above it are the program's own
};

struct option_spec {
    const char *name;
    int kind;                 // enum option_kind, or one of the program's own
    size_t offset;            // of the field in the program's structure
    size_t width;             // of the field in bytes: 1 (a bool), 4 or 8
    uint64_t min, max;        // of a number, both allowed
    const char *const *words; // NULL at the end; the value is the index. A number may have some
                              // too: they stand for 0, 1 ...
};

// The offset and the width of field `f` of `type`.
#define OPTION_FIELD(type, f) offsetof(type, f), sizeof(((type *)NULL)->f)

#define OPTION_MESSAGE_SIZE 160

// The row of the name in a table; `name` need not be terminated. NULL: none.
const struct option_spec *option_find(const struct option_spec *specs, size_t count,
                                      const char *name, size_t name_size);

bool option_takes_value(const struct option_spec *spec);

// Reads the value of an option that is a number or a word. False, with *ret_value as it was and
// what the option takes in `message`: it is not allowed.
bool option_read(const struct option_spec *spec, const char *value, uint64_t *ret_value,
                 char message[OPTION_MESSAGE_SIZE]);

// Sets the option's field in the structure at `fields`. `value`: NULL if none was given. False,
// with the field as it was and the reason in `message`: it is not allowed, is missing, or is one
// too many.
bool option_set(const struct option_spec *spec, void *fields, const char *value,
                char message[OPTION_MESSAGE_SIZE]);

// Puts a number into the option's field.
void option_store(const struct option_spec *spec, void *fields, uint64_t number);

#endif
