// A cluster of objects as the store sees it: what of RADOS is used, and no more.
//
// A cluster is one client of one pool, with a namespace of its own for one store. An object has
// bytes, small attributes and a map from keys to values. A write operation changes one object: its
// guard is checked and all its parts are done, or nothing is. Operations of one client on one
// object happen in the order in which they were begun. What is acknowledged is on the disks of all
// replicas.
//
// All calls go through this table, so that tests can put a simulated cluster in its place: one
// whose operations fail, take long, are done twice, or are done without the client learning it.
//
// Results are 0 or a negative errno. What a guard refuses is -ECANCELED. A failure other than
// -ECANCELED, -ENOENT, -EEXIST, -ENOSPC and -EDQUOT says nothing about whether the operation was or
// will be done. Thread-safe.
#ifndef LSM_ENV_RADOS_CLUSTER_H
#define LSM_ENV_RADOS_CLUSTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"

struct cluster;

#define CLUSTER_NAME_MAX  64 // of an object or an attribute, with its end
#define CLUSTER_GUARDS    4
#define CLUSTER_MAP_PAGE  1024 // entries of a map that are read at a time
#define CLUSTER_PLACE_MAX 128

enum cluster_compare {
    CLUSTER_IS,      // the attribute has the value
    CLUSTER_AT_MOST, // the attribute's bytes come before the value, or are equal
};

struct cluster_guard {
    const char *attribute;
    enum cluster_compare compare;
    struct slice value;
};

struct cluster_pair {
    struct slice key; // of an attribute: a string, with a zero byte behind its end
    struct slice value;
};

// One write operation. Parts that are zero are not there. In this order: guards, create, remove,
// truncate, bytes, attributes, map.
struct cluster_write {
    const char *object;
    struct cluster_guard guards[CLUSTER_GUARDS]; // on an object that is not there: -ENOENT
    unsigned guard_count;
    bool create;   // -EEXIST if it is there
    bool remove;   // -ENOENT if it is not
    bool truncate; // to `size`
    bool force;    // also in a full pool: gives space back, or takes next to none
    uint64_t size;
    const struct iovec *pieces; // bytes, from `offset` on
    int piece_count;
    uint64_t offset;
    const struct cluster_pair *attributes;
    size_t attribute_count;
    const struct cluster_pair *set; // entries of the map
    size_t set_count;
    const struct slice *unset; // keys
    size_t unset_count;
};

// Called once, perhaps before write_begin() returns, perhaps by a thread of the cluster's.
typedef void cluster_done_fn(void *arg, int result);
// An attribute, or an entry of a map; both are the callee's only during the call.
typedef void cluster_pair_fn(void *arg, struct slice key, struct slice value);

struct cluster_ops {
    // Everything that `write` points to may change after the call.
    void (*write_begin)(struct cluster *cluster, const struct cluster_write *write,
                        cluster_done_fn *done, void *arg);
    // Reads from `offset` into the pieces, short only at the object's end.
    int (*read)(struct cluster *cluster, const char *object, uint64_t offset,
                const struct iovec *pieces, int count, size_t *ret_size);
    int (*size)(struct cluster *cluster, const char *object, uint64_t *ret_size);
    // All attributes, as of one moment.
    int (*attributes)(struct cluster *cluster, const char *object, cluster_pair_fn *fn, void *arg);
    // Up to CLUSTER_MAP_PAGE entries whose keys come after `after`, in order.
    int (*map)(struct cluster *cluster, const char *object, struct slice after, cluster_pair_fn *fn,
               void *arg, bool *ret_more);
    // The entry of the map with this key, if there is one.
    int (*get)(struct cluster *cluster, const char *object, struct slice key, cluster_pair_fn *fn,
               void *arg);
    // Bytes that can be written still, and that with what the pool holds. May be some seconds old.
    int (*space)(struct cluster *cluster, uint64_t *ret_free, uint64_t *ret_total);
    // This client as the cluster knows it; and to keep another such client from any operation from
    // now on: whatever this client sees afterwards, that one will not change.
    const char *(*address)(struct cluster *cluster);
    int (*block)(struct cluster *cluster, const char *address);
    // "HOST BOOT NAMESPACE PID START": the process, so that others on its machine can look whether
    // it is there; and whether the process with such a place is known to be gone.
    void (*place)(struct cluster *cluster, char place[CLUSTER_PLACE_MAX]);
    bool (*is_gone)(struct cluster *cluster, const char *place);
    void (*nonce)(struct cluster *cluster, char nonce[17]); // 16 random hex digits
    // A clock, microseconds, that nobody sets; to wait; and to wait for a call of a done function,
    // as pthread_cond_timedwait does: 0, perhaps for no reason, or ETIMEDOUT.
    uint64_t (*now_us)(struct cluster *cluster);
    void (*sleep_us)(struct cluster *cluster, uint64_t us);
    void (*wait)(struct cluster *cluster, pthread_cond_t *cond, pthread_mutex_t *mutex);
    void (*close)(struct cluster *cluster);
};

struct cluster {
    const struct cluster_ops *ops;
};

// How a base env finds its clusters. -ENOENT: no such pool; *ret_text (static or of the thread)
// explains a failure in words.
typedef int cluster_open_fn(void *arg, const char *pool, const char *name,
                            struct cluster **ret_cluster, const char **ret_text);

// One write operation, waited for.
int cluster_write(struct cluster *cluster, const struct cluster_write *write);

// Over librados, which is looked for when it is needed first. In a build without it, or where it is
// not installed, the text says so.
int cluster_open_librados(void *arg, const char *pool, const char *name,
                          struct cluster **ret_cluster, const char **ret_text);
// The cluster's own name, 36 characters. 0 or a negative errno with a text.
int cluster_fsid_librados(char fsid[37], const char **ret_text);

#endif
