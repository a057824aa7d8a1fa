// encode_internal.h: what the files of src/encode share: the worker's handle, control ids, and the layout of a row.
#ifndef MILL_ENCODE_ENCODE_INTERNAL_H
#define MILL_ENCODE_ENCODE_INTERNAL_H

#include <stdio.h>

#include "core/template.h"
#include "encode/encode.h"

enum {
    MILL_CONTEXT_MIN = 32,      // room for the tag, the sentinels of four spans, the end, and any code point
    MILL_SENTINELS_MULTI = 3 * MILL_FIM_SPANS_MAX,
    MILL_LAYOUT_MAX = MILL_SENTINELS_MULTI + 2 * MILL_FIM_SPANS_MAX + 1,
};

typedef struct mill_controls { // ids; -1: not there or not needed
    int64_t end, prefix, middle, suffix;
    int64_t spans[MILL_FIM_SPANS_MAX], span_end;
} mill_controls;

// What a transformed piece is made of, in order: control tokens and stretches of its text.
typedef struct mill_layout_item {
    int64_t control; // -1: the bytes [begin, end) of the piece
    uint64_t begin, end;
} mill_layout_item;
typedef struct mill_layout {
    mill_layout_item items[MILL_LAYOUT_MAX];
    uint32_t count;
} mill_layout;
// plan->mode NONE: the whole text.
void mill_layout_make(const mill_controls *controls, const mill_fim_plan *plan, uint64_t bytes, mill_layout *out);

struct mill_encode {
    mill_encode_options options; // string members are not used after open
    const mill_tokenizer *tokenizer;
    const mill_language_table *languages;
    mill_encoder *encoder;
    bool ahead;                  // a backend encodes ahead
    bool listening;              // texts are foreseen, not encoded
    size_t *marks;               // of each record: its place among the foreseen texts
    size_t mark_capacity;
    mill_fim *fim;               // NULL: nothing is transformed
    mill_fim_cut cut;
    mill_controls controls;
    char *language_format;
    int64_t *tags;               // by language id; -1: no such token, -2: not looked up yet
    size_t tag_count, tag_capacity;
    mill_buf string;             // the document as one string (parse_specials)
    mill_ids plain;              // the document's ids
    mill_ids whole;              // guide: the ids with controls, before they are chunked
    bool normalizes;             // documents are normalized before they are cut
    mill_ids learned;            // of a conversation's ids: 1 is a target
    struct mill_encode_stretch { // pieces of the text that is encoded next
        uint64_t end;
        bool learned;
    } * stretches;
    size_t stretch_count, stretch_capacity;
    struct mill_encode_repo *repo; // NULL: no sequences
    mill_buf normal;             // the document's text as the tokenizer's normalizer leaves it
    uint32_t *token_bytes;       // by id: bytes of text that it stands for
    uint64_t *ends;              // end offset of each of them in the document
    size_t end_capacity;
    uint32_t *piece_ends;        // the same for a piece, relative to it
    size_t piece_end_capacity;
};

typedef struct mill_encode_stretch mill_encode_stretch;
typedef struct mill_encode_repo mill_encode_repo;

// One record on its way.
typedef struct mill_encode_document {
    const uint8_t *text;
    uint64_t bytes;
    mill_key key;
    mill_language_id language;
    uint32_t record;
    int64_t tag;               // id or -1
    const mill_line_cut *cut;  // decided by the caller, or NULL
    uint32_t piece;            // number of the next row
    bool transformed;
} mill_encode_document;

// A row's place in the document. plan->begin and end are relative to begin; plan may be NULL.
typedef struct mill_row_span {
    uint64_t begin, end;
    const mill_fim_plan *plan;
    bool last;
} mill_row_span;

// Appends ids to an array.
mill_status mill_encode_put(mill_ids *ids, const uint32_t *data, size_t count, mill_error *err) MILL_MUST_CHECK;
// Turns the ids of rows->ids from `first` on into a row, or drops them when they are fewer than min_chunk.
mill_status mill_encode_row(mill_encode *encode, mill_encode_document *document, size_t first, const mill_row_span *span,
                            mill_rows *rows, mill_error *err) MILL_MUST_CHECK;
// encode->plain = ids of the document, encode->ends = their ends. Fails with MILL_INPUT if the ids do not spell the text.
mill_status mill_encode_plain(mill_encode *encode, const mill_encode_document *document, mill_error *err) MILL_MUST_CHECK;
mill_status mill_encode_measure(mill_encode *encode, const mill_encode_document *document, mill_error *err) MILL_MUST_CHECK;
// Plans the piece [begin, end) made of the tokens [token, token + tokens) of encode->plain (cut token only).
mill_status mill_encode_plan(mill_encode *encode, const mill_encode_document *document, const mill_row_span *span, size_t token,
                             size_t tokens, mill_fim_plan *plan, mill_error *err) MILL_MUST_CHECK;
// Appends the parts of a transformed piece: control ids, and text encoded part by part (cut token: slices of encode->plain).
mill_status mill_encode_parts(mill_encode *encode, const mill_encode_document *document, const mill_row_span *span,
                              mill_ids *out, mill_error *err) MILL_MUST_CHECK;
// Appends the ids of a text, or only foresees it.
mill_status mill_encode_text(mill_encode *encode, const uint8_t *text, uint64_t bytes, bool specials, mill_ids *out,
                             mill_error *err) MILL_MUST_CHECK;
// Foresee what mill_encode_pieces and mill_encode_chunks will encode first.
mill_status mill_encode_foresee_pieces(mill_encode *encode, mill_encode_document *document, mill_error *err) MILL_MUST_CHECK;
mill_status mill_encode_foresee_chunks(mill_encode *encode, mill_encode_document *document, mill_error *err) MILL_MUST_CHECK;
// encode_pieces.c: rows of one document within the context.
mill_status mill_encode_pieces(mill_encode *encode, mill_encode_document *document, mill_rows *rows, mill_error *err)
    MILL_MUST_CHECK;
// encode_guide.c: rows of one document as the guide makes them: chunks of the finished ids.
mill_status mill_encode_chunks(mill_encode *encode, mill_encode_document *document, mill_rows *rows, mill_error *err)
    MILL_MUST_CHECK;

// encode_chat.c: the row of record i, a conversation.
mill_status mill_encode_chat(mill_encode *encode, const mill_batch *batch, uint32_t i,
                             mill_encode_document *document, mill_rows *rows,
                             mill_error *err) MILL_MUST_CHECK;

// encode_repo.c: what sequences need; encode->fim is open already.
mill_status mill_encode_repo_open(mill_encode *encode, const mill_encode_options *options, const mill_fim_options *fim,
                                  mill_error *err) MILL_MUST_CHECK;
void mill_encode_repo_close(mill_encode_repo *repo); // NULL is fine

// Control ids by the names in options; missing ones are -1.
void mill_controls_resolve(const mill_encode_options *options, const mill_tokenizer *tokenizer, mill_controls *out);

#endif
