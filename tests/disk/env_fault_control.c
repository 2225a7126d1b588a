// The simulated disk: what a test asks for, and what it asks. Thread-safe: the disk's mutex.
#include <stdio.h>

#include "disk/env_fault_internal.h"

void env_fault_fail_at(struct env *env, uint64_t call, int status, bool sticky)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->fail_at = call ? fault->calls + call : 0;
    fault->fail_status = status;
    fault->fail_sticky = sticky;
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_on_call(struct env *env, env_fault_call_fn *fn, void *arg)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->call_fn = fn;
    fault->call_arg = arg;
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_full_at(struct env *env, uint64_t call, bool sticky)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->full_at = call ? fault->space_calls + call : 0;
    fault->full_sticky = sticky;
    pthread_mutex_unlock(&fault->mutex);
}

static void set_held(struct fault *fault, char held[32], const char *suffix)
{
    pthread_mutex_lock(&fault->mutex);
    snprintf(held, sizeof fault->hold, "%s", suffix ? suffix : "");
    pthread_cond_broadcast(&fault->hold_changed);
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_hold(struct env *env, const char *suffix)
{
    set_held(fault_of(env), fault_of(env)->hold, suffix);
}

void env_fault_freeze(struct env *env, const char *suffix)
{
    set_held(fault_of(env), fault_of(env)->frozen, suffix);
}

unsigned env_fault_held(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    unsigned held = fault->held;
    pthread_mutex_unlock(&fault->mutex);
    return held;
}

uint64_t env_fault_space_calls(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    uint64_t calls = fault->space_calls;
    pthread_mutex_unlock(&fault->mutex);
    return calls;
}

uint64_t env_fault_written_out(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    uint64_t bytes = fault->written_out;
    pthread_mutex_unlock(&fault->mutex);
    return bytes;
}

uint64_t env_fault_calls(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    uint64_t calls = fault->calls;
    pthread_mutex_unlock(&fault->mutex);
    return calls;
}

void env_fault_seed(struct env *env, uint64_t seed)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->random = seed;
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_cut_at(struct env *env, uint64_t call)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->cut_at = call ? fault->calls + call : 0;
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_limit(struct env *env, uint64_t bytes)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->limit = bytes;
    pthread_mutex_unlock(&fault->mutex);
}

void env_fault_allocate_behind(struct env *env)
{
    struct fault *fault = fault_of(env);
    pthread_mutex_lock(&fault->mutex);
    fault->allocates_behind = true;
    pthread_mutex_unlock(&fault->mutex);
}
