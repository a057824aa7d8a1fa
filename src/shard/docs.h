// docs.h: lines of the docs sidecar: where each part of a sample came from, and what was done to it.
#ifndef MILL_SHARD_DOCS_H
#define MILL_SHARD_DOCS_H

#include "core/alloc.h"

#define MILL_NO_PLACE UINT64_MAX // in directories that were written before it was kept

typedef struct mill_doc_line {
    uint64_t sample;                // number in the run
    uint32_t begin, tokens;         // place in the sample
    const char *file;               // name of the input
    uint64_t record;                // 1-based in that input
    const char *repo, *path, *licence, *language;
    size_t file_bytes, repo_bytes, path_bytes, licence_bytes, language_bytes; // valid UTF-8, need not end with a NUL
    uint32_t piece;                 // of the document
    uint64_t text_begin, text_end;  // bytes of the document that the row stands for
    const char *mode;               // "none", "psm", "spm", "spans", "chat"; "padding": no document's
    uint64_t cut_begin, cut_end;    // the first middle, as bytes of the document
    uint32_t row_begin;             // first token of the part within its row: 0 unless the packing split the row
    uint64_t doc_begin;             // within its document, or its repository's sequence; MILL_NO_PLACE: not known
    bool last;                      // the row is the document's last piece
} mill_doc_line;

// Files of a repository share a row: the lines of all but its first tell of a later token of it.
static inline bool mill_doc_begins_row(const mill_doc_line *line)
{
    return line->begin == 0 || line->row_begin == 0;
}

// Appends one JSON line, keys in the order of the struct:
// {"sample":0,"begin":0,"tokens":9,"file":"a.jsonl","record":1,"repo":"r","path":"p","licence":"mit","language":"c","piece":0,
//  "text_begin":0,"text_end":40,"mode":"psm","cut_begin":3,"cut_end":7,"row_begin":0,"doc_begin":0,
//  "last":true} and a newline.
mill_status mill_docs_append(const mill_doc_line *line, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
