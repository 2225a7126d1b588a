// A command that is cancelled: it fails if it has left something out, and only then.
#include "quick_check.h"

#include "commands/command.h"

static int asked_after; // how many steps are done when the command is cancelled
static int steps_done;

// Three steps; asks before each whether it is to go on.
static enum exit_status run_steps(struct ctl *ctl)
{
    for (steps_done = 0; steps_done < 3 && !is_cancelled(ctl->front); steps_done++)
        if (steps_done + 1 == asked_after)
            atomic_store(&ctl->front->cancelled, true);
    return EXIT_OK;
}

static enum exit_status run_failing(struct ctl *ctl)
{
    atomic_store(&ctl->front->cancelled, true);
    return EXIT_USAGE;
}

static enum exit_status run(enum exit_status (*function)(struct ctl *ctl), struct front *ret_front)
{
    const struct command command = {.name = "test", .run = function};
    struct ctl ctl = {.command = &command, .front = ret_front};
    *ret_front = (struct front){.out = stdout};
    return ctl_run(&ctl);
}

START_TEST(test_left_out)
{
    struct front front;
    for (asked_after = 1; asked_after <= 2; asked_after++) {
        ck_assert_int_eq(run(run_steps, &front), EXIT_FAILED);
        ck_assert_int_eq(steps_done, asked_after);
        ck_assert(atomic_load(&front.has_seen));
    }
}
END_TEST

START_TEST(test_all_done)
{
    struct front front;
    asked_after = 0;
    ck_assert_int_eq(run(run_steps, &front), EXIT_OK);
    asked_after = 3; // during the last step
    ck_assert_int_eq(run(run_steps, &front), EXIT_OK);
    ck_assert_int_eq(steps_done, 3);
    ck_assert(!atomic_load(&front.has_seen));
}
END_TEST

START_TEST(test_failed_by_itself)
{
    struct front front;
    ck_assert_int_eq(run(run_failing, &front), EXIT_USAGE);
    ck_assert(!atomic_load(&front.has_seen));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("commands");
    TCase *tc = tcase_create("cancelled");
    tcase_add_test(tc, test_left_out);
    tcase_add_test(tc, test_all_done);
    tcase_add_test(tc, test_failed_by_itself);
    suite_add_tcase(suite, tc);
    return run_suite(suite);
}
