// The cluster over librados (Ceph).
//
// The library is opened when a store in a cluster is named first: whoever has none needs neither
// the library nor the 30 MB that it takes. Each cluster handle is a client of its own with an
// address of its own, so that blocking one never hits another.
//
// A full pool refuses writes instead of holding them up; what gives space back is marked and done
// all the same. librados repeats by itself what got lost on the way, and the object daemons know a
// repeated operation. So without a time limit in ceph.conf an operation fails only if the cluster
// has refused it.
//
// Monitors that do not answer hold nobody up who asks for free space: the last figures are told.
//
// Thread safety: librados's. The figures about space have a mutex.
#include "env_rados/cluster.h"

#include <assert.h>
#include <errno.h>

#ifdef LSMFS_RADOS
#include <ctype.h>
#include <dlfcn.h>
#include <rados/librados.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock_check.h"

#define LIBRARY        "librados.so.2"
#define CONNECT_S      "30"
#define SPACE_AGE_US   3000000u
#define MONITOR_S      "2" // until a monitor's answer is waited for no more
#define BLOCK_S        (30u * 86400u)
#define ADDRESS_MAX    256
#define COMMAND_MAX    256
#define NAMESPACE_HEAD "lsmfs/"

// The functions of the library that are used.
#define FUNCTIONS(F)                                                                               \
    F(create)                                                                                      \
    F(conf_read_file)                                                                              \
    F(conf_parse_env)                                                                              \
    F(conf_set)                                                                                    \
    F(connect)                                                                                     \
    F(shutdown)                                                                                    \
    F(cluster_fsid)                                                                                \
    F(ioctx_create)                                                                                \
    F(ioctx_destroy)                                                                               \
    F(ioctx_set_namespace)                                                                         \
    F(set_pool_full_try)                                                                           \
    F(getaddrs)                                                                                    \
    F(mon_command)                                                                                 \
    F(buffer_free)                                                                                 \
    F(wait_for_latest_osdmap)                                                                      \
    F(stat)                                                                                        \
    F(getxattrs)                                                                                   \
    F(getxattrs_next)                                                                              \
    F(getxattrs_end)                                                                               \
    F(create_read_op)                                                                              \
    F(release_read_op)                                                                             \
    F(read_op_read)                                                                                \
    F(read_op_omap_get_vals2)                                                                      \
    F(read_op_omap_get_vals_by_keys2)                                                              \
    F(read_op_operate)                                                                             \
    F(omap_get_next2)                                                                              \
    F(omap_get_end)                                                                                \
    F(create_write_op)                                                                             \
    F(release_write_op)                                                                            \
    F(write_op_cmpxattr)                                                                           \
    F(write_op_create)                                                                             \
    F(write_op_remove)                                                                             \
    F(write_op_truncate)                                                                           \
    F(write_op_write)                                                                              \
    F(write_op_setxattr)                                                                           \
    F(write_op_omap_set2)                                                                          \
    F(write_op_omap_rm_keys2)                                                                      \
    F(aio_write_op_operate)                                                                        \
    F(aio_create_completion2)                                                                      \
    F(aio_get_return_value)                                                                        \
    F(aio_release)

static struct {
#define DECLARE(name) __typeof__(&rados_##name) name;
    FUNCTIONS(DECLARE)
#undef DECLARE
} lib;

static const char *const function_names[] = {
#define NAME(name) "rados_" #name,
    FUNCTIONS(NAME)
#undef NAME
};

static_assert(sizeof lib == sizeof function_names / sizeof *function_names * sizeof(void *),
              "lib_load() fills the functions in by their places");

static pthread_once_t lib_once = PTHREAD_ONCE_INIT;
static char lib_text[512]; // why there is no library; "" if there is

extern struct lock_role librados_space_mutex; // a leaf

struct librados {
    struct cluster base;
    rados_t rados;
    rados_ioctx_t io;
    char pool[128], address[ADDRESS_MAX];
    pthread_mutex_t mutex;
    // As of space_us; 0: never asked.
    uint64_t space_us GUARDED_BY(librados_space_mutex);
    uint64_t space_free GUARDED_BY(librados_space_mutex);
    uint64_t space_total GUARDED_BY(librados_space_mutex);
};

LOCK_FUNCTIONS(space, struct librados, mutex, librados_space_mutex)

static void lib_load(void)
{
    void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        snprintf(lib_text, sizeof lib_text, "stores in a Ceph cluster need librados: %s",
                 dlerror());
        return;
    }
    void **functions = (void **)&lib;
    for (size_t i = 0; i < sizeof function_names / sizeof *function_names; i++) {
        functions[i] = dlsym(handle, function_names[i]);
        if (!functions[i]) {
            snprintf(lib_text, sizeof lib_text, LIBRARY " has no %s: it is too old",
                     function_names[i]);
            return;
        }
    }
}

static struct librados *of(struct cluster *cluster)
{
    return (struct librados *)cluster;
}

// ------------------------------------------------------------------------------------ writing

struct pending {
    cluster_done_fn *done;
    void *arg;
    rados_completion_t completion;
    rados_write_op_t op;
};

static size_t pieces_size(const struct iovec *pieces, int count)
{
    size_t size = 0;
    for (int i = 0; i < count; i++)
        size += pieces[i].iov_len;
    return size;
}

static void write_ended(rados_completion_t completion, void *arg)
{
    struct pending pending = *(struct pending *)arg;
    free(arg);
    int rc = lib.aio_get_return_value(completion);
    lib.release_write_op(pending.op);
    lib.aio_release(completion);
    pending.done(pending.arg, rc < 0 ? rc : 0);
}

static void add_guards(rados_write_op_t op, const struct cluster_write *write)
{
    assert(write->guard_count <= CLUSTER_GUARDS);
    for (unsigned i = 0; i < write->guard_count; i++) {
        const struct cluster_guard *guard = &write->guards[i];
        // The cluster compares what is given with what is there.
        uint8_t how =
            guard->compare == CLUSTER_IS ? LIBRADOS_CMPXATTR_OP_EQ : LIBRADOS_CMPXATTR_OP_GTE;
        lib.write_op_cmpxattr(op, guard->attribute, how, (const char *)guard->value.data,
                              guard->value.size);
    }
}

// As one range, whatever pieces it comes in: the daemons work off each range of an operation by
// itself, and a blob has two pieces for each of its pages. False: no memory.
static bool add_bytes(rados_write_op_t op, const struct cluster_write *write)
{
    size_t size = pieces_size(write->pieces, write->piece_count), at = 0;
    if (!size)
        return true;
    if (write->piece_count == 1) {
        lib.write_op_write(op, write->pieces[0].iov_base, size, write->offset);
        return true;
    }
    char *bytes = malloc(size);
    for (int i = 0; bytes && i < write->piece_count; i++) {
        if (write->pieces[i].iov_len)
            memcpy(bytes + at, write->pieces[i].iov_base, write->pieces[i].iov_len);
        at += write->pieces[i].iov_len;
    }
    if (bytes)
        lib.write_op_write(op, bytes, size, write->offset); // copies them
    free(bytes);
    return bytes;
}

// The entries of the map in the arrays that the library wants. False: no memory.
static bool add_map(rados_write_op_t op, const struct cluster_write *write)
{
    size_t most = write->set_count > write->unset_count ? write->set_count : write->unset_count;
    if (!most)
        return true;
    const char **texts = calloc(most * 2, sizeof *texts);
    size_t *sizes = calloc(most * 2, sizeof *sizes);
    bool ok = texts && sizes;
    for (size_t i = 0; ok && i < write->unset_count; i++) {
        texts[i] = (const char *)write->unset[i].data;
        sizes[i] = write->unset[i].size;
    }
    if (ok && write->unset_count)
        lib.write_op_omap_rm_keys2(op, texts, sizes, write->unset_count);
    for (size_t i = 0; ok && i < write->set_count; i++) {
        texts[i] = (const char *)write->set[i].key.data;
        sizes[i] = write->set[i].key.size;
        texts[most + i] = (const char *)write->set[i].value.data;
        sizes[most + i] = write->set[i].value.size;
    }
    if (ok && write->set_count)
        lib.write_op_omap_set2(op, texts, texts + most, sizes, sizes + most, write->set_count);
    free(texts);
    free(sizes);
    return ok;
}

static bool add_parts(rados_write_op_t op, const struct cluster_write *write)
{
    add_guards(op, write);
    if (write->create)
        lib.write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
    if (write->remove)
        lib.write_op_remove(op);
    if (write->truncate)
        lib.write_op_truncate(op, write->size);
    bool ok = add_bytes(op, write);
    for (size_t i = 0; i < write->attribute_count; i++)
        lib.write_op_setxattr(op, (const char *)write->attributes[i].key.data,
                              (const char *)write->attributes[i].value.data,
                              write->attributes[i].value.size);
    return add_map(op, write) && ok;
}

static void librados_write_begin(struct cluster *cluster, const struct cluster_write *write,
                                 cluster_done_fn *done, void *arg)
{
    struct pending *pending = malloc(sizeof *pending);
    rados_write_op_t op = pending ? lib.create_write_op() : NULL;
    int rc = op && add_parts(op, write) ? 0 : -ENOMEM;
    if (!rc) {
        *pending = (struct pending){.done = done, .arg = arg, .op = op};
        rc = lib.aio_create_completion2(pending, write_ended, &pending->completion);
    }
    if (!rc) {
        rados_completion_t completion = pending->completion; // `pending` may go at any moment
        int flags = write->force ? LIBRADOS_OPERATION_FULL_TRY | LIBRADOS_OPERATION_FULL_FORCE
                                 : LIBRADOS_OPERATION_FULL_TRY;
        rc = lib.aio_write_op_operate(op, of(cluster)->io, completion, write->object, NULL, flags);
        if (!rc)
            return;
        lib.aio_release(completion);
    }
    if (op)
        lib.release_write_op(op);
    free(pending);
    done(arg, rc);
}

// ------------------------------------------------------------------------------------ reading

// One range, as one operation: the daemons work off each range of an operation by itself.
static int read_range(struct librados *rados, const char *object, uint64_t offset, size_t size,
                      char *data, size_t *ret_size)
{
    size_t got = 0;
    int read_rc = 0;
    rados_read_op_t op = lib.create_read_op();
    if (!op)
        return -ENOMEM;
    lib.read_op_read(op, offset, size, data, &got, &read_rc);
    int rc = lib.read_op_operate(op, rados->io, object, 0);
    lib.release_read_op(op);
    rc = rc < 0 ? rc : read_rc < 0 ? read_rc : 0;
    if (!rc)
        *ret_size = got;
    return rc;
}

static int librados_read(struct cluster *cluster, const char *object, uint64_t offset,
                         const struct iovec *pieces, int count, size_t *ret_size)
{
    size_t size = pieces_size(pieces, count), got = 0, at = 0;
    if (count == 1)
        return read_range(of(cluster), object, offset, size, pieces->iov_base, ret_size);
    char *data = malloc(size ? size : 1);
    if (!data)
        return -ENOMEM;
    int rc = read_range(of(cluster), object, offset, size, data, &got);
    for (int i = 0; i < count && at < got && !rc; i++) {
        size_t n = pieces[i].iov_len < got - at ? pieces[i].iov_len : got - at;
        if (n)
            memcpy(pieces[i].iov_base, data + at, n);
        at += n;
    }
    free(data);
    if (!rc)
        *ret_size = got;
    return rc;
}

static int librados_size(struct cluster *cluster, const char *object, uint64_t *ret_size)
{
    time_t changed;
    return lib.stat(of(cluster)->io, object, ret_size, &changed);
}

static int librados_attributes(struct cluster *cluster, const char *object, cluster_pair_fn *fn,
                               void *arg)
{
    rados_xattrs_iter_t iter;
    const char *name, *value;
    size_t size;
    int rc = lib.getxattrs(of(cluster)->io, object, &iter);
    if (rc < 0)
        return rc;
    while ((rc = lib.getxattrs_next(iter, &name, &value, &size)) == 0 && name)
        fn(arg, slice_str(name), slice_of(value, size));
    lib.getxattrs_end(iter);
    return rc;
}

// Passes on the entries that were read, unless `rc` says that it failed.
static int end_entries(rados_omap_iter_t iter, int rc, cluster_pair_fn *fn, void *arg)
{
    while (!rc) {
        char *key, *value;
        size_t key_size, value_size;
        rc = lib.omap_get_next2(iter, &key, &value, &key_size, &value_size);
        if (rc || !key)
            break;
        fn(arg, slice_of(key, key_size), slice_of(value, value_size));
    }
    if (iter)
        lib.omap_get_end(iter);
    return rc;
}

static int librados_map(struct cluster *cluster, const char *object, struct slice after,
                        cluster_pair_fn *fn, void *arg, bool *ret_more)
{
    rados_omap_iter_t iter = NULL;
    unsigned char more = 0;
    int map_rc = 0;
    char *start = strndup(after.size ? (const char *)after.data : "", after.size);
    rados_read_op_t op = start ? lib.create_read_op() : NULL;
    if (!op) {
        free(start);
        return -ENOMEM;
    }
    lib.read_op_omap_get_vals2(op, start, NULL, CLUSTER_MAP_PAGE, &iter, &more, &map_rc);
    int rc = lib.read_op_operate(op, of(cluster)->io, object, 0);
    lib.release_read_op(op);
    free(start);
    rc = end_entries(iter, rc < 0 ? rc : map_rc < 0 ? map_rc : 0, fn, arg);
    if (!rc)
        *ret_more = more;
    return rc;
}

static int librados_get(struct cluster *cluster, const char *object, struct slice key,
                        cluster_pair_fn *fn, void *arg)
{
    rados_omap_iter_t iter = NULL;
    int map_rc = 0;
    const char *const keys[] = {(const char *)key.data};
    rados_read_op_t op = lib.create_read_op();
    if (!op)
        return -ENOMEM;
    lib.read_op_omap_get_vals_by_keys2(op, keys, 1, &key.size, &iter, &map_rc);
    int rc = lib.read_op_operate(op, of(cluster)->io, object, 0);
    lib.release_read_op(op);
    rc = rc < 0 ? rc : map_rc < 0 ? map_rc : 0;
    return end_entries(iter, rc, fn, arg);
}

// ------------------------------------------------------------------------------- the monitors

// The answer, to be freed by the caller with free().
static int command(struct librados *rados, const char *text, char **ret_answer)
{
    char *out = NULL, *status = NULL;
    size_t out_size = 0, status_size = 0;
    const char *commands[] = {text};
    int rc =
        lib.mon_command(rados->rados, commands, 1, "", 0, &out, &out_size, &status, &status_size);
    if (rc >= 0 && ret_answer) {
        *ret_answer = strndup(out ? out : "", out_size);
        rc = *ret_answer ? 0 : -ENOMEM;
    }
    if (out)
        lib.buffer_free(out);
    if (status)
        lib.buffer_free(status);
    return rc < 0 ? rc : 0;
}

// The number behind "name": after `from`.
static bool number_after(const char *from, const char *name, uint64_t *ret_number)
{
    char label[64];
    snprintf(label, sizeof label, "\"%s\":", name);
    const char *found = from ? strstr(from, label) : NULL;
    if (!found || !isdigit((unsigned char)found[strlen(label)]))
        return false;
    *ret_number = strtoull(found + strlen(label), NULL, 10);
    return true;
}

// What the pool has room for, and no more than its quota allows.
static int ask_space(struct librados *rados, uint64_t *ret_free, uint64_t *ret_total)
{
    char text[COMMAND_MAX], *answer;
    uint64_t stored, free_bytes, quota = 0;
    int rc = command(rados, "{\"prefix\":\"df\",\"format\":\"json\"}", &answer);
    if (rc)
        return rc;
    snprintf(text, sizeof text, "\"name\":\"%s\"", rados->pool);
    const char *pool = strstr(answer, text);
    bool ok = number_after(pool, "stored", &stored) && number_after(pool, "max_avail", &free_bytes);
    free(answer);
    if (!ok)
        return -EPROTO;
    snprintf(text, sizeof text,
             "{\"prefix\":\"osd pool get-quota\",\"pool\":\"%s\",\"format\":\"json\"}",
             rados->pool);
    if (command(rados, text, &answer) == 0) {
        (void)number_after(answer, "quota_max_bytes", &quota);
        free(answer);
    }
    if (quota && quota < stored + free_bytes)
        free_bytes = quota > stored ? quota - stored : 0;
    *ret_free = free_bytes;
    *ret_total = stored + free_bytes;
    return 0;
}

static int librados_space(struct cluster *cluster, uint64_t *ret_free, uint64_t *ret_total)
{
    struct librados *rados = of(cluster);
    int rc = 0;
    space_lock(rados);
    uint64_t now = clock_us();
    if (!rados->space_us || now - rados->space_us > SPACE_AGE_US) {
        rc = ask_space(rados, &rados->space_free, &rados->space_total);
        if (rc && rados->space_us)
            rc = 0; // as they were
        if (!rc)
            rados->space_us = clock_us();
    }
    if (!rc) {
        *ret_free = rados->space_free;
        *ret_total = rados->space_total;
    }
    space_unlock(rados);
    return rc;
}

static const char *librados_address(struct cluster *cluster)
{
    return of(cluster)->address;
}

static int librados_block(struct cluster *cluster, const char *address)
{
    char text[COMMAND_MAX + ADDRESS_MAX];
    struct librados *rados = of(cluster);
    for (const char *p = address; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < ' ')
            return -EINVAL;
    snprintf(text, sizeof text,
             "{\"prefix\":\"osd blocklist\",\"blocklistop\":\"add\",\"addr\":\"%s\","
             "\"expire\":%u.0}",
             address, BLOCK_S);
    int rc;
    do
        rc = command(rados, text, NULL);
    while (rc == -ETIMEDOUT);
    return rc ? rc : lib.wait_for_latest_osdmap(rados->rados);
}

// -------------------------------------------------------------------------------- the machine

static void read_line(const char *path, char *line, size_t size)
{
    FILE *f = fopen(path, "re");
    if (!f || !fgets(line, (int)size, f))
        snprintf(line, size, "?");
    line[strcspn(line, "\n")] = 0;
    if (f)
        fclose(f);
}

// When process `pid` was started, in ticks since the machine was; 0: there is no such process.
static unsigned long long started(long pid)
{
    char path[64], line[1024];
    unsigned long long ticks = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_line(path, line, sizeof line);
    const char *behind = strrchr(line, ')'); // the name before it may hold anything
    if (!behind || sscanf(behind + 1,
                          " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                          "%*d %*d %llu",
                          &ticks) != 1)
        return 0;
    return ticks;
}

static void machine(char boot[40], unsigned long *ret_namespace)
{
    struct stat st;
    read_line("/proc/sys/kernel/random/boot_id", boot, 40);
    *ret_namespace = stat("/proc/self/ns/pid", &st) ? 0 : (unsigned long)st.st_ino;
}

static void librados_place(struct cluster *cluster, char place[CLUSTER_PLACE_MAX])
{
    char host[32] = "?", boot[40];
    unsigned long namespace;
    (void)cluster;
    (void)gethostname(host, sizeof host - 1);
    host[sizeof host - 1] = 0;
    for (char *p = host; *p; p++)
        if (isspace((unsigned char)*p))
            *p = '_';
    machine(boot, &namespace);
    snprintf(place, CLUSTER_PLACE_MAX, "%s %s %lu %ld %llu", host, boot, namespace, (long)getpid(),
             started(getpid()));
}

static bool librados_is_gone(struct cluster *cluster, const char *place)
{
    char boot[40], there[40];
    unsigned long namespace, its_namespace;
    long pid;
    unsigned long long ticks;
    (void)cluster;
    machine(boot, &namespace);
    if (sscanf(place, "%*s %39s %lu %ld %llu", there, &its_namespace, &pid, &ticks) != 4)
        return false;
    return strcmp(boot, there) == 0 && boot[0] != '?' && namespace == its_namespace && namespace &&
           started(pid) != ticks;
}

static void librados_nonce(struct cluster *cluster, char nonce[17])
{
    uint64_t random;
    (void)cluster;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = clock_us() ^ (uint64_t)getpid() << 40; // it has to differ, not to be secret
    snprintf(nonce, 17, "%016llx", (unsigned long long)random);
}

static uint64_t librados_now_us(struct cluster *cluster)
{
    (void)cluster;
    return clock_us();
}

static void librados_sleep_us(struct cluster *cluster, uint64_t us)
{
    struct timespec time = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    (void)cluster;
    while (nanosleep(&time, &time) && errno == EINTR)
        ;
}

static void librados_wait(struct cluster *cluster, pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    (void)cluster;
    pthread_cond_wait(cond, mutex);
}

static void librados_close(struct cluster *cluster)
{
    struct librados *rados = of(cluster);
    if (rados->io)
        lib.ioctx_destroy(rados->io);
    lib.shutdown(rados->rados);
    pthread_mutex_destroy(&rados->mutex);
    free(rados);
}

static const struct cluster_ops librados_ops = {
    .write_begin = librados_write_begin,
    .read = librados_read,
    .size = librados_size,
    .attributes = librados_attributes,
    .map = librados_map,
    .get = librados_get,
    .space = librados_space,
    .address = librados_address,
    .block = librados_block,
    .place = librados_place,
    .is_gone = librados_is_gone,
    .nonce = librados_nonce,
    .now_us = librados_now_us,
    .sleep_us = librados_sleep_us,
    .wait = librados_wait,
    .close = librados_close,
};

// ------------------------------------------------------------------------------------ opening

// A connected client. CEPH_CONF and CEPH_ARGS say which cluster and which user, as to all programs
// of Ceph; else /etc/ceph/ceph.conf and client.admin do.
static int connect_client(rados_t *ret_rados, const char **ret_text)
{
    rados_t rados;
    pthread_once(&lib_once, lib_load);
    if (*lib_text) {
        *ret_text = lib_text;
        return -ENOSYS;
    }
    int rc = lib.create(&rados, NULL);
    if (rc < 0) {
        *ret_text = "the client of the cluster could not be made";
        return rc;
    }
    rc = lib.conf_read_file(rados, NULL);
    *ret_text = "its configuration could not be read (/etc/ceph/ceph.conf, or CEPH_CONF)";
    if (rc >= 0)
        rc = lib.conf_parse_env(rados, NULL);
    if (rc >= 0) {
        *ret_text = "the cluster could not be reached";
        (void)lib.conf_set(rados, "client_mount_timeout", CONNECT_S);
        rc = lib.connect(rados);
    }
    if (rc < 0) {
        lib.shutdown(rados);
        return rc;
    }
    *ret_rados = rados;
    return 0;
}

static void read_address(struct librados *rados)
{
    char *address = NULL;
    if (lib.getaddrs(rados->rados, &address) < 0 || !address)
        return;
    snprintf(rados->address, sizeof rados->address, "%s", address);
    free(address);
}

int cluster_open_librados(void *arg, const char *pool, const char *name,
                          struct cluster **ret_cluster, const char **ret_text)
{
    char namespace[512];
    rados_t handle;
    (void)arg;
    int rc = connect_client(&handle, ret_text);
    if (rc)
        return rc;
    struct librados *rados = calloc(1, sizeof *rados);
    if (!rados) {
        lib.shutdown(handle);
        return -ENOMEM;
    }
    rados->base.ops = &librados_ops;
    rados->rados = handle;
    pthread_mutex_init(&rados->mutex, NULL);
    snprintf(rados->pool, sizeof rados->pool, "%s", pool);
    snprintf(namespace, sizeof namespace, NAMESPACE_HEAD "%s", name);
    rc = lib.ioctx_create(handle, pool, &rados->io);
    if (rc < 0) {
        *ret_text = rc == -ENOENT ? "the cluster has no such pool" : "the pool could not be opened";
        librados_close(&rados->base);
        return rc;
    }
    lib.ioctx_set_namespace(rados->io, namespace);
    lib.set_pool_full_try(rados->io);
    read_address(rados);
    // Only now: opening has a limit of its own (CONNECT_S).
    (void)lib.conf_set(handle, "rados_mon_op_timeout", MONITOR_S);
    *ret_cluster = &rados->base;
    return 0;
}

int cluster_fsid_librados(char fsid[37], const char **ret_text)
{
    rados_t rados;
    int rc = connect_client(&rados, ret_text);
    if (rc)
        return rc;
    rc = lib.wait_for_latest_osdmap(rados); // before that the name may not be known
    if (rc >= 0)
        rc = lib.cluster_fsid(rados, fsid, 37);
    lib.shutdown(rados);
    return rc < 0 ? rc : 0;
}

#else

static const char missing[] =
    "this lsmfs was built without librados (-DLSMFS_RADOS, package librados-dev)";

int cluster_open_librados(void *arg, const char *pool, const char *name,
                          struct cluster **ret_cluster, const char **ret_text)
{
    (void)arg;
    (void)pool;
    (void)name;
    (void)ret_cluster;
    *ret_text = missing;
    return -ENOSYS;
}

int cluster_fsid_librados(char fsid[37], const char **ret_text)
{
    (void)fsid;
    *ret_text = missing;
    return -ENOSYS;
}

#endif
