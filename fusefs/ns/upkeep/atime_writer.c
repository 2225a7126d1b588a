// The thread that writes times of access to the store. See atimes.c.
//
// Locks: of each inode its lock, exclusively. Failure: the time stays in memory.
#include "ns/upkeep/atime_writer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "ns/operation/ns_internal.h"

struct atime_writer {
    struct ns *ns;
    struct atimes *atimes;
    pthread_t thread;
};

static int write_locked(struct ns *ns, struct op *op, struct ns_inode *inode, int64_t mark)
    REQUIRES(inode_held)
{
    assert(mark);
    if (inode_is_unlinked(inode))
        return -ENOENT;
    assert(!inode->ghost);
    struct pathkey key;
    struct record *rec = &op->file.rec;
    inode_record_key(inode, &key);
    int rc = op_load_key(ns, &key, &op->file);
    if (rc)
        return rc;
    struct timespec stored = rec->atime;
    atimes_apply(inode, rec);
    if (stored.tv_sec != rec->atime.tv_sec || stored.tv_nsec != rec->atime.tv_nsec) {
        rc = op_store_key(op, &key, rec);
        if (!rc)
            rc = op_commit(ns, op);
    }
    if (!rc)
        atimes_passed(inode, mark);
    return rc;
}

static void write_one(struct ns *ns, struct ns_inode *inode)
{
    struct op *op = op_begin(ns);
    if (!op)
        return;
    struct inode_lock lock;
    inode_hold(&ns->table.locks, &lock, inode->ino);
    int64_t mark = atimes_mark(inode);
    if (mark)
        (void)write_locked(ns, op, inode, mark); // on failure the time stays in memory
    inode_release(&ns->table.locks, &lock);
    op_end(ns, op);
}

static void *writer_thread(void *arg)
{
    struct atime_writer *writer = arg;
    for (struct ns_inode *list; (list = atimes_take(writer->atimes));) {
        while (list) {
            struct ns_inode *inode = list;
            list = atimes_next(inode);
            write_one(writer->ns, inode);
            ns_inode_put(writer->ns, inode, 1);
        }
    }
    return NULL;
}

int atime_writer_start(struct ns *ns, struct atime_writer **ret_writer)
{
    struct atime_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        return -ENOMEM;
    writer->ns = ns;
    writer->atimes = ns->atimes;
    int error = pthread_create(&writer->thread, NULL, writer_thread, writer);
    if (error) {
        free(writer);
        return -error;
    }
    pthread_setname_np(writer->thread, "lsmfs-atimes");
    *ret_writer = writer;
    return 0;
}

void atime_writer_stop(struct atime_writer *writer)
{
    if (!writer)
        return;
    atimes_stop(writer->atimes);
    pthread_join(writer->thread, NULL);
    free(writer);
}
