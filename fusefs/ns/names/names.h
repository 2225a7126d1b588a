// What the files of this room share: looking up, making and losing names.
#ifndef NS_NAMES_H
#define NS_NAMES_H

#include "ns/operation/ns_internal.h"

// ---- looking up (ns_lookup.c)

// Finds the live inode of the file whose entry is (dir, name), or makes it live. `rec` is the
// entry's record, which was read under the inode's exclusive lock; the caller holds it. *ret_inode:
// with a reference for the caller. 0 or a negative errno.
int ns_make_live(struct ns *ns, struct ns_inode *dir, struct slice name, const struct record *rec,
                 bool at_inode_key, struct ns_inode **ret_inode) REQUIRES(inode_held);

// Finds the inode of `name` in `dir`, and its attributes. *ret_inode: with a reference for the
// caller. No lock needed. 0, -ENOENT or another negative errno.
int ns_lookup_name(struct ns *ns, struct ns_inode *dir, struct slice name,
                   struct ns_inode **ret_inode, struct ns_attr *ret_attr);

// The same for a name that a scan has found with the record `rec`, whose time of access is brought
// up to date. `moves` was read from table.moves before the scan began, and `dir` was not unlinked
// after that. A name that was removed since then may still be found, or be -ENOENT.
int ns_lookup_scanned(struct ns *ns, struct ns_inode *dir, struct slice name, struct record *rec,
                      uint64_t moves, struct ns_inode **ret_inode, struct ns_attr *ret_attr);

// Space for the beginning of a file's content, which a lookup has read anyway if it is short: then
// it is in the record.
struct lookup_content {
    void *data;
    size_t size; // room
    size_t got;
    bool found; // a regular file was found, and `got` is set
};

// Finds the file (not a directory) whose entry has the key (dir_prefix, name). The caller knew that
// this is the right key at a moment when table.moves was `moves`. -ESTALE: the key leads to a
// directory, or something has moved since, so that the key may be wrong. `head` may be NULL.
int ns_lookup_key(struct ns *ns, struct prefix *dir_prefix, struct slice name, uint64_t moves,
                  struct ns_inode **ret_inode, struct ns_attr *ret_attr,
                  struct lookup_content *head);

// Finds the prefix of a directory. `rec` is its record, `name` its name in the directory that owns
// `dir_prefix`. *ret_prefix points into `rec` or into `space`.
int ns_prefix_of(const struct record *rec, struct slice dir_prefix, struct slice name,
                 struct pathkey_prefix *space, struct slice *ret_prefix);

// ---- making (ns_create.c)

// Fills in owner, times and what else a new file in `dir` gets. The caller has set the mode, the
// number and what the type of file needs.
void ns_new_record(struct record *rec, const struct ns_cred *cred, const struct record *dir,
                   struct timespec now);

// ---- a tree that another process changes (ns_lookup.c)

// Notes that a live inode's record is at the entry (prefix, name) or, with is_link, that this is
// one of its names and the record is at 'I'. `dir`: the live directory that owns the prefix; NULL
// if that is not known. `moves` (may be NULL): table.moves before the entry was read; -EAGAIN:
// something has moved since. 0 or another negative errno.
int ns_found_at(struct ns *ns, struct ns_inode *inode, struct ns_inode *dir, struct slice prefix,
                struct slice name, bool is_link, const uint64_t *moves);

// ---- losing a name (ns_remove.c)

// What happens to an inode that loses a name. It is prepared in the batch, and finished in memory
// after the commit.
struct removal {
    uint64_t ino;
    struct ns_inode *live; // a reference; may be NULL if other names are left
    // The inode's record, kept in memory if nothing of the file stays in the store.
    struct inode_ghost *ghost;
    bool unlinked;  // its last name goes
    bool orphaned;  // space is left to be reclaimed
    bool data_gone; // content was deleted
    bool is_marked; // a directory whose marker goes
    struct pathkey_prefix prefix;
};
// Adds to the batch what is deleted together with the last name or, if other names are left, the
// record with a lower link count. The caller itself deletes the entry and changes the parent.
// `rec`: the file's full record, which is changed; from_inode_key: it is at 'I'. `dir`, `name`: the
// entry. The caller holds the exclusive lock, and calls removal_release() in any case.
int removal_prepare(struct ns *ns, struct op *op, struct record *rec, bool from_inode_key,
                    struct ns_inode *dir, struct slice name, struct timespec now,
                    struct removal *ret_removal) REQUIRES(inode_held);
void removal_finish(struct ns *ns, struct removal *removal)
    REQUIRES(inode_held);                                          // after the commit, locks held
void removal_cancel(struct removal *removal) REQUIRES(inode_held); // instead, if there was none
void removal_release(struct ns *ns, struct removal *removal);      // after the locks were dropped

#endif
