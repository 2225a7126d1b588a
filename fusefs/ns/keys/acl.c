// POSIX access control lists. See acl.h.
//
// What the kernel hands over it has checked; what comes from disk is checked here before use.
// Thread safety: pure functions.
#include "ns/keys/acl.h"

#include <assert.h>

#include "base/coding.h"

#define HEADER_SIZE 4u
#define ENTRY_SIZE  8u
#define VERSION     2u

enum acl_tag {
    TAG_OWNER = 0x01,
    TAG_USER = 0x02,
    TAG_GROUP_OWNER = 0x04,
    TAG_GROUP = 0x08,
    TAG_MASK = 0x10,
    TAG_OTHER = 0x20,
};

static size_t entry_count(size_t size)
{
    return (size - HEADER_SIZE) / ENTRY_SIZE;
}

static unsigned entry_tag(const uint8_t *acl, size_t i)
{
    const uint8_t *p = acl + HEADER_SIZE + i * ENTRY_SIZE;
    return p[0] | (unsigned)p[1] << 8;
}

static uint8_t *entry_perm(uint8_t *acl, size_t i)
{
    return acl + HEADER_SIZE + i * ENTRY_SIZE + 2;
}

bool acl_is_empty(struct slice acl)
{
    return acl.size == HEADER_SIZE && get_fixed32(acl.data) == VERSION;
}

bool acl_is_valid(struct slice acl)
{
    unsigned once = 0, seen = 0;
    if (acl.size <= HEADER_SIZE || (acl.size - HEADER_SIZE) % ENTRY_SIZE ||
        get_fixed32(acl.data) != VERSION)
        return false;
    for (size_t i = 0; i < entry_count(acl.size); i++) {
        unsigned tag = entry_tag(acl.data, i);
        const uint8_t *perm = acl.data + HEADER_SIZE + i * ENTRY_SIZE + 2;
        if (perm[0] > 7 || perm[1] || (tag & (tag - 1)))
            return false;
        if (tag != TAG_USER && tag != TAG_GROUP) {
            if (once & tag)
                return false;
            once |= tag;
        }
        seen |= tag;
    }
    if (seen &
        ~(unsigned)(TAG_OWNER | TAG_USER | TAG_GROUP_OWNER | TAG_GROUP | TAG_MASK | TAG_OTHER))
        return false;
    const unsigned needed = TAG_OWNER | TAG_GROUP_OWNER | TAG_OTHER;
    bool named = seen & (TAG_USER | TAG_GROUP);
    return (seen & needed) == needed && (!named || seen & TAG_MASK);
}

// Whose permissions the entry's are, as the shift of that group in a mode; -1: nobody's.
static int entry_shift(const uint8_t *acl, size_t size, size_t i)
{
    bool has_mask = false;
    switch (entry_tag(acl, i)) {
    case TAG_OWNER:
        return 6;
    case TAG_MASK:
        return 3;
    case TAG_GROUP_OWNER:
        for (size_t j = 0; j < entry_count(size); j++)
            has_mask |= entry_tag(acl, j) == TAG_MASK;
        return has_mask ? -1 : 3;
    case TAG_OTHER:
        return 0;
    default:
        return -1;
    }
}

uint32_t acl_to_mode(struct slice acl, uint32_t mode, bool *ret_minimal)
{
    assert(acl_is_valid(acl));
    *ret_minimal = entry_count(acl.size) == 3;
    for (size_t i = 0; i < entry_count(acl.size); i++) {
        int shift = entry_shift(acl.data, acl.size, i);
        uint32_t perm = acl.data[HEADER_SIZE + i * ENTRY_SIZE + 2];
        if (shift >= 0)
            mode = (mode & ~(7u << shift)) | perm << shift;
    }
    return mode;
}

void acl_chmod(uint8_t *acl, size_t size, uint32_t mode)
{
    assert(acl_is_valid(slice_of(acl, size)));
    for (size_t i = 0; i < entry_count(size); i++) {
        int shift = entry_shift(acl, size, i);
        if (shift >= 0)
            *entry_perm(acl, i) = (uint8_t)(mode >> shift & 7);
    }
}

uint32_t acl_restrict(uint8_t *acl, size_t size, uint32_t mode)
{
    assert(acl_is_valid(slice_of(acl, size)));
    for (size_t i = 0; i < entry_count(size); i++) {
        int shift = entry_shift(acl, size, i);
        if (shift < 0)
            continue;
        uint8_t *perm = entry_perm(acl, i);
        *perm &= (uint8_t)(mode >> shift & 7);
        mode = (mode & ~(7u << shift)) | (uint32_t)*perm << shift;
    }
    return mode;
}
