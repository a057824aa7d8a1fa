// order.h: the files of one repository in dependency order: what a file imports comes before it. Ties stand
// in bytewise order of paths; of files that import each other in a circle the one comes next that waits for
// the fewest others of them, of equals the one with the smallest path. So the order is a function of paths
// and imports alone. Imports that lead to no file of the repository say nothing. Not thread-safe, but a pure
// function.
#ifndef MILL_REPO_ORDER_H
#define MILL_REPO_ORDER_H

#include "repo/imports.h"

typedef struct mill_repo_file {
    const char *path; // with '/' between its parts
    uint32_t path_bytes;
    uint32_t import_count;
    const mill_import *imports;
    const uint8_t *names; // what the imports' offsets count from
} mill_repo_file;

// order[0 .. count) becomes the places of the files in `files`. Files with equal paths stand as they are
// given. count < 2^31.
mill_status mill_repo_order(const mill_repo_file *files, uint32_t count, uint32_t *order,
                            mill_error *err) MILL_MUST_CHECK;

#endif
