// Which listings the kernel is not to keep. See relist.h.
//
// The word: how many different files were used since a listing began (two in a row are told apart
// by the low bits of their numbers), how many listings are still to be forgotten, and how many it
// were the last time.
#include "mount/relist.h"

#include <assert.h>

#include "mount/flusher.h"

#define USED_ENOUGH 3u // files
#define LISTS_MOST  16u

struct state {
    uint8_t used, last, left, step;
};

static struct state unpack(uint32_t word)
{
    return (struct state){(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                          (uint8_t)(word >> 24)};
}

static uint32_t pack(struct state s)
{
    return (uint32_t)s.used | (uint32_t)s.last << 8 | (uint32_t)s.left << 16 |
           (uint32_t)s.step << 24;
}

struct use {
    uint64_t ino; // of the file
    bool is_read;
};

// `arg`: a struct use.
static uint32_t used(void *arg, uint32_t before)
{
    const struct use *use = arg;
    struct state s = unpack(before);
    uint8_t last = (uint8_t)use->ino;
    if (s.used >= USED_ENOUGH) { // known by now
        s.used = USED_ENOUGH + 1;
        return pack(s);
    }
    if (s.used && s.last == last)
        return before;
    s.used++;
    s.last = last;
    // relist_used() sees it this once. What is read is made stale by that, and whoever asks after
    // reading tells nothing new: then one listing brings all, and the next one may be kept.
    if (s.used == USED_ENOUGH && !use->is_read) {
        s.step = s.step == 0 ? 2 : s.step < LISTS_MOST ? (uint8_t)(2 * s.step) : s.step;
        s.left = s.step;
        assert(s.step >= 2 && s.step <= LISTS_MOST);
    }
    assert(s.used <= USED_ENOUGH);
    return pack(s);
}

static uint32_t begins(void *arg, uint32_t before)
{
    (void)arg;
    struct state s = unpack(before);
    s.used = 0;
    if (s.left)
        s.left--;
    return pack(s);
}

static uint32_t same(void *arg, uint32_t before)
{
    (void)arg;
    return before;
}

void relist_used(struct lsmfs *fs, struct ns_inode *file, bool is_read)
{
    struct use use = {ns_inode_ino(file), is_read};
    uint64_t dir_ino;
    if (!fs->no_opendir || !S_ISREG(ns_inode_type(file)))
        return;
    struct state s = unpack(ns_dir_word(fs->ns, file, used, &use, &dir_ino));
    if (s.used != USED_ENOUGH)
        return;
    struct ns_inode *dir = ns_inode_find(fs->ns, dir_ino);
    if (dir) {
        flusher_forget_listing(fs->flusher, dir);
        ns_inode_put(fs->ns, dir, 1);
    }
}

void relist_begins(struct lsmfs *fs, struct ns_inode *dir)
{
    uint64_t ino;
    if (fs->no_opendir)
        ns_dir_word(fs->ns, dir, begins, NULL, &ino);
}

void relist_ends(struct lsmfs *fs, struct ns_inode *dir)
{
    uint64_t ino;
    if (fs->no_opendir && unpack(ns_dir_word(fs->ns, dir, same, NULL, &ino)).left)
        flusher_forget_listing(fs->flusher, dir);
}
