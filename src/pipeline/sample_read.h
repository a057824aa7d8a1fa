// sample_read.h: the sequences of a finished run, from whichever container holds them, and the sidecar beside them.
#ifndef MILL_PIPELINE_SAMPLE_READ_H
#define MILL_PIPELINE_SAMPLE_READ_H

#include "pipeline/shard_read.h"

// The sidecar of samples or of documents as one file, read from a certain sequence on.
typedef struct mill_docs_cursor {
    const mill_finished *finished;
    char directory[64];
    uint64_t file;           // number of the one that is open
    bool open;
    mill_doc_reader docs;    // its line, if it has one, is the next
} mill_docs_cursor;

// Places the cursor at the first line of a sequence, or of the first one behind it.
mill_status mill_docs_cursor_open(const mill_finished *finished, const char *directory, uint64_t sequence, mill_docs_cursor *out,
                                  mill_error *err) MILL_MUST_CHECK;
mill_status mill_docs_cursor_next(mill_docs_cursor *cursor, mill_error *err) MILL_MUST_CHECK;
void mill_docs_cursor_close(mill_docs_cursor *cursor); // harmless twice

// One container as the manifest describes it.
typedef struct mill_held {
    const mill_container *container;
    const cJSON *facts;
    const char *docs;        // directory of its sidecar
    bool documents, borders;
    uint64_t sequences, tokens, shards;
} mill_held;

// The containers of a run in the order of the manifest; MILL_VERIFY: it lists none that this program knows. Free with mill_free.
mill_status mill_held_list(const mill_finished *finished, mill_held **out, size_t *count, mill_error *err) MILL_MUST_CHECK;
// The first of samples, else the first of documents; of these one that keeps borders. -1: there is none.
int mill_held_best(const mill_held *list, size_t count);
// The file that holds a shard's facts; NULL: the manifest has none.
const mill_finished_file *mill_held_file(const mill_finished *finished, const mill_held *held, uint64_t shard);

typedef struct mill_sample_reader {
    const mill_finished *finished;
    const mill_container *container;
    char path[256];
    mill_line_reader lines;  // of JSON
    void *shard;             // of the others
    uint64_t sequence;       // number of the next one in the run
    bool borders;
    mill_docs_cursor docs;   // tells the borders that the container does not keep
} mill_sample_reader;

// Opens a shard whose first sequence has this number.
mill_status mill_sample_reader_open(const mill_finished *finished, const mill_held *held, const char *path, uint64_t sequence,
                                    mill_sample_reader *out, mill_error *err) MILL_MUST_CHECK;
// The next sequence, whole; *end: there is none.
mill_status mill_sample_reader_next(mill_sample_reader *reader, mill_read_sample *out, bool *end, mill_error *err) MILL_MUST_CHECK;
void mill_sample_reader_close(mill_sample_reader *reader); // harmless twice
// Fills err with the place of the sequence given last, and `what`; returns MILL_VERIFY.
mill_status mill_sample_reader_fail(const mill_sample_reader *reader, mill_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
