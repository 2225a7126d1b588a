// POSIX access control lists, as the bytes of the attributes that hold them.
//
//   version u32 (2) | entries: tag u16 | permissions u16 | id u32       (little-endian)
//
// A list has one entry each for owner, owning group and others, any number for named users and
// groups, and, if there are any of those, one for the mask. The three permission groups of a mode
// are those of owner, mask (without one: owning group) and others: the two change together.
#ifndef NS_ACL_H
#define NS_ACL_H

#include <stdbool.h>

#include "base/slice.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

// Whether the bytes are a list: size, version, known tags and permissions, no entry missing.
bool acl_is_valid(struct slice acl);
bool acl_is_empty(struct slice acl); // a list of no entries stands for none at all

// The rest is for valid lists.

// The mode with its permissions replaced by the list's. *ret_minimal: they say all that the list
// does.
uint32_t acl_to_mode(struct slice acl, uint32_t mode, bool *ret_minimal);

// chmod(2): the list's permissions follow the mode's.
void acl_chmod(uint8_t *acl, size_t size, uint32_t mode);

// The list of a new file from its directory's default: each side gives only what the other one
// does. Returns the mode.
uint32_t acl_restrict(uint8_t *acl, size_t size, uint32_t mode);

#endif
