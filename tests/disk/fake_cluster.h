// A simulated cluster of objects for tests: what env_rados sees of RADOS (env_rados/cluster.h).
//
// A fake_cluster holds objects. A fake_process is a program that uses it; the clusters that it
// opens are its clients. In a plain cluster an operation is done when it is begun. With a schedule
// (fake_schedule.h) operations are done some time later, in any order that RADOS allows.
//
// Out of memory aborts. Thread-safe (one lock).
#ifndef TESTS_DISK_FAKE_CLUSTER_H
#define TESTS_DISK_FAKE_CLUSTER_H

#include "env_rados/cluster.h"

struct fake_cluster;
struct fake_process;
struct fake_schedule;
struct fake_object;

struct fake_cluster *fake_cluster_new(uint64_t seed);
void fake_cluster_free(struct fake_cluster *cluster); // after all processes
uint64_t fake_random(struct fake_cluster *cluster, uint64_t below);
uint64_t fake_now_us(struct fake_cluster *cluster);
void fake_advance_us(struct fake_cluster *cluster, uint64_t us);

struct fake_process *fake_process_new(struct fake_cluster *cluster);
void fake_process_free(struct fake_process *process); // after its clients were closed
// A cluster_open_fn; `arg` is the process.
int fake_process_open(void *arg, const char *pool, const char *name, struct cluster **ret_cluster,
                      const char **ret_text);

// kill -9: nothing that the process begins from now on is done; its calls fail.
void fake_process_kill(struct fake_process *process);
// The same at the n-th write from now on, which is done or not. 0: never.
void fake_process_kill_at(struct fake_process *process, uint64_t write);
// The n-th write from now on fails with `error`; `done`: it is done all the same. 0: none does.
void fake_process_fail_at(struct fake_process *process, uint64_t write, int error, bool done);
uint64_t fake_process_writes(const struct fake_process *process); // so far
bool fake_process_is_dead(const struct fake_process *process);

// The pool refuses what is not forced, with -ENOSPC.
void fake_cluster_fill(struct fake_cluster *cluster, bool full);
// Nobody may shut clients out (-EPERM): only the epochs are left.
void fake_cluster_forbid_blocking(struct fake_cluster *cluster);
size_t fake_cluster_objects(struct fake_cluster *cluster); // how many there are
struct fake_object *fake_cluster_find(struct fake_cluster *cluster, const char *name);

// ---- for fake_schedule.c
// One in this many writes is done twice, or is not reported.
void fake_cluster_trouble(struct fake_cluster *cluster, unsigned one_in);
void fake_cluster_use(struct fake_cluster *cluster, struct fake_schedule *schedule);

// A write that has begun.
struct fake_write {
    struct fake_write *next;
    struct fake_process *process;
    char address[32];           // of the client, which may have been closed
    struct cluster_write write; // with copies of all that it points to
    cluster_done_fn *done;
    void *arg;
    uint64_t after_us; // it is not done before
    bool applied;
    int result;
};
void fake_write_apply(struct fake_write *write); // sets applied and result
void fake_write_free(struct fake_write *write);

#endif
