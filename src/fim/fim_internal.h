// fim_internal.h: what the files of src/fim share: cut positions of a text, and the finder of blocks.
#ifndef MILL_FIM_FIM_INTERNAL_H
#define MILL_FIM_FIM_INTERNAL_H

#include "fim/fim.h"

typedef struct mill_cut_span { // bytes [begin, end) of the piece
    uint64_t begin, end;
} mill_cut_span;

// The counter draws of one piece.
typedef struct mill_fim_draws {
    uint64_t seed;
    mill_key key;
    uint32_t piece;
} mill_fim_draws;

// Word n of the piece, cut down to [0, bound); bound > 0.
static inline uint64_t mill_fim_word(const mill_fim_draws *draws, uint32_t n, uint64_t bound)
{
    uint64_t nth = (uint64_t)draws->piece << 32 | n;
    return mill_draw_below(mill_draw(draws->seed, MILL_DRAW_FIM, draws->key, nth), bound);
}

// Words of one decision (frozen: output bytes depend on them). From MILL_FIM_WORD_CUT on the words belong to the cut.
enum { MILL_FIM_WORD_TRANSFORM = 0, MILL_FIM_WORD_SPM = 1, MILL_FIM_WORD_CUT = 2 };

typedef struct mill_cut_text {
    const uint8_t *text;
    uint64_t bytes;
    const uint32_t *token_ends;
    size_t token_count;
} mill_cut_text;

// Each fills out->begin, end and span_count and returns false where the text offers no such cut.
bool mill_cut_char(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);
bool mill_cut_line(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);
bool mill_cut_token(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);
bool mill_cut_line_completion(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);
bool mill_cut_multi(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);
bool mill_cut_guide(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out);

// Byte offset after newline number n (n = 0: 0); bytes if there are fewer.
uint64_t mill_cut_line_start(const uint8_t *text, uint64_t bytes, uint64_t n);
uint64_t mill_cut_count_newlines(const uint8_t *text, uint64_t bytes);

// Candidate blocks of one text; reused from text to text.
typedef struct mill_block_list {
    mill_cut_span *spans;
    size_t count, capacity;
    struct mill_block_open { // brackets or headers that wait for their end
        uint64_t begin;
        uint64_t lines;      // newlines before begin
        uint32_t indent;
    } *stack;
    size_t stack_count, stack_capacity;
    uint64_t lines_max;
} mill_block_list;
void mill_block_list_free(mill_block_list *list);
// Both clear the list first and fill it with the blocks of 2..lines_max lines, in order of their ends.
mill_status mill_blocks_by_indent(mill_block_list *list, const uint8_t *text, uint64_t bytes, mill_error *err) MILL_MUST_CHECK;
mill_status mill_blocks_by_braces(mill_block_list *list, const uint8_t *text, uint64_t bytes, mill_error *err) MILL_MUST_CHECK;
// Appends one span if it has 2..lines_max lines. newlines: '\n' bytes inside the span.
mill_status mill_block_list_add(mill_block_list *list, mill_cut_span span, uint64_t newlines, mill_error *err) MILL_MUST_CHECK;

#endif
