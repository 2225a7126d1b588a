// See the header.
//
// Thread safety: the cluster's mutex around all; done functions are called without it. With a
// schedule only one thread runs at a time anyway.
#include "disk/fake_cluster.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/fake_objects.h"
#include "disk/fake_schedule.h"

#define ADDRESS_MAX sizeof((struct fake_write *)0)->address
#define CLIENTS_MAX 64 // that were shut out

struct fake_cluster {
    pthread_mutex_t mutex;
    struct fake_objects objects;
    uint64_t random, now_us;
    unsigned processes, clients;
    bool full, no_blocking;
    unsigned trouble;
    char blocked[CLIENTS_MAX][ADDRESS_MAX];
    unsigned blocked_count;
    struct fake_schedule *schedule;
};

struct fake_process {
    struct fake_cluster *cluster;
    unsigned number;
    _Atomic bool dead;
    uint64_t writes, kill_at, fail_at; // the cluster's mutex, as the rest
    int fail_error;
    bool fail_done;
};

struct fake_client {
    struct cluster base;
    struct fake_process *process;
    char address[ADDRESS_MAX], pool_name[300];
};

static struct fake_client *of(struct cluster *cluster)
{
    return (struct fake_client *)cluster;
}

static struct fake_cluster *cluster_of(struct cluster *cluster)
{
    return of(cluster)->process->cluster;
}

static void lock(struct fake_cluster *cluster)
{
    pthread_mutex_lock(&cluster->mutex);
}

static void unlock(struct fake_cluster *cluster)
{
    pthread_mutex_unlock(&cluster->mutex);
}

static uint64_t random_below(struct fake_cluster *cluster, uint64_t below)
{
    cluster->random =
        cluster->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (cluster->random >> 33) % below;
}

uint64_t fake_random(struct fake_cluster *cluster, uint64_t below)
{
    lock(cluster);
    uint64_t n = random_below(cluster, below);
    unlock(cluster);
    return n;
}

uint64_t fake_now_us(struct fake_cluster *cluster)
{
    lock(cluster);
    uint64_t now = cluster->now_us;
    unlock(cluster);
    return now;
}

void fake_advance_us(struct fake_cluster *cluster, uint64_t us)
{
    lock(cluster);
    cluster->now_us += us;
    unlock(cluster);
}

// ---------------------------------------------------------------------------------------- writing

static void *copy_of(const void *data, size_t size)
{
    void *copy = malloc(size + 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    ((char *)copy)[size] = 0;
    return copy;
}

static struct slice copy_slice(struct slice slice)
{
    return slice_of(copy_of(slice.data, slice.size), slice.size);
}

static struct cluster_pair *copy_pairs(const struct cluster_pair *pairs, size_t count)
{
    struct cluster_pair *copy = calloc(count + 1, sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = (struct cluster_pair){copy_slice(pairs[i].key), copy_slice(pairs[i].value)};
    return copy;
}

static struct fake_write *write_copy(struct fake_client *client, const struct cluster_write *from)
{
    struct fake_write *write = calloc(1, sizeof *write);
    struct iovec *pieces = calloc((size_t)from->piece_count + 1, sizeof *pieces);
    struct slice *unset = calloc(from->unset_count + 1, sizeof *unset);
    if (!write || !pieces || !unset)
        abort();
    memcpy(write->address, client->address, sizeof write->address);
    write->process = client->process;
    write->write = *from;
    write->write.object = copy_of(from->object, strlen(from->object));
    for (unsigned i = 0; i < from->guard_count; i++)
        write->write.guards[i].value = copy_slice(from->guards[i].value);
    for (int i = 0; i < from->piece_count; i++)
        pieces[i] = (struct iovec){copy_of(from->pieces[i].iov_base, from->pieces[i].iov_len),
                                   from->pieces[i].iov_len};
    for (size_t i = 0; i < from->unset_count; i++)
        unset[i] = copy_slice(from->unset[i]);
    write->write.pieces = pieces;
    write->write.unset = unset;
    write->write.attributes = copy_pairs(from->attributes, from->attribute_count);
    write->write.set = copy_pairs(from->set, from->set_count);
    return write;
}

static void free_pairs(const struct cluster_pair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free((void *)pairs[i].key.data);
        free((void *)pairs[i].value.data);
    }
    free((void *)pairs);
}

void fake_write_free(struct fake_write *write)
{
    struct cluster_write *w = &write->write;
    free((void *)w->object);
    for (unsigned i = 0; i < w->guard_count; i++)
        free((void *)w->guards[i].value.data);
    for (int i = 0; i < w->piece_count; i++)
        free(w->pieces[i].iov_base);
    for (size_t i = 0; i < w->unset_count; i++)
        free((void *)w->unset[i].data);
    free((void *)w->pieces);
    free((void *)w->unset);
    free_pairs(w->attributes, w->attribute_count);
    free_pairs(w->set, w->set_count);
    free(write);
}

static bool is_blocked(const struct fake_cluster *cluster, const char *address)
{
    for (unsigned i = 0; i < cluster->blocked_count; i++)
        if (strcmp(cluster->blocked[i], address) == 0)
            return true;
    return false;
}

// The mutex is held. Trouble: it is done twice, and one of the results is reported; or it is done
// and reported as lost; or it is lost.
static int apply(struct fake_cluster *cluster, const char *address,
                 const struct cluster_write *write)
{
    if (is_blocked(cluster, address))
        return -ESHUTDOWN;
    if (cluster->full && !write->force)
        return -ENOSPC;
    bool trouble = cluster->trouble && random_below(cluster, cluster->trouble) == 0;
    uint64_t kind = trouble ? random_below(cluster, 8) : 8;
    if (kind == 0)
        return -ETIMEDOUT;
    int result = objects_apply(&cluster->objects, write);
    if (kind == 1)
        return -ETIMEDOUT;
    if (kind < 8) {
        int second = objects_apply(&cluster->objects, write);
        result = kind & 1 ? second : result;
    }
    return result;
}

void fake_write_apply(struct fake_write *write)
{
    struct fake_cluster *cluster = write->process->cluster;
    lock(cluster);
    write->result = apply(cluster, write->address, &write->write);
    write->applied = true;
    unlock(cluster);
}

// Counts a write of the process and says what becomes of it. True: it is not begun.
static bool meets_fate(struct fake_process *process, struct fake_client *client,
                       const struct cluster_write *write, int *ret_result)
{
    struct fake_cluster *cluster = process->cluster;
    uint64_t n = ++process->writes;
    if (atomic_load(&process->dead)) {
        *ret_result = -ESHUTDOWN;
        return true;
    }
    if (process->kill_at && n >= process->kill_at) {
        if (random_below(cluster, 2))
            (void)apply(cluster, client->address, write);
        atomic_store(&process->dead, true);
        *ret_result = -ESHUTDOWN;
        return true;
    }
    if (process->fail_at && n == process->fail_at) {
        if (process->fail_done)
            (void)apply(cluster, client->address, write);
        *ret_result = process->fail_error;
        return true;
    }
    return false;
}

static void fake_write_begin(struct cluster *base, const struct cluster_write *write,
                             cluster_done_fn *done, void *arg)
{
    struct fake_client *client = of(base);
    struct fake_cluster *cluster = cluster_of(base);
    int result = 0;
    lock(cluster);
    bool ended = meets_fate(client->process, client, write, &result);
    if (!ended && !cluster->schedule) {
        result = apply(cluster, client->address, write);
        ended = true;
    }
    unlock(cluster);
    if (ended) {
        done(arg, result);
        return;
    }
    struct fake_write *copy = write_copy(client, write);
    copy->done = done;
    copy->arg = arg;
    schedule_add_write(cluster->schedule, copy);
}

// ---------------------------------------------------------------------------------------- reading

// Before each read; without the mutex.
static int enter(struct cluster *base)
{
    struct fake_cluster *cluster = cluster_of(base);
    if (cluster->schedule && !atomic_load(&of(base)->process->dead))
        schedule_pass(cluster->schedule);
    lock(cluster);
    if (atomic_load(&of(base)->process->dead) || is_blocked(cluster, of(base)->address))
        return -ESHUTDOWN;
    return 0;
}

static int fake_read(struct cluster *base, const char *name, uint64_t offset,
                     const struct iovec *pieces, int count, size_t *ret_size)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    const struct fake_object *object = objects_find(&cluster->objects, name);
    if (!rc && !object)
        rc = -ENOENT;
    size_t done = 0;
    for (int i = 0; i < count && !rc; i++) {
        size_t n = pieces[i].iov_len, at = (size_t)offset + done;
        size_t left = at < object->bytes.size ? object->bytes.size - at : 0;
        if (left)
            memcpy(pieces[i].iov_base, object->bytes.data + at, n < left ? n : left);
        done += n < left ? n : left;
        if (n > left)
            break;
    }
    unlock(cluster);
    if (!rc)
        *ret_size = done;
    return rc;
}

static int fake_size(struct cluster *base, const char *name, uint64_t *ret_size)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    const struct fake_object *object = objects_find(&cluster->objects, name);
    if (!rc && !object)
        rc = -ENOENT;
    if (!rc)
        *ret_size = object->bytes.size;
    unlock(cluster);
    return rc;
}

static int fake_attributes(struct cluster *base, const char *name, cluster_pair_fn *fn, void *arg)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    const struct fake_object *object = objects_find(&cluster->objects, name);
    if (!rc && !object)
        rc = -ENOENT;
    for (struct fake_entry *e = rc ? NULL : object->attributes; e; e = e->next)
        fn(arg, buf_slice(&e->key), buf_slice(&e->value));
    unlock(cluster);
    return rc;
}

// Pages of 16, so that listings have several.
static int fake_map(struct cluster *base, const char *name, struct slice after, cluster_pair_fn *fn,
                    void *arg, bool *ret_more)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    const struct fake_object *object = objects_find(&cluster->objects, name);
    if (!rc && !object)
        rc = -ENOENT;
    unsigned page = 16;
    struct buf from = {0};
    if (buf_append(&from, after.data, after.size))
        abort();
    struct fake_entry *e = rc ? NULL : object->map;
    for (; e && page; e = e->next) {
        if (slice_compare(buf_slice(&e->key), buf_slice(&from)) <= 0)
            continue;
        fn(arg, buf_slice(&e->key), buf_slice(&e->value));
        page--;
    }
    unlock(cluster);
    buf_release(&from);
    if (!rc)
        *ret_more = e != NULL;
    return rc;
}

static int fake_get(struct cluster *base, const char *name, struct slice key, cluster_pair_fn *fn,
                    void *arg)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    const struct fake_object *object = objects_find(&cluster->objects, name);
    if (!rc && !object)
        rc = -ENOENT;
    for (struct fake_entry *e = rc ? NULL : object->map; e; e = e->next)
        if (slice_equal(buf_slice(&e->key), key))
            fn(arg, buf_slice(&e->key), buf_slice(&e->value));
    unlock(cluster);
    return rc;
}

static int fake_space(struct cluster *base, uint64_t *ret_free, uint64_t *ret_total)
{
    struct fake_cluster *cluster = cluster_of(base);
    lock(cluster);
    *ret_free = cluster->full ? 0 : UINT64_C(1) << 40;
    *ret_total = UINT64_C(1) << 41;
    unlock(cluster);
    return 0;
}

// ---------------------------------------------------------------------------------------- clients

static const char *fake_address(struct cluster *base)
{
    return of(base)->address;
}

static int fake_block(struct cluster *base, const char *address)
{
    struct fake_cluster *cluster = cluster_of(base);
    int rc = enter(base);
    if (!rc && cluster->no_blocking)
        rc = -EPERM;
    if (!rc && cluster->blocked_count < CLIENTS_MAX)
        snprintf(cluster->blocked[cluster->blocked_count++], ADDRESS_MAX, "%s", address);
    unlock(cluster);
    return rc;
}

static void fake_place(struct cluster *base, char place[CLUSTER_PLACE_MAX])
{
    snprintf(place, CLUSTER_PLACE_MAX, "simulated boot 1 %u 1", of(base)->process->number);
}

// Every process is on a machine of its own.
static bool fake_is_gone(struct cluster *base, const char *place)
{
    (void)base;
    (void)place;
    return false;
}

static void fake_nonce(struct cluster *base, char nonce[17])
{
    struct fake_cluster *cluster = cluster_of(base);
    lock(cluster);
    snprintf(nonce, 17, "%016llx", (unsigned long long)random_below(cluster, UINT64_MAX));
    unlock(cluster);
}

static uint64_t fake_client_now(struct cluster *base)
{
    return fake_now_us(cluster_of(base));
}

static void fake_sleep(struct cluster *base, uint64_t us)
{
    struct fake_cluster *cluster = cluster_of(base);
    if (cluster->schedule && !atomic_load(&of(base)->process->dead))
        schedule_sleep(cluster->schedule, us);
    else
        fake_advance_us(cluster, us);
}

static void fake_wait(struct cluster *base, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    struct fake_cluster *cluster = cluster_of(base);
    if (!cluster->schedule) {
        pthread_cond_wait(cond, mutex);
        return;
    }
    pthread_mutex_unlock(mutex);
    schedule_wait(cluster->schedule, of(base)->process);
    pthread_mutex_lock(mutex);
}

static void fake_close(struct cluster *base)
{
    free(of(base));
}

static const struct cluster_ops fake_ops = {
    .write_begin = fake_write_begin,
    .read = fake_read,
    .size = fake_size,
    .attributes = fake_attributes,
    .map = fake_map,
    .get = fake_get,
    .space = fake_space,
    .address = fake_address,
    .block = fake_block,
    .place = fake_place,
    .is_gone = fake_is_gone,
    .nonce = fake_nonce,
    .now_us = fake_client_now,
    .sleep_us = fake_sleep,
    .wait = fake_wait,
    .close = fake_close,
};

int fake_process_open(void *arg, const char *pool, const char *name, struct cluster **ret_cluster,
                      const char **ret_text)
{
    struct fake_process *process = arg;
    struct fake_client *client = calloc(1, sizeof *client);
    (void)pool;
    (void)name;
    (void)ret_text;
    if (!client)
        return -ENOMEM;
    client->base.ops = &fake_ops;
    client->process = process;
    lock(process->cluster);
    snprintf(client->address, sizeof client->address, "client.%u", ++process->cluster->clients);
    unlock(process->cluster);
    *ret_cluster = &client->base;
    return 0;
}

// --------------------------------------------------------------------------------------- the test

struct fake_cluster *fake_cluster_new(uint64_t seed)
{
    struct fake_cluster *cluster = calloc(1, sizeof *cluster);
    if (!cluster)
        abort();
    pthread_mutex_init(&cluster->mutex, NULL);
    cluster->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    cluster->now_us = 1;
    return cluster;
}

void fake_cluster_free(struct fake_cluster *cluster)
{
    objects_free(&cluster->objects);
    pthread_mutex_destroy(&cluster->mutex);
    free(cluster);
}

struct fake_process *fake_process_new(struct fake_cluster *cluster)
{
    struct fake_process *process = calloc(1, sizeof *process);
    if (!process)
        abort();
    process->cluster = cluster;
    process->number = ++cluster->processes;
    return process;
}

void fake_process_free(struct fake_process *process)
{
    free(process);
}

void fake_process_kill(struct fake_process *process)
{
    atomic_store(&process->dead, true);
}

void fake_process_kill_at(struct fake_process *process, uint64_t write)
{
    lock(process->cluster);
    process->kill_at = write ? process->writes + write : 0;
    unlock(process->cluster);
}

void fake_process_fail_at(struct fake_process *process, uint64_t write, int error, bool done)
{
    lock(process->cluster);
    process->fail_at = write ? process->writes + write : 0;
    process->fail_error = error;
    process->fail_done = done;
    unlock(process->cluster);
}

uint64_t fake_process_writes(const struct fake_process *process)
{
    return process->writes;
}

bool fake_process_is_dead(const struct fake_process *process)
{
    return atomic_load(&process->dead);
}

void fake_cluster_fill(struct fake_cluster *cluster, bool full)
{
    lock(cluster);
    cluster->full = full;
    unlock(cluster);
}

void fake_cluster_forbid_blocking(struct fake_cluster *cluster)
{
    cluster->no_blocking = true;
}

size_t fake_cluster_objects(struct fake_cluster *cluster)
{
    return cluster->objects.count;
}

struct fake_object *fake_cluster_find(struct fake_cluster *cluster, const char *name)
{
    return objects_find(&cluster->objects, name);
}

void fake_cluster_trouble(struct fake_cluster *cluster, unsigned one_in)
{
    cluster->trouble = one_in;
}

void fake_cluster_use(struct fake_cluster *cluster, struct fake_schedule *schedule)
{
    cluster->schedule = schedule;
}
