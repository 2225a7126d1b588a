// The threads' reply buffers. They grow to the largest reply asked for, which the kernel limits to
// about 1 MiB, and are freed by the thread's end. Where the transport has room for the reply, that
// is it.
#include "mount/scratch.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "mount/transport.h"

struct scratch {
    size_t size;
    void *data;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int key_error;

static void scratch_free(void *arg)
{
    struct scratch *scratch = arg;
    free(scratch->data);
    free(scratch);
}

static void make_key(void)
{
    key_error = pthread_key_create(&key, scratch_free);
}

void *scratch_get(size_t size)
{
    void *room = transport_room(size);
    if (room)
        return room;
    pthread_once(&once, make_key);
    if (key_error)
        return NULL;
    struct scratch *scratch = pthread_getspecific(key);
    if (!scratch) {
        scratch = calloc(1, sizeof *scratch);
        if (!scratch || pthread_setspecific(key, scratch)) {
            free(scratch);
            return NULL;
        }
    }
    assert(scratch->size % 4096 == 0 && !scratch->data == !scratch->size);
    if (scratch->size < size) {
        // Page-aligned, and not copied: what is in it is of no use any more.
        size_t rounded = (size + 4095) & ~(size_t)4095;
        void *data = aligned_alloc(4096, rounded);
        if (!data)
            return NULL;
        free(scratch->data);
        scratch->data = data;
        scratch->size = rounded;
    }
    assert(scratch->size >= size);
    return scratch->data;
}
