// Commands on a store that is mounted: its daemon runs them.
#ifndef CTL_DELEGATE_H
#define CTL_DELEGATE_H

#include "commands/command.h"

// Has the daemon that has the store run the command. True: it has run or refused it; *ret_status is
// how that went. False: there is no daemon to be reached, or it has done nothing and is ending.
bool delegate_run(struct ctl *ctl, bool shows_progress, enum exit_status *ret_status);

#endif
