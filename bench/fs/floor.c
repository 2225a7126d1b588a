// A FUSE server that does nothing: what a round trip through the transport costs, and so the best
// that any file system over it can reach.
//   lsmfs_floor [--no-open] [-o OPTIONS] MOUNTPOINT          options as for lsmfs
//
// It keeps names and attributes in memory, so that programs which make, walk and remove trees work;
// content is nothing but its size, and reads as zeros. Requests come through the daemon's own
// transport, with the same terms: write-back cache, everything cached for ever, READDIRPLUS.
//
// Nodes are found by number in an array and by (parent, name) in a hash table; the children of a
// directory are a list in the order in which they were made, and a node's place in that order is
// the position that READDIR goes on from. A node is not freed: it is needed until it is forgotten,
// and the server lives as long as one run. One mutex guards it all.
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "mount/fuse_api.h"
#include "mount/lsmfs.h"
#include "mount/messages.h"
#include "mount/transport.h"

#define BUCKETS (1u << 20)
#define FOREVER 1e9

struct node {
    struct stat st;
    struct node *parent, *hash_next;
    struct node *first, *last, *prev, *next; // children in order; siblings
    uint64_t order;                          // rising along the list; 0: has no name
    char *name, *target;
};

static struct node **nodes; // by number; 0 is not used
static size_t node_count = 1, node_room, name_count;
static struct node *buckets[BUCKETS];
static uint64_t last_order;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static bool no_open;

// ------------------------------------------------------------------------------------------ nodes

static struct node **bucket_of(const struct node *parent, const char *name)
{
    uint64_t h = parent->st.st_ino * UINT64_C(0x9e3779b97f4a7c15);
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return &buckets[(h >> 20) % BUCKETS];
}

static struct node *node_find(const struct node *parent, const char *name)
{
    struct node *node = *bucket_of(parent, name);
    while (node && (node->parent != parent || strcmp(node->name, name) != 0))
        node = node->hash_next;
    return node;
}

static void *checked(void *memory)
{
    if (!memory)
        abort(); // a measuring aid has nothing better to do
    return memory;
}

static struct node *node_new(mode_t mode)
{
    if (node_count >= node_room) {
        node_room = node_room ? 2 * node_room : 1024;
        nodes = checked(realloc(nodes, node_room * sizeof *nodes));
    }
    struct node *node = checked(calloc(1, sizeof *node));
    node->st.st_ino = node_count;
    node->st.st_mode = mode;
    node->st.st_nlink = S_ISDIR(mode) ? 2 : 1;
    node->st.st_blksize = 4096;
    clock_gettime(CLOCK_REALTIME_COARSE, &node->st.st_mtim);
    node->st.st_atim = node->st.st_ctim = node->st.st_mtim;
    nodes[node_count++] = node;
    return node;
}

static void touch(struct node *dir, int subdirs)
{
    clock_gettime(CLOCK_REALTIME_COARSE, &dir->st.st_mtim);
    dir->st.st_ctim = dir->st.st_mtim;
    dir->st.st_nlink += (nlink_t)subdirs;
}

static void node_link(struct node *parent, const char *name, struct node *node)
{
    struct node **bucket = bucket_of(parent, name);
    node->name = checked(strdup(name));
    node->parent = parent;
    node->hash_next = *bucket;
    *bucket = node;
    node->order = ++last_order;
    node->prev = parent->last;
    node->next = NULL;
    *(parent->last ? &parent->last->next : &parent->first) = node;
    parent->last = node;
    touch(parent, S_ISDIR(node->st.st_mode));
    name_count++;
}

static void node_unlink(struct node *node)
{
    struct node *parent = node->parent, **link = bucket_of(parent, node->name);
    while (*link != node)
        link = &(*link)->hash_next;
    *link = node->hash_next;
    *(node->prev ? &node->prev->next : &parent->first) = node->next;
    *(node->next ? &node->next->prev : &parent->last) = node->prev;
    free(node->name);
    node->name = NULL;
    node->order = 0;
    touch(parent, -(int)S_ISDIR(node->st.st_mode));
    name_count--;
}

static void lock(void)
{
    pthread_mutex_lock(&mutex);
}

static void unlock(void)
{
    pthread_mutex_unlock(&mutex);
}

static void fill(const struct node *node, struct fuse_entry_param *ret_entry)
{
    *ret_entry = (struct fuse_entry_param){.ino = node->st.st_ino,
                                           .attr = node->st,
                                           .attr_timeout = FOREVER,
                                           .entry_timeout = FOREVER};
    ret_entry->attr.st_blocks = (node->st.st_size + 511) / 512;
}

// --------------------------------------------------------------------------------------- handlers

static void serve_init(void *userdata, struct fuse_conn_info *conn)
{
    (void)userdata;
    const unsigned wanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_CACHE_SYMLINKS |
                            FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS |
                            FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO |
                            FUSE_CAP_EXPLICIT_INVAL_DATA;
    conn->want = conn->capable & wanted;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = 1;
}

static void serve_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry = {.entry_timeout = FOREVER};
    lock();
    const struct node *node = node_find(nodes[parent], name);
    if (node)
        fill(node, &entry);
    unlock();
    fuse_reply_entry(req, &entry);
}

static void serve_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
    (void)ino, (void)count;
    fuse_reply_none(req);
}

static void serve_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    (void)count, (void)forgets;
    fuse_reply_none(req);
}

static void serve_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)fi;
    struct fuse_entry_param entry;
    lock();
    fill(nodes[ino], &entry);
    unlock();
    fuse_reply_attr(req, &entry.attr, FOREVER);
}

static void serve_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set,
                          struct fuse_file_info *fi)
{
    (void)fi;
    struct fuse_entry_param entry;
    lock();
    struct stat *own = &nodes[ino]->st;
    if (to_set & FUSE_SET_ATTR_MODE)
        own->st_mode = (own->st_mode & S_IFMT) | (st->st_mode & 07777);
    if (to_set & FUSE_SET_ATTR_UID)
        own->st_uid = st->st_uid;
    if (to_set & FUSE_SET_ATTR_GID)
        own->st_gid = st->st_gid;
    if (to_set & FUSE_SET_ATTR_SIZE)
        own->st_size = st->st_size;
    if (to_set & FUSE_SET_ATTR_ATIME)
        own->st_atim = st->st_atim;
    if (to_set & FUSE_SET_ATTR_MTIME)
        own->st_mtim = st->st_mtim;
    if (to_set & FUSE_SET_ATTR_CTIME)
        own->st_ctim = st->st_ctim;
    fill(nodes[ino], &entry);
    unlock();
    fuse_reply_attr(req, &entry.attr, FOREVER);
}

static bool make(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                 const char *target, struct fuse_entry_param *ret_entry)
{
    lock();
    bool is_new = !node_find(nodes[parent], name);
    if (is_new) {
        struct node *node = node_new(mode);
        node->st.st_uid = fuse_req_ctx(req)->uid;
        node->st.st_gid = fuse_req_ctx(req)->gid;
        if (target) {
            node->target = checked(strdup(target));
            node->st.st_size = (off_t)strlen(target);
        }
        node_link(nodes[parent], name, node);
        fill(node, ret_entry);
    }
    unlock();
    if (!is_new)
        fuse_reply_err(req, EEXIST);
    return is_new;
}

static void serve_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        dev_t rdev)
{
    struct fuse_entry_param entry;
    (void)rdev;
    if (make(req, parent, name, mode, NULL, &entry))
        fuse_reply_entry(req, &entry);
}

static void serve_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    serve_mknod(req, parent, name, mode | S_IFDIR, 0);
}

static void serve_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param entry;
    if (make(req, parent, name, S_IFLNK | 0777, target, &entry))
        fuse_reply_entry(req, &entry);
}

static void serve_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                         struct fuse_file_info *fi)
{
    struct fuse_entry_param entry;
    fi->keep_cache = 1;
    if (no_open)
        fuse_reply_err(req, ENOSYS);
    else if (make(req, parent, name, mode | S_IFREG, NULL, &entry))
        fuse_reply_create(req, &entry, fi);
}

static void op_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    lock();
    struct node *node = node_find(nodes[parent], name);
    int error = !node ? ENOENT : node->first ? ENOTEMPTY : 0;
    if (!error) {
        node->st.st_nlink = 0;
        node_unlink(node);
    }
    unlock();
    fuse_reply_err(req, error);
}

static void serve_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                         const char *new_name, unsigned flags)
{
    lock();
    struct node *node = node_find(nodes[parent], name);
    struct node *over = node_find(nodes[new_parent], new_name);
    int error = flags ? EINVAL : !node ? ENOENT : 0;
    if (!error) {
        if (over)
            node_unlink(over);
        node_unlink(node);
        node_link(nodes[new_parent], new_name, node);
    }
    unlock();
    fuse_reply_err(req, error);
}

static void serve_readlink(fuse_req_t req, fuse_ino_t ino)
{
    lock();
    const char *target = nodes[ino]->target;
    unlock();
    fuse_reply_readlink(req, target);
}

static void serve_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fi->keep_cache = 1;
    if (no_open) {
        fuse_reply_err(req, ENOSYS);
        return;
    }
    if (fi->flags & O_TRUNC) {
        lock();
        nodes[ino]->st.st_size = 0;
        unlock();
    }
    fuse_reply_open(req, fi);
}

static void serve_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if (no_open)
        fuse_reply_err(req, ENOSYS);
    else
        fuse_reply_open(req, fi);
}

static void serve_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

static void serve_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    static const char zeros[1 << 20];
    (void)fi;
    lock();
    off_t left = nodes[ino]->st.st_size - offset;
    unlock();
    if (left < 0)
        left = 0;
    if (size > sizeof zeros)
        size = sizeof zeros;
    fuse_reply_buf(req, zeros, (size_t)left < size ? (size_t)left : size);
}

static void serve_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                        struct fuse_file_info *fi)
{
    (void)data, (void)fi;
    lock();
    struct stat *st = &nodes[ino]->st;
    if (st->st_size < offset + (off_t)size)
        st->st_size = offset + (off_t)size;
    unlock();
    fuse_reply_write(req, size);
}

static void serve_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino, (void)data_only, (void)fi;
    fuse_reply_err(req, 0);
}

// Appends one entry; false: it does not fit.
static bool add_entry(fuse_req_t req, char *data, size_t size, size_t *used, const char *name,
                      const struct node *node, uint64_t order, bool plus)
{
    struct fuse_entry_param entry;
    size_t n;
    fill(node, &entry);
    if (order <= 2)
        entry.ino = 0;
    if (plus)
        n = fuse_add_direntry_plus(req, data + *used, size - *used, name, &entry, (off_t)order);
    else
        n = fuse_add_direntry(req, data + *used, size - *used, name, &entry.attr, (off_t)order);
    if (n > size - *used)
        return false;
    *used += n;
    return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after, bool plus)
{
    char *data = checked(malloc(size));
    size_t used = 0;
    lock();
    const struct node *dir = nodes[ino], *node = dir->first;
    bool room = after >= 1 || add_entry(req, data, size, &used, ".", dir, 1, plus);
    if (room && after < 2)
        room = add_entry(req, data, size, &used, "..", dir->parent ? dir->parent : dir, 2, plus);
    while (node && node->order <= (uint64_t)after)
        node = node->next;
    for (; node && room; node = node->next)
        room = add_entry(req, data, size, &used, node->name, node, node->order, plus);
    unlock();
    fuse_reply_buf(req, data, used);
    free(data);
}

static void serve_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after,
                          struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, after, false);
}

static void serve_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t after,
                              struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, after, true);
}

static void serve_statfs(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    fuse_reply_statfs(req, &(struct statvfs){.f_bsize = 4096,
                                             .f_frsize = 4096,
                                             .f_blocks = 1 << 20,
                                             .f_bfree = 1 << 20,
                                             .f_bavail = 1 << 20,
                                             .f_files = name_count,
                                             .f_namemax = 255});
}

// What is missing here (FLUSH, GETXATTR, ...) libfuse answers with ENOSYS, which the kernel
// remembers.
static const struct fuse_lowlevel_ops ops = {
    .init = serve_init,
    .lookup = serve_lookup,
    .forget = serve_forget,
    .forget_multi = serve_forget_multi,
    .getattr = serve_getattr,
    .setattr = serve_setattr,
    .readlink = serve_readlink,
    .mknod = serve_mknod,
    .mkdir = serve_mkdir,
    .unlink = op_remove,
    .rmdir = op_remove,
    .symlink = serve_symlink,
    .rename = serve_rename,
    .create = serve_create,
    .open = serve_open,
    .read = serve_read,
    .write = serve_write,
    .release = serve_release,
    .fsync = serve_fsync,
    .opendir = serve_opendir,
    .readdir = serve_readdir,
    .readdirplus = serve_readdirplus,
    .releasedir = serve_release,
    .fsyncdir = serve_fsync,
    .statfs = serve_statfs,
};

// ------------------------------------------------------------------------------------------- main

// Serves until the mount is taken away. 0 or a negative errno.
static int serve(struct lsmfs *fs)
{
    struct transport *transport = NULL;
    int rc = transport_new(fs, &transport);
    if (rc == 0)
        rc = transport_handshake(transport);
    if (rc == 0)
        rc = transport_start(transport);
    if (rc == 0)
        rc = transport_join(transport);
    transport_free(transport);
    return rc;
}

// The daemon's options, which name the transport.
static bool parse(int argc, char **argv, struct mount_options *options)
{
    const char *args[] = {"lsmfs_floor", "-o", "rw", "none", NULL, NULL};
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--no-open") == 0)
            no_open = true;
        else if (strcmp(argv[i], "-o") == 0 && i + 1 < argc)
            args[2] = argv[++i];
        else
            args[4] = argv[i];
    return args[4] && options_parse(5, (char **)args, options) == OPTIONS_RUN;
}

int main(int argc, char **argv)
{
    struct lsmfs fs = {0};
    if (!parse(argc, argv, &fs.options)) {
        fprintf(stderr, "usage: lsmfs_floor [--no-open] [-o OPTIONS] MOUNTPOINT\n");
        return 2;
    }
    messages_init(false);
    nodes = checked(calloc(2, sizeof *nodes)); // number 0 is nobody's, 1 the root's
    node_room = 2;
    node_new(S_IFDIR | 0755);
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    fuse_opt_add_arg(&args, "lsmfs_floor");
    fuse_opt_add_arg(&args, "-ofsname=floor,subtype=lsmfs_floor,default_permissions,allow_other");
    fs.session = fuse_session_new(&args, &ops, sizeof ops, &fs);
    if (!fs.session || fuse_session_mount(fs.session, fs.options.mountpoint))
        return 1;
    if (daemon(0, 0)) // the kernel holds requests until INIT is answered
        return 1;
    int rc = serve(&fs);
    fuse_session_destroy(fs.session);
    fuse_opt_free_args(&args);
    options_release(&fs.options);
    return rc != 0;
}
