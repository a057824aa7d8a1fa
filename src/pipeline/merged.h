// merged.h: the sequences of finished directories as one list, for convert and merge: what the shards pass writes is read from
// there instead of from token units.
#ifndef MILL_PIPELINE_MERGED_H
#define MILL_PIPELINE_MERGED_H

#include "pipeline/run.h"
#include "pipeline/sample_read.h"
#include "shard/container.h"

typedef struct mill_merged_kind { // samples, or documents
    bool present;
    mill_held *held;         // by directory: what is read
    uint64_t *first;         // number of each directory's first sequence; count + 1 entries
    uint64_t count;
    const uint32_t *lengths, *rows; // of each sequence: tokens, and rows; mapped files
} mill_merged_kind;

struct mill_merged {
    const mill_fs *fs;
    mill_finished *dirs;
    size_t dir_count;
    mill_merged_kind kinds[2];
    bool has_mask;
    mill_positions positions;       // that sequences are given
    uint32_t vocab_size;
};

// Opens the directories, which must have the same tokenizer and hold the same kinds of sequences. Names must outlive the handle.
mill_status mill_merged_open(const char *const *directories, size_t count, mill_merged *out, mill_error *err) MILL_MUST_CHECK;
// Measures all sequences, by the sidecars, into files of the work directory, which are mapped.
mill_status mill_merged_measure(mill_merged *merged, mill_workdir *dir, mill_error *err) MILL_MUST_CHECK;
void mill_merged_close(mill_merged *merged);

// Reads sequences of one kind; cheap where they are asked for in order. For one thread.
typedef struct mill_merged_cursor {
    const mill_merged *merged;
    bool documents, open;
    uint64_t next;           // sequence that the reader stands before
    size_t dir;
    uint64_t shard, first;   // that is open; number of its first sequence in its directory
    mill_sample_reader reader;
    mill_docs_cursor docs;
    mill_read_sample sample;
    uint32_t *bounds, *positions;
    size_t bound_capacity, position_capacity;
    uint8_t *ones;           // mask of a sequence that has none
    size_t one_capacity;
    mill_buf source;         // name of its first row's input
    mill_buf lines;          // of the sidecar, numbered anew
} mill_merged_cursor;

// The sequence, valid until the next call; its lines of the sidecar are in cursor->lines.
mill_status mill_merged_read(mill_merged_cursor *cursor, const mill_merged *merged, bool documents, uint64_t number,
                             mill_sample *sample, mill_error *err) MILL_MUST_CHECK;
void mill_merged_cursor_close(mill_merged_cursor *cursor); // harmless twice

#endif
