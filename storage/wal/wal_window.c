// A moving window over a log that is allocated ahead. See the header for why one is enough.
//
// Growing allocates a whole step, or, where the disk is too full for that, just what is asked for:
// the last bytes of a disk still take the small writes that deleting needs.
#include "wal/wal_window.h"

#include <assert.h>
#include <stddef.h>

#include "base/status.h"

#define WINDOW_PAGE UINT64_C(4096)
// Mappings start at multiples of this, so that machines with larger pages can map them.
#define WINDOW_ALIGN UINT64_C(65536)

static uint64_t round_up(uint64_t n)
{
    return (n + WINDOW_PAGE - 1) / WINDOW_PAGE * WINDOW_PAGE;
}

static int map_from(struct wal_window *window, uint64_t at, uint64_t limit)
{
    void *addr;
    uint64_t start = at / WINDOW_ALIGN * WINDOW_ALIGN;
    assert(start < limit && limit % WINDOW_PAGE == 0);
    int rc = window->file->ops->map(window->file, start, (size_t)(limit - start), true, &addr);
    if (rc)
        return rc;
    wal_window_release(window);
    window->addr = addr;
    window->start = start;
    window->limit = limit;
    return 0;
}

int wal_window_init(struct wal_window *window, struct env_file *file, uint64_t size, size_t step)
{
    struct wal_window fresh = {.file = file, .step = step};
    uint64_t limit = round_up(size);
    int rc = file->ops->allocate(file, 0, limit);
    if (!rc)
        rc = map_from(&fresh, 0, limit);
    if (!rc)
        *window = fresh;
    return rc;
}

int wal_window_grow(struct wal_window *window, uint64_t at, uint64_t size)
{
    struct env_file *file = window->file;
    assert(at >= window->start && at <= window->limit);
    uint64_t need = round_up(at + size);
    uint64_t limit = round_up(window->limit + window->step);
    if (need > limit)
        limit = need;
    int rc = file->ops->allocate(file, window->limit, limit - window->limit);
    if (rc == LSM_NO_SPACE && need < limit) {
        limit = need;
        rc = file->ops->allocate(file, window->limit, limit - window->limit);
    }
    return rc ? rc : map_from(window, at, limit);
}

bool wal_window_shrink(struct wal_window *window, uint64_t at)
{
    uint64_t limit = round_up(at + 1); // the window keeps a page, so there is something to map
    assert(at >= window->start && at <= window->limit);
    // Mapped anew before the file is cut, so that nothing behind its end is ever mapped.
    if (limit >= window->limit || map_from(window, at, limit))
        return false;
    return window->file->ops->truncate(window->file, limit) == 0;
}

void wal_window_release(struct wal_window *window)
{
    if (window->addr)
        window->file->ops->unmap(window->file, window->addr,
                                 (size_t)(window->limit - window->start));
    window->addr = NULL;
}
