// parquet_internal.h: what the files that read Parquet share: an open file, its columns (parquet_columns.c),
// its rows (parquet_rows.c), and its row groups as units of work (source_parquet.c).
//
// There are two ways to read a row. Where records are files, the text of each field comes from a leaf of its
// own, and nothing is copied before the record is. Files whose rows may be something else (conversations,
// tasks with solutions, notebooks in parts) are read as trees: each row becomes a line of JSON, and
// source_jsonl.c says what it is, as of any line.
#ifndef MILL_SOURCE_PARQUET_INTERNAL_H
#define MILL_SOURCE_PARQUET_INTERNAL_H

#include "core/parquet_load.h"
#include "source/source_parquet.h"

#define MILL_NO_TEXT UINT64_MAX

typedef enum mill_row_part { // what a row that is read as a tree has in the place of fields
    MILL_ROW_JSON,
    MILL_ROW_PROBLEM, // not null: a text that is not UTF-8, and where
} mill_row_part;

typedef struct mill_row_head { // one row; as stored in a block, its texts follow
    uint64_t record;
    uint64_t length; // of its values
    int64_t stars;
    uint64_t is_tree;
    uint64_t bytes[MILL_FIELDS_ALL]; // of texts by field, or by mill_row_part; MILL_NO_TEXT: null
} mill_row_head;

typedef struct mill_file_row {
    mill_row_head head;
    const char *text[MILL_FIELDS_ALL]; // valid until the next row
} mill_file_row;

struct mill_parquet_input {
    const mill_parquet_api *api;
    const mill_fs *fs;
    int file;
    char *path;
    mill_error io; // what pread failed with
    mill_parquet_file *handle;
    uint32_t input;
    bool is_tree; // how rows are read
    uint32_t *leaves, leaf_count;
    uint8_t fields[MILL_COLUMNS_MAX]; // of the leaves, unless rows are trees
    char damage[MILL_PARQUET_WHY];    // not empty: the footer cannot be read
    mill_buf json;                    // the row at hand
    char problem[160];
    // where the reader is
    uint32_t group;
    uint64_t first;              // record number of the group's first row
    mill_parquet_cursor *cursor; // of a group that the reader decodes
    uint64_t row;                // of that group, from 0
    mill_stream *stream;         // of the raw file, for its digest and to see whether it changes
};

// Which leaves are read, and how; MILL_INPUT where no row could become a record.
mill_status mill_parquet_columns(const mill_source *source, mill_parquet_input *p,
                                 mill_error *err) MILL_MUST_CHECK;

typedef struct mill_row_sink { // where the records of one piece go
    mill_parser *parser;
    const mill_block_piece *piece;
    mill_batch *batch;
    mill_quarantine *quarantine;
    mill_parse_counts *counts; // of this input
    mill_error *err;
} mill_row_sink;

// The next row of a cursor over p's leaves. A row of more than `most` bytes only tells so.
mill_parquet_result mill_parquet_next(mill_parquet_input *p, mill_parquet_cursor *cursor, uint64_t record,
                                      uint64_t most, mill_file_row *out, char *why);
// Bytes of the row's texts: what is held against the limit of a record.
uint64_t mill_row_bytes(const mill_row_head *head);
// Turns the row into records, or into a line of the quarantine.
mill_status mill_parquet_take(mill_row_sink *sink, const mill_file_row *row) MILL_MUST_CHECK;

#endif
