// Power cuts of a real directory, for code that calls the system itself: what the program does below
// one directory is done, and noted in a model of the disk (fault_disk.h), which knows what has been
// synced. A power cut writes into the directory what the disk would have.
//
// The linker puts these functions in the place of the system's, for a test that names them
// (REAL_DISK_WRAPS in CMakeLists.txt). Sizes and bytes are modelled, times, owners and modes are
// not. Calls are counted, those that change or sync something below the directory; thread-safe.
#ifndef TESTS_DISK_REAL_DISK_H
#define TESTS_DISK_REAL_DISK_H

#include <stdint.h>

// Begins with what is in `directory` (absolute, no symbolic links), all of it synced. One at a time.
void real_disk_begin(const char *directory);
void real_disk_end(void);

// From the n-th call from now on all of them fail with EIO; 0: none does. Returns the calls counted
// before.
uint64_t real_disk_cut_at(uint64_t call);

// Nothing below the directory is open. It becomes what was synced; with `seed`, and a random part
// of what was not. Calls do not fail any more.
void real_disk_power_cut(uint64_t seed);

#endif
