// backup list, backup verify, backup delete: commands on a backup alone, without its store.
//
// Thread safety: one thread.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/numbers.h"
#include "commands/backup_copy.h"
#include "commands/backup_target.h"

bool backup_parse(char *text, uint64_t *ret_number)
{
    char *at = strrchr(text, '@');
    uint64_t number;
    *ret_number = 0;
    const char *behind = at && at != text ? number_read(at + 1, 10, &number) : NULL;
    if (!behind || *behind || !number)
        return false;
    bool is_whole = access(text, F_OK) == 0;
    *at = 0;
    if (is_whole && access(text, F_OK)) {
        *at = '@';
        return false;
    }
    *ret_number = number;
    return true;
}

// ------------------------------------------------------------------------------- list

static void print_generation(struct ctl *ctl, const struct generation *generation,
                             const struct backup_pool *pool)
{
    char name[POOL_NAME_MAX + 1];
    uint64_t bytes = 0, own = 0;
    for (size_t i = 0; i < generation->count; i++) {
        const struct generation_file *file = &generation->files[i];
        bytes += file->size;
        if (file->is_here) {
            own += file->size;
            continue;
        }
        backup_pool_name(file, name);
        const struct backup_pool_file *pooled = backup_pool_find(pool, name);
        own += pooled && pooled->needed == 1 ? file->size : 0;
    }
    fprintf(ctl->out, "%10" PRIu64 "  ", generation->number);
    ctl->front->ops->print_time(ctl->front, "%Y-%m-%d %H:%M:%S",
                                (time_t)(generation->created_us / 1000000));
    fprintf(ctl->out, "  %8zu  %14" PRIu64 "  %14" PRIu64 "\n", generation->count, bytes, own);
}

// Opens the backup that the command line names, whose generation is *ret_number, 0 if it names
// none. False, with a message.
static bool open_named(struct ctl *ctl, enum backup_mode mode, struct backup *ret_backup,
                       uint64_t *ret_number)
{
    char *path = strdup(ctl->db);
    if (!path) {
        complain(ctl, "out of memory");
        return false;
    }
    backup_parse(path, ret_number);
    if (backup_open(ctl, path, path, mode, ret_backup))
        return true;
    free(path);
    return false;
}

static void close_named(struct backup *backup)
{
    char *path = (char *)(uintptr_t)backup->path;
    backup_close(backup);
    free(path);
}

enum exit_status command_backup_list(struct ctl *ctl)
{
    struct backup backup;
    struct generation_set set;
    struct backup_pool pool = {0};
    if (!backup_open(ctl, ctl->db, ctl->db, BACKUP_READ, &backup))
        return EXIT_FAILED;
    bool done = backup_read_all(&backup, &set);
    done = backup_pool_scan(&backup, &pool) && done;
    backup_pool_count(&set, &pool);
    fprintf(ctl->out, "%10s  %-19s  %8s  %14s  %14s\n", "GENERATION", "CREATED", "FILES", "BYTES",
            "ONLY");
    for (size_t i = 0; i < set.count; i++)
        print_generation(ctl, &set.at[i].generation, &pool);
    generation_set_release(&set);
    backup_pool_release(&pool);
    backup_close(&backup);
    return done ? EXIT_OK : EXIT_FAILED;
}

// ------------------------------------------------------------------------------- verify

struct verifying {
    struct ctl *ctl;
    const struct backup *backup;
    struct copier copier;
    struct backup_pool pool;
    uint64_t problems;
};

__attribute__((format(printf, 2, 3))) static void problem(struct verifying *v, const char *format,
                                                          ...)
{
    struct ctl *ctl = v->ctl;
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    v->problems++;
    ctl->front->ops->print_begin(ctl->front);
    print_name(ctl->front, text ? text : "out of memory", strlen(text ? text : "out of memory"));
    putc('\n', ctl->out);
    ctl->front->ops->print_end(ctl->front);
    free(text);
}

// Checks that the files that the generation needs are there, and counts in `needed` of those: they
// are to be read.
static void verify_names(struct verifying *v, const struct generation *generation)
{
    char name[POOL_NAME_MAX + 1];
    for (size_t i = 0; i < generation->count; i++) {
        const struct generation_file *file = &generation->files[i];
        if (file->is_here)
            continue;
        backup_pool_name(file, name);
        struct backup_pool_file *pooled = backup_pool_find(&v->pool, name);
        if (!pooled)
            problem(v, "generation %" PRIu64 ": %s/files/%s is missing", generation->number,
                    v->backup->shown, name);
        else if (pooled->size != file->size)
            problem(v, "generation %" PRIu64 ": %s/files/%s has %" PRIu64 " bytes, not %" PRIu64,
                    generation->number, v->backup->shown, name, pooled->size, file->size);
        else
            pooled->needed++;
    }
}

// False, with a message unless it was cancelled: it cannot be read, or was cancelled.
static bool verify_content(struct verifying *v, const struct backup_pool_file *pooled)
{
    struct copy_from_file from;
    struct generation_file found = {0};
    char *where = NULL, name[POOL_NAME_MAX + 1];
    if (asprintf(&where, "%s/files", v->backup->shown) < 0) {
        complain(v->ctl, "out of memory");
        return false;
    }
    bool done = copy_from_file_open(&from, v->ctl, v->backup->files, where, pooled->name) &&
                copy_read(&v->copier, &from.source, &found.size, found.hash);
    copy_from_file_close(&from);
    free(where);
    if (!done)
        return false;
    snprintf(found.name, sizeof found.name, "%.*s",
             (int)(strlen(pooled->name) - 2 * HASH128_SIZE - 1), pooled->name);
    backup_pool_name(&found, name);
    if (strcmp(name, pooled->name) != 0)
        problem(v,
                "%s/files/%s is damaged: remove it, and the next backup copies it again if the "
                "store still has it",
                v->backup->shown, pooled->name);
    return true;
}

static bool verify(struct verifying *v, uint64_t only)
{
    struct generation_set set;
    uint64_t total = 0;
    bool found = false;
    if (!backup_pool_scan(v->backup, &v->pool) || !copier_init(&v->copier, v->ctl))
        return false;
    bool done = backup_read_all(v->backup, &set);
    for (size_t i = 0; i < set.count; i++) {
        if (only && set.at[i].generation.number != only)
            continue;
        found = true;
        verify_names(v, &set.at[i].generation);
    }
    if (only && !found && done) {
        complain(v->ctl, "%s: there is no generation %" PRIu64, v->backup->shown, only);
        done = false;
    }
    for (size_t i = 0; i < v->pool.count; i++)
        total += v->pool.files[i].needed ? v->pool.files[i].size : 0;
    progress_unit(v->ctl->front, PROGRESS_BYTES);
    progress_set(v->ctl->front, 0, total);
    for (size_t i = 0; i < v->pool.count && !is_cancelled(v->ctl->front); i++)
        if (v->pool.files[i].needed && !verify_content(v, &v->pool.files[i]))
            done = false;
    generation_set_release(&set);
    return done && !is_cancelled(v->ctl->front);
}

enum exit_status command_backup_verify(struct ctl *ctl)
{
    struct backup backup;
    uint64_t only;
    if (!open_named(ctl, BACKUP_READ, &backup, &only))
        return EXIT_FAILED;
    struct verifying v = {.ctl = ctl, .backup = &backup};
    bool done = verify(&v, only);
    ctl->front->ops->print_begin(ctl->front);
    print_name(ctl->front, ctl->db, strlen(ctl->db));
    if (v.problems)
        fprintf(ctl->out, ": %" PRIu64 " problem%s found\n", v.problems,
                v.problems == 1 ? "" : "s");
    else
        fputs(done ? ": no problem found\n" : ": not verified\n", ctl->out);
    ctl->front->ops->print_end(ctl->front);
    backup_pool_release(&v.pool);
    copier_release(&v.copier);
    close_named(&backup);
    return done && !v.problems ? EXIT_OK : EXIT_FAILED;
}

// ------------------------------------------------------------------------------- delete

enum exit_status command_backup_delete(struct ctl *ctl)
{
    struct backup backup;
    uint64_t number;
    char *path = strdup(ctl->db);
    bool named = path && backup_parse(path, &number);
    free(path);
    if (!named) {
        complain_usage(ctl, "which generation? TARGET@NUMBER names one");
        return EXIT_USAGE;
    }
    if (!open_named(ctl, BACKUP_CHANGE, &backup, &number))
        return EXIT_FAILED;
    bool done = backup_remove(&backup, number) && backup_pool_free_unneeded(&backup);
    close_named(&backup);
    return done ? EXIT_OK : EXIT_FAILED;
}
