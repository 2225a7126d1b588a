// The index: the store's names and files, as one object's map, with a copy of it in memory.
//
// Keys and values of the map (numbers are 16 hex digits in keys):
//   f NUMBER   a file: its size and stripes, or that it is being written
//   n NAME     a name: the number of its file, or that it is a directory
//   r NUMBER   objects to be removed: the file has lost its last name
//   s NONCE    a reader (lease.c)
// One write operation makes each change, whatever it consists of, and only under the epoch of this
// store. The copy is changed after that. So the copy is what the index holds, as long as nobody
// else is the writer; and if somebody is, no change succeeds.
//
// Thread safety: see remote.h.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "base/hash.h"
#include "env_rados/remote.h"

#define RECORD_VERSION 1
#define FILE_SIZE      20 // version and flags, high, size, checksum
#define NAME_SIZE      16 // version and kind, number, checksum
#define FLAG_WRITING   1
#define KIND_FILE      0
#define KIND_DIRECTORY 1
#define NAME_MAX_BYTES 255
#define CHANGE_PARTS   4
#define BUCKETS_MIN    64
#define SEE_TRIES      10
#define HIGH_SPARE     (STRIPES_AT_ONE * 2) // of a file that loses its name while it is written

struct change_part {
    uint8_t key[NAME_MAX_BYTES + 2];
    uint8_t value[FILE_SIZE];
};

struct index_change {
    struct change_part parts[2 * CHANGE_PARTS];
    struct cluster_pair set[CHANGE_PARTS];
    struct slice unset[CHANGE_PARTS];
    size_t part_count, set_count, unset_count;
};

// ------------------------------------------------------------------------------------- tables

static struct hash_node *hash_table_first(const struct hash_table *table, uint64_t hash)
{
    struct hash_node *node = table->size ? table->buckets[hash % table->size] : NULL;
    while (node && node->hash != hash)
        node = node->next;
    return node;
}

static struct hash_node *hash_table_next(struct hash_node *node)
{
    uint64_t hash = node->hash;
    do
        node = node->next;
    while (node && node->hash != hash);
    return node;
}

static int hash_table_grow(struct hash_table *table)
{
    size_t size = table->size ? table->size * 2 : BUCKETS_MIN;
    if (table->count < table->size)
        return 0;
    struct hash_node **buckets = calloc(size, sizeof *buckets);
    if (!buckets)
        return status_no_memory(size * sizeof *buckets);
    for (size_t i = 0; i < table->size; i++) {
        for (struct hash_node *node = table->buckets[i], *next; node; node = next) {
            next = node->next;
            node->next = buckets[node->hash % size];
            buckets[node->hash % size] = node;
        }
    }
    free(table->buckets);
    table->buckets = buckets;
    table->size = size;
    return 0;
}

// After hash_table_grow().
static void hash_table_add(struct hash_table *table, struct hash_node *node, uint64_t hash)
{
    node->hash = hash;
    node->next = table->buckets[hash % table->size];
    table->buckets[hash % table->size] = node;
    table->count++;
}

static void hash_table_take(struct hash_table *table, struct hash_node *node)
{
    assert(table->count > 0);
    struct hash_node **link = &table->buckets[node->hash % table->size];
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    table->count--;
}

static uint64_t text_hash(const char *text)
{
    return hash64(text, strlen(text));
}

static uint64_t number_hash(uint64_t number)
{
    return hash64(&number, sizeof number);
}

struct index_name *index_find(struct remote *store, const char *text)
{
    struct hash_node *node = hash_table_first(&store->names, text_hash(text));
    while (node && strcmp(((struct index_name *)node)->text, text) != 0)
        node = hash_table_next(node);
    return (struct index_name *)node;
}

static struct remote_file *find_file(struct remote *store, uint64_t number)
{
    struct hash_node *node = hash_table_first(&store->files, number_hash(number));
    while (node && ((struct remote_file *)node)->number != number)
        node = hash_table_next(node);
    return (struct remote_file *)node;
}

// Nobody else has the file.
static void file_free(struct remote_file *file) NOT_CHECKED
{
    if (!file)
        return;
    free(file->made);
    free(file);
}

static struct index_name *name_new(const char *text, struct remote_file *file)
{
    size_t size = strlen(text) + 1;
    struct index_name *name = calloc(1, sizeof *name + size);
    if (!name)
        return NULL;
    name->file = file;
    memcpy(name->text, text, size);
    return name;
}

// ------------------------------------------------------------------------------------- records

static void encode_file(uint8_t value[FILE_SIZE], uint64_t size, uint32_t high, bool writing)
{
    uint8_t *p = put_fixed32(value, RECORD_VERSION | (writing ? FLAG_WRITING << 8 : 0));
    p = put_fixed32(p, high);
    p = put_fixed64(p, size);
    put_fixed32(p, crc32_of(value, FILE_SIZE - 4));
}

static void encode_name(uint8_t value[NAME_SIZE], uint64_t number, uint32_t kind)
{
    uint8_t *p = put_fixed32(value, RECORD_VERSION | kind << 8);
    p = put_fixed64(p, number);
    put_fixed32(p, crc32_of(value, NAME_SIZE - 4));
}

static int decode_head(const struct remote *store, struct slice value, size_t size, uint32_t *ret)
{
    if (value.size != size || crc32_of(value.data, size - 4) != get_fixed32(value.data + size - 4))
        return status_fail(LSM_CORRUPTION, "%s: the index: a record is damaged", store->path);
    uint32_t head = get_fixed32(value.data);
    if ((head & 0xff) != RECORD_VERSION || head >> 16)
        return status_fail(LSM_NEWER_FORMAT, "%s: the index: a record of version %u", store->path,
                           head & 0xff);
    *ret = head >> 8;
    return 0;
}

static const char *number_text(uint64_t number, char text[17])
{
    snprintf(text, 17, "%016" PRIx64, number);
    return text;
}

static bool decode_number(struct slice key, uint64_t *ret_number)
{
    char text[17], *end;
    if (key.size != 17)
        return false;
    memcpy(text, key.data + 1, 16);
    text[16] = 0;
    *ret_number = strtoull(text, &end, 16);
    return *end == 0;
}

// ------------------------------------------------------------------------------------- loading

struct load {
    struct remote *store;
    struct buf last; // key
    int rc;
};

// The file that a pair is about, and the pair's flags.
static int decode_file(struct remote *store, struct slice key, struct slice value,
                       uint64_t *ret_number, uint32_t *ret_flags)
{
    int rc = decode_head(store, value, FILE_SIZE, ret_flags);
    if (!rc && !decode_number(key, ret_number))
        rc = status_fail(LSM_CORRUPTION, "%s: the index: a damaged key", store->path);
    return rc;
}

static int load_file(struct remote *store, struct slice key, struct slice value)
{
    uint64_t number = 0;
    uint32_t flags;
    int rc = decode_file(store, key, value, &number, &flags);
    if (!rc)
        rc = hash_table_grow(&store->files);
    struct remote_file *file = rc ? NULL : calloc(1, sizeof *file);
    if (!file)
        return rc ? rc : status_no_memory(sizeof *file);
    file->number = number;
    file->high = file->loaded = get_fixed32(value.data + 4);
    atomic_init(&file->size, get_fixed64(value.data + 8));
    file->writing = flags & FLAG_WRITING;
    hash_table_add(&store->files, &file->node, number_hash(number));
    return 0;
}

// Who reads the index without the writer's lease may meet a name whose file it has not read,
// because a writer made both meanwhile: the name is left out. A writer reads the index while nobody
// changes it: there such a name is damage.
static int load_name(struct remote *store, struct slice key, struct slice value)
    REQUIRES(remote_mutex)
{
    char text[NAME_MAX_BYTES + 1];
    uint32_t kind;
    int rc = decode_head(store, value, NAME_SIZE, &kind);
    if (rc || key.size < 2 || key.size > NAME_MAX_BYTES + 1)
        return rc ? rc : status_fail(LSM_CORRUPTION, "%s: the index: a damaged key", store->path);
    memcpy(text, key.data + 1, key.size - 1);
    text[key.size - 1] = 0;
    struct remote_file *file = find_file(store, get_fixed64(value.data + 4));
    if (kind == KIND_FILE && !file)
        return store->holds
                   ? status_fail(LSM_CORRUPTION, "%s: the index: %s has no file", store->path, text)
                   : 0;
    rc = hash_table_grow(&store->names);
    struct index_name *name = rc ? NULL : name_new(text, kind == KIND_FILE ? file : NULL);
    if (!name)
        return rc ? rc : status_no_memory(sizeof *name);
    if (name->file)
        name->file->links++;
    hash_table_add(&store->names, &name->node, text_hash(text));
    return 0;
}

static int add_removal(struct remote *store, uint64_t number, uint32_t high)
{
    struct trash *trash = calloc(1, sizeof *trash);
    if (!trash)
        return status_no_memory(sizeof *trash);
    *trash = (struct trash){.next = store->trash, .number = number, .high = high};
    store->trash = trash;
    return 0;
}

static int load_removal(struct remote *store, struct slice key, struct slice value)
{
    uint64_t number = 0;
    uint32_t flags;
    int rc = decode_file(store, key, value, &number, &flags);
    return rc ? rc : add_removal(store, number, get_fixed32(value.data + 4));
}

static void load_pair(void *arg, struct slice key, struct slice value)
{
    struct load *load = arg;
    if (load->rc || !key.size)
        return;
    remote_lock(load->store);
    if (key.data[0] == 'f')
        load->rc = load_file(load->store, key, value);
    else if (key.data[0] == 'n')
        load->rc = load_name(load->store, key, value);
    else if (key.data[0] == 'r')
        load->rc = load_removal(load->store, key, value);
    remote_unlock(load->store);
    if (!load->rc)
        load->rc = buf_assign(&load->last, key.data, key.size);
}

void index_drop(struct remote *store)
{
    for (size_t i = 0; i < store->names.size; i++)
        for (struct hash_node *node = store->names.buckets[i], *next; node; node = next) {
            next = node->next;
            free(node);
        }
    for (size_t i = 0; i < store->files.size; i++)
        for (struct hash_node *node = store->files.buckets[i], *next; node; node = next) {
            next = node->next;
            file_free((struct remote_file *)node);
        }
    free(store->names.buckets);
    free(store->files.buckets);
    store->names = store->files = (struct hash_table){0};
    for (struct trash *next; store->trash; store->trash = next) {
        next = store->trash->next;
        free(store->trash);
    }
}

int index_load(struct remote *store)
{
    struct load load = {.store = store};
    bool more = true;
    int answer = 0;
    remote_lock(store);
    index_drop(store);
    remote_unlock(store); // the lease's beat goes on while a long index is read
    while (more && !answer && !load.rc)
        answer = store->cluster->ops->map(store->cluster, INDEX_OBJECT, buf_slice(&load.last),
                                          load_pair, &load, &more);
    buf_release(&load.last);
    if (answer == -ENOENT)
        return status_fail(LSM_NOT_FOUND, "%s does not exist", store->path);
    if (answer == -EPERM || answer == -EACCES)
        return status_fail(LSM_PERMISSION, "%s: the cluster denies access", store->path);
    return answer ? remote_failed(store, answer, "reading the index") : load.rc;
}

// ------------------------------------------------------------------------------- seen by others

struct entry_seen {
    const struct remote *store;
    struct index_seen *seen;
    bool found;
    int rc;
};

static void see_name(void *arg, struct slice key, struct slice value)
{
    struct entry_seen *entry = arg;
    uint32_t kind = KIND_FILE;
    (void)key;
    entry->found = true;
    entry->rc = decode_head(entry->store, value, NAME_SIZE, &kind);
    if (entry->rc)
        return;
    entry->seen->is_dir = kind != KIND_FILE;
    entry->seen->number = get_fixed64(value.data + 4);
}

static void see_file(void *arg, struct slice key, struct slice value)
{
    struct entry_seen *entry = arg;
    uint32_t flags;
    (void)key;
    entry->found = true;
    entry->rc = decode_head(entry->store, value, FILE_SIZE, &flags);
    if (!entry->rc)
        entry->seen->size = get_fixed64(value.data + 8);
}

static int see(const struct remote *store, char kind, const char *text, cluster_pair_fn *fn,
               struct entry_seen *entry)
{
    char key[NAME_MAX_BYTES + 2];
    int n = snprintf(key, sizeof key, "%c%s", kind, text);
    entry->found = false;
    if (n < 0 || (size_t)n >= sizeof key)
        return status_fail(LSM_INVALID, "%s: a name is too long", store->path);
    int answer =
        store->cluster->ops->get(store->cluster, INDEX_OBJECT, slice_of(key, (size_t)n), fn, entry);
    if (answer && answer != -ENOENT)
        return status_fail(LSM_IO_ERROR, "%s: reading the index: %s", store->path,
                           strerror(-answer));
    return entry->rc;
}

int index_see(const struct remote *store, const char *text, struct index_seen *ret_seen)
{
    struct entry_seen entry = {.store = store, .seen = ret_seen};
    for (unsigned i = 0; i < SEE_TRIES; i++) {
        char number[17];
        *ret_seen = (struct index_seen){0};
        int rc = see(store, 'n', text, see_name, &entry);
        if (!rc && !entry.found)
            return status_fail(LSM_NOT_FOUND, "%s/%s: No such file or directory", store->path,
                               text);
        if (rc || ret_seen->is_dir)
            return rc;
        rc = see(store, 'f', number_text(ret_seen->number, number), see_file, &entry);
        if (rc || entry.found)
            return rc;
    }
    return status_fail(LSM_TRY_AGAIN, "%s/%s: changes all the time", store->path, text);
}

struct listing {
    const struct remote *store;
    struct buf last, names; // of the names, each with a zero byte
    bool over;
    int rc;
};

static void list_name(void *arg, struct slice key, struct slice value)
{
    struct listing *l = arg;
    (void)value;
    l->over = l->over || !key.size || key.data[0] != 'n';
    if (l->over || l->rc)
        return;
    bool below = memchr(key.data, '/', key.size);
    if (buf_assign(&l->last, key.data, key.size) ||
        (!below &&
         (buf_append(&l->names, key.data + 1, key.size - 1) || buf_append(&l->names, "", 1))))
        l->rc = status_no_memory(key.size);
}

int index_see_names(const struct remote *store, struct buf *names)
{
    struct listing l = {.store = store};
    bool more = true;
    int answer = buf_assign(&l.last, "n", 1) ? -ENOMEM : 0;
    while (!answer && more && !l.over && !l.rc)
        answer = store->cluster->ops->map(store->cluster, INDEX_OBJECT, buf_slice(&l.last),
                                          list_name, &l, &more);
    buf_release(&l.last);
    *names = l.names;
    if (answer)
        return status_fail(answer == -ENOENT ? LSM_NOT_FOUND : LSM_IO_ERROR,
                           "%s: reading the index: %s", store->path, strerror(-answer));
    return l.rc;
}

// ------------------------------------------------------------------------------------- changes

static struct change_part *next_part(struct index_change *change, struct slice *ret_key, char kind,
                                     const char *text)
{
    assert(change->part_count < 2 * CHANGE_PARTS);
    assert(change->set_count <= CHANGE_PARTS && change->unset_count <= CHANGE_PARTS);
    struct change_part *part = &change->parts[change->part_count++];
    size_t size = strlen(text);
    part->key[0] = (uint8_t)kind;
    memcpy(part->key + 1, text, size + 1); // the end is not part of it, but librados wants one
    *ret_key = slice_of(part->key, size + 1);
    return part;
}

static void set_file(struct index_change *change, char kind, const struct remote_file *file,
                     uint32_t high, bool writing)
{
    char text[17];
    struct cluster_pair *pair = &change->set[change->set_count++];
    struct change_part *part = next_part(change, &pair->key, kind, number_text(file->number, text));
    encode_file(part->value, atomic_load(&file->size), high, writing);
    pair->value = slice_of(part->value, FILE_SIZE);
}

static void set_name(struct index_change *change, const char *text, const struct remote_file *file)
{
    struct cluster_pair *pair = &change->set[change->set_count++];
    struct change_part *part = next_part(change, &pair->key, 'n', text);
    encode_name(part->value, file ? file->number : 0, file ? KIND_FILE : KIND_DIRECTORY);
    pair->value = slice_of(part->value, NAME_SIZE);
}

static void unset(struct index_change *change, char kind, const char *text)
{
    next_part(change, &change->unset[change->unset_count++], kind, text);
}

// The file loses a name; with its last one it becomes something to remove.
static void unset_link(struct index_change *change, const struct remote_file *file)
    REQUIRES(remote_mutex)
{
    char text[17];
    if (!file || file->links > 1)
        return;
    unset(change, 'f', number_text(file->number, text));
    set_file(change, 'r', file, file->high + HIGH_SPARE, false);
}

// The change as one operation under this store's epoch.
static int apply(struct remote *store, const struct index_change *change, bool force,
                 const char *what) REQUIRES(remote_change) EXCLUDES(remote_mutex)
{
    int rc = remote_check(store);
    if (!rc && !store->holds)
        rc = status_fail(LSM_READ_ONLY, "%s is open to be read", store->path);
    if (rc)
        return rc;
    const struct cluster_write write = {
        .object = INDEX_OBJECT,
        .guards = {{.attribute = "epoch", .compare = CLUSTER_IS, .value = remote_epoch(store)}},
        .guard_count = 1,
        .force = force,
        .set = change->set,
        .set_count = change->set_count,
        .unset = change->unset,
        .unset_count = change->unset_count,
    };
    int answer = cluster_write(store->cluster, &write);
    return answer ? remote_failed(store, answer, what) : 0;
}

// In memory: a file has one name less.
static void drop_link(struct remote *store, struct remote_file *file) REQUIRES(remote_mutex)
{
    if (!file)
        return;
    assert(file->links > 0);
    if (--file->links)
        return;
    if (file->handles)
        return; // index_release() will see to it
    // Without memory the objects stay until the store is opened again: the index lists them.
    (void)!add_removal(store, file->number, file->high);
    hash_table_take(&store->files, &file->node);
    file_free(file);
    pthread_cond_broadcast(&store->changed);
}

void index_release(struct remote *store, struct remote_file *file)
{
    remote_lock(store);
    assert(file->handles > 0);
    if (--file->handles == 0 && file->links == 0) {
        file->links = 1;
        drop_link(store, file);
    }
    remote_unlock(store);
}

static int check_name(const struct remote *store, const char *text)
{
    if (strlen(text) > NAME_MAX_BYTES)
        return status_fail(LSM_INVALID, "%s: a name is too long", store->path);
    return 0;
}

static int not_found(const struct remote *store, const char *text)
{
    return status_fail(LSM_NOT_FOUND, "%s/%s: No such file", store->path, text);
}

int index_create(struct remote *store, const char *text, bool directory,
                 struct remote_file **ret_file)
{
    struct index_change change = {0};
    struct remote_file *file = directory ? NULL : calloc(1, sizeof *file);
    struct index_name *name = name_new(text, file);
    int rc = check_name(store, text);
    if (!name || (!directory && !file))
        rc = status_no_memory(sizeof *file);
    change_lock(store);
    remote_lock(store);
    if (!rc && index_find(store, text))
        rc = status_fail(LSM_EXISTS, "%s/%s: File exists", store->path, text);
    if (!rc)
        rc = hash_table_grow(&store->names);
    if (!rc && file)
        rc = hash_table_grow(&store->files);
    if (!rc && file) {
        file->number = store->next_number++;
        set_file(&change, 'f', file, 0, true);
    }
    remote_unlock(store);
    set_name(&change, text, file);
    if (!rc)
        rc = apply(store, &change, false, "making a file");
    remote_lock(store);
    if (!rc) {
        hash_table_add(&store->names, &name->node, text_hash(text));
        if (file) {
            file->links = file->handles = 1;
            file->writing = true;
            hash_table_add(&store->files, &file->node, number_hash(file->number));
            *ret_file = file;
        }
    }
    remote_unlock(store);
    change_unlock(store);
    if (rc) {
        free(name);
        file_free(file);
    }
    return rc;
}

// `from`'s file gets the name `to`, and loses `from` if it is renamed. What `to` named loses it.
static int give_name(struct remote *store, const char *from, const char *to, bool rename)
{
    struct index_change change = {0};
    struct index_name *fresh = NULL, *source, *target;
    int rc = check_name(store, to);
    change_lock(store);
    remote_lock(store);
    source = index_find(store, from);
    target = index_find(store, to);
    if (!rc && !source)
        rc = not_found(store, from);
    else if (!rc && !rename && target)
        rc = status_fail(LSM_EXISTS, "%s/%s: File exists", store->path, to);
    else if (!rc && (!source->file || (target && !target->file)))
        rc = status_fail(LSM_INVALID, "%s: a directory cannot get another name", store->path);
    bool same = !rc && target && source->file == target->file;
    if (!rc && !same)
        rc = hash_table_grow(&store->names);
    if (!rc && !same && !(fresh = name_new(to, source->file)))
        rc = status_no_memory(sizeof *fresh);
    struct remote_file *old = !rc && target ? target->file : NULL;
    if (!rc && !same) {
        set_name(&change, to, source->file);
        unset_link(&change, old);
        if (rename)
            unset(&change, 'n', from);
    }
    remote_unlock(store);
    if (rc || same)
        goto out;
    rc = apply(store, &change, rename, "giving a name");
    if (rc)
        goto out;
    remote_lock(store);
    if (target) {
        hash_table_take(&store->names, &target->node);
        free(target);
        drop_link(store, old);
    }
    if (rename) {
        hash_table_take(&store->names, &source->node);
        free(source);
    } else {
        source->file->links++;
    }
    hash_table_add(&store->names, &fresh->node, text_hash(to));
    fresh = NULL;
    remote_unlock(store);
out:
    change_unlock(store);
    free(fresh);
    return rc;
}

int index_link(struct remote *store, const char *from, const char *to)
{
    return give_name(store, from, to, false);
}

int index_rename(struct remote *store, const char *from, const char *to)
{
    return give_name(store, from, to, true);
}

static bool has_names_below(struct remote *store, const char *text)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < store->names.size; i++)
        for (struct hash_node *node = store->names.buckets[i]; node; node = node->next) {
            const char *other = ((struct index_name *)node)->text;
            if (strncmp(other, text, size) == 0 && other[size] == '/')
                return true;
        }
    return false;
}

static int remove_name(struct remote *store, const char *text, bool directory)
{
    struct index_change change = {0};
    change_lock(store);
    remote_lock(store);
    struct index_name *name = index_find(store, text);
    int rc = name ? 0 : not_found(store, text);
    if (!rc && directory != !name->file)
        rc = status_fail(LSM_INVALID, "%s/%s: not a %s", store->path, text,
                         directory ? "directory" : "file");
    if (!rc && directory && has_names_below(store, text))
        rc = status_fail(LSM_EXISTS, "%s/%s: not empty", store->path, text);
    if (!rc) {
        unset(&change, 'n', text);
        unset_link(&change, name->file);
    }
    remote_unlock(store);
    if (!rc)
        rc = apply(store, &change, true, "removing a name");
    if (!rc) {
        remote_lock(store);
        hash_table_take(&store->names, &name->node);
        drop_link(store, name->file);
        free(name);
        remote_unlock(store);
    }
    change_unlock(store);
    return rc;
}

int index_unlink(struct remote *store, const char *text)
{
    return remove_name(store, text, false);
}

int index_rmdir(struct remote *store, const char *text)
{
    return remove_name(store, text, true);
}

int index_note_file(struct remote *store, struct remote_file *file, bool writing)
{
    struct index_change change = {0};
    change_lock(store);
    remote_lock(store);
    bool due = file->links > 0 && file->writing != writing;
    if (due)
        set_file(&change, 'f', file, file->high, writing);
    remote_unlock(store);
    int rc = due ? apply(store, &change, !writing, "noting a file's size") : 0;
    if (!rc) {
        remote_lock(store);
        file->writing = writing;
        remote_unlock(store);
    }
    change_unlock(store);
    return rc;
}

int index_forget_trash(struct remote *store, uint64_t number)
{
    struct index_change change = {0};
    char text[17];
    unset(&change, 'r', number_text(number, text));
    change_lock(store);
    int rc = apply(store, &change, true, "forgetting a removed file");
    change_unlock(store);
    return rc;
}

int index_list(struct remote *store, const char *prefix, char ***ret_names, size_t *ret_count)
{
    size_t length = strlen(prefix), count = 0;
    int rc = 0;
    remote_lock(store);
    char **names = calloc(store->names.count + 1, sizeof *names);
    if (!names)
        rc = status_no_memory(store->names.count * sizeof *names);
    for (size_t i = 0; !rc && i < store->names.size; i++) {
        for (struct hash_node *node = store->names.buckets[i]; node && !rc; node = node->next) {
            const char *text = ((struct index_name *)node)->text;
            if (strncmp(text, prefix, length) != 0 || strchr(text + length, '/'))
                continue;
            names[count] = strdup(text + length);
            if (names[count])
                count++;
            else
                rc = status_no_memory(strlen(text));
        }
    }
    remote_unlock(store);
    if (rc) {
        for (size_t i = 0; names && i < count; i++)
            free(names[i]);
        free(names);
        return rc;
    }
    *ret_names = names;
    *ret_count = count;
    return 0;
}
