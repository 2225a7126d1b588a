// Programs that use a simulated cluster at once, one step at a time, in an order that a seed
// determines.
//
// Each task is a thread, but only one of them runs: at each call of the cluster it hands on to
// whoever is drawn. Writes that were begun are done later, those of one client on one object in
// their order; the answers come later still. Time passes when it is drawn, and when all sleep.
#ifndef TESTS_DISK_FAKE_SCHEDULE_H
#define TESTS_DISK_FAKE_SCHEDULE_H

#include "disk/fake_cluster.h"

typedef void fake_task_fn(void *arg);

struct fake_schedule *schedule_new(struct fake_cluster *cluster);
void schedule_add_task(struct fake_schedule *schedule, struct fake_process *process,
                       fake_task_fn *fn, void *arg);
// One wait in so many gives up: what was begun is done later, or was done, and is told as lost.
void schedule_timeouts(struct fake_schedule *schedule, unsigned one_in);
void schedule_run(struct fake_schedule *schedule); // until all tasks have ended
void schedule_free(struct fake_schedule *schedule);

// ---- called by tasks
void schedule_pass(struct fake_schedule *schedule); // others may run
void schedule_sleep(struct fake_schedule *schedule, uint64_t us);
// Until some of the process's writes were answered; calls their done functions.
void schedule_wait(struct fake_schedule *schedule, struct fake_process *process);
void schedule_add_write(struct fake_schedule *schedule, struct fake_write *write);

#endif
