// Commands of lsmfsctl run in a test, as the program runs them: input, output and words in memory.
#ifndef TESTS_COMMAND_UTIL_H
#define TESTS_COMMAND_UTIL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "commands/command.h"
#include "quick_check.h"

struct memory_front {
    struct front front; // first
    struct slice source;
    struct buf sink, said;
};

static inline void must_append(struct buf *buf, const void *data, size_t size)
{
    ck_assert_int_eq(buf_append(buf, data, size), 0);
}

static inline void say(struct front *front, const char *program, const char *text)
{
    struct buf *said = &((struct memory_front *)front)->said;
    must_append(said, program, strlen(program));
    must_append(said, ": ", 2);
    must_append(said, text, strlen(text));
    must_append(said, "\n", 1);
}

static inline void do_nothing(struct front *front)
{
    (void)front;
}

static inline void print_no_time(struct front *front, const char *format, time_t time)
{
    (void)format, (void)time;
    fputs("then", front->out);
}

static inline ssize_t read_source(struct front *front, void *data, size_t size)
{
    struct slice *source = &((struct memory_front *)front)->source;
    size_t n = size < source->size ? size : source->size;
    if (n)
        memcpy(data, source->data, n);
    *source = slice_of(source->data + n, source->size - n);
    return (ssize_t)n;
}

static inline int write_sink(struct front *front, const void *data, size_t size)
{
    must_append(&((struct memory_front *)front)->sink, data, size);
    return 0;
}

static inline int close_sink(struct front *front)
{
    (void)front;
    return 0;
}

static const struct front_ops memory_ops = {.complain = say,
                                            .progress = do_nothing,
                                            .print_begin = do_nothing,
                                            .print_end = do_nothing,
                                            .print_time = print_no_time,
                                            .source_read = read_source,
                                            .sink_write = write_sink,
                                            .sink_close = close_sink,
                                            .hold_signals = do_nothing};

// Runs a command, with at most one argument; `from` is an option of send. `input` may be {0};
// *ret_output (may be NULL) gets what it prints or sends, and *ret_said what it complains of; both
// to be freed.
static inline enum exit_status run_with(struct slice input, struct buf *ret_output,
                                        struct buf *ret_said, const char *name, const char *db,
                                        const char *first, const char *from)
{
    char *text = NULL, *args[] = {(char *)first, NULL};
    size_t text_size = 0;
    struct memory_front front = {.front.ops = &memory_ops, .source = input};
    struct ctl *ctl = calloc(1, sizeof *ctl);
    ck_assert_ptr_nonnull(ctl);
    front.front.out = open_memstream(&text, &text_size);
    ck_assert_ptr_nonnull(front.front.out);
    ctl->front = &front.front;
    ctl->command = command_find(name);
    ck_assert_ptr_nonnull(ctl->command);
    ctl->db = db;
    ctl->args = args;
    ctl->arg_count = first ? 1 : 0;
    if (strcmp(name, "put") == 0)
        ctl->options['c'] = "";
    if (strcmp(name, "destroy") == 0)
        ctl->options['y'] = "";
    if (strcmp(name, "send") == 0)
        ctl->options['F'] = from;
    enum exit_status status = ctl_run(ctl);
    fclose(front.front.out);
    must_append(&front.sink, text, text_size);
    free(text);
    free(ctl);
    if (ret_output)
        *ret_output = front.sink;
    else
        buf_release(&front.sink);
    must_append(&front.said, "", 1);
    if (ret_said)
        *ret_said = front.said;
    else
        buf_release(&front.said);
    return status;
}

static inline enum exit_status run(const char *name, const char *db, const char *first)
{
    return run_with((struct slice){0}, NULL, NULL, name, db, first, NULL);
}

static inline enum exit_status receive(const struct buf *stream, const char *db)
{
    return run_with(buf_slice(stream), NULL, NULL, "receive", db, NULL, NULL);
}

// The same; it must succeed.
static inline struct buf output_of(const char *name, const char *db, const char *first)
{
    struct buf output, said;
    enum exit_status status = run_with((struct slice){0}, &output, &said, name, db, first, NULL);
    ck_assert_msg(status == EXIT_OK, "%s %s: %s", name, db, (const char *)said.data);
    buf_release(&said);
    return output;
}

static inline void must_run(const char *name, const char *db, const char *first)
{
    struct buf output = output_of(name, db, first);
    buf_release(&output);
}

static inline void put(const char *db, const char *path, unsigned size, unsigned seed)
{
    uint8_t *bytes = malloc(size);
    ck_assert_ptr_nonnull(bytes);
    for (unsigned i = 0; i < size; i++)
        bytes[i] = (uint8_t)((i * 2654435761u + seed * 40503u) >> 13);
    ck_assert_int_eq(run_with(slice_of(bytes, size), NULL, NULL, "put", db, path, NULL), EXIT_OK);
    free(bytes);
}

static inline bool same_bytes(const struct buf *a, const struct buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

#endif
