// The table of all commands, those of two words are about snapshots; and that of long options.
//
// Thread safety: no state.
#include <assert.h>
#include <string.h>

#include "commands/command.h"

#define MANY INT32_MAX

static const struct command commands[] = {
    {"ls", command_ls, "ldRi", "[-ldRi] DB [PATH...]", "list directories",
     "  -l  with mode, links, owner, size, time of change, link target\n"
     "  -d  the directory itself, not what is in it\n"
     "  -R  all directories below too\n"
     "  -i  with inode numbers\n",
     0, MANY, COMMAND_PRINTS},
    {"tree", command_tree, "L:", "[-L DEPTH] DB [PATH]", "show a tree",
     "  -L DEPTH  not deeper than that\n", 0, 1, COMMAND_PRINTS},
    {"stat", command_stat, "", "DB PATH...", "show attributes of files", "", 1, MANY,
     COMMAND_PRINTS},
    {"get", command_get, "o:", "[-o FILE] DB PATH...", "write out files",
     "  -o FILE  to FILE instead of standard output\n", 1, MANY, COMMAND_PRINTS},
    {"put", command_put, "cm:", "[-c] [-m MODE] DB PATH [FILE]", "store a file",
     "FILE or standard input is the content.\n"
     "  -c, --create  make the store if there is none\n"
     "  -m MODE       octal mode of a new file (0666 less the umask)\n",
     1, 2, 0},
    {"mkdir", command_mkdir, "cpm:", "[-cp] [-m MODE] DB PATH...", "make directories",
     "  -c, --create  make the store if there is none\n"
     "  -p            make parents too; no complaint if it is there\n"
     "  -m MODE       octal mode (0777 less the umask)\n",
     1, MANY, 0},
    {"rm", command_rm, "rf", "[-rf] DB PATH...", "remove files",
     "  -r  and directories with all that is in them\n"
     "  -f  no complaint if there is nothing\n",
     1, MANY, 0},
    {"mv", command_mv, "n", "[-n] DB FROM TO", "rename a file or a tree",
     "  -n  do not replace what is there\n", 2, 2, 0},
    {"ln", command_ln, "s", "[-s] DB TARGET PATH", "link",
     "  -s  make a symbolic link with the text TARGET\n", 2, 2, 0},
    {"clone", command_clone, "", "DB FROM TO", "copy a tree at once",
     "Files share their content with the copy. TO appears when all is there. Without DB, FROM and\n"
     "TO are paths below the mount point.\n",
     2, 2, COMMAND_MOUNT_PATHS},
    {"scan", command_scan, "n:w:b", "[-n N] [-w N] [-b] DB [PREFIX]", "show raw keys and values",
     "  -n N  not more than N entries\n"
     "  -w N  show N bytes of a value (32)\n"
     "  -b    from the last key to the first\n"
     "PREFIX and what is shown: \\xNN is a byte, \\\\ a backslash.\n",
     0, 1, COMMAND_PRINTS},
    {"stats", command_stats, "", "DB [PROPERTY...]", "show figures of the store", "", 0, MANY,
     COMMAND_PRINTS},
    {"top", command_top, "n:", "[-n N] DB", "show a mount at work",
     "Once a second: requests by kind, their rates and times; the store.\n"
     "  -n N  N times, then end\n"
     "On a terminal q ends it.\n",
     0, 0, COMMAND_PRINTS | COMMAND_ENDLESS},
    {"metrics", command_metrics, "", "DB", "figures for Prometheus",
     "The text format; node_exporter reads it from a file (lsmfsctl(8)).\n", 0, 0, COMMAND_PRINTS},
    {"check", command_check, "q", "[-q] DB", "verify every byte",
     "Then the tree, and that of each snapshot.\n"
     "  -q  show no progress\n",
     0, 0, 0},
    {"repair", command_repair, "", "DB", "rebuild a damaged store",
     "Makes a new manifest. What does not verify is moved to DB/lost. Copy DB first, check "
     "afterwards.\n",
     0, 0, COMMAND_OFFLINE},
    {"compact", command_compact, "", "DB", "merge all levels into one", "", 0, 0, 0},
    {"checkpoint", command_checkpoint, "", "DB TARGET", "make an openable copy",
     "It shares its files with DB: both are directories of one file system.\n", 1, 1,
     COMMAND_LOCAL_DB | COMMAND_LOCAL_ARG},
    {"backup", command_backup, "q", "[-q] DB TARGET", "copy what is new",
     "  -q  show no progress\n"
     "TARGET is made if there is nothing. Generations in it share what has not changed. Others:\n"
     "  lsmfsctl backup list TARGET\n"
     "  lsmfsctl backup verify [-q] TARGET[@GENERATION]\n"
     "  lsmfsctl backup delete TARGET@GENERATION\n"
     "  lsmfsctl restore [-q] TARGET[@GENERATION] DB\n"
     "A store that is called list, verify or delete is ./list, ./verify, ./delete here.\n",
     1, 1, COMMAND_LOCAL_ARG},
    {"backup list", command_backup_list, "", "TARGET", "show the generations of a backup",
     "ONLY is what deleting a generation alone gives back; bytes.\n", 0, 0,
     COMMAND_OFFLINE | COMMAND_LOCAL_DB},
    {"backup verify", command_backup_verify, "q", "[-q] TARGET[@GENERATION]",
     "read all bytes of a backup, or of a generation", "  -q  show no progress\n", 0, 0,
     COMMAND_OFFLINE | COMMAND_LOCAL_DB},
    {"backup delete", command_backup_delete, "", "TARGET@GENERATION", "delete a generation",
     "Frees what no other needs, and what an interrupted backup has left.\n", 0, 0,
     COMMAND_OFFLINE | COMMAND_LOCAL_DB},
    {"restore", command_restore, "q", "[-q] TARGET[@GENERATION] DB", "make a store of a backup",
     "  -q  show no progress\n"
     "The newest generation if none is given. DB has to be new.\n",
     1, 1, COMMAND_OFFLINE | COMMAND_LOCAL_DB},
    {"send", command_send, "qF:", "[-q] [--from SNAP] DB SNAP", "write a snapshot's stream",
     "  --from SNAP  only what has changed since that one (-F)\n"
     "  -q           show no progress\n"
     "Standard output has to be a file or a pipe.\n",
     1, 1, COMMAND_PRINTS},
    {"receive", command_receive, "q", "[-q] DB", "apply such a stream",
     "  -q  show no progress\n"
     "A whole snapshot makes a new store; changes are for one that has their base and shows it.\n"
     "A stream that is cut off or damaged changes nothing.\n",
     0, 0, 0},
    {"snapshot create", command_snapshot_create, "", "DB NAME", "keep the tree as it is now",
     "Takes two syncs, whatever the store's size. NAME: 1 to 255 bytes without '/'.\n", 1, 1, 0},
    {"snapshot list", command_snapshot_list, "n", "[-n] DB", "show snapshots and their sizes",
     "REFERS is what a snapshot shows, ONLY what deleting it alone gives back; bytes before\n"
     "compression, for which the store is read once.\n"
     "  -n, --names  names only, at once\n",
     0, 0, 0},
    {"snapshot rename", command_snapshot_rename, "", "DB FROM TO", "rename a snapshot", "", 2, 2,
     0},
    {"snapshot delete", command_snapshot_delete, "", "DB NAME...", "delete snapshots",
     "Their space comes back in the background.\n", 1, MANY, 0},
    {"snapshot rollback", command_snapshot_rollback, "y", "--yes DB NAME",
     "make a snapshot the present",
     "  --yes  needed: what was written after the snapshot is lost\n"
     "All at once; snapshots stay as they are.\n",
     1, 1, COMMAND_OFFLINE},
    {"snapshot prune", command_snapshot_prune, "A:H:D:W:n", "--keep-... N [-n] DB [PREFIX]",
     "delete all snapshots but some",
     "  --keep-last N    keep the N newest (-A)\n"
     "  --keep-hourly N  and the newest of each of the N last hours that have one (-H)\n"
     "  --keep-daily N   ... days (-D)\n"
     "  --keep-weekly N  ... weeks (-W), all by local time\n"
     "  -n, --dry-run    only say what would be deleted\n"
     "PREFIX: only snapshots whose names begin with it.\n",
     0, 1, COMMAND_PRINTS},
    {"diff", command_diff, "0j", "[-0 | --json] DB SNAPSHOT [SNAPSHOT2]", "show what has changed",
     "  -0          each ends with a zero byte; of a rename both paths do\n"
     "  -j, --json  one object a line\n"
     "  + PATH  - PATH  R OLD -> NEW  come, gone, renamed with all below it\n"
     "  M PATH  A PATH  content written; only attributes changed\n"
     "SNAPSHOT2 is newer; without it, the present. Control characters are \\xNN.\n",
     1, 2, COMMAND_PRINTS},
    {"watch", command_watch, "0jF:", "[-0 | --json] [--from SNAPSHOT] DB [PATH]",
     "show what changes",
     "Lines as of diff; a store that is mounted. PATH: only what is at it or below.\n"
     "  -0           each ends with a zero byte\n"
     "  -j, --json   one object a line\n"
     "  --from SNAP  first what has changed since that one (-F)\n"
     "\"! start over\": some were lost, since they were not read in time; then it ends.\n",
     0, 1, COMMAND_PRINTS | COMMAND_ENDLESS},
    {"destroy", command_destroy, "y", "--yes DB", "delete the store",
     "  --yes  needed: there is no way back\n", 0, 0, COMMAND_OFFLINE},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

const struct option command_long_options[] = {{"help", no_argument, NULL, 'h'},
                                              {"create", no_argument, NULL, 'c'},
                                              {"yes", no_argument, NULL, 'y'},
                                              {"names", no_argument, NULL, 'n'},
                                              {"dry-run", no_argument, NULL, 'n'},
                                              {"json", no_argument, NULL, 'j'},
                                              {"from", required_argument, NULL, 'F'},
                                              {"keep-last", required_argument, NULL, 'A'},
                                              {"keep-hourly", required_argument, NULL, 'H'},
                                              {"keep-daily", required_argument, NULL, 'D'},
                                              {"keep-weekly", required_argument, NULL, 'W'},
                                              {NULL, 0, NULL, 0}};

void command_option_name(char letter, char ret_name[COMMAND_OPTION_NAME_SIZE])
{
    const struct option *option = command_long_options;
    while (option->name && !(option->val == letter && option->has_arg == required_argument))
        option++;
    if (option->name)
        snprintf(ret_name, COMMAND_OPTION_NAME_SIZE, "--%s", option->name);
    else
        snprintf(ret_name, COMMAND_OPTION_NAME_SIZE, "-%c", letter);
}

const struct command *command_at(size_t index)
{
    return index < COMMAND_COUNT ? &commands[index] : NULL;
}

const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

enum exit_status ctl_run(struct ctl *ctl)
{
    struct front *front = ctl->front;
    assert(!ctl->ns && !ctl->engine);
    ctl->out = front->out;
    enum exit_status status = ctl->command->run(ctl);
    assert(!ctl->ns && !ctl->engine); // the command has closed what it has opened
    return atomic_load(&front->has_seen) && status == EXIT_OK ? EXIT_FAILED : status;
}
