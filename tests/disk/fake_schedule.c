// See the header.
//
// Each task has a semaphore and waits for it; who hands on posts that of the next one. So one
// thread runs at a time, and what it has written the next one sees. A process that was killed has
// its tasks run to their ends without waiting for anything: all their calls fail.
#include "disk/fake_schedule.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#define PASS_US    3000u     // the most that a step takes
#define HICCUP_ONE 60u       // one step in so many takes long
#define HICCUP_US  9000000u  // at most: longer than a lease
#define STUCK_ONE  40u       // one write in so many is on its way for long
#define STUCK_US   15000000u // at most
#define TASKS_MAX  8

struct task {
    struct fake_schedule *schedule;
    struct fake_process *process;
    fake_task_fn *fn;
    void *arg;
    pthread_t thread;
    sem_t turn;
    uint64_t until_us; // sleeps
    bool waits, ended;
};

struct fake_schedule {
    struct fake_cluster *cluster;
    sem_t over; // all tasks have ended
    struct task tasks[TASKS_MAX];
    unsigned count;
    unsigned timeouts;
    struct fake_write *writes; // in the order in which they were begun
};

struct fake_schedule *schedule_new(struct fake_cluster *cluster)
{
    struct fake_schedule *schedule = calloc(1, sizeof *schedule);
    if (!schedule)
        abort();
    schedule->cluster = cluster;
    sem_init(&schedule->over, 0, 0);
    fake_cluster_use(cluster, schedule);
    return schedule;
}

void schedule_timeouts(struct fake_schedule *schedule, unsigned one_in)
{
    schedule->timeouts = one_in;
}

void schedule_free(struct fake_schedule *schedule)
{
    fake_cluster_use(schedule->cluster, NULL);
    for (struct fake_write *next; schedule->writes; schedule->writes = next) {
        next = schedule->writes->next;
        fake_write_free(schedule->writes);
    }
    sem_destroy(&schedule->over);
    free(schedule);
}

static bool has_answer(const struct fake_schedule *schedule, const struct fake_process *process)
{
    for (const struct fake_write *w = schedule->writes; w; w = w->next)
        if (w->process == process && w->applied)
            return true;
    return false;
}

static bool can_run(const struct fake_schedule *schedule, const struct task *task, uint64_t now)
{
    if (task->ended)
        return false;
    if (fake_process_is_dead(task->process))
        return true;
    if (task->waits)
        return has_answer(schedule, task->process);
    return task->until_us <= now;
}

// Whether an earlier write of the same client on the same object waits still.
static bool is_behind(const struct fake_schedule *schedule, const struct fake_write *write)
{
    for (const struct fake_write *w = schedule->writes; w != write; w = w->next)
        if (!w->applied && strcmp(w->address, write->address) == 0 &&
            strcmp(w->write.object, write->write.object) == 0)
            return true;
    return false;
}

// The n-th write that can be done now, from 0; NULL: there are fewer.
static struct fake_write *open_write(const struct fake_schedule *schedule, uint64_t n)
{
    uint64_t now = fake_now_us(schedule->cluster);
    for (struct fake_write *w = schedule->writes; w; w = w->next)
        if (!w->applied && w->after_us <= now && !is_behind(schedule, w) && n-- == 0)
            return w;
    return NULL;
}

static void do_some_write(struct fake_schedule *schedule)
{
    uint64_t count = 0;
    while (open_write(schedule, count))
        count++;
    if (count)
        fake_write_apply(open_write(schedule, fake_random(schedule->cluster, count)));
}

// All sleep, or wait for writes: does one of these, or lets time pass until the first one wakes.
static void move_on(struct fake_schedule *schedule)
{
    uint64_t first = UINT64_MAX, now = fake_now_us(schedule->cluster);
    if (open_write(schedule, 0)) {
        do_some_write(schedule);
        return;
    }
    for (unsigned i = 0; i < schedule->count; i++) {
        struct task *task = &schedule->tasks[i];
        if (!task->ended && !task->waits && task->until_us < first)
            first = task->until_us;
    }
    for (struct fake_write *w = schedule->writes; w; w = w->next)
        if (!w->applied && w->after_us < first)
            first = w->after_us;
    if (first == UINT64_MAX)
        abort(); // a task waits for what will never come
    fake_advance_us(schedule->cluster, first > now ? first - now : 0);
}

// Draws whose turn it is; NULL: all have ended.
static struct task *draw(struct fake_schedule *schedule)
{
    struct fake_cluster *cluster = schedule->cluster;
    unsigned left = 0;
    for (unsigned i = 0; i < schedule->count; i++)
        left += !schedule->tasks[i].ended;
    if (!left)
        return NULL;
    fake_advance_us(cluster, fake_random(cluster, PASS_US));
    if (fake_random(cluster, 2))
        do_some_write(schedule);
    for (;;) {
        uint64_t now = fake_now_us(cluster);
        unsigned able[TASKS_MAX], count = 0;
        for (unsigned i = 0; i < schedule->count; i++)
            if (can_run(schedule, &schedule->tasks[i], now))
                able[count++] = i;
        if (!count) {
            move_on(schedule);
            continue;
        }
        return &schedule->tasks[able[fake_random(cluster, count)]];
    }
}

static _Thread_local struct task *self;

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore)) // a signal
        ;
}

// Hands on, and comes back when it is this task's turn.
static void hand_on(struct fake_schedule *schedule)
{
    struct task *next = draw(schedule);
    if (next == self)
        return;
    sem_post(&next->turn);
    wait_for(&self->turn);
}

void schedule_pass(struct fake_schedule *schedule)
{
    if (!self) // the test itself, before or after
        return;
    if (fake_random(schedule->cluster, HICCUP_ONE) == 0)
        self->until_us = fake_now_us(schedule->cluster) + fake_random(schedule->cluster, HICCUP_US);
    hand_on(schedule);
    self->until_us = 0;
}

void schedule_sleep(struct fake_schedule *schedule, uint64_t us)
{
    self->until_us = fake_now_us(schedule->cluster) + us;
    hand_on(schedule);
    self->until_us = 0;
}

void schedule_add_write(struct fake_schedule *schedule, struct fake_write *write)
{
    struct fake_write **link = &schedule->writes;
    if (fake_random(schedule->cluster, STUCK_ONE) == 0) // on the way
        write->after_us = fake_now_us(schedule->cluster) + fake_random(schedule->cluster, STUCK_US);
    while (*link)
        link = &(*link)->next;
    *link = write;
}

// The first answered write of the process, taken out of the list.
static struct fake_write *take_answer(struct fake_schedule *schedule, struct fake_process *process)
{
    for (struct fake_write **link = &schedule->writes; *link; link = &(*link)->next) {
        struct fake_write *write = *link;
        if (write->process != process || !write->applied)
            continue;
        *link = write->next;
        return write;
    }
    return NULL;
}

static void ignore(void *arg, int result)
{
    (void)arg;
    (void)result;
}

// The process hears that what it has begun has failed. It may be done still, some time.
static void give_up(struct fake_schedule *schedule, struct fake_process *process, int error)
{
    for (struct fake_write *w = schedule->writes; w; w = w->next) {
        if (w->process != process || w->applied || w->done == ignore)
            continue;
        cluster_done_fn *done = w->done;
        w->done = ignore;
        done(w->arg, error);
    }
}

void schedule_wait(struct fake_schedule *schedule, struct fake_process *process)
{
    struct fake_write *write;
    self->waits = true;
    if (!fake_process_is_dead(process))
        schedule_pass(schedule);
    self->waits = false;
    if (fake_process_is_dead(process))
        give_up(schedule, process, -ESHUTDOWN);
    else if (schedule->timeouts && fake_random(schedule->cluster, schedule->timeouts) == 0)
        give_up(schedule, process, -ETIMEDOUT);
    while ((write = take_answer(schedule, process))) {
        write->done(write->arg, write->result);
        fake_write_free(write);
    }
}

static void *task_main(void *arg)
{
    struct task *task = arg;
    struct fake_schedule *schedule = task->schedule;
    self = task;
    wait_for(&task->turn);
    task->fn(task->arg);
    task->ended = true;
    struct task *next = draw(schedule);
    sem_post(next ? &next->turn : &schedule->over);
    return NULL;
}

void schedule_add_task(struct fake_schedule *schedule, struct fake_process *process,
                       fake_task_fn *fn, void *arg)
{
    struct task *task = &schedule->tasks[schedule->count++];
    *task = (struct task){.schedule = schedule, .process = process, .fn = fn, .arg = arg};
    sem_init(&task->turn, 0, 0);
}

void schedule_run(struct fake_schedule *schedule)
{
    for (unsigned i = 0; i < schedule->count; i++)
        if (pthread_create(&schedule->tasks[i].thread, NULL, task_main, &schedule->tasks[i]))
            abort();
    struct task *first = draw(schedule);
    sem_post(first ? &first->turn : &schedule->over);
    wait_for(&schedule->over);
    for (unsigned i = 0; i < schedule->count; i++) {
        pthread_join(schedule->tasks[i].thread, NULL);
        sem_destroy(&schedule->tasks[i].turn);
    }
}
