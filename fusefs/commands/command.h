// The commands of lsmfsctl: one run of one, with its command line taken apart and its store; the
// table of all.
//
// They run in the program itself, on a store that nobody has open, or in the daemon, on the store
// that it has open. They know nothing of the process they run in: all output, input and who asks
// come from the front (front.h).
#ifndef COMMANDS_COMMAND_H
#define COMMANDS_COMMAND_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "commands/figures.h"
#include "commands/front.h"
#include "common/busy.h"
#include "common/exit_status.h"
#include "lsm.h"
#include "ns/namespace.h"

struct ctl;
struct watch_hub;

enum command_flags {
    COMMAND_PRINTS = 1,      // writes to standard output all the time
    COMMAND_OFFLINE = 2,     // needs the store for itself
    COMMAND_LOCAL_DB = 4,    // DB is a directory, not a store in a cluster (store_place.h)
    COMMAND_MOUNT_PATHS = 8, // takes DB and two paths in it, or two paths below a mount point
    COMMAND_ENDLESS = 16,    // runs until a signal ends it, which then gives no message
    COMMAND_LOCAL_ARG = 32,  // the first argument is a directory, not a store in a cluster
};

struct command {
    const char *name;
    enum exit_status (*run)(struct ctl *ctl);
    const char *options;     // letters, as for getopt(3)
    const char *usage;       // the arguments, as the usage line shows them
    const char *summary;     // for the list of commands; of one word: 26 characters at most
    const char *explanation; // of the options, lines of their own
    int least, most;         // arguments after DB
    unsigned flags;
};

// The store that the daemon has open, for a command that runs in it.
struct live {
    struct ns *ns;
    const char *directory; // of the store, as the engine's messages name it
    // The command has changed what a name in a directory means, or an inode's attributes: the
    // kernel has to know. No locks are held.
    void (*name_changed)(struct live *live, struct ns_inode *dir, const char *name,
                         size_t name_size);
    void (*inode_changed)(struct live *live, struct ns_inode *inode);
    // Before and after a regular file of that name gets new content. When content_begin returns,
    // the kernel has written out what it had of the file. False: the kernel goes on using the file,
    // and has to be asked to make it empty (truncate_mounted of the front).
    bool (*content_begin)(struct live *live, struct ns_inode *dir, const char *name,
                          size_t name_size, struct ns_inode *inode);
    void (*content_end)(struct live *live, struct ns_inode *dir, const char *name, size_t name_size,
                        struct ns_inode *inode);
    // Before a snapshot is made; after one was made, deleted, or given this name or another.
    void (*snapshot_begin)(struct live *live);
    void (*snapshot_changed)(struct live *live, const char *name);
    // After the tree has become what the new snapshot shows instead of the base. Not 0: the kernel
    // was not told of all of it.
    int (*changes_taken)(struct live *live, const char *base, const char *snapshot);
    struct watch_hub *watch;
    // What the mount has counted.
    void (*figures)(struct live *live, struct mount_figures *ret_figures);
};

// One run of a command.
struct ctl {
    struct front *front;
    FILE *out; // the front's
    const struct command *command;
    const char *db;
    char **args; // after DB
    int arg_count;
    const char *options[128]; // by letter: NULL: not given; its value, or ""
    struct live *live;        // NULL: the store is opened for the command
    bool borrowed, to_write;  // what is open belongs to `live`; it was opened to be changed
    struct ns *ns;            // while open by tree_open
    struct lsm *engine;       // while open: that of ns, or alone
    struct busy busy;         // why a store that is in use could not be had
    char words[1024];         // of ctl_store_words()
    const char *cwd;          // with `live`: the client's working directory
    char *target;             // with `live`: the first argument as the daemon finds it
};

static inline bool ctl_has(const struct ctl *ctl, char letter)
{
    return ctl->options[(unsigned char)letter];
}

// One line about a failure: "lsmfsctl: ..."; about the command line: "lsmfsctl COMMAND: ...".
__attribute__((format(printf, 2, 3))) void complain(const struct ctl *ctl, const char *format, ...);
__attribute__((format(printf, 2, 3))) void complain_usage(const struct ctl *ctl, const char *format,
                                                          ...);

// Shows progress. Returns what a progress function of the engine does: not 0 once the command is
// cancelled.
int ctl_progress(struct ctl *ctl, uint64_t done, uint64_t total);

// The value of an option as a number of at most `most`, to base 8 or 10; *ret_value stays if it was
// not given. False, with a message: it is not one, which is wrong usage.
bool ctl_number(const struct ctl *ctl, char letter, int base, uint64_t most, uint64_t *ret_value);

// ---- the store (store.c)

// False, with a message: a store made at `path` would lie inside another one.
bool ctl_store_may_create(struct ctl *ctl, const char *path);

enum open_mode { OPEN_READ, OPEN_WRITE, OPEN_CREATE };

// Open the store's tree, or only its engine. False, with a message: could not be opened.
bool tree_open(struct ctl *ctl, enum open_mode mode);
bool engine_open(struct ctl *ctl, enum open_mode mode);
// A tree that stays as it is while it is open, to be read. Returns the status and says nothing.
int tree_open_still(struct ctl *ctl);
// Closes what is open. `status` is how the command went; EXIT_FAILED, with a message, if closing
// fails.
enum exit_status ctl_store_close(struct ctl *ctl, enum exit_status status);
void ctl_store_failed(struct ctl *ctl, int status); // a message: why the engine's last call failed
// The engine's words for the calling thread's latest failure, or `text`, with the store named as it
// was on the command line. In ctl->words.
const char *ctl_store_words(struct ctl *ctl, const char *text);
// To be called when the store could not be opened, with the status. True: it was in use, and is
// free or about to be: try again.
bool ctl_store_retry(struct ctl *ctl, int status);

// ---- the first argument as a place outside of the store (target.c)

// With `live`: ctl->target becomes the place as the daemon finds it. False, with a message: the
// client has no right to have the daemon write there, or it is another place for the daemon.
bool target_find(struct ctl *ctl);
void target_release(struct ctl *ctl);

// ---- paths (store.c)

// A path taken apart into the directory and the name in it.
struct path_name {
    char *parent;     // owned; "" is the root
    const char *name; // points into the path; not terminated
    size_t name_size; // 0: the path is the root
    bool slash;       // something follows the name: it has to be a directory
};
int path_name_init(struct path_name *path, const char *text); // 0, -ENOMEM, -EINVAL (ends in a dot)
void path_name_release(struct path_name *path);

// Says what went wrong with a path; `rc` is a negative errno. Returns EXIT_FAILED.
enum exit_status path_failed(struct ctl *ctl, const char *path, int rc);
enum exit_status paths_failed(struct ctl *ctl, const char *from, const char *to, int rc);

// Calls `fn` for each argument; EXIT_FAILED if one of them returned that.
enum exit_status for_each_path(struct ctl *ctl,
                               enum exit_status (*fn)(struct ctl *ctl, const char *path));

// ---- the commands (command_table.c)

const struct command *command_at(size_t index); // in the order of the help; NULL: no more
const struct command *command_find(const char *name);
// The long options of all commands, for getopt_long(): `val` is the option's letter.
extern const struct option command_long_options[];
// How an option with a value is written: by its long name if it has one. "-L", "--keep-last".
#define COMMAND_OPTION_NAME_SIZE 32
void command_option_name(char letter, char ret_name[COMMAND_OPTION_NAME_SIZE]);

// Tell the daemon, in which the command runs, what it has changed. They do nothing in the program.
void ctl_name_changed(struct ctl *ctl, struct ns_inode *dir, const char *name, size_t name_size);
void ctl_inode_changed(struct ctl *ctl, struct ns_inode *inode);

// Runs ctl->command, with all but ns and engine filled in.
enum exit_status ctl_run(struct ctl *ctl);

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
enum exit_status command_clone(struct ctl *ctl);
enum exit_status command_watch(struct ctl *ctl);
enum exit_status command_top(struct ctl *ctl);
enum exit_status command_metrics(struct ctl *ctl);
enum exit_status command_check(struct ctl *ctl);
enum exit_status command_repair(struct ctl *ctl);
enum exit_status command_compact(struct ctl *ctl);
enum exit_status command_checkpoint(struct ctl *ctl);
enum exit_status command_diff(struct ctl *ctl);
enum exit_status command_destroy(struct ctl *ctl);
enum exit_status command_backup(struct ctl *ctl);
enum exit_status command_backup_list(struct ctl *ctl);
enum exit_status command_backup_verify(struct ctl *ctl);
enum exit_status command_backup_delete(struct ctl *ctl);
enum exit_status command_restore(struct ctl *ctl);
enum exit_status command_send(struct ctl *ctl);
enum exit_status command_receive(struct ctl *ctl);
enum exit_status command_snapshot_create(struct ctl *ctl);
enum exit_status command_snapshot_list(struct ctl *ctl);
enum exit_status command_snapshot_rename(struct ctl *ctl);
enum exit_status command_snapshot_delete(struct ctl *ctl);
enum exit_status command_snapshot_rollback(struct ctl *ctl);
enum exit_status command_snapshot_prune(struct ctl *ctl);

#endif
