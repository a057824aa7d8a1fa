// source_parquet.h: Parquet files as a source. A unit of work is a row group, decoded by the thread that parses it; a group
// that is too large for that, or whose size nobody knows beforehand, is decoded by the reader, a block at a time.
#ifndef MILL_SOURCE_SOURCE_PARQUET_H
#define MILL_SOURCE_SOURCE_PARQUET_H

#include "source/source_internal.h"

typedef struct mill_parquet_input mill_parquet_input; // an open file; for one thread

// Refuses a file that is no Parquet, or has no column for the content, or whose columns are of impossible types. A damaged file
// is not refused: reading it quarantines what cannot be read.
mill_status mill_parquet_check(mill_source *source, const mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
bool mill_has_parquet_suffix(const char *path);

mill_status mill_parquet_open(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
mill_status mill_parquet_fill(mill_source *source, mill_source_entry *entry, mill_block *block, bool *ended,
                              mill_error *err) MILL_MUST_CHECK;
mill_status mill_parquet_close(mill_source *source, mill_source_entry *entry, mill_error *err) MILL_MUST_CHECK;
void mill_parquet_drop(mill_parquet_input *input); // NULL is fine
mill_status mill_parquet_parse(mill_parser *parser, const mill_block *block, const mill_block_piece *piece, mill_batch *batch,
                               mill_quarantine *quarantine, mill_parse_counts *counts, mill_error *err) MILL_MUST_CHECK;

#endif
