// fim.h: fill-in-the-middle. Decides whether and where a piece of text is cut; the order of the parts and the sentinels are the
// encoder's business (encode.h). Except in guide mode prefix, middle and suffix concatenate to the source bytes exactly.
//
// Draws: word n of a piece is mill_draw(seed, MILL_DRAW_FIM, key, piece << 32 | n), cut down by multiply-shift.
//   n = 0: transform iff below(1000) < rate_permille       n = 1: SPM iff below(1000) < spm_permille, else PSM
//   char, line, token: n = 2, 3: two position numbers, sorted (equal is allowed: an empty middle)
//   block: n = 2: which block, in the order of the finder (grammar: begins; indentation, braces: ends); without one as line
//   line-completion: n = 2: which non-blank line, n = 3: before which of its code points
//   multi: n = 2: 2..4 spans, n = 3..: two code point positions for each span, all sorted
//   guide: n = 2: i = 1 + below(lines - 2), n = 3: j = i + 1 + below(lines - 1 - i)
#ifndef MILL_FIM_FIM_H
#define MILL_FIM_FIM_H

#include "core/rng.h"
#include "record/language.h"

typedef enum mill_fim_cut {
    MILL_FIM_CHAR,  // both cuts uniform over code point positions
    MILL_FIM_LINE,  // over line starts, 0 and the end
    MILL_FIM_TOKEN, // over token boundaries of the piece
    MILL_FIM_BLOCK, // a syntax block: tree-sitter node, else indentation or brackets, else line
    MILL_FIM_LINE_COMPLETION, // from a place in a non-blank line to its end, without the newline
    MILL_FIM_MULTI, // 2..4 disjoint spans (InCoder layout, numbered sentinels)
    MILL_FIM_GUIDE, // the guide's line split that loses two newlines
    MILL_FIM_CUT_COUNT
} mill_fim_cut;
extern const char
    *const mill_fim_cut_names[MILL_FIM_CUT_COUNT]; // "char", "line", "token", "block", "line-completion", "multi", "guide"

typedef enum mill_fim_mode { MILL_FIM_NONE, MILL_FIM_PSM, MILL_FIM_SPM, MILL_FIM_SPANS } mill_fim_mode;

typedef struct mill_fim_options {
    uint32_t rate_permille;     // 500
    uint32_t spm_permille;      // 500: share of SPM among the transformed
    mill_fim_cut cut;
    uint32_t min_chars;         // shorter pieces stay as they are (2)
    uint32_t block_lines_max;   // blocks of 2..this many lines
    uint64_t seed;
} mill_fim_options;

#define MILL_FIM_SPANS_MAX 4
typedef struct mill_fim_plan {
    mill_fim_mode mode;
    uint32_t span_count;        // PSM, SPM: 1; SPANS: 2..4
    uint64_t begin[MILL_FIM_SPANS_MAX], end[MILL_FIM_SPANS_MAX]; // byte spans of the middles, ascending, disjoint; cuts lie
                                                                 // on code points
    bool guide;                 // one newline before begin and one before end are not part of any part (see fim.c)
} mill_fim_plan;

typedef struct mill_fim mill_fim; // one worker's handle: scratch, parsers for block cuts
mill_status mill_fim_open(const mill_fim_options *options, const mill_language_table *languages, mill_fim **out,
                          mill_error *err) MILL_MUST_CHECK;
void mill_fim_close(mill_fim *fim);

// Does word 0 ask for a transform of this piece? True does not promise one: the text may be too short or offer no cut.
bool mill_fim_drawn(const mill_fim *fim, mill_key key, uint32_t piece);

// Plans piece number `piece` of the record with `key` (counter draws). token_ends: end offsets of the piece's tokens, needed
// for cut token only, else NULL.
mill_status mill_fim_plan_piece(mill_fim *fim, mill_key key, uint32_t piece, mill_language_id language, const uint8_t *text,
                                uint64_t bytes, const uint32_t *token_ends, size_t token_count, mill_fim_plan *out,
                                mill_error *err) MILL_MUST_CHECK;

// `rng: python`: the draws of one document in document order: random(), then two randint when it is transformed. lines = number
// of lines. *first and *second are the guide's i and j; mode NONE leaves them 0.
void mill_fim_draw_python(const mill_fim_options *options, mill_mt19937 *mt, uint64_t lines, mill_fim_mode *mode,
                          uint64_t *first, uint64_t *second);
// The guide's plan from line numbers i and j (i = 0: untransformed).
void mill_fim_plan_lines(const uint8_t *text, uint64_t bytes, uint64_t first, uint64_t second, mill_fim_plan *out);

#endif
