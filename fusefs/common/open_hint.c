// See open_hint.h. Thread-safe: no state.
#include "common/open_hint.h"

#include <assert.h>
#include <string.h>

#include "lsm.h"

const char *open_hint(const struct open_hints *hints, int status, const char *what)
{
    assert(status < 0);
    assert(hints->not_a_store && hints->damaged && hints->read_only && hints->busy);
    if (strstr(what, "lsmfsctl"))
        return "";
    switch (status) {
    case LSM_NOT_A_STORE:
        return hints->not_a_store;
    case LSM_NEWER_FORMAT:
        return ": a newer lsmfs is needed";
    case LSM_CORRUPTION:
        return hints->damaged;
    case LSM_READ_ONLY:
        return hints->read_only;
    case LSM_BUSY:
        return hints->busy;
    default:
        return "";
    }
}
