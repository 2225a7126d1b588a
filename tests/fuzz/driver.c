// Runs a fuzz target over files, without libFuzzer: each argument is a file or a directory of them.
// Every file is also given to the target cut short and with single bits flipped, so that an
// ordinary test run goes past the first check of each parser.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define VARIANTS_MAX 400u

static unsigned inputs;

// A copy of exactly `size` bytes, so that a sanitizer sees the first byte read past them.
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    inputs++;
}

static void run_variants(uint8_t *data, size_t size)
{
    size_t step = size / VARIANTS_MAX + 1;
    run(data, size);
    for (size_t at = 0; at < size; at += step) {
        run(data, at);
        data[at] ^= (uint8_t)(1u << at % 8);
        run(data, size);
        data[at] ^= (uint8_t)(1u << at % 8);
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st)) {
        perror(path);
        if (file)
            fclose(file);
        return 1;
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size + 1);
    int failed = !data || fread(data, 1, size, file) != size;
    fclose(file);
    if (failed)
        fprintf(stderr, "%s: cannot be read\n", path);
    else
        run_variants(data, size);
    free(data);
    return failed;
}

static int run_directory(const char *path)
{
    int failed = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return run_file(path);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        failed |= run_file(name);
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    run((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        failed |= run_directory(argv[i]);
    printf("%u inputs\n", inputs);
    return failed;
}
