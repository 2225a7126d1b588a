// Reading the values of options. See option.h.
#include "common/option.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/numbers.h"

static const char suffixes[] = "KMGT";

// ------------------------------------------------------------------------------- what is allowed

// Behind what `message` holds; what does not fit is left out.
__attribute__((format(printf, 2, 3))) static void add(char message[OPTION_MESSAGE_SIZE],
                                                      const char *format, ...)
{
    size_t used = strlen(message);
    va_list args;
    va_start(args, format);
    vsnprintf(message + used, OPTION_MESSAGE_SIZE - used, format, args);
    va_end(args);
}

static void add_words(char message[OPTION_MESSAGE_SIZE], const struct option_spec *spec)
{
    for (size_t i = 0; spec->words[i]; i++)
        add(message, "%s%s", i ? ", " : "", spec->words[i]);
}

// As a human writes it: a size with the largest suffix that divides it.
static void add_number(char message[OPTION_MESSAGE_SIZE], int kind, uint64_t number)
{
    if (kind == OPT_OCTAL) {
        add(message, "%" PRIo64, number);
        return;
    }
    unsigned step = 0;
    while (kind == OPT_SIZE && suffixes[step] && number && number % 1024 == 0) {
        number /= 1024;
        step++;
    }
    add(message, "%" PRIu64, number);
    if (step)
        add(message, "%c", suffixes[step - 1]);
}

static void add_range(char message[OPTION_MESSAGE_SIZE], const struct option_spec *spec)
{
    add(message, spec->kind == OPT_OCTAL ? "an octal number" : "a number");
    if (spec->max < UINT64_MAX) {
        add(message, " from ");
        add_number(message, spec->kind, spec->min);
        add(message, " to ");
        add_number(message, spec->kind, spec->max);
    } else if (spec->min) {
        add(message, " of at least ");
        add_number(message, spec->kind, spec->min);
    }
    if (spec->kind == OPT_SIZE)
        add(message, ", perhaps with K, M, G or T");
}

static void tell_allowed(const struct option_spec *spec, char message[OPTION_MESSAGE_SIZE])
{
    snprintf(message, OPTION_MESSAGE_SIZE, spec->kind == OPT_CHOICE ? "takes one of " : "takes ");
    if (spec->words)
        add_words(message, spec);
    if (spec->words && spec->kind != OPT_CHOICE)
        add(message, ", or ");
    if (spec->kind != OPT_CHOICE)
        add_range(message, spec);
}

// ------------------------------------------------------------------------------- reading

static bool read_word(const struct option_spec *spec, const char *value, uint64_t *ret_value)
{
    for (uint64_t i = 0; spec->words && spec->words[i]; i++) {
        if (strcmp(value, spec->words[i]) == 0) {
            *ret_value = i;
            return true;
        }
    }
    return false;
}

static bool read_number(const struct option_spec *spec, const char *value, uint64_t *ret_value)
{
    uint64_t number;
    unsigned shift = 0;
    const char *behind = number_read(value, spec->kind == OPT_OCTAL ? 8 : 10, &number);
    if (!behind)
        return false;
    if (spec->kind == OPT_SIZE && *behind) {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*behind));
        if (!suffix)
            return false;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
        behind++;
    }
    if (*behind || number > UINT64_MAX >> shift)
        return false;
    number <<= shift;
    if (number < spec->min || number > spec->max)
        return false;
    *ret_value = number;
    return true;
}

bool option_read(const struct option_spec *spec, const char *value, uint64_t *ret_value,
                 char message[OPTION_MESSAGE_SIZE])
{
    assert(spec->kind <= OPT_CHOICE && (spec->kind != OPT_CHOICE || spec->words));
    if (read_word(spec, value, ret_value) ||
        (spec->kind != OPT_CHOICE && read_number(spec, value, ret_value)))
        return true;
    tell_allowed(spec, message);
    return false;
}

// ------------------------------------------------------------------------------- tables

const struct option_spec *option_find(const struct option_spec *specs, size_t count,
                                      const char *name, size_t name_size)
{
    for (size_t i = 0; i < count; i++)
        if (strlen(specs[i].name) == name_size && memcmp(specs[i].name, name, name_size) == 0)
            return &specs[i];
    return NULL;
}

bool option_takes_value(const struct option_spec *spec)
{
    return spec->kind != OPT_ON && spec->kind != OPT_OFF;
}

void option_store(const struct option_spec *spec, void *fields, uint64_t number)
{
    char *field = (char *)fields + spec->offset;
    uint32_t narrow = (uint32_t)number;
    if (spec->width == sizeof number) {
        memcpy(field, &number, sizeof number);
    } else if (spec->width == sizeof narrow) {
        assert(narrow == number);
        memcpy(field, &narrow, sizeof narrow);
    } else {
        assert(spec->width == sizeof(bool) && number <= 1);
        *(bool *)field = number != 0;
    }
}

bool option_set(const struct option_spec *spec, void *fields, const char *value,
                char message[OPTION_MESSAGE_SIZE])
{
    uint64_t number = spec->kind == OPT_ON;
    bool takes_value = option_takes_value(spec);
    assert(spec->kind < OPT_OWN);
    if (takes_value != (value != NULL)) {
        snprintf(message, OPTION_MESSAGE_SIZE, takes_value ? "needs a value" : "takes no value");
        return false;
    }
    if (spec->kind == OPT_STRING) {
        memcpy((char *)fields + spec->offset, &value, sizeof value);
        return true;
    }
    if (takes_value && !option_read(spec, value, &number, message))
        return false;
    option_store(spec, fields, number);
    return true;
}
