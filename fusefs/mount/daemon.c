// The background daemon.
//
// The parent waits at the reading end of a pipe. One byte means ready; the end of the file without
// it means that the child has ended, and its exit status is passed on. The child keeps the
// terminal's stderr until then, so whatever it has to say about a failure is seen where the command
// was typed, and a Ctrl-C there still reaches it.
#include "mount/daemon.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/say.h"
#include "mount/messages.h"
#include "mount/options.h"

static _Noreturn void wait_for_child(int ready_fd, pid_t child)
{
    char byte;
    ssize_t n;
    assert(child > 0);
    while ((n = read(ready_fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1)
        _exit(EXIT_OK);
    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(wait_status))
        say("lsmfs", "the daemon was killed while it started: %s",
            strsignal(WTERMSIG(wait_status)));
    _exit(WIFEXITED(wait_status) && WEXITSTATUS(wait_status) ? WEXITSTATUS(wait_status)
                                                             : EXIT_FAILED);
}

int daemon_start(void)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC))
        return -errno;
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        close(fds[0]);
        close(fds[1]);
        return -error;
    }
    if (child) {
        close(fds[1]);
        wait_for_child(fds[0], child);
    }
    close(fds[0]);
    return fds[1];
}

void daemon_ready(int ready_fd)
{
    assert(ready_fd >= 0);
    messages_to_syslog();
    if (setsid() < 0 || chdir("/"))
        messages_write(LOG_WARNING, "cannot leave the session or directory: %s", strerror(errno));
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (null > STDERR_FILENO)
            close(null);
    }
    if (write(ready_fd, "", 1) != 1)
        messages_write(LOG_WARNING, "nobody waits for the mount any more");
    close(ready_fd);
}
