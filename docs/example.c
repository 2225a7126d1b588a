// Readings of sensors in a store: the key is the sensor's name and the time, so that the readings
// of one sensor lie side by side, in order.
#include <lsm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(int status, const char *what)
{
    if (status == LSM_OK)
        return;
    fprintf(stderr, "%s: %s: %s\n", what, lsm_strerror(status), lsm_error_detail());
    exit(1);
}

static void add_reading(struct lsm_batch *batch, const char *sensor, int minute, const char *value)
{
    char key[64];
    int size = snprintf(key, sizeof key, "%s/%06d", sensor, minute); // digits sort as numbers do
    must(lsm_batch_put(batch, key, (size_t)size, value, strlen(value)), "batch");
}

static void print_readings(struct lsm *db, const struct lsm_snapshot *snapshot, const char *sensor)
{
    struct lsm_iter *it;
    struct lsm_iter_options options = {
        .snapshot = snapshot, .prefix = sensor, .prefix_size = strlen(sensor)};
    must(lsm_iter_new(db, &options, &it), "iterator");
    for (lsm_iter_seek_first(it); lsm_iter_valid(it); lsm_iter_next(it)) {
        size_t key_size, value_size;
        const char *key = lsm_iter_key(it, &key_size);
        const char *value = lsm_iter_value(it, &value_size);
        printf("%.*s = %.*s\n", (int)key_size, key, (int)value_size, value);
    }
    must(lsm_iter_status(it), "scan"); // the end, or a failure?
    lsm_iter_free(it);
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "example.db";
    struct lsm_options options;
    lsm_options_init(&options);
    options.block_cache_size = 16 << 20;

    struct lsm *db;
    must(lsm_open(path, &options, &db), path);

    // A batch is applied as a whole; with `sync` it is durable when the call returns.
    struct lsm_batch *batch;
    struct lsm_write_options durable = {.sync = true};
    must(lsm_batch_new(&batch), "batch");
    add_reading(batch, "attic", 30, "21.5");
    add_reading(batch, "attic", 90, "22.0");
    add_reading(batch, "cellar", 30, "14.1");
    must(lsm_write(db, &durable, batch), "write");
    lsm_batch_free(batch);

    // A snapshot does not see what comes after it.
    const struct lsm_snapshot *before;
    must(lsm_snapshot_new(db, &before), "snapshot");
    must(lsm_put(db, NULL, "attic/000090", 12, "22.4", 4), "put");
    must(lsm_delete(db, NULL, "cellar/000030", 13), "delete");

    struct lsm_buf value = {0};
    int status = lsm_get(db, NULL, "cellar/000030", 13, &value);
    printf("cellar: %s\n", status == LSM_NOT_FOUND ? "gone" : "still there");
    must(lsm_get(db, NULL, "attic/000090", 12, &value), "get");
    printf("attic: %.*s\n", (int)value.size, (const char *)value.data);
    lsm_buf_release(&value);

    printf("now:\n");
    print_readings(db, NULL, "attic/");
    printf("before:\n");
    print_readings(db, before, "attic/");
    print_readings(db, before, "cellar/");
    lsm_snapshot_free(db, before);

    must(lsm_close(db), "close");
    return 0;
}
