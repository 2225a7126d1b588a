// What the files of lsmfsctl share: the command line taken apart, the open store, the commands.
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/busy.h"
#include "lsm.h"
#include "ns/namespace.h"

enum exit_status { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct ctl;

struct command {
    const char *name;
    enum exit_status (*run)(struct ctl *ctl);
    const char *options;     // letters, as for getopt(3)
    const char *usage;       // what follows the name
    const char *summary;     // for the list of commands
    const char *explanation; // of the options, lines of their own
    int least, most;         // arguments after DB
    bool prints;             // writes to standard output all the time
};

struct ctl {
    const struct command *command;
    const char *db;
    char **args; // after DB
    int arg_count;
    const char *options[128]; // by letter: NULL: not given; its value, or ""
    struct ns *ns;            // while open by tree_open
    struct lsm *engine;       // while open: that of ns, or alone
    struct busy busy;         // why a store that is in use could not be had
};

static inline bool ctl_has(const struct ctl *ctl, char letter)
{
    return ctl->options[(unsigned char)letter];
}

// The value of an option as a number of at most `most`; *ret_value stays if it was not given.
// False, with a message: it is not one, which is wrong usage.
bool ctl_number(const struct ctl *ctl, char letter, int base, uint64_t most, uint64_t *ret_value);

// ---- the store (store.c)

// False, with a message: a store made at `path` would lie inside another one.
bool store_may_create(const char *path);

enum open_mode { OPEN_READ, OPEN_WRITE, OPEN_CREATE };

// Open the store's tree, or only its engine. False, with a message: could not be opened.
bool tree_open(struct ctl *ctl, enum open_mode mode);
bool engine_open(struct ctl *ctl, enum open_mode mode);
// As tree_open(OPEN_READ), but returns the status and says nothing.
int tree_try(struct ctl *ctl);
// Closes what is open. `status` is how the command went; EXIT_FAILED, with a message, if closing
// fails.
enum exit_status store_close(struct ctl *ctl, enum exit_status status);
void store_failed(const struct ctl *ctl, int status); // says what the engine has just refused
// After that the store was refused with `status`: true: it was in use, will be free, try again.
bool store_retry(struct ctl *ctl, int status);

// ---- paths (store.c)

// A path taken apart into the directory and the name in it.
struct path_name {
    char *parent;     // owned; "" is the root
    const char *name; // in the path; not terminated
    size_t name_size; // 0: the path is the root
    bool slash;       // something follows the name: it has to be a directory
};
int path_name_init(struct path_name *path, const char *text); // 0, -ENOMEM, -EINVAL (ends in a dot)
void path_name_release(struct path_name *path);

struct ns_cred ctl_cred(void); // who runs the program, with the umask

// Says what went wrong with a path; `rc` is a negative errno. Returns EXIT_FAILED.
enum exit_status path_failed(const char *path, int rc);
enum exit_status paths_failed(const char *from, const char *to, int rc);

// Calls `fn` for each argument; EXIT_FAILED if one of them returned that.
enum exit_status for_each_path(struct ctl *ctl,
                               enum exit_status (*fn)(struct ctl *ctl, const char *path));

// ---- the commands

enum exit_status command_ls(struct ctl *ctl);
enum exit_status command_tree(struct ctl *ctl);
enum exit_status command_stat(struct ctl *ctl);
enum exit_status command_get(struct ctl *ctl);
enum exit_status command_put(struct ctl *ctl);
enum exit_status command_mkdir(struct ctl *ctl);
enum exit_status command_rm(struct ctl *ctl);
enum exit_status command_mv(struct ctl *ctl);
enum exit_status command_ln(struct ctl *ctl);
enum exit_status command_scan(struct ctl *ctl);
enum exit_status command_stats(struct ctl *ctl);
enum exit_status command_check(struct ctl *ctl);
enum exit_status command_repair(struct ctl *ctl);
enum exit_status command_compact(struct ctl *ctl);
enum exit_status command_checkpoint(struct ctl *ctl);
enum exit_status command_destroy(struct ctl *ctl);
enum exit_status command_snapshot_create(struct ctl *ctl);
enum exit_status command_snapshot_list(struct ctl *ctl);
enum exit_status command_snapshot_rename(struct ctl *ctl);
enum exit_status command_snapshot_delete(struct ctl *ctl);
enum exit_status command_snapshot_rollback(struct ctl *ctl);
enum exit_status command_snapshot_prune(struct ctl *ctl);

#endif
