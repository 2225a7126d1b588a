// Commands on a store that is mounted: its daemon runs them.
#ifndef CTL_DELEGATE_H
#define CTL_DELEGATE_H

#include "commands/command.h"

// True: a daemon has the store, and has run the command or refused it; *ret_status is how it went.
// False: there is no daemon to be reached.
bool delegate_run(struct ctl *ctl, bool shows_progress, enum exit_status *ret_status);

#endif
