// filter.h: records -> verdicts. One table of rules (filter.c) in the order in which they run; each has a reason, a measured
// value and a limit, which explain prints. Everything is decided by integers.
#ifndef MILL_FILTER_FILTER_H
#define MILL_FILTER_FILTER_H

#include "backend/backend.h"
#include "core/rng.h"
#include "record/batch.h"

#define MILL_MARKERS_MAX 32

typedef enum mill_rng_kind { MILL_RNG_COUNTER, MILL_RNG_PYTHON } mill_rng_kind;

typedef struct mill_filter_options {
    bool enabled;                 // false: everything in a wanted language passes
    uint64_t min_chars, max_chars;
    uint64_t min_lines;
    uint32_t short_types;         // bits by mill_data_type: min_chars and min_lines do not count for them
    uint64_t max_mean_line;       // characters per line
    uint32_t min_alnum_permille;  // 500 = half
    uint32_t max_comment_permille;
    bool comment_by_language;     // false: '#' and '//' everywhere (the guide)
    bool comment_blocks;          // with comment_by_language: lines that begin with "/*" or "*" count as well
    uint32_t autogen_window;      // 0 = whole text; else only this many bytes at both ends
    const char *autogen_markers[MILL_MARKERS_MAX]; // lower case, NULL-terminated
    const char *test_markers[MILL_MARKERS_MAX];    // case-sensitive, NULL-terminated
    bool test_words;              // true: "it(" and "describe(" only after a character that is neither identifier nor '.',
                                  // and only in JavaScript, TypeScript and Ruby
    uint32_t test_keep_permille;  // 200: keep a test file unless draw > 0.2
    bool star_sampling;
    int64_t stars_high, stars_mid;// > high keeps always; > mid keeps with mid_permille, else low_permille
    uint32_t stars_mid_permille, stars_low_permille;
    bool stars_missing_keep;      // default recipe: a record without a star count is not judged by stars
    const char *licences[64];     // allow list, lower case, NULL-terminated; empty: all. A record that lists several (',' or ';'
                                  // between) needs every one of them; a record without a licence is rejected
    uint32_t unicode;             // isalnum table: 140, 150, 151, 160
    uint64_t seed;
    mill_rng_kind rng;            // python: draws are left to the barrier (flags tell what to draw)
    const bool *languages;        // by mill_language_id, or NULL: all pass
    uint32_t languages_count;
} mill_filter_options;

typedef struct mill_filter mill_filter; // one worker's handle: options, backend, scratch

// Copies *options, but borrows the strings and arrays they point to. MILL_RECIPE: no table for options->unicode, or a bad marker
// (empty, over 256 bytes, or an autogen marker that is not lower-case ASCII).
mill_status mill_filter_open(const mill_filter_options *options, const mill_language_table *languages,
                             const mill_backend_ops *backend, mill_filter **out, mill_error *err) MILL_MUST_CHECK;
void mill_filter_close(mill_filter *filter);

// Conversations are no files: only language, licence and max_chars judge them.
// Sets verdict and flags of every record that is MILL_KEPT so far: the first rule that rejects it, in table order.
mill_status mill_filter_batch(mill_filter *filter, mill_batch *batch, mill_error *err) MILL_MUST_CHECK;

// `rng: python`: the guide's draws for one record that passed everything else, in document order. MILL_KEPT, TEST or STARS.
mill_reason mill_filter_draw_python(const mill_filter_options *options, mill_mt19937 *mt, bool is_test, int64_t stars);

// One row of explain: what a rule measured for record i and how it judged.
typedef struct mill_rule_result {
    const char *rule;     // reason name
    char measured[96];    // "0.317 (1234 of 3890 characters)"
    char limit[96];       // ">= 0.5"
    bool passed;
} mill_rule_result;
#define MILL_RULES_MAX 24
// Every rule's result for record i, whatever the earlier rules said; *count rows.
mill_status mill_filter_explain(mill_filter *filter, const mill_batch *batch, uint32_t i,
                                mill_rule_result results[MILL_RULES_MAX], uint32_t *count, mill_error *err) MILL_MUST_CHECK;

#endif
