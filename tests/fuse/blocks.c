// A file of blocks that are overwritten at random and synced, with a ledger outside the file system
// of what was synced; for tests/fuse/test_kill9_data.sh, which compiles this file:
//   blocks write FILE LEDGER BLOCK_SIZE SEED    until the file system fails
//   blocks verify FILE LEDGER BLOCK_SIZE
// Each page of a block carries its number and the block's version, and its other bytes follow from
// these. Verified is that each page is whole, of the version that was synced last or a later one (a
// write that was not synced may have arrived in part). Status 0, or a line that says what is wrong.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "must.h"

enum { BLOCKS = 512, SYNC_AFTER_MAX = 8, BLOCK_MAX = 1 << 20, PAGE = 4096 };

struct ledger {
    uint64_t next;           // the next version; none has been written with it
    uint64_t synced[BLOCKS]; // versions; 0: never
};

static uint64_t scatter(uint64_t x)
{
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9;
    x = (x ^ x >> 27) * 0x94D049BB133111EB;
    return x ^ x >> 31;
}

// `page`: its number in the file.
static void make_page(uint64_t *words, uint64_t page, uint64_t version)
{
    words[0] = page;
    words[1] = version;
    for (size_t i = 2; i < PAGE / 8; i++)
        words[i] = scatter(page << 40 ^ version << 10 ^ i);
}

static struct ledger *open_ledger(const char *path)
{
    int fd = must_open(path, O_RDWR | O_CREAT);
    MUST(ftruncate(fd, sizeof(struct ledger)) == 0);
    struct ledger *ledger =
        mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(ledger != MAP_FAILED);
    close(fd);
    return ledger;
}

static void write_blocks(const char *path, struct ledger *ledger, size_t size, uint64_t seed)
{
    static uint64_t words[BLOCK_MAX / 8], pending[BLOCKS];
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    if (fd < 0)
        return;
    if (!ledger->next)
        ledger->next = 1;
    for (;;) {
        seed = scatter(seed + 1);
        unsigned writes = 1 + (unsigned)(seed >> 40) % SYNC_AFTER_MAX;
        for (unsigned k = 0; k < writes; k++) {
            uint64_t number = scatter(seed + k) % BLOCKS, version = ledger->next++;
            for (size_t i = 0; i < size / PAGE; i++)
                make_page(words + i * (PAGE / 8), number * (size / PAGE) + i, version);
            if (pwrite(fd, words, size, (off_t)(number * size)) != (ssize_t)size)
                return;
            pending[number] = version;
        }
        if (fsync(fd))
            return;
        for (unsigned number = 0; number < BLOCKS; number++)
            if (pending[number])
                ledger->synced[number] = pending[number];
    }
}

static void verify_page(int fd, uint64_t page, uint64_t synced, uint64_t next)
{
    uint64_t got[PAGE / 8] = {0}, want[PAGE / 8] = {0};
    if (fd >= 0)
        MUST(pread(fd, got, PAGE, (off_t)(page * PAGE)) >= 0);
    uint64_t version = got[1];
    if (version)
        make_page(want, page, version);
    if (version >= synced && version < next && memcmp(got, want, PAGE) == 0)
        return;
    printf("page %llu: version %llu, %s; %llu was synced\n", (unsigned long long)page,
           (unsigned long long)version, memcmp(got, want, PAGE) ? "not whole" : "whole",
           (unsigned long long)synced);
    exit(1);
}

static void verify_blocks(const char *path, const struct ledger *ledger, size_t size)
{
    unsigned synced = 0;
    uint64_t next = ledger->next ? ledger->next : 1;
    int fd = open(path, O_RDONLY);
    MUST(fd >= 0 || errno == ENOENT);
    for (uint64_t page = 0; page < BLOCKS * (size / PAGE); page++)
        verify_page(fd, page, ledger->synced[page / (size / PAGE)], next);
    for (unsigned number = 0; number < BLOCKS; number++)
        synced += ledger->synced[number] > 0;
    printf("%u of %u blocks of %zu bytes were synced, at version %llu\n", synced, BLOCKS, size,
           (unsigned long long)next);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        return 2;
    struct ledger *ledger = open_ledger(argv[3]);
    size_t size = (size_t)atol(argv[4]);
    MUST(size >= PAGE && size <= BLOCK_MAX && size % PAGE == 0);
    if (strcmp(argv[1], "verify") == 0)
        verify_blocks(argv[2], ledger, size);
    else
        write_blocks(argv[2], ledger, size, argc > 5 ? strtoull(argv[5], NULL, 0) : 1);
    return 0;
}
