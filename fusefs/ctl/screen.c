// See screen.h.
//
// The child writes into a pipe. The parent gathers a block, and draws it in one write: as many
// lines as there are, each cut at the terminal's width. It draws again when the size changes. Only
// the parent changes the terminal, and gives it back: a signal that ends the command sets a flag in
// the parent, and nothing more.
//
// Thread safety: one thread in each of the two processes.
#include "ctl/screen.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/slice.h"
#include "ctl/terminal.h"

#define ENTER            "\033[?1049h\033[?25l" // the other screen, no cursor
#define LEAVE            "\033[?25h\033[?1049l"
#define HOME             "\033[H"
#define TO_END_OF_LINE   "\033[K"
#define TO_END_OF_SCREEN "\033[J"

static const int end_signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

static volatile sig_atomic_t ending;

static void on_end(int signal_number)
{
    ending = signal_number;
}

static void on_resize(int signal_number)
{
    (void)signal_number; // it ends poll(2)
}

struct screen {
    struct termios before;
    pid_t child;
    int fd;           // of the pipe
    struct buf block; // the newest that is complete
    struct buf next;  // what has come since
    struct buf frame;
};

// ------------------------------------------------------------------------------- the terminal

static bool terminal_take(struct screen *screen)
{
    if (tcgetattr(STDIN_FILENO, &screen->before))
        return false;
    struct termios raw = screen->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE; // it would stop with the terminal taken
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw))
        return false;
    (void)!write(STDOUT_FILENO, ENTER, sizeof ENTER - 1);
    return true;
}

static void terminal_give(struct screen *screen)
{
    (void)!write(STDOUT_FILENO, LEAVE, sizeof LEAVE - 1);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &screen->before);
}

static void append(struct buf *out, const void *data, size_t size)
{
    (void)!buf_append(out, data, size); // a frame that there is no memory for is not whole
}

static void draw(struct screen *screen)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
        size = (struct winsize){.ws_row = 24, .ws_col = 80};
    const char *p = (const char *)screen->block.data, *end = p + screen->block.size;
    assert(p == end || end[-1] == '\n'); // whole lines
    struct buf *frame = &screen->frame;
    frame->size = 0;
    append(frame, HOME, sizeof HOME - 1);
    for (unsigned row = 0; p < end && row < size.ws_row; row++) {
        const char *line_end = memchr(p, '\n', (size_t)(end - p));
        size_t length = (size_t)((line_end ? line_end : end) - p);
        if (row)
            append(frame, "\n", 1); // the terminal adds the return
        append(frame, p, length < size.ws_col ? length : size.ws_col);
        append(frame, TO_END_OF_LINE, sizeof TO_END_OF_LINE - 1);
        p += length + 1;
    }
    append(frame, TO_END_OF_SCREEN, sizeof TO_END_OF_SCREEN - 1);
    (void)!write(STDOUT_FILENO, frame->data, frame->size);
}

// ------------------------------------------------------------------------------- blocks

// Takes what has come. False: the child has ended.
static bool take(struct screen *screen)
{
    char piece[4096];
    ssize_t n = read(screen->fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR)
        return true;
    if (n <= 0 || buf_append(&screen->next, piece, (size_t)n))
        return false;
    const uint8_t *end;
    while ((end = memmem(screen->next.data, screen->next.size, "\n\n", 2))) {
        size_t size = (size_t)(end - screen->next.data) + 1;
        struct buf old = screen->block;
        assert(size < screen->next.size);
        screen->block = screen->next;
        screen->next = (struct buf){0};
        (void)!buf_append(&screen->next, screen->block.data + size + 1,
                          screen->block.size - size - 1);
        screen->block.size = size;
        buf_release(&old);
        draw(screen);
    }
    return true;
}

// Whether q was typed, or nobody can type any more.
static bool quit_typed(void)
{
    char typed[16];
    ssize_t n = read(STDIN_FILENO, typed, sizeof typed);
    return n == 0 || (n < 0 && errno != EINTR) ||
           (n > 0 && (memchr(typed, 'q', (size_t)n) || memchr(typed, 'Q', (size_t)n)));
}

static void show(struct screen *screen)
{
    while (!ending) {
        struct pollfd fds[] = {{.fd = screen->fd, .events = POLLIN},
                               {.fd = STDIN_FILENO, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0) {
            draw(screen);
            continue;
        }
        if (fds[1].revents && quit_typed()) {
            ending = SIGINT;
            return;
        }
        if (fds[0].revents && !take(screen))
            return;
    }
}

// ------------------------------------------------------------------------------- the two processes

static _Noreturn void child(struct ctl *ctl, enum exit_status (*run)(struct ctl *ctl), int fd)
{
    for (size_t i = 0; i < sizeof end_signals / sizeof *end_signals; i++)
        signal(end_signals[i], SIG_DFL);
    ctl->front->out_is_terminal = true; // names go to one in the end
    dup2(fd, STDOUT_FILENO);
    close(fd);
    enum exit_status status = run(ctl);
    fflush(stdout);
    _exit((int)status);
}

// What the child says is held back until the terminal is given back: it goes to `log`.
static void pass_on(FILE *log)
{
    char piece[512];
    size_t n;
    rewind(log);
    while ((n = fread(piece, 1, sizeof piece, log)) > 0)
        (void)!write(STDERR_FILENO, piece, n);
}

enum exit_status screen_show(struct ctl *ctl, enum exit_status (*run)(struct ctl *ctl))
{
    struct screen screen = {0};
    int fds[2], status = 0;
    FILE *log = tmpfile();
    if (!log || pipe(fds)) {
        terminal_say("lsmfsctl", "%s", strerror(errno));
        return EXIT_FAILED;
    }
    struct sigaction end = {.sa_handler = on_end}, resize = {.sa_handler = on_resize};
    for (size_t i = 0; i < sizeof end_signals / sizeof *end_signals; i++)
        sigaction(end_signals[i], &end, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    fflush(stdout);
    screen.fd = fds[0];
    screen.child = fork();
    if (screen.child == 0) {
        close(fds[0]);
        dup2(fileno(log), STDERR_FILENO);
        child(ctl, run, fds[1]);
    }
    close(fds[1]);
    bool taken = screen.child > 0 && terminal_take(&screen);
    if (taken) {
        show(&screen);
        terminal_give(&screen);
    }
    close(fds[0]);
    if (screen.child > 0 && ending)
        kill(screen.child, SIGTERM);
    while (screen.child > 0 && waitpid(screen.child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!ending)
        pass_on(log);
    fclose(log);
    buf_release(&screen.block);
    buf_release(&screen.next);
    buf_release(&screen.frame);
    if (ending)
        return EXIT_OK;
    return WIFEXITED(status) ? (enum exit_status)WEXITSTATUS(status) : EXIT_FAILED;
}
