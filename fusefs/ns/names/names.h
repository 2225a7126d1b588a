// What the files of this room share: looking up, making and losing names.
#ifndef NS_NAMES_H
#define NS_NAMES_H

#include "ns/operation/ns_internal.h"

// ---- looking up (ns_lookup.c)

// The live inode of the file whose entry is (dir, name); it becomes live if it is not. `rec` is the
// entry's record, read under the inode's exclusive lock, which is held. *ret_inode has one
// reference more, the caller's. 0 or a negative errno.
int ns_make_live(struct ns *ns, struct ns_inode *dir, struct slice name, const struct record *rec,
                 bool at_inode_key, struct ns_inode **ret_inode) REQUIRES(inode_held);

// The inode that is `name` in `dir`, and its attributes. *ret_inode has one reference more, the
// caller's. No lock needed. -ENOENT or another negative errno.
int ns_lookup_name(struct ns *ns, struct ns_inode *dir, struct slice name,
                   struct ns_inode **ret_inode, struct ns_attr *ret_attr);

// The same for a name that a scan has found, whose entry is `rec` (its time of access is brought up
// to date). The scan saw the store as of some moment after `moves` was read from table.moves; dir
// was not unlinked then. A name that has gone since may be found, or be -ENOENT.
int ns_lookup_scanned(struct ns *ns, struct ns_inode *dir, struct slice name, struct record *rec,
                      uint64_t moves, struct ns_inode **ret_inode, struct ns_attr *ret_attr);

// Where a lookup puts the beginning of a file's content if it has read it anyway: short content is
// in the record.
struct lookup_content {
    void *data;
    size_t size; // room
    size_t got;
    bool found; // a regular file was found, and `got` is set
};

// Finds the file, no directory, at the key (dir_prefix, name). When `moves` was table.moves the
// caller knew that this is the key of what it looks for. -ESTALE: a directory is there, or that is
// not sure any more. `head` may be NULL.
int ns_lookup_key(struct ns *ns, struct prefix *dir_prefix, struct slice name, uint64_t moves,
                  struct ns_inode **ret_inode, struct ns_attr *ret_attr,
                  struct lookup_content *head);

// The prefix of the directory that `rec` is the record of, found under `name` in the directory
// that owns `dir_prefix`. Points into rec or into space.
int ns_prefix_of(const struct record *rec, struct slice dir_prefix, struct slice name,
                 struct pathkey_prefix *space, struct slice *ret_prefix);

// ---- making (ns_create.c)

// Fills in what a new file in `dir` gets; mode, number and what its type needs are there already.
void ns_new_record(struct record *rec, const struct ns_cred *cred, const struct record *dir,
                   struct timespec now);

// ---- a tree that another process changes (ns_lookup.c)

// Notes that a live inode's record was found at the entry (or, with is_link, that the entry is one
// of its names), in the live directory `dir` if that is known. With `moves`, that of the table
// before the entry was read: -EAGAIN if something has moved since. 0 or -ENOMEM.
int ns_found_at(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, struct slice prefix,
                struct slice name, bool is_link, const uint64_t *moves);

// ---- losing a name (ns_remove.c)

// What becomes of an inode that loses a name: prepared into the batch, finished after the commit.
struct removal {
    uint64_t ino;
    struct ns_inode *live; // a reference; may be NULL if other names are left
    // The record it keeps in memory if nothing of the file stays in the store.
    struct inode_ghost *ghost;
    bool unlinked;  // its last name goes
    bool orphaned;  // space is left to be reclaimed
    bool data_gone; // content was deleted
    bool is_marked; // a directory whose marker goes
    struct pathkey_prefix prefix;
};
// Adds to the batch all that goes with the last name, or the lower link count. `rec` is the full
// record (changed here); from_inode_key: it is at 'I'. The entry key and the parent are the
// caller's. `dir`, `name`: where it is. Exclusive lock held. removal_release in any case.
int removal_prepare(struct ns *ns, struct op *op, struct record *rec, bool from_inode_key,
                    struct ns_inode *dir, struct slice name, struct timespec now,
                    struct removal *ret_removal) REQUIRES(inode_held);
void removal_finish(struct ns *ns, struct removal *removal)
    REQUIRES(inode_held);                                          // after the commit, locks held
void removal_cancel(struct removal *removal) REQUIRES(inode_held); // instead, if there was none
void removal_release(struct ns *ns, struct removal *removal);      // after the locks were dropped

#endif
