// mixture_internal.h: the tables of a mixture as cells.
#ifndef MILL_PACK_MIXTURE_INTERNAL_H
#define MILL_PACK_MIXTURE_INTERNAL_H

#include "pack/mixture.h"

#define MILL_MIXTURE_TABLES 3
#define MILL_MIXTURE_CELLS_MAX (64 * 8 * 4)
#define MILL_MIXTURE_OUTSIDE UINT16_MAX // a document that no cell takes

typedef struct mill_mixture_table {
    const char *name;        // "language", "type", "tier"
    const mill_share *shares;
    size_t count;            // 0: not balanced by this table
    size_t other;            // index of "other", count if there is none
} mill_mixture_table;

typedef struct mill_mixture_cells {
    mill_mixture_table tables[MILL_MIXTURE_TABLES];
    size_t count;            // product of the counts (an empty table counts as one)
    uint64_t wanted[MILL_MIXTURE_CELLS_MAX];
} mill_mixture_cells;

// Checks the tables and splits the target.
mill_status mill_mixture_cells_init(mill_mixture_cells *cells, const mill_mixture_options *options, mill_error *err)
    MILL_MUST_CHECK;
// Share of a table that takes the value (NULL: only "other" may), or table->count.
size_t mill_mixture_find(const mill_mixture_table *table, const char *value);
// "language=c type=source" of a cell.
void mill_mixture_cell_name(const mill_mixture_cells *cells, size_t cell, char *name, size_t bytes);

#endif
