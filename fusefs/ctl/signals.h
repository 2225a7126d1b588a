// What SIGINT, SIGTERM and SIGHUP do to a command: it ends, with one line, and the program dies by
// the signal, as whoever started it expects (status 130 in a shell after Ctrl-C).
#ifndef CTL_SIGNALS_H
#define CTL_SIGNALS_H

#include "commands/front.h"

// From here on a signal that is not ignored ends the program at once: what it was doing can be cut
// off anywhere. With `says`, after a line.
void signals_start(bool says);

// From here on a signal cancels the command instead, which ends soon. A second one ends the
// program.
void signals_hold(struct front *front);

// Between these two a signal tells the daemon at the other end of the socket that nothing more
// comes. The command then waits for what the daemon still has to say, a second for each message.
void signals_tell(int fd);
void signals_tell_no_more(void);

// The signal that has come, or 0.
int signals_seen(void);
// A descriptor that can be read when a signal has come.
int signals_fd(void);

// Ends the program by the signal that has come.
_Noreturn void signals_die(void);

#endif
