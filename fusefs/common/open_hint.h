// What the user can do about a store that does not open.
#ifndef COMMON_OPEN_HINT_H
#define COMMON_OPEN_HINT_H

// What a program has to say of it, each ": ..." or "".
struct open_hints {
    const char *not_a_store, *damaged, *read_only, *busy;
};

// The hint behind the message `what` about the failure `status` (enum lsm_status); "": none, or the
// message itself has one.
const char *open_hint(const struct open_hints *hints, int status, const char *what);

#endif
