// simfs.h: a file system in memory behind mill_fs_ops, for tests. It knows for each file and directory what is on the disk and
// what is only in the page cache, and can fail, shorten, interrupt or kill at a chosen call, or lose what was not synced.
// Every choice comes from a seed. Paths have no "..", there are no links. Safe to use from several threads.
#ifndef MILL_TESTS_SIMFS_H
#define MILL_TESTS_SIMFS_H

#include "core/fs.h"

typedef struct simfs simfs;

typedef struct simfs_faults {
    uint64_t seed;
    uint64_t fail_call;  // this call (1 is the next one) fails with fail_errno, once; 0: none
    int fail_errno;      // positive
    uint64_t kill_call;  // the "process" dies in this call, done or not or half done by seed; all later ones give -EOWNERDEAD
    uint32_t short_permille;     // of reads and writes: transfer less than asked
    uint32_t interrupt_permille; // of calls that can be interrupted: -EINTR
    uint64_t space_bytes;        // room for file contents; 0: no limit
} simfs_faults;

simfs *simfs_create(void);
simfs *simfs_copy(const simfs *from); // contents and what is durable; no handles, no faults
void simfs_destroy(simfs *sim);
const mill_fs *simfs_fs(const simfs *sim); // lives as long as sim

void simfs_set_faults(simfs *sim, const simfs_faults *faults); // NULL: none; call numbers begin anew
uint64_t simfs_calls(simfs *sim);                              // since simfs_set_faults
bool simfs_dead(simfs *sim);                                   // kill_call was reached
size_t simfs_open_handles(simfs *sim);
// A new process on the same machine: handles, locks and faults are gone, the page cache is not.
void simfs_restart(simfs *sim);
// The machine lost power: for each thing that was not synced the seed says what of it reached the disk. Then as restart.
void simfs_power_cut(simfs *sim, uint64_t seed);

// Makes or replaces a durable file with its directories.
void simfs_put(simfs *sim, const char *path, const void *data, size_t bytes);
// Borrowed contents, valid until the file changes; false if there is no such file.
bool simfs_get(simfs *sim, const char *path, const uint8_t **data, size_t *bytes);
// One line for each file and directory in bytewise order: "path/" or "path bytes hash". Without the paths that begin with
// skip (NULL: all). Free with free().
char *simfs_dump(simfs *sim, const char *skip);

#endif
