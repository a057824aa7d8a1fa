// spill.h: sorting more rows than memory holds. Rows are gathered in a buffer of fixed size; full buffers are
// sorted and written as compressed runs through core/fs.h, and merged when they are read back. What comes out
// depends on the rows alone.
#ifndef MILL_SOURCE_SPILL_H
#define MILL_SOURCE_SPILL_H

#include "core/fs.h"

typedef struct mill_sorter mill_sorter;

typedef struct mill_sorted { // a row; data is borrowed until the next call
    uint64_t key, sequence;
    const uint8_t *data;
    size_t bytes;
} mill_sorted;

typedef struct mill_spill_place { // where runs are written
    int dir;                      // directory handle
    const char *prefix;  // of their names below it; NULL: nowhere, more rows than memory_bytes are refused
    size_t memory_bytes; // of rows held at once
} mill_spill_place;

// place is copied, its prefix too.
mill_status mill_sorter_open(const mill_fs *fs, const mill_spill_place *place, mill_sorter **out,
                             mill_error *err) MILL_MUST_CHECK;
// No two rows have the same key and sequence.
mill_status mill_sorter_add(mill_sorter *sorter, const mill_sorted *row, mill_error *err) MILL_MUST_CHECK;
// Ends adding: rows come by (key, sequence) from now on.
mill_status mill_sorter_sort(mill_sorter *sorter, mill_error *err) MILL_MUST_CHECK;
mill_status mill_sorter_next(mill_sorter *sorter, mill_sorted *row, bool *end,
                             mill_error *err) MILL_MUST_CHECK;
uint64_t mill_sorter_spilled(const mill_sorter *sorter); // bytes written so far
// Removes the files as well; NULL is fine.
void mill_sorter_close(mill_sorter *sorter);

#endif
