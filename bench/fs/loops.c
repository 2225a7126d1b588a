// One system call, or a few, over many small files: what a file system does each second.
//   lsmfs_loops JOB DIRECTORY COUNT PROCESSES
// prints operations per second. JOB:
//   create   open to create, write 1,500 bytes, close     stat     stat
//   append   open, write 100 bytes at the end, close       read     open, read all, close
//   unlink   unlink                                        rename   rename a directory there and
//   back
// `create` makes what the others need, with the same COUNT and PROCESSES: each process has its
// files in a directory of its own, which `unlink` leaves. They start together; the slowest counts.
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/option.h"

#define SIZE   1500
#define APPEND 100

static const char *root;

static _Noreturn void die(const char *what, const char *path)
{
    fprintf(stderr, "lsmfs_loops: %s %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static void write_file(const char *path, int flags, size_t size)
{
    char data[SIZE];
    memset(data, 'x', size);
    int fd = open(path, O_WRONLY | flags, 0644);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd))
        die("write", path);
}

static void do_create(const char *path)
{
    write_file(path, O_CREAT | O_EXCL, SIZE);
}

static void do_append(const char *path)
{
    write_file(path, O_APPEND, APPEND);
}

static void do_stat(const char *path)
{
    struct stat st;
    if (stat(path, &st))
        die("stat", path);
}

static void do_read(const char *path)
{
    char data[2 * SIZE];
    int fd = open(path, O_RDONLY);
    if (fd < 0 || read(fd, data, sizeof data) < SIZE || close(fd))
        die("read", path);
}

static void do_unlink(const char *path)
{
    if (unlink(path))
        die("unlink", path);
}

static void do_rename(const char *path)
{
    char moved[4096];
    snprintf(moved, sizeof moved, "%s.moved", root);
    (void)path;
    if (rename(root, moved) || rename(moved, root))
        die("rename", root);
}

static const struct {
    const char *name;
    void (*run)(const char *path);
} jobs[] = {{"create", do_create}, {"append", do_append}, {"stat", do_stat},
            {"read", do_read},     {"unlink", do_unlink}, {"rename", do_rename}};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// What one process does, once a byte comes through `start`.
static _Noreturn void work(void (*run)(const char *), unsigned process, unsigned long count,
                           int start)
{
    char path[4096], byte;
    if (read(start, &byte, 1) != 1)
        exit(1);
    for (unsigned long i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/p%u/f%lu", root, process, i);
        run(path);
    }
    exit(0);
}

static bool run_job(void (*run)(const char *), unsigned long count, unsigned processes)
{
    int start[2], status, failed = 0;
    if (pipe(start))
        die("pipe", "");
    for (unsigned i = 0; i < processes; i++) {
        char dir[4096];
        snprintf(dir, sizeof dir, "%s/p%u", root, i);
        if (mkdir(dir, 0755) && errno != EEXIST)
            die("mkdir", dir);
        pid_t child = fork();
        if (child == 0)
            work(run, i, count / processes, start[0]);
        if (child < 0)
            die("fork", "");
    }
    double begin = now_s();
    for (unsigned i = 0; i < processes; i++)
        if (write(start[1], "", 1) != 1)
            die("pipe", "");
    while (wait(&status) > 0)
        failed |= status;
    printf("%.1f\n", (double)(count / processes * processes) / (now_s() - begin));
    return !failed;
}

static uint64_t read_count(const char *name, const char *text)
{
    const struct option_spec spec = {name, OPT_COUNT, 0, 0, 1, UINT32_MAX, NULL};
    char message[OPTION_MESSAGE_SIZE];
    uint64_t count;
    if (option_read(&spec, text, &count, message))
        return count;
    fprintf(stderr, "lsmfs_loops: %s '%s': %s\n", name, text, message);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: lsmfs_loops JOB DIRECTORY COUNT PROCESSES\n");
        return 2;
    }
    root = argv[2];
    uint64_t count = read_count("COUNT", argv[3]), processes = read_count("PROCESSES", argv[4]);
    for (size_t i = 0; i < sizeof jobs / sizeof *jobs; i++)
        if (strcmp(argv[1], jobs[i].name) == 0)
            return !run_job(jobs[i].run, count, (unsigned)processes);
    fprintf(stderr, "lsmfs_loops: no job '%s'\n", argv[1]);
    return 2;
}
