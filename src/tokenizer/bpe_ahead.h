// bpe_ahead.h: slices of text whose ids a backend finds before they are asked for. The slices of a batch are
// noted in the order in which the encoder will come to them; when it does, each is compared with its note, so
// that a wrong guess costs time and nothing else.
#ifndef MILL_TOKENIZER_BPE_AHEAD_H
#define MILL_TOKENIZER_BPE_AHEAD_H

#include "tokenizer/bpe_model.h"

typedef struct mill_ahead { // zero-initialised is empty and has no backend
    mill_backend *backend;  // NULL: nothing is done ahead
    mill_bpe_tables tables;
    bool listening;
    mill_buf text;          // of all slices
    uint64_t *offsets;      // count + 1
    uint64_t *ends;         // number of ids behind each slice
    bool *known;            // its ids are there
    size_t count, next;
    size_t offset_capacity, end_capacity, known_capacity;
    mill_ids ids;
} mill_ahead;

void mill_ahead_free(mill_ahead *ahead);
// False: this backend cannot encode for this tokenizer.
bool mill_ahead_open(mill_ahead *ahead, const mill_tokenizer *tokenizer, mill_backend *backend);
mill_status mill_ahead_note(mill_ahead *ahead, const uint8_t *text, size_t bytes, mill_error *err) MILL_MUST_CHECK;
void mill_ahead_forget(mill_ahead *ahead);
// Has the ids of all slices found. encode_piece, context: as in mill_encode_job.
mill_status mill_ahead_run(mill_ahead *ahead,
                           mill_status (*encode_piece)(void *context, const uint8_t *piece, size_t bytes,
                                                       mill_ids *out, mill_error *err),
                           void *context, mill_error *err) MILL_MUST_CHECK;
// The ids of the next slice, if it is this text and they are known.
bool mill_ahead_take(mill_ahead *ahead, const uint8_t *text, size_t bytes, const uint32_t **ids, size_t *count);

#endif
