// shard_read.h: reading shards and the docs sidecar back, a line at a time. What does not have the shape its
// writer gives it is MILL_VERIFY, named by file and line; nothing in a file can make a reader crash or hold
// more than one line.
#ifndef MILL_PIPELINE_SHARD_READ_H
#define MILL_PIPELINE_SHARD_READ_H

#include "core/stream.h"
#include "pipeline/finished.h"
#include "shard/container.h"
#include "shard/docs.h"

typedef struct mill_line_reader {
    const mill_finished *finished;
    char path[256];
    mill_stream *stream;
    mill_buf data; // what was decompressed and not yet given
    size_t at;
    bool ended;
    uint64_t number; // of the line given last, from 1
} mill_line_reader;

mill_status mill_line_reader_open(const mill_finished *finished, const char *path, mill_line_reader *out,
                                  mill_error *err) MILL_MUST_CHECK;
void mill_line_reader_close(mill_line_reader *reader); // harmless twice
// The next line with its newline, valid until the next call; *line is NULL at the end.
mill_status mill_line_reader_next(mill_line_reader *reader, const uint8_t **line, size_t *bytes,
                                  mill_error *err) MILL_MUST_CHECK;
// Fills err with "DIR/path: line N: what" and returns MILL_VERIFY.
mill_status mill_line_reader_fail(const mill_line_reader *reader, mill_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Parses the line that the reader gave last, in either spacing: a sample of a shard, or (row) a row of the
// encode stage. length is the number of ids, cu_seqlens runs from 0 to length, strictly rising, position_ids are as
// many as the ids, and loss_mask has a 0 or 1 for each, or the line is refused. The mask of a row is not read.
mill_status mill_read_sample_parse(const mill_line_reader *reader, const uint8_t *line, size_t bytes,
                                   bool row, mill_read_sample *out, mill_error *err) MILL_MUST_CHECK;

typedef struct mill_doc_reader {
    mill_line_reader lines;
    void *json; // holds the strings of line
    mill_doc_line line;
    bool has_line; // false: the file has ended
} mill_doc_reader;

// Opens a docs file and reads its first line.
mill_status mill_doc_reader_open(const mill_finished *finished, const char *path, mill_doc_reader *out,
                                 mill_error *err) MILL_MUST_CHECK;
mill_status mill_doc_reader_next(mill_doc_reader *reader, mill_error *err) MILL_MUST_CHECK;
void mill_doc_reader_close(mill_doc_reader *reader); // harmless twice

// One line of JSON, its memory from core/alloc.h. NULL: it is no JSON, or (*nomem) memory ran out. Free with
// mill_json_line_free.
void *mill_json_line_parse(const uint8_t *line, size_t bytes, bool *nomem);
void mill_json_line_free(void *json);  // NULL is fine
void *mill_json_line_root(void *json); // its yyjson_val

#endif
