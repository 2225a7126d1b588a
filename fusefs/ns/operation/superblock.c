// The superblock: that a store is a namespace, and which features it uses; the numbers of the store
// as a whole. See docs/format.md.
//
// Thread safety: super_read() before there are other threads; ns_mark_feature() any thread.
#include <assert.h>
#include <string.h>

#include "base/coding.h"
#include "base/status.h"
#include "ns/operation/ns_internal.h"

static const uint8_t super_magic[8] = {'l', 's', 'm', 'f', 's', ' ', 'n', 's'};

static_assert(NS_SUPER_SIZE == sizeof super_magic + 3 * 4, "magic, version, features, reserved");

void super_make(uint8_t *ret_super, uint32_t features)
{
    assert(!(features & ~(uint32_t)FEATURES_KNOWN));
    memset(ret_super, 0, NS_SUPER_SIZE);
    memcpy(ret_super, super_magic, sizeof(super_magic));
    put_fixed32(ret_super + 8, NS_FORMAT_VERSION);
    put_fixed32(ret_super + 12, features);
}

bool super_has(struct ns *ns, enum ns_feature feature)
{
    numbers_lock(ns);
    bool has = ns->features & feature;
    numbers_unlock(ns);
    return has;
}

int ns_mark_feature(struct ns *ns, enum ns_feature feature)
{
    // With the reserve: losses happen on a full disk (FEATURE_LOST), and renames must work there
    // (FEATURE_PLACES).
    struct lsm_write_options options = {.use_little = feature != FEATURE_UNWRITTEN};
    uint8_t super[NS_SUPER_SIZE];
    struct pathkey key;
    int rc = 0;
    pathkey_single(&key, KEY_SUPER);
    numbers_lock(ns);
    uint32_t features = ns->features | feature;
    if (features != ns->features) {
        super_make(super, features);
        rc = lsm_put(ns->db, &options, key.data, key.size, super, sizeof super);
        if (!rc)
            ns->features = features;
    }
    numbers_unlock(ns);
    return rc;
}

int super_check(const char *path, struct slice value)
{
    const uint8_t *p = value.data;
    if (value.size < 12 || memcmp(p, super_magic, sizeof(super_magic)) != 0)
        return status_fail(LSM_NOT_A_STORE, "%s: a tinylsm store of something else", path);
    if (get_fixed32(p + 8) > NS_FORMAT_VERSION)
        return status_fail(LSM_NEWER_FORMAT, "%s: file system format %u, this program knows %u",
                           path, get_fixed32(p + 8), NS_FORMAT_VERSION);
    if (value.size != NS_SUPER_SIZE)
        return status_fail(LSM_CORRUPTION, "%s: superblock of %zu bytes", path, value.size);
    if (get_fixed32(p + 12) & ~(uint32_t)FEATURES_KNOWN)
        return status_fail(LSM_NEWER_FORMAT, "%s: unknown file system features 0x%x", path,
                           get_fixed32(p + 12));
    return LSM_OK;
}

int super_read(struct ns *ns)
{
    struct lsm_buf value = {0};
    struct pathkey key;
    pathkey_single(&key, KEY_SUPER);
    int rc = lsm_get(ns->db, &ns->at, key.data, key.size, &value);
    if (!rc)
        rc = super_check(ns->path, slice_of(value.data, value.size));
    if (!rc) {
        numbers_lock(ns);
        ns->features = get_fixed32((const uint8_t *)value.data + 12);
        numbers_unlock(ns);
    }
    lsm_buf_release(&value);
    return rc;
}

int ns_number_read(struct ns *ns, const struct pathkey *key, uint64_t *ret_value)
{
    uint8_t bytes[8];
    size_t got;
    uint64_t size;
    int rc =
        lsm_get_range(ns->db, &ns->at, key->data, key->size, 0, bytes, sizeof(bytes), &got, &size);
    if (rc)
        return rc;
    if (size != sizeof(bytes) || got != sizeof(bytes))
        return status_fail(LSM_CORRUPTION, "%s: key '%c': a number of %llu bytes", ns->path,
                           key->data[0], (unsigned long long)size);
    *ret_value = get_fixed64(bytes);
    return 0;
}

int counters_read(struct ns *ns)
{
    struct pathkey key;
    uint64_t value;
    for (unsigned i = 0; i < NS_COUNTER_STRIPES; i++) {
        pathkey_counter(&key, i);
        int rc = ns_number_read(ns, &key, &value);
        if (rc && rc != LSM_NOT_FOUND)
            return rc;
        ns->counters[i].value = rc ? 0 : (int64_t)value;
    }
    return 0;
}
