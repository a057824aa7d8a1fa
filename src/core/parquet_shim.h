// parquet_shim.h: the C interface of libmill_parquet.so, the one object that knows Arrow C++. It is opened at run time, so that
// the program needs no C++ runtime; no exception leaves it, and it reaches files and memory only through what its host lends
// it.
#ifndef MILL_CORE_PARQUET_SHIM_H
#define MILL_CORE_PARQUET_SHIM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MILL_PARQUET_ABI 4u
#define MILL_PARQUET_WHY 256 // bytes of a reason, NUL included

typedef enum mill_parquet_result {
    MILL_PARQUET_OK,
    MILL_PARQUET_END,       // no more rows
    MILL_PARQUET_DAMAGED,   // the file breaks its own rules here; why tells how
    MILL_PARQUET_NO_MEMORY, // the host had none
    MILL_PARQUET_IO,        // the host's pread failed
} mill_parquet_result;

typedef enum mill_parquet_kind { // what a leaf column holds
    MILL_PARQUET_TEXT,           // BYTE_ARRAY: string, large_string, binary, dictionary
    MILL_PARQUET_NUMBER,         // integers and floats
    MILL_PARQUET_BOOLEAN,
    MILL_PARQUET_NOTHING, // a column of type null
    MILL_PARQUET_OTHER,
} mill_parquet_kind;

typedef struct mill_parquet_host {
    void *self;
    int64_t (*pread)(void *self, void *data, uint64_t bytes, uint64_t offset); // bytes read, fewer only at the end; -1
    void *(*allocate)(size_t bytes);
    void (*release)(void *pointer);
    uint64_t file_bytes;
    uint64_t allocation_max; // a page that needs more is damage, not a lack of memory
} mill_parquet_host;

typedef struct mill_parquet_value {
    enum {
        MILL_PARQUET_NULL,
        MILL_PARQUET_BYTES,
        MILL_PARQUET_INTEGER,
        MILL_PARQUET_UNSIGNED,
        MILL_PARQUET_REAL,
        MILL_PARQUET_TRUTH,
        MILL_PARQUET_NUMBERS, // a list of integers
    } type;
    const char *text; // BYTES: valid until the next row
    uint64_t bytes;
    int64_t integer; // UNSIGNED: the bits of a uint64_t; TRUTH: 0 or 1
    double real;
    const int64_t *numbers; // NUMBERS: valid until the next row
    uint64_t count;
} mill_parquet_value;

typedef struct mill_parquet_leaf { // strings are valid as long as the file
    const char *path;              // dotted, with the groups that Parquet makes lists of
    const char *name;              // dotted, without them: as the data set names it
    const char *column;            // the column of the row that it belongs to
    mill_parquet_kind kind;
    int is_list; // a row may have several values
} mill_parquet_leaf;

// What a row holds, in its own order: a struct of the columns, each of them a key and then a value, a struct
// or a list. A null is a value, also in the place of a struct or list. A call that returns another number
// than 0 has run out of memory.
typedef struct mill_parquet_visitor {
    void *self;
    int (*open)(void *self, int is_list); // a list or a struct begins
    int (*close)(void *self, int is_list);
    int (*key)(void *self, const char *name);
    int (*value)(void *self, const mill_parquet_value *value); // a text is valid during the call only
} mill_parquet_visitor;

typedef struct mill_parquet_file mill_parquet_file;     // for one thread at a time
typedef struct mill_parquet_cursor mill_parquet_cursor; // rows of one row group, in order; the file must outlive it

// ---- writing: files of token rows ----

typedef struct mill_parquet_sink {
    void *self;
    int (*write)(void *self, const void *data, uint64_t bytes); // 0: written
    void *(*allocate)(size_t bytes);
    void (*release)(void *pointer);
} mill_parquet_sink;

// Columns input_ids (list of unsigned integers) and length; as wanted cu_seqlens, position_ids and loss_mask.
typedef struct mill_parquet_rows {
    uint32_t id_bits;              // 16 or 32
    int boundaries, positions, loss_mask;
    int zstd_level;
    uint32_t group_rows;           // rows of a row group; the last one may have fewer
    const char *created_by;
} mill_parquet_rows;

typedef struct mill_parquet_row {
    const uint32_t *ids;
    uint32_t count;
    const uint32_t *bounds;
    uint32_t bound_count;
    const uint32_t *positions; // one an id
    const uint8_t *mask;       // one an id
} mill_parquet_row;

typedef struct mill_parquet_writer mill_parquet_writer; // for one thread at a time

typedef struct mill_parquet_write_api {
    mill_parquet_result (*open)(const mill_parquet_sink *sink, const mill_parquet_rows *rows, mill_parquet_writer **out,
                                char why[MILL_PARQUET_WHY]);
    mill_parquet_result (*row)(mill_parquet_writer *writer, const mill_parquet_row *row, char why[MILL_PARQUET_WHY]);
    mill_parquet_result (*finish)(mill_parquet_writer *writer, char why[MILL_PARQUET_WHY]); // the rest, and the footer
    void (*close)(mill_parquet_writer *writer);                                             // NULL is fine
} mill_parquet_write_api;

typedef struct mill_parquet_api {
    uint32_t abi;
    const char *version; // of Arrow C++
    mill_parquet_result (*open)(const mill_parquet_host *host, mill_parquet_file **out, char why[MILL_PARQUET_WHY]);
    void (*close)(mill_parquet_file *file); // NULL is fine
    uint32_t (*group_count)(const mill_parquet_file *file);
    uint64_t (*group_rows)(const mill_parquet_file *file, uint32_t group);
    uint32_t (*leaf_count)(const mill_parquet_file *file);
    mill_parquet_leaf (*leaf)(const mill_parquet_file *file, uint32_t leaf);
    // Most bytes of values that one column of one group can decode to: exact where the footer tells, else by its pages.
    mill_parquet_result (*decoded_max)(mill_parquet_file *file, uint32_t group, uint32_t leaf, uint64_t *bytes,
                                       char why[MILL_PARQUET_WHY]);
    // Bytes of values of a column in a group by the footer, UINT64_MAX where it does not tell.
    uint64_t (*decoded_exact)(const mill_parquet_file *file, uint32_t group, uint32_t leaf);
    uint64_t (*chunk_bytes)(const mill_parquet_file *file, uint32_t group, uint32_t leaf); // uncompressed, encoded
    mill_parquet_result (*cursor)(mill_parquet_file *file, uint32_t group, const uint32_t *leaves, uint32_t count,
                                  mill_parquet_cursor **out, char why[MILL_PARQUET_WHY]);
    // The next row: one value a leaf, in the order of `leaves`. The text items of a list are joined by
    // ','; a null item is left out.
    mill_parquet_result (*row)(mill_parquet_cursor *cursor, mill_parquet_value *values, char why[MILL_PARQUET_WHY]);
    // The next row as a tree. The cursor's leaves ascend, none is of kind OTHER, and all rows of a cursor are
    // read in one way.
    mill_parquet_result (*visit)(mill_parquet_cursor *cursor, const mill_parquet_visitor *visitor,
                                 char why[MILL_PARQUET_WHY]);
    void (*close_cursor)(mill_parquet_cursor *cursor); // NULL is fine
    const mill_parquet_write_api *write;
} mill_parquet_api;

// The one symbol of the object.
__attribute__((visibility("default"))) const mill_parquet_api *mill_parquet_shim(void);

#ifdef __cplusplus
}
#endif
#endif
