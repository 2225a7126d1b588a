// Starting, stopping and waiting for the threads of the background. What they work off is filled by
// the operations: reclaim_queue.h, fragments.h, atimes.h.
//
// Thread safety: start and stop by who opens and closes the namespace.
#include "ns/upkeep/upkeep.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/content/fragments.h"
#include "ns/operation/ns_internal.h"
#include "ns/upkeep/atime_writer.h"
#include "ns/upkeep/defrag.h"
#include "ns/upkeep/reclaim.h"
#include "ns/upkeep/sweep.h"

struct upkeep {
    struct reclaim *reclaim;
    struct defrag *defrag;
    struct atime_writer *atime_writer;
};

int upkeep_start(struct ns *ns)
{
    assert(!ns->upkeep && !ns->read_only);
    struct upkeep *upkeep = ns->upkeep = calloc(1, sizeof *upkeep);
    ns->to_reclaim = reclaim_queue_new();
    ns->fragments = fragments_new(ns->merge_delay_ms);
    ns->atimes = atimes_new();
    if (!upkeep || !ns->to_reclaim || !ns->fragments || !ns->atimes)
        return -ENOMEM;
    int rc = reclaim_start(ns, &upkeep->reclaim);
    if (!rc)
        rc = defrag_start(ns, &upkeep->defrag);
    if (!rc)
        rc = atime_writer_start(ns, &upkeep->atime_writer);
    if (!rc)
        rc = sweep_leftovers(ns);
    return rc;
}

void upkeep_stop(struct ns *ns)
{
    struct upkeep *upkeep = ns->upkeep;
    if (!upkeep)
        return;
    // Before reclaim is stopped: the two others may give back a last reference.
    atime_writer_stop(upkeep->atime_writer);
    defrag_stop(upkeep->defrag);
    reclaim_stop(upkeep->reclaim);
    free(upkeep);
    ns->upkeep = NULL;
}

int ns_wait_idle(struct ns *ns)
{
    if (!ns->upkeep)
        return 0;
    assert(ns->atimes && ns->fragments && ns->to_reclaim);
    atimes_wait(ns->atimes);
    fragments_wait(ns->fragments);
    return reclaim_queue_wait(ns->to_reclaim);
}
