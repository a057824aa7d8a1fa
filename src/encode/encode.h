// encode.h: text -> rows of token ids ready to be packed: language tag, FIM parts and sentinels, end-of-text; a document longer
// than the context is cut into pieces first, and each piece is transformed by itself.
#ifndef MILL_ENCODE_ENCODE_H
#define MILL_ENCODE_ENCODE_H

#include "fim/fim.h"
#include "record/batch.h"
#include "tokenizer/tokenizer.h"

typedef struct mill_encode_options {
    bool parse_specials;       // guide: one string, specials in content become control tokens
    bool language_tag;         // <|lang_NAME|> first, when the tokenizer has it
    bool end_token;            // end-of-text after a document
    uint32_t context;          // longest row in tokens (0: unlimited); guide: chunk length
    uint32_t min_chunk;        // rows shorter than this are dropped, and counted (guide: 100; default: 1)
    bool guide_chunks;         // cut the finished ids every `context` tokens (guide) instead of piece by piece
    const char *end_text;      // "<|endoftext|>"
    const char *fim_prefix, *fim_middle, *fim_suffix; // sentinel names by preset
    const char *fim_pad;       // may be NULL
    const char *language_format;                      // "<|lang_%s|>"
} mill_encode_options;

// One row: a whole document, or a piece of one.
typedef struct mill_row {
    uint64_t first_token;      // in the token column of the unit
    uint32_t tokens;
    uint32_t record;           // row in the segment
    uint32_t piece;            // 0, 1, ... within the document
    uint8_t mode;              // mill_fim_mode
    bool last;                 // the document's last piece
    uint64_t text_begin, text_end; // bytes of the document that this row stands for
    uint64_t cut_begin, cut_end;   // first middle, as bytes of the document (0, 0 when mode is NONE)
} mill_row;

typedef struct mill_rows { // the result for one unit
    mill_ids ids;
    mill_row *rows;
    size_t count, capacity;
    uint64_t dropped_rows, dropped_tokens; // below min_chunk
    uint64_t documents, transformed;       // documents encoded; those with at least one FIM row
    uint64_t encoded_tokens;               // ids made, dropped ones included
} mill_rows;
void mill_rows_clear(mill_rows *rows);
void mill_rows_free(mill_rows *rows);

typedef struct mill_encode mill_encode; // one worker's handle
// Checks that the tokenizer has every control token the options need (MILL_INPUT names the missing one).
mill_status mill_encode_open(const mill_encode_options *options, const mill_fim_options *fim, const mill_tokenizer *tokenizer,
                             const mill_language_table *languages, mill_encode **out, mill_error *err) MILL_MUST_CHECK;
void mill_encode_close(mill_encode *encode);

// Python-mode FIM decisions of a unit's records (the barrier drew them): line numbers, 0 = untransformed. NULL otherwise.
typedef struct mill_line_cut {
    uint64_t first, second;
} mill_line_cut;

// Appends the rows of every record i with keep[i] (NULL: all).
mill_status mill_encode_batch(mill_encode *encode, const mill_batch *batch, const bool *keep, const mill_line_cut *cuts,
                              mill_rows *out, mill_error *err) MILL_MUST_CHECK;

// The inverse for one row: the bytes of the document it stands for (text_begin .. text_end), from ids alone. Used by inspect
// and by tests. Fails with MILL_VERIFY when the sentinels do not fit together.
mill_status mill_encode_restore(const mill_encode_options *options, const mill_tokenizer *tokenizer, const uint32_t *ids,
                                size_t count, mill_buf *text, mill_fim_mode *mode, mill_error *err) MILL_MUST_CHECK;

#endif
