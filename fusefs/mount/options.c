// The command line of lsmfs.
//
// Options come as mount(8), fstab and mount.fuse3 hand them over: one comma-separated list after
// -o, in which generic mount options and our own are mixed. Each is found in one table that says
// what becomes of it: a value of ours with its range, a flag of ours, something for libfuse and the
// kernel, something that only concerns mount(8) and is skipped, or something that cannot be done
// and is refused with the reason. What is not in the table is refused by name.
//
// A backslash takes the meaning from the comma or backslash after it.
#include "mount/options.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/option.h"
#include "common/say.h"
#include "common/store_place.h"
#include "mount/fuse_api.h"

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)
#define TiB (UINT64_C(1) << 40)

#define REMOTE_THREADS 16u

// What becomes of an option beside the kinds of common/option.h.
enum {
    OPT_TEXT = OPT_OWN, // a string of our own
    OPT_SET,    // a flag of ours that sets its field to `min`; with `max`, passed on as well
    OPT_REFUSE, // `words[0]` says why
};

static const char *const compressions[] = {"none", "lz4", "zlib", NULL};
static const char *const checksum_modes[] = {"once", "always", "never", NULL};
static const char *const wal_modes[] = {"auto", "mapped", "written", "held", NULL};
static const char *const transports[] = {"auto", "uring", "poll", "plain", NULL};
static const char *const snapdirs[] = {"hidden", "visible", "none", NULL};
static const char *const no_interval[] = {"none", NULL};
static const char *const no_remount[] = {
    "a mounted store cannot be remounted: unmount it, then mount it again", NULL};
static const char *const no_symfollow[] = {"FUSE file systems cannot be mounted with it", NULL};

#define HELD_SYNC_MS 1000 // what the death of the daemon can lose with wal=held

#define FIELD(f)  OPTION_FIELD(struct mount_options, f)
#define ENGINE(f) FIELD(ns.engine.f)

static const struct option_spec specs[] = {
    {"cache_size", OPT_SIZE, ENGINE(block_cache_size), 0, TiB, NULL},
    {"write_buffer", OPT_SIZE, ENGINE(write_buffer_size), 64 * KiB, 4 * GiB, NULL},
    {"write_buffers", OPT_COUNT, ENGINE(max_write_buffers), 2, 16, NULL},
    {"max_open_tables", OPT_COUNT, ENGINE(max_open_tables), 16, 1000000, NULL},
    {"table_size", OPT_SIZE, ENGINE(table_size), 64 * KiB, 4 * GiB, NULL},
    {"block_size", OPT_SIZE, ENGINE(block_size), 512, MiB, NULL},
    {"bloom_bits", OPT_COUNT, ENGINE(bloom_bits_per_key), 0, 32, NULL},
    {"compaction_threads", OPT_COUNT, ENGINE(compaction_threads), 1, 16, NULL},
    {"compression", OPT_CHOICE, ENGINE(compression), 0, 0, compressions},
    {"bottom_compression", OPT_CHOICE, ENGINE(bottom_compression), 0, 0, compressions},
    {"blob_compression", OPT_CHOICE, ENGINE(blob_compression), 0, 0, compressions},
    {"checksums", OPT_CHOICE, ENGINE(checksums), 0, 0, checksum_modes},
    {"wal", OPT_CHOICE, ENGINE(wal_mode), 0, 0, wal_modes},
    {"blob_garbage_ratio", OPT_COUNT, ENGINE(blob_garbage_ratio), 5, 95, NULL},
    {"sync", OPT_COUNT, ENGINE(sync_interval_ms), 0, 3600000, no_interval},
    {"inline_max", OPT_SIZE, FIELD(ns.inline_max), 0, 64 * KiB, NULL},
    {"cache_dir", OPT_TEXT, FIELD(cache_dir), 0, 0, NULL},
    {"cache_disk", OPT_SIZE, ENGINE(disk_cache_size), MiB, 1024 * TiB, NULL},
    {"threads", OPT_COUNT, FIELD(threads), 1, 64, NULL},
    {"snapshot", OPT_TEXT, FIELD(snapshot), 0, 0, NULL},
    {"snapdir", OPT_CHOICE, FIELD(snapdir), 0, 0, snapdirs},
    {"follow", OPT_ON, FIELD(follow), 0, 0, NULL},
    {"follow_ms", OPT_COUNT, FIELD(follow_ms), 20, 60000, NULL},
    {"follow_keep_ms", OPT_COUNT, ENGINE(follow_keep_ms), 0, 3600000, NULL},
    {"slow_ms", OPT_COUNT, FIELD(slow_ms), 0, 3600000, NULL},
    {"spin", OPT_COUNT, FIELD(spin_us), 0, 10000, NULL},
    {"transport", OPT_CHOICE, FIELD(transport), 0, 0, transports},
    {"enable_uring", OPT_ON, FIELD(enable_uring), 0, 0, NULL},
    {"no_writeback", OPT_ON, FIELD(no_writeback), 0, 0, NULL},
    {"writeback", OPT_OFF, FIELD(no_writeback), 0, 0, NULL},
    {"open_requests", OPT_ON, FIELD(open_requests), 0, 0, NULL},
    {"no_open_requests", OPT_OFF, FIELD(open_requests), 0, 0, NULL},
    {"dirty_ratio", OPT_COUNT, FIELD(dirty_ratio), 1, 100, NULL},
    {"noacl", OPT_ON, FIELD(no_acl), 0, 0, NULL},
    {"acl", OPT_OFF, FIELD(no_acl), 0, 0, NULL},
    {"allow_other", OPT_ON, FIELD(allow_other), 0, 0, NULL},
    {"no_allow_other", OPT_OFF, FIELD(allow_other), 0, 0, NULL},
    {"allow_root", OPT_ON, FIELD(allow_root), 0, 0, NULL},
    {"relatime", OPT_SET, FIELD(atime), ATIME_RELATIVE, 0, NULL},
    {"norelatime", OPT_SET, FIELD(atime), ATIME_RELATIVE, 0, NULL},
    {"atime", OPT_SET, FIELD(atime), ATIME_RELATIVE, 0, NULL},
    {"strictatime", OPT_SET, FIELD(atime), ATIME_ALWAYS, 0, NULL},
    {"nostrictatime", OPT_SET, FIELD(atime), ATIME_RELATIVE, 0, NULL},
    {"noatime", OPT_SET, FIELD(atime), ATIME_NEVER, 1, NULL},
    {"nodiratime", OPT_ON, FIELD(no_dir_atime), 0, 0, NULL},
    {"diratime", OPT_OFF, FIELD(no_dir_atime), 0, 0, NULL},
    {"dirsync", OPT_ON, FIELD(dirsync), 0, 0, NULL},
    {"ro", OPT_ON, FIELD(read_only), 0, 0, NULL},
    {"rw", OPT_OFF, FIELD(read_only), 0, 0, NULL},
    {"standby", OPT_ON, FIELD(standby), 0, 0, NULL},
    {"default_permissions", OPT_OFF, FIELD(no_permissions), 0, 0, NULL},
    {"no_default_permissions", OPT_ON, FIELD(no_permissions), 0, 0, NULL},
    {"remount", OPT_REFUSE, 0, 0, 0, 0, no_remount},
    {"nosymfollow", OPT_REFUSE, 0, 0, 0, 0, no_symfollow},
};

// Generic options that libfuse and the kernel understand.
static const char *const passed_on[] = {"suid",     "nosuid",     "dev",         "nodev",
                                        "exec",     "noexec",     "async",       "auto_unmount",
                                        "context=", "fscontext=", "defcontext=", "rootcontext="};

// Generic options that concern mount(8) only, or of which nothing can be noticed here.
static const char *const skipped[] = {"defaults",   "auto",       "noauto",    "nofail", "user",
                                      "user=",      "nouser",     "users",     "owner",  "group",
                                      "_netdev",    "comment=",   "x-",        "X-",     "lazytime",
                                      "nolazytime", "loud",       "silent",    "mand",   "nomand",
                                      "iversion",   "noiversion", "symfollow", "helper="};

static const char help_text[] =
    "usage: lsmfs [-f] [-o OPTION[,OPTION...]] DB MOUNTPOINT\n"
    "Mounts the store in directory DB; an absent or empty DB becomes a new store.\n"
    "  -f  stay in the foreground, messages to stderr;  -d  and trace every request\n"
    "  -h, --help;  -V, --version         Unmount with: umount.lsmfs MOUNTPOINT\n"
    "Options (sizes take K, M, G, T):\n"
    "  ro                    read only; ro,snapshot=NAME; ro,follow: beside a writer\n"
    "  snapdir=S             MOUNTPOINT/.snapshots: hidden, visible or none (hidden)\n"
    "  allow_other           let other users in (root's default)\n"
    "  allow_root            let root in;  no_allow_other: only the mounting user\n"
    "  no_writeback          pass on every write(2) at once; auto_unmount: lsmfs(8)\n"
    "  dirty_ratio=N         gather up to N % of the memory for dirty pages (root: 50)\n"
    "  no_default_permissions  the only user may do everything (needs no_allow_other)\n"
    "  noatime, strictatime  times of access: never, always (default: relatime)\n"
    "  open_requests         opening a file counts as reading it (two requests more)\n"
    "  standby               wait while another has the store;  noacl: no ACLs\n"
    "  dirsync, sync         names, or names and data, are on disk when a call returns\n"
    "  sync=none|MS          sync the log every MS milliseconds (none)\n"
    "  cache_size=SIZE       cache of decompressed blocks (64M);  cache_dir=DIR: rados:\n"
    "  write_buffer=SIZE     memory for changes before they become a table (64M)\n"
    "  compression=C         none, lz4 or zlib (lz4);  bottom_compression=C: last level\n"
    "  blob_compression=C    the same for file content of 4K and more (lz4)\n"
    "  inline_max=SIZE       files up to this size live in their entry (2K)\n"
    "  transport=T           auto, uring, poll or plain (auto); enable_uring, threads=N\n"
    "More, and what fstab takes: lsmfs(8). Status: 0 mounted, 1 failed, 2 wrong usage.\n";

static enum options_result wrong(const char *option, const char *what)
{
    say("lsmfs", "option '%s': %s", option, what);
    return OPTIONS_WRONG;
}

// Whether `option` (name or name=value) is the table's `name`; one that ends in '=' or '-' matches
// all that begin with it.
static bool option_is(const char *option, const char *name)
{
    size_t n = strlen(name);
    if (name[n - 1] == '=' || name[n - 1] == '-')
        return strncmp(option, name, n) == 0;
    return strcmp(option, name) == 0;
}

static bool option_in(const char *option, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (option_is(option, names[i]))
            return true;
    return false;
}

// Appends to the list for libfuse, commas and backslashes inside the option escaped.
static enum options_result pass_on(struct mount_options *options, const char *option)
{
    if (fuse_opt_add_opt_escaped(&options->kernel, option))
        return wrong(option, "out of memory");
    return OPTIONS_RUN;
}

static enum options_result set_copy(struct mount_options *options, const struct option_spec *spec,
                                    const char *value)
{
    char **field = (char **)((char *)options + spec->offset);
    free(*field);
    *field = strdup(value);
    return *field ? OPTIONS_RUN : wrong(spec->name, "out of memory");
}

static enum options_result apply(struct mount_options *options, const struct option_spec *spec,
                                 const char *option, const char *value)
{
    char message[OPTION_MESSAGE_SIZE];
    switch (spec->kind) {
    case OPT_TEXT:
        return value ? set_copy(options, spec, value) : wrong(option, "needs a value");
    case OPT_SET:
        if (value)
            return wrong(option, "takes no value");
        option_store(spec, options, spec->min);
        return spec->max ? pass_on(options, option) : OPTIONS_RUN;
    case OPT_REFUSE:
        return wrong(option, spec->words[0]);
    default:
        return option_set(spec, options, value, message) ? OPTIONS_RUN : wrong(option, message);
    }
}

static enum options_result set_option(struct mount_options *options, const char *option)
{
    const char *equals = strchr(option, '=');
    size_t name_size = equals ? (size_t)(equals - option) : strlen(option);
    const struct option_spec *spec =
        option_find(specs, sizeof specs / sizeof *specs, option, name_size);
    if (strcmp(option, "sync") == 0) { // without a value it is mount(8)'s
        options->dirsync = true;
        return pass_on(options, option);
    }
    if (spec)
        return apply(options, spec, option, equals ? equals + 1 : NULL);
    if (option_in(option, passed_on, sizeof passed_on / sizeof *passed_on))
        return pass_on(options, option);
    if (option_in(option, skipped, sizeof skipped / sizeof *skipped) || options->sloppy)
        return OPTIONS_RUN;
    return wrong(option, "unknown (lsmfs --help lists what there is)");
}

// Splits `list` at its commas and sets each option.
static enum options_result set_options(struct mount_options *options, const char *list)
{
    char *option = malloc(strlen(list) + 1);
    if (!option)
        return wrong(list, "out of memory");
    enum options_result result = OPTIONS_RUN;
    for (const char *p = list; result == OPTIONS_RUN; p++) {
        size_t n = 0;
        for (; *p && *p != ','; p++) {
            if (*p == '\\' && (p[1] == ',' || p[1] == '\\'))
                p++;
            option[n++] = *p;
        }
        option[n] = 0;
        if (n)
            result = set_option(options, option);
        if (!*p)
            break;
    }
    free(option);
    return result;
}

static enum options_result usage_error(const char *what, const char *arg)
{
    say("lsmfs", "%s%s%s (lsmfs --help explains)", what, arg ? " " : "", arg ? arg : "");
    return OPTIONS_WRONG;
}

static enum options_result set_positional(struct mount_options *options, const char *arg)
{
    char **field = !options->db ? &options->db : &options->mountpoint;
    if (*field)
        return usage_error("one argument too many:", arg);
    if (!*arg)
        return usage_error("an empty name for", field == &options->db ? "DB" : "MOUNTPOINT");
    *field = strdup(arg);
    return *field ? OPTIONS_RUN : wrong(arg, "out of memory");
}

static enum options_result set_flag(struct mount_options *options, char flag)
{
    switch (flag) {
    case 'd':
        options->debug = true;
        options->foreground = true;
        return OPTIONS_RUN;
    case 'f':
        options->foreground = true;
        return OPTIONS_RUN;
    case 'r':
        options->read_only = true;
        return OPTIONS_RUN;
    case 'w':
        options->read_only = false;
        return OPTIONS_RUN;
    case 's':
        options->sloppy = true;
        return OPTIONS_RUN;
    case 'n':
    case 'v':
        return OPTIONS_RUN;
    case 'h':
        fputs(help_text, stdout);
        return OPTIONS_DONE;
    case 'V':
        printf("lsmfs %s (libfuse %s)\n", LSMFS_VERSION, fuse_pkgversion());
        return OPTIONS_DONE;
    default:
        return usage_error("unknown flag", (char[]){'-', flag, 0});
    }
}

static enum options_result set_long(struct mount_options *options, const char *arg)
{
    if (strcmp(arg, "--help") == 0)
        return set_flag(options, 'h');
    if (strcmp(arg, "--version") == 0)
        return set_flag(options, 'V');
    if (strcmp(arg, "--fake") == 0) {
        options->fake = true;
        return OPTIONS_RUN;
    }
    return usage_error("unknown flag", arg);
}

static void set_defaults(struct mount_options *options)
{
    memset(options, 0, sizeof *options);
    ns_options_init(&options->ns);
    options->ns.root_uid = getuid();
    options->ns.root_gid = getgid();
    options->allow_other = getuid() == 0;
    options->spin_us = 100;
    options->follow_ms = 1000;
}

// More threads than processors, because a thread that waits for the disk in an fsync serves nobody;
// and more still where each change waits for a cluster.
static unsigned default_threads(const char *db)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cpus < 2 ? 4 : cpus > 16 ? 32 : 2 * (unsigned)cpus;
    return db && store_place_is_remote(db) && threads < REMOTE_THREADS ? REMOTE_THREADS : threads;
}

// The default from the environment; an option overrules it.
static enum options_result set_environment(struct mount_options *options)
{
    const char *transport = getenv("LSMFS_TRANSPORT");
    char option[64];
    if (!transport || !*transport)
        return OPTIONS_RUN;
    snprintf(option, sizeof option, "transport=%.40s", transport);
    return set_option(options, option);
}

enum options_result options_parse(int argc, char **argv, struct mount_options *options)
{
    set_defaults(options);
    enum options_result result = set_environment(options);
    bool flags_end = false;
    for (int i = 1; i < argc && result == OPTIONS_RUN; i++) {
        const char *arg = argv[i];
        if (flags_end || arg[0] != '-' || !arg[1]) {
            result = set_positional(options, arg);
        } else if (strcmp(arg, "--") == 0) {
            flags_end = true;
        } else if (arg[1] == '-') {
            result = set_long(options, arg);
        } else if (arg[1] == 'o') {
            const char *list = arg[2] ? arg + 2 : ++i < argc ? argv[i] : NULL;
            result = list ? set_options(options, list) : usage_error("-o needs options", NULL);
        } else {
            for (const char *p = arg + 1; *p && result == OPTIONS_RUN; p++)
                result = set_flag(options, *p);
        }
    }
    if (!options->threads)
        options->threads = default_threads(options->db);
    if (result == OPTIONS_RUN && !options->mountpoint)
        result = usage_error(
            options->db ? "MOUNTPOINT is missing" : "DB and MOUNTPOINT are missing", NULL);
    if (result == OPTIONS_RUN && options->no_permissions &&
        (options->allow_other || options->allow_root))
        result = wrong("no_default_permissions", "only for a mount of one user: no_allow_other");
    if (result == OPTIONS_RUN && options->snapshot && !options->read_only)
        result = wrong("snapshot", "only with ro");
    if (result == OPTIONS_RUN && options->standby && options->read_only)
        result = wrong("standby", "not with ro: it takes the place of a writer");
    if (result == OPTIONS_RUN && options->follow && !options->read_only)
        result = wrong("follow", "only with ro");
    if (result == OPTIONS_RUN && options->follow && options->snapshot)
        result = wrong("follow", "not with snapshot, which does not change");
    if (options->ns.engine.wal_mode == LSM_WAL_HELD && !options->ns.engine.sync_interval_ms)
        options->ns.engine.sync_interval_ms = HELD_SYNC_MS;
    options->ns.engine.read_only = options->read_only;
    options->ns.engine.follow = options->follow;
    options->ns.engine.disk_cache_dir = options->cache_dir;
    options->ns.snapshot = options->snapshot;
    return result;
}

void options_release(struct mount_options *options)
{
    free(options->db);
    free(options->mountpoint);
    free(options->kernel);
    free(options->snapshot);
    free(options->cache_dir);
    options->snapshot = options->cache_dir = NULL;
    options->db = options->mountpoint = options->kernel = NULL;
}
