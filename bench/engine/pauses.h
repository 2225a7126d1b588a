// How long the machine itself kept a program waiting: what the slowest operation is to be judged
// by where the processors are shared with others.
//
// A real-time thread on each processor asks to be woken every millisecond and notes how late it
// was. No other thread of the program can delay it: what it waits for is the hypervisor, or the
// kernel where it cannot be preempted. Costs about a hundredth of each processor.
#ifndef BENCH_PAUSES_H
#define BENCH_PAUSES_H

#include <stdbool.h>

// Starts watching, until the process ends. False, after a message, if that is not permitted.
bool pauses_start(void);

// The longest pause since the last call, milliseconds; 0 if nothing watches.
double pauses_take_ms(void);

#endif
