// What is built on the table of a cluster's functions: a write that is waited for.
//
// Thread-safe as the cluster is.
#include "env_rados/cluster.h"

#include <assert.h>
#include <errno.h>

#include "base/cond.h"

struct one {
    pthread_mutex_t mutex;
    pthread_cond_t done;
    bool is_done;
    int rc;
};

static void one_done(void *arg, int rc)
{
    struct one *one = arg;
    pthread_mutex_lock(&one->mutex);
    assert(!one->is_done && rc <= 0);
    one->is_done = true;
    one->rc = rc;
    pthread_cond_signal(&one->done);
    pthread_mutex_unlock(&one->mutex);
}

int cluster_write(struct cluster *cluster, const struct cluster_write *write)
{
    assert(write->guard_count <= CLUSTER_GUARDS);
    struct one one = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    if (cond_init(&one.done))
        return -ENOMEM;
    cluster->ops->write_begin(cluster, write, one_done, &one);
    pthread_mutex_lock(&one.mutex);
    while (!one.is_done)
        cluster->ops->wait(cluster, &one.done, &one.mutex);
    pthread_mutex_unlock(&one.mutex);
    pthread_cond_destroy(&one.done);
    pthread_mutex_destroy(&one.mutex);
    return one.rc;
}
