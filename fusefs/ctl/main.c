// lsmfsctl: the files of a store, and the store itself, without a mount.
//
// The command line is taken apart and checked here, before anything is opened; what the commands do
// is in commands/.
#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/process_limits.h"
#include "common/store_place.h"
#include "ctl/delegate.h"
#include "ctl/mount_paths.h"
#include "ctl/screen.h"
#include "ctl/signals.h"
#include "ctl/terminal.h"

// In two columns, the first one filled first: all on a screen of 24 lines and 80 columns.
static void print_commands(void)
{
    const struct command *one_word[64];
    size_t count = 0;
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)) && count < 64; i++)
        if (!strchr(command->name, ' '))
            one_word[count++] = command;
    size_t lines = (count + 1) / 2;
    for (size_t i = 0; i < lines; i++) {
        printf("  %-10s  ", one_word[i]->name);
        if (i + lines < count)
            printf("%-26s  %-10s  %s\n", one_word[i]->summary, one_word[i + lines]->name,
                   one_word[i + lines]->summary);
        else
            puts(one_word[i]->summary);
    }
}

static void print_help(void)
{
    puts("usage: lsmfsctl COMMAND [OPTION...] DB [PATH...]\n"
         "Works on the store in directory DB, mounted or not.");
    print_commands();
    puts("  snapshot    create, list, rename, delete, prune snapshots, or go back to one");
    puts("lsmfsctl COMMAND --help explains one; lsmfsctl --version; manual: lsmfsctl(8).\n"
         "Status: 0 done, 1 failed, 2 wrong usage; after a signal it is the signal's.");
}

static void print_snapshot_help(void)
{
    puts("usage: lsmfsctl snapshot COMMAND [OPTION...] DB [NAME...]");
    const struct command *command;
    for (size_t i = 0; (command = command_at(i)); i++)
        if (strncmp(command->name, "snapshot ", 9) == 0)
            printf("  %-10s  %s\n", command->name + 9, command->summary);
    puts("lsmfsctl snapshot COMMAND --help explains one.");
}

static void print_command_help(const struct command *command)
{
    printf("usage: lsmfsctl %s %s\n%s", command->name, command->usage, command->explanation);
}

// A message about the command line of a command; `arg`, in quotes, may be NULL.
static enum exit_status wrong(const struct command *command, const char *what, const char *arg)
{
    char program[64];
    const char *name = command->name;
    snprintf(program, sizeof program, "lsmfsctl %s", name);
    if (arg)
        terminal_say(program, "%s '%s' (lsmfsctl %s --help explains)", what, arg, name);
    else
        terminal_say(program, "%s (lsmfsctl %s --help explains)", what, name);
    return EXIT_USAGE;
}

// Says what getopt_long() has refused.
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

// Takes the command line behind the command's name apart. True: run it; else *ret_status is set.
static bool parse(struct ctl *ctl, int argc, char **argv, enum exit_status *ret_status)
{
    const struct command *command = ctl->command;
    char letters[16];
    assert(strlen(command->options) + 1 < sizeof letters);
    snprintf(letters, sizeof letters, ":%s", command->options);
    opterr = 0;
    *ret_status = EXIT_USAGE;
    for (int code, index = -1;
         (code = getopt_long(argc, argv, letters, command_long_options, &index)) != -1;
         index = -1) {
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
    if (count == 2 && command->flags & COMMAND_MOUNT_PATHS) {
        *ret_status = EXIT_FAILED;
        return mount_paths(ctl, argv[optind], argv[optind + 1]);
    }
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

// Checks that no store in a cluster is named where a directory has to be. False, with a message.
static bool check_places(const struct ctl *ctl)
{
    unsigned flags = ctl->command->flags, both = COMMAND_LOCAL_DB | COMMAND_LOCAL_ARG;
    bool is_db = flags & COMMAND_LOCAL_DB && store_place_is_remote(ctl->db);
    bool is_arg =
        flags & COMMAND_LOCAL_ARG && ctl->arg_count && store_place_is_remote(ctl->args[0]);
    if (!is_db && !is_arg)
        return true;
    if ((flags & both) == both)
        complain(ctl,
                 "%s: a cluster cannot share files between stores: backup and restore, or send "
                 "and receive, copy them",
                 is_db ? ctl->db : ctl->args[0]);
    else
        complain(ctl, "%s: a backup is in a directory", is_db ? ctl->db : ctl->args[0]);
    return false;
}

// The command that the first words name; *ret_words: how many they are.
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    char name[64];
    const struct command *command = NULL;
    if (argc > 2) {
        snprintf(name, sizeof name, "%s %s", argv[1], argv[2]);
        command = command_find(name);
    }
    *ret_words = command ? 2 : 1;
    return command ? command : command_find(argv[1]);
}

static enum exit_status run_plain(struct ctl *ctl)
{
    // A command that prints to the terminal all the time shows no progress there.
    bool prints = ctl->command->flags & COMMAND_PRINTS && !ctl_has(ctl, 'o');
    bool quiet = ctl_has(ctl, 'q') || (prints && isatty(STDOUT_FILENO));
    bool shows_progress = terminal_progress_start(ctl->command->name, !quiet);
    terminal_files(ctl);
    enum exit_status status;
    assert(ctl->db && ctl->arg_count >= ctl->command->least);
    if (!delegate_run(ctl, shows_progress, &status))
        status = ctl_run(ctl);
    terminal_progress_stop();
    return status;
}

static enum exit_status run(struct ctl *ctl)
{
    bool moves = strcmp(ctl->command->name, "top") == 0;
    limits_raise();
    signals_start(!(ctl->command->flags & COMMAND_ENDLESS));
    if (moves && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
        return screen_show(ctl, run_plain);
    return run_plain(ctl);
}

static void complain_unknown(int argc, char **argv)
{
    if (strcmp(argv[1], "snapshot") == 0 && argc > 2)
        terminal_say("lsmfsctl",
                     "unknown command 'snapshot %s' (lsmfsctl snapshot --help lists them)",
                     argv[2]);
    else if (strcmp(argv[1], "snapshot") == 0)
        terminal_say("lsmfsctl", "snapshot: which command? (lsmfsctl snapshot --help lists them)");
    else
        terminal_say("lsmfsctl", "unknown %s '%s' (lsmfsctl --help lists them)",
                     *argv[1] == '-' ? "option" : "command", argv[1]);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.front = terminal_front()};
    enum exit_status status = EXIT_OK;
    const char *name = argc > 1 ? argv[1] : "";
    if (!*name) {
        terminal_say("lsmfsctl", "no command given (lsmfsctl --help lists them)");
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
            status = check_places(&ctl) ? run(&ctl) : EXIT_FAILED;
    }
    if (signals_seen() && status != EXIT_OK)
        terminal_interrupted();
    if (!terminal_output_end() && status == EXIT_OK)
        status = EXIT_FAILED;
    return (int)status;
}
