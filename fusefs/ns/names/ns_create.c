// Making names: mknod, mkdir, symlink, link; and a file without one, O_TMPFILE.
//
// One batch puts the entry, the parent's record (times, number of entries, link count) and the file
// counter. The new live inode enters the table before the commit, so that nobody can bring a second
// one with an older location to life; nobody knows its number before the commit.
//
// link() moves the record of a file with one name from its entry to 'I' ino. Its old parent is not
// locked: a lookup that read the old entry notices by table.moves.
//
// A file that is made without a name is an orphan from the start: a crash, or its last reference,
// takes it away. Its first link moves the record to 'I' ino.
//
// Thread safety: exclusive locks on the parent and on what is linked; O_TMPFILE takes none.
// Failure: nothing has changed.
#include <assert.h>
#include <errno.h>

#include "ns/attributes/attributes.h"
#include "ns/names/names.h"
#include "ns/operation/places.h"

static int check_absent(struct ns *ns, const struct pathkey *key)
{
    size_t got;
    int rc = lsm_get_range(ns->db, NULL, key->data, key->size, 0, NULL, 0, &got, NULL);
    return rc == LSM_NOT_FOUND ? 0 : rc ? ns_err(rc) : -EEXIST;
}

// The prefix of a new directory: its home, unless that is too long or a directory that moved away
// still uses it.
static int choose_prefix(struct ns *ns, struct slice dir_prefix, struct slice name, uint64_t ino,
                         struct pathkey_prefix *ret_prefix, bool *ret_explicit)
{
    bool marked = false;
    bool fits = pathkey_child_prefix(dir_prefix, name, ret_prefix);
    int rc = fits ? ns_is_marked(ns, pathkey_prefix_slice(ret_prefix), &marked) : 0;
    if (rc)
        return rc;
    *ret_explicit = !fits || marked;
    if (*ret_explicit)
        pathkey_fresh_prefix(ino, ret_prefix);
    return 0;
}

void ns_new_record(struct record *rec, const struct ns_cred *cred, const struct record *dir,
                   struct timespec now)
{
    rec->nlink = S_ISDIR(rec->mode) ? 2 : 1;
    rec->uid = cred->uid;
    rec->gid = cred->gid;
    rec->is_inline = S_ISREG(rec->mode) || S_ISLNK(rec->mode);
    rec->atime = rec->mtime = rec->ctime = rec->btime = now;
    rec->flags = dir->flags & (NS_NODUMP | NS_NOATIME);
    if (dir->mode & S_ISGID) {
        rec->gid = dir->gid;
        if (S_ISDIR(rec->mode))
            rec->mode |= S_ISGID;
    }
}

// The new inode of `rec`, in the table with one reference.
static int make_live(struct ns *ns, struct ns_inode *dir, struct slice name,
                     const struct record *rec, const struct pathkey_prefix *own_prefix,
                     struct ns_inode **ret_inode)
{
    struct inode_init init = {
        .ino = rec->ino,
        .type = record_type(rec),
        .location = AT_ENTRY,
        .dir_prefix = dir->own_prefix,
        .name = name,
        .no_tail = true,
    };
    if (S_ISDIR(rec->mode)) {
        init.parent = dir;
        init.own_prefix = prefix_new(pathkey_prefix_slice(own_prefix), rec->ino);
        if (!init.own_prefix)
            return -ENOMEM;
    }
    struct ns_inode *inode = inode_new(&init);
    prefix_put(init.own_prefix);
    if (!inode)
        return -ENOMEM;
    *ret_inode = inode_insert(&ns->table, inode);
    return 0;
}

// Makes a file. `dir` is locked exclusively; `rec` has the number, the mode and what the type
// needs.
static int create_locked(struct ns *ns, struct op *op, const struct ns_cred *cred,
                         struct ns_inode *dir, struct slice name, struct record *rec,
                         struct ns_inode **ret_inode) REQUIRES(inode_held)
{
    struct pathkey key;
    struct pathkey_prefix own_prefix;
    struct slice dir_prefix = prefix_slice(dir->own_prefix);
    struct record *parent = &op->dir.rec;
    bool is_dir = S_ISDIR(rec->mode), is_explicit = false;
    assert(rec->ino > NS_ROOT_INO && rec->ino < NS_INO_LAST && record_type(rec));
    if (inode_is_unlinked(dir))
        return -ENOENT;
    pathkey_entry(&key, dir_prefix, name);
    int rc = check_absent(ns, &key);
    if (!rc)
        rc = op_load(ns, dir, &op->dir);
    if (!rc && ns_name_is_fixed(parent, NULL))
        rc = -EPERM;
    if (!rc && is_dir)
        rc = choose_prefix(ns, dir_prefix, name, rec->ino, &own_prefix, &is_explicit);
    if (rc)
        return rc;
    struct timespec now = ns_now();
    ns_new_record(rec, cred, parent, now);
    rc = ns_acl_inherit(ns, op, parent, rec, cred->umask);
    if (rc)
        return rc;
    if (is_explicit)
        rec->prefix = pathkey_prefix_slice(&own_prefix);
    ns_touch_parent(parent, now, 1, is_dir);
    struct ns_inode *inode;
    rc = op_store_key(op, &key, rec);
    if (!rc && is_explicit)
        rc = place_add(ns, op, rec->ino, dir_prefix, name);
    if (!rc)
        rc = op_store(op, dir, parent);
    if (!rc)
        rc = make_live(ns, dir, name, rec, &own_prefix, &inode);
    if (rc)
        return rc;
    rc = op_count(ns, op, 1);
    if (!rc)
        rc = op_commit_names(ns, op, dir, dir);
    if (rc) {
        ns_inode_drop(ns, inode);
        return rc;
    }
    *ret_inode = inode;
    return 0;
}

static int create(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
                  size_t name_size, struct record *rec, struct ns_inode **ret_inode,
                  struct ns_attr *ret_attr)
{
    int rc = ns_name_check(name, name_size);
    if (rc)
        return rc;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct ns_inode *inode = NULL;
    struct inode_lock lock;
    rc = ns_ino_new(ns, &rec->ino);
    if (!rc) {
        inode_hold(&ns->table.locks, &lock, dir->ino);
        rc = create_locked(ns, op, cred, dir, slice_of(name, name_size), rec, &inode);
        inode_release(&ns->table.locks, &lock);
    }
    op_end(ns, op);
    if (rc)
        return rc;
    if (ret_attr)
        ns_attr_from(rec, ret_attr);
    *ret_inode = inode;
    return 0;
}

int ns_mknod(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
             size_t name_size, uint32_t mode, uint64_t rdev, struct ns_inode **ret_inode,
             struct ns_attr *ret_attr)
{
    uint32_t type = mode & S_IFMT ? mode & S_IFMT : S_IFREG;
    if (type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
        type != S_IFBLK)
        return type == S_IFDIR ? -EPERM : -EINVAL;
    struct record rec = {.mode = type | (mode & 07777)};
    if (type == S_IFCHR || type == S_IFBLK)
        rec.rdev = rdev;
    return create(ns, cred, dir, name, name_size, &rec, ret_inode, ret_attr);
}

int ns_mkdir(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
             size_t name_size, uint32_t mode, struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    struct record rec = {.mode = S_IFDIR | (mode & 07777)};
    return create(ns, cred, dir, name, name_size, &rec, ret_inode, ret_attr);
}

int ns_symlink(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, const char *name,
               size_t name_size, const char *target, size_t target_size,
               struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    if (target_size == 0)
        return -ENOENT;
    if (target_size > NS_SYMLINK_MAX)
        return -ENAMETOOLONG;
    struct record rec = {
        .mode = S_IFLNK | 0777, .size = target_size, .content = slice_of(target, target_size)};
    return create(ns, cred, dir, name, name_size, &rec, ret_inode, ret_attr);
}

// Makes a file without a name. The directory's record decides on its group and permissions.
static int tmpfile(struct ns *ns, struct op *op, const struct ns_cred *cred, struct ns_inode *dir,
                   struct record *rec, struct ns_inode **ret_inode)
{
    struct pathkey key;
    struct inode_init init = {.ino = rec->ino,
                              .type = S_IFREG,
                              .location = AT_ORPHAN,
                              .is_nameless = true,
                              .no_tail = true};
    int rc = op_peek(ns, dir, &op->dir, NULL);
    if (!rc && op->dir.rec.nlink == 0)
        rc = -ENOENT;
    if (!rc && ns_name_is_fixed(&op->dir.rec, NULL))
        rc = -EPERM;
    if (rc)
        return rc;
    ns_new_record(rec, cred, &op->dir.rec, ns_now());
    rc = ns_acl_inherit(ns, op, &op->dir.rec, rec, cred->umask);
    rec->nlink = 0;
    pathkey_number(&key, KEY_ORPHAN, rec->ino);
    if (!rc)
        rc = op_store_key(op, &key, rec);
    if (rc)
        return rc;
    struct ns_inode *inode = inode_new(&init);
    if (!inode)
        return -ENOMEM;
    *ret_inode = inode_insert(&ns->table, inode);
    rc = op_commit(ns, op);
    if (rc)
        ns_inode_drop(ns, *ret_inode);
    return rc;
}

int ns_tmpfile(struct ns *ns, const struct ns_cred *cred, struct ns_inode *dir, uint32_t mode,
               struct ns_inode **ret_inode, struct ns_attr *ret_attr)
{
    struct record rec = {.mode = S_IFREG | (mode & 07777)};
    struct ns_inode *inode = NULL;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    int rc = ns_ino_new(ns, &rec.ino);
    if (!rc)
        rc = tmpfile(ns, op, cred, dir, &rec, &inode);
    op_end(ns, op);
    if (rc)
        return rc;
    if (ret_attr)
        ns_attr_from(&rec, ret_attr);
    *ret_inode = inode;
    return 0;
}

// Adds to the batch that the record moves to 'I': its entry becomes a link to it, or, if it is an
// orphan, the orphan's key is deleted.
static int link_leave(struct ns *ns, struct op *op, const struct ns_inode *inode)
    REQUIRES(inode_held)
{
    const struct record entry = {.is_link = true, .ino = inode->ino, .mode = inode->type};
    struct pathkey key;
    int rc;
    if (inode->is_nameless) {
        assert(inode_location(inode) == AT_ORPHAN);
        inode_record_key(inode, &key);
        rc = op_delete(op, &key);
        return rc ? rc : op_count(ns, op, 1);
    }
    if (inode_location(inode) != AT_ENTRY)
        return 0;
    rc = op_store(op, inode, &entry);
    return rc ? rc
              : place_add(ns, op, inode->ino, prefix_slice(inode->dir_prefix),
                          slice_of(inode->name->data, inode->name->size));
}

static int link_locked(struct ns *ns, struct op *op, struct ns_inode *inode, struct ns_inode *dir,
                       struct slice name) REQUIRES(inode_held)
{
    struct record *rec = &op->file.rec, *parent = &op->dir.rec;
    enum inode_location location = inode_location(inode);
    if (inode_is_unlinked(dir) || (inode_is_unlinked(inode) && !inode->is_nameless))
        return -ENOENT;
    struct pathkey key, inode_key;
    pathkey_entry(&key, prefix_slice(dir->own_prefix), name);
    pathkey_number(&inode_key, KEY_INODE, inode->ino);
    int rc = check_absent(ns, &key);
    if (!rc)
        rc = op_load(ns, inode, &op->file);
    if (!rc)
        rc = op_load(ns, dir, &op->dir);
    if (!rc && (ns_name_is_fixed(parent, NULL) || rec->flags & (NS_IMMUTABLE | NS_APPEND)))
        rc = -EPERM;
    if (!rc && rec->nlink >= NS_LINK_MAX)
        rc = -EMLINK;
    if (rc)
        return rc;
    op->small_change = true;
    struct timespec now = ns_now();
    struct record entry = {.is_link = true, .ino = inode->ino, .mode = inode->type};
    rec->nlink++;
    rec->ctime = now;
    ns_touch_parent(parent, now, 1, 0);
    rc = op_store_key(op, &inode_key, rec);
    if (!rc)
        rc = op_store_key(op, &key, &entry);
    if (!rc)
        rc = place_add(ns, op, inode->ino, prefix_slice(dir->own_prefix), name);
    if (!rc)
        rc = op_store(op, dir, parent);
    if (!rc)
        rc = link_leave(ns, op, inode);
    if (!rc)
        rc = op_commit_names(ns, op, dir, dir);
    if (rc || location == AT_INODE)
        return rc;
    inode->is_nameless = false;
    inode_set_location(&ns->table, inode, AT_INODE);
    inode_table_moved(&ns->table);
    return 0;
}

int ns_link(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, const char *name,
            size_t name_size, struct ns_attr *ret_attr)
{
    int rc = ns_name_check(name, name_size);
    if (rc)
        return rc;
    if (!inode_is_dir(dir))
        return -ENOTDIR;
    if (inode_is_dir(inode))
        return -EPERM;
    struct op *op = op_begin(ns);
    if (!op)
        return -ENOMEM;
    struct inode_locks locks = {0};
    inode_locks_add(&locks, dir->ino, true);
    inode_locks_add(&locks, inode->ino, true);
    inode_locks_take(&ns->table.locks, &locks);
    rc = link_locked(ns, op, inode, dir, slice_of(name, name_size));
    inode_locks_drop(&ns->table.locks, &locks);
    if (!rc && ret_attr)
        ns_attr_from(&op->file.rec, ret_attr);
    op_end(ns, op);
    return rc;
}
