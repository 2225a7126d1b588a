// A simulated disk for tests: an in-memory file system that knows what has been synced, and can
// fail any call.
//
// Each file has current and durable bytes; each directory current and durable entries. sync and
// msync copy file bytes to the durable side; sync_dir does so for entries (a new file needs both).
// Mappings are of the current bytes; touching one past the end of the file faults. Thread-safe (one
// lock). Locks work between handles. At first there is only the root directory "/"; a relative path
// starts there too. Out of memory aborts.
#ifndef TESTS_DISK_ENV_FAULT_H
#define TESTS_DISK_ENV_FAULT_H

#include "env/env.h"

// An empty simulated disk. Free with env_fault_free() after everything on it was closed.
struct env *env_fault_new(void);
void env_fault_free(struct env *env);

// Calls that can fail are counted from 1 in the order they are made. env_fault_fail_at(n): the n-th
// call from now fails with `status`, and, if `sticky`, all after it. The status is LSM_IO_ERROR or
// LSM_NO_SPACE, or LSM_NO_MEMORY, LSM_NO_FILES or LSM_TRY_AGAIN; sync and truncate do not fail with
// the last three. A failing pwrite may have written a prefix (in whole 512-byte sectors, chosen by
// the seed). 0 turns it off.
void env_fault_fail_at(struct env *env, uint64_t call, int status, bool sticky);
uint64_t env_fault_calls(struct env *env); // counted so far
void env_fault_seed(struct env *env, uint64_t seed);

// `fn` is called before each call that can fail, by the thread that makes it and without a lock: it
// may make calls itself, as another process would at that moment. NULL turns it off.
typedef void env_fault_call_fn(void *arg, const char *what, const char *path);
void env_fault_on_call(struct env *env, env_fault_call_fn *fn, void *arg);

// A full disk by the call instead of by the byte: of the calls that may take space (making a file
// or a name, writing, allocating) the n-th from now fails with LSM_NO_SPACE, and, if
// `sticky`, all after it. 0 turns it off.
void env_fault_full_at(struct env *env, uint64_t call, bool sticky);
uint64_t env_fault_space_calls(struct env *env); // counted so far

// A slow disk: reads of files whose names end in `suffix` (copied; at most 31 bytes) wait in the
// call until it is lifted with NULL. env_fault_held() says how many wait. Mappings are not held.
void env_fault_hold(struct env *env, const char *suffix);
// A frozen disk: the same for writes and syncs, and for another note in "LOCK".
void env_fault_freeze(struct env *env, const char *suffix);
unsigned env_fault_held(struct env *env);

// Bytes of files that were asked to go to the disk early (ENV_ADVISE_WRITE_OUT); they do not.
uint64_t env_fault_written_out(struct env *env);

// Power cut: open handles and mappings become dead (their calls fail; stores into old mappings go
// nowhere), locks are dropped, failures asked for are forgotten, and the disk is what was durable.
// Handles must still be closed, mappings unmapped and locks unlocked. With `seed` != 0 a random
// subset of unsynced 4 KiB pages, and a random prefix of the unsynced directory operations, has
// reached the disk too.
void env_fault_power_cut(struct env *env, uint64_t seed);

// Process death: like a power cut in which everything written (mappings included) survives.
void env_fault_kill(struct env *env);

// From the n-th call from now on everything fails until env_fault_power_cut(): the moment of the
// cut, so that a test can visit each.
void env_fault_cut_at(struct env *env, uint64_t call);

// Limits the disk's size in bytes; writes and allocations past it return LSM_NO_SPACE. 0: no limit.
void env_fault_limit(struct env *env, uint64_t bytes);

// As XFS does: a file that a write makes longer gets as much again behind its end, while there is
// room, and keeps it until it is resized or closed by who may write it. A write that finds no room
// gives all of that back first; nothing else does.
void env_fault_allocate_behind(struct env *env);

// Flips bit `bit` of byte `offset` of a file, on both sides.
int env_fault_flip(struct env *env, const char *path, uint64_t offset, unsigned bit);

#endif
