// An access control list of arbitrary bytes. The input is a mode (two bytes) and the list. A list
// that is valid stays so whatever is done to it, and says of the mode what it was told.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "ns/keys/acl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    uint32_t mode = (data[0] | (uint32_t)data[1] << 8) & 07777;
    size -= 2;
    uint8_t *list = malloc(size ? size : 1); // exactly as large, so that no byte beyond is touched
    assert(list);
    memcpy(list, data + 2, size);
    assert(!acl_is_empty(slice_of(list, size)) || !acl_is_valid(slice_of(list, size)));
    if (acl_is_valid(slice_of(list, size))) {
        bool minimal;
        uint32_t given = acl_to_mode(slice_of(list, size), mode, &minimal);
        assert((given & ~0777u) == (mode & ~0777u));
        uint32_t restricted = acl_restrict(list, size, mode);
        assert(restricted == (mode & (given | ~0777u)));
        assert(acl_to_mode(slice_of(list, size), mode, &minimal) == restricted);
        acl_chmod(list, size, mode);
        assert(acl_to_mode(slice_of(list, size), 0, &minimal) == (mode & 0777));
        assert(acl_is_valid(slice_of(list, size)));
    }
    free(list);
    return 0;
}
