// lsmfsctl: the files of a store, and the store itself, without a mount.
//
// One table has the commands; those of two words are about snapshots. The command line is taken
// apart and checked here, before anything is opened. The commands are in list.c (ls, tree, stat),
// content.c (get, put), names.c (mkdir, rm, mv, ln), snapshots.c, and manage.c (the store).
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/process_limits.h"
#include "ctl/ctl.h"
#include "ctl/output.h"

#define MANY INT32_MAX

static const struct command commands[] = {
    {"ls", command_ls, "ldRi", "[-ldRi] DB [PATH...]", "list directories",
     "  -l  with mode, links, owner, size, time of change, link target\n"
     "  -d  the directory itself, not what is in it\n"
     "  -R  all directories below too\n"
     "  -i  with inode numbers\n",
     0, MANY, true},
    {"tree", command_tree, "L:", "[-L DEPTH] DB [PATH]", "show a tree",
     "  -L DEPTH  not deeper than that\n", 0, 1, true},
    {"stat", command_stat, "", "DB PATH...", "show all attributes of files", "", 1, MANY, true},
    {"get", command_get, "o:", "[-o FILE] DB PATH...", "write out the content of files",
     "  -o FILE  to FILE instead of standard output\n", 1, MANY, true},
    {"put", command_put, "cm:", "[-c] [-m MODE] DB PATH [FILE]",
     "store FILE or standard input as a file",
     "  -c, --create  make the store if there is none\n"
     "  -m MODE       octal mode of a new file (0666 less the umask)\n",
     1, 2, false},
    {"mkdir", command_mkdir, "cpm:", "[-cp] [-m MODE] DB PATH...", "make directories",
     "  -c, --create  make the store if there is none\n"
     "  -p            make parents too; no complaint if it is there\n"
     "  -m MODE       octal mode (0777 less the umask)\n",
     1, MANY, false},
    {"rm", command_rm, "rf", "[-rf] DB PATH...", "remove files",
     "  -r  and directories with all that is in them\n"
     "  -f  no complaint if there is nothing\n",
     1, MANY, false},
    {"mv", command_mv, "n", "[-n] DB FROM TO", "rename a file or a tree",
     "  -n  do not replace what is there\n", 2, 2, false},
    {"ln", command_ln, "s", "[-s] DB TARGET PATH", "link",
     "  -s  make a symbolic link with the text TARGET\n", 2, 2, false},
    {"scan", command_scan, "n:w:b", "[-n N] [-w N] [-b] DB [PREFIX]", "show raw keys and values",
     "  -n N  not more than N entries\n"
     "  -w N  show N bytes of a value (32)\n"
     "  -b    from the last key to the first\n"
     "PREFIX and what is shown: \\xNN is a byte, \\\\ a backslash.\n",
     0, 1, true},
    {"stats", command_stats, "", "DB [PROPERTY...]", "show figures of the store", "", 0, MANY,
     true},
    {"check", command_check, "q", "[-q] DB", "verify every byte, then the tree",
     "  -q  show no progress\n", 0, 0, false},
    {"repair", command_repair, "", "DB", "rebuild the manifest of a damaged store",
     "What does not verify is moved to DB/lost. Copy DB first, check afterwards.\n", 0, 0, false},
    {"compact", command_compact, "", "DB", "merge all levels into one", "", 0, 0, false},
    {"checkpoint", command_checkpoint, "", "DB TARGET", "make an openable copy", "", 1, 1, false},
    {"snapshot create", command_snapshot_create, "", "DB NAME", "keep the tree as it is now",
     "Takes two syncs, whatever the store's size. NAME: 1 to 255 bytes without '/'.\n", 1, 1,
     false},
    {"snapshot list", command_snapshot_list, "n", "[-n] DB", "show snapshots and their sizes",
     "REFERS is what a snapshot shows, ONLY what deleting it alone gives back; bytes before\n"
     "compression, for which the store is read once.\n"
     "  -n, --names  names only, at once\n",
     0, 0, false},
    {"snapshot rename", command_snapshot_rename, "", "DB FROM TO", "rename a snapshot", "", 2, 2,
     false},
    {"snapshot delete", command_snapshot_delete, "", "DB NAME...", "delete snapshots",
     "Their space comes back in the background.\n", 1, MANY, false},
    {"snapshot rollback", command_snapshot_rollback, "y", "--yes DB NAME",
     "make a snapshot the present",
     "  --yes  needed: what was written after the snapshot is lost\n"
     "All at once; snapshots stay as they are.\n",
     1, 1, false},
    {"snapshot prune", command_snapshot_prune, "A:H:D:W:n", "--keep-... N [-n] DB [PREFIX]",
     "delete all snapshots but some",
     "  --keep-last N    keep the N newest (-A)\n"
     "  --keep-hourly N  and the newest of each of the N last hours that have one (-H)\n"
     "  --keep-daily N   ... days (-D)\n"
     "  --keep-weekly N  ... weeks (-W), all by local time\n"
     "  -n               only say what would be deleted\n"
     "PREFIX: only snapshots whose names begin with it.\n",
     0, 1, true},
    {"destroy", command_destroy, "y", "--yes DB", "delete the store",
     "  --yes  needed: there is no way back\n", 0, 0, false},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"create", no_argument, NULL, 'c'},
                                             {"yes", no_argument, NULL, 'y'},
                                             {"names", no_argument, NULL, 'n'},
                                             {"keep-last", required_argument, NULL, 'A'},
                                             {"keep-hourly", required_argument, NULL, 'H'},
                                             {"keep-daily", required_argument, NULL, 'D'},
                                             {"keep-weekly", required_argument, NULL, 'W'},
                                             {NULL, 0, NULL, 0}};

static void print_help(void)
{
    puts("usage: lsmfsctl COMMAND [OPTION...] DB [PATH...]\n"
         "Works on the store in directory DB, which must not be mounted.");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strchr(commands[i].name, ' '))
            printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
    puts("  snapshot    create, list, rename, delete, prune snapshots, or go back to one");
    puts("lsmfsctl COMMAND --help explains one; lsmfsctl --version; manual: lsmfsctl(8).\n"
         "Status: 0 done, 1 failed, 2 wrong usage.");
}

static void print_snapshot_help(void)
{
    puts("usage: lsmfsctl snapshot COMMAND [OPTION...] DB [NAME...]");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strncmp(commands[i].name, "snapshot ", 9) == 0)
            printf("  %-10s  %s\n", commands[i].name + 9, commands[i].summary);
    puts("lsmfsctl snapshot COMMAND --help explains one.");
}

static void print_command_help(const struct command *command)
{
    printf("usage: lsmfsctl %s %s\n%s", command->name, command->usage, command->explanation);
}

// About the command line of a command; `arg`, in quotes, may be NULL.
static enum exit_status wrong(const struct command *command, const char *what, const char *arg)
{
    const char *name = command->name;
    if (arg)
        complain_usage(name, "%s '%s' (lsmfsctl %s --help explains)", what, arg, name);
    else
        complain_usage(name, "%s (lsmfsctl %s --help explains)", what, name);
    return EXIT_USAGE;
}

// getopt_long has refused something.
static enum exit_status wrong_option(const struct command *command, int code, char **argv)
{
    char letter[] = {'-', (char)optopt, 0};
    bool is_known = optopt && strchr(command->options, optopt);
    if (code == ':')
        return wrong(command, "a value is missing for option", letter);
    if (is_known || optopt == 'h') // as a long one, with "=value"
        return wrong(command, "no value is taken by option", argv[optind - 1]);
    return wrong(command, "unknown option", optopt ? letter : argv[optind - 1]);
}

bool ctl_number(const struct ctl *ctl, char letter, int base, uint64_t most, uint64_t *ret_value)
{
    const char *text = ctl->options[(unsigned char)letter];
    if (!text)
        return true;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, base);
    if (*text >= '0' && *text <= '9' && !*end && !errno && value <= most) {
        *ret_value = value;
        return true;
    }
    complain_usage(ctl->command->name, "option '-%c' takes %s number up to %" PRIu64 ", not '%s'",
                   letter, base == 8 ? "an octal" : "a", most, text);
    return false;
}

// Takes the command line behind the command's name apart. True: run it; else *ret_status is set.
static bool parse(struct ctl *ctl, int argc, char **argv, enum exit_status *ret_status)
{
    const struct command *command = ctl->command;
    char letters[16];
    snprintf(letters, sizeof letters, ":%s", command->options);
    opterr = 0;
    *ret_status = EXIT_USAGE;
    for (int code, index = -1;
         (code = getopt_long(argc, argv, letters, long_options, &index)) != -1; index = -1) {
        if (code == '?' || code == ':') {
            wrong_option(command, code, argv);
            return false;
        }
        if (code == 'h') { // only as a long option: no command has the letter
            print_command_help(command);
            *ret_status = EXIT_OK;
            return false;
        }
        if (index >= 0 && !strchr(command->options, code)) {
            wrong(command, "unknown option", argv[optind - 1]);
            return false;
        }
        ctl->options[code & 127] = optarg ? optarg : "";
    }
    int count = argc - optind;
    if (count == 0 || !*argv[optind]) {
        wrong(command, "DB is missing", NULL);
    } else if (count - 1 < command->least) {
        wrong(command, "too few arguments", NULL);
    } else if (count - 1 > command->most) {
        wrong(command, "one argument too many:", argv[optind + 1 + command->most]);
    } else {
        ctl->db = argv[optind];
        ctl->args = argv + optind + 1;
        ctl->arg_count = count - 1;
        return true;
    }
    return false;
}

// The command that the first words name; *ret_words: how many they are.
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    char name[64];
    bool two = strcmp(argv[1], "snapshot") == 0 && argc > 2;
    *ret_words = two ? 2 : 1;
    snprintf(name, sizeof name, "%s%s%s", argv[1], two ? " " : "", two ? argv[2] : "");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static enum exit_status run(struct ctl *ctl)
{
    limits_raise();
    // What prints to the terminal all the time needs no progress there.
    bool prints = ctl->command->prints && !ctl_has(ctl, 'o');
    bool quiet = ctl_has(ctl, 'q') || (prints && isatty(STDOUT_FILENO));
    progress_start(ctl->command->name, !quiet);
    enum exit_status status = ctl->command->run(ctl);
    progress_stop();
    return status;
}

static void complain_unknown(int argc, char **argv)
{
    if (strcmp(argv[1], "snapshot") == 0 && argc > 2)
        complain("unknown command 'snapshot %s' (lsmfsctl snapshot --help lists them)", argv[2]);
    else if (strcmp(argv[1], "snapshot") == 0)
        complain("snapshot: which command? (lsmfsctl snapshot --help lists them)");
    else
        complain("unknown %s '%s' (lsmfsctl --help lists them)",
                 *argv[1] == '-' ? "option" : "command", argv[1]);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {0};
    enum exit_status status = EXIT_OK;
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name) {
        complain("no command given (lsmfsctl --help lists them)");
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        print_help();
    } else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        puts("lsmfsctl " LSMFS_VERSION);
    } else if (strcmp(name, "snapshot") == 0 && argc > 2 && strcmp(argv[2], "--help") == 0) {
        print_snapshot_help();
    } else {
        int words;
        ctl.command = find_command(argc, argv, &words);
        if (!ctl.command) {
            complain_unknown(argc, argv);
            return EXIT_USAGE;
        }
        if (parse(&ctl, argc - words, argv + words, &status))
            status = run(&ctl);
    }
    if (!output_end() && status == EXIT_OK)
        status = EXIT_FAILED;
    return (int)status;
}
