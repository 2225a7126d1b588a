// lsmfsctl: the files of a store, and the store itself, without a mount.
//
// One table has the commands. The command line is taken apart and checked here, before anything is
// opened; the commands are in list.c (ls, tree, stat), content.c (get, put), names.c (mkdir, rm,
// mv, ln) and manage.c (the store).
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
    {"destroy", command_destroy, "y", "--yes DB", "delete the store",
     "  --yes  needed: there is no way back\n", 0, 0, false},
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static const struct option long_options[] = {{"help", no_argument, NULL, 'h'},
                                             {"create", no_argument, NULL, 'c'},
                                             {"yes", no_argument, NULL, 'y'},
                                             {NULL, 0, NULL, 0}};

static void print_help(void)
{
    puts("usage: lsmfsctl COMMAND [OPTION...] DB [PATH...]\n"
         "Works on the store in directory DB, which must not be mounted.");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
    puts("lsmfsctl COMMAND --help explains one; lsmfsctl --version; manual: lsmfsctl(8).\n"
         "Status: 0 done, 1 failed, 2 wrong usage.");
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

static const struct command *find_command(const char *name)
{
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
    } else {
        ctl.command = find_command(name);
        if (!ctl.command) {
            complain("unknown %s '%s' (lsmfsctl --help lists them)",
                     *name == '-' ? "option" : "command", name);
            return EXIT_USAGE;
        }
        if (parse(&ctl, argc - 1, argv + 1, &status))
            status = run(&ctl);
    }
    if (!output_end() && status == EXIT_OK)
        status = EXIT_FAILED;
    return (int)status;
}
