// mixture.h: which documents fill the shares of a recipe. A barrier on token counts and keys.
#ifndef MILL_PACK_MIXTURE_H
#define MILL_PACK_MIXTURE_H

#include "core/alloc.h"
#include "core/rng.h"

typedef struct mill_share { // one row of mixture.languages, mixture.types or mixture.tiers
    const char *name; // language ("c+cpp": several with one share), data type, or tier "high", "mid", "low"; "other": the rest
    uint32_t permyriad;     // 3000 = 30 %
} mill_share;

typedef struct mill_mixture_options {
    bool enabled;           // false, or target_tokens = 0: everything is selected once
    uint64_t target_tokens; // 0: none
    mill_share languages[64];
    size_t language_count;  // 0: not balanced by language
    mill_share types[8];
    size_t type_count;
    mill_share tiers[4];
    size_t tier_count;
    uint32_t epochs_max;    // a document may be taken this often (1: no up-sampling)
    uint64_t seed;
} mill_mixture_options;

typedef struct mill_mixture_doc { // one candidate document
    mill_key key;
    uint64_t tokens;
    const char *language;
    uint8_t type;           // mill_data_type
    uint8_t tier;           // 0 high, 1 mid, 2 low
} mill_mixture_doc;

typedef struct mill_share_report { // what became of a share: for metrics.json, never silently re-spread
    char name[128];         // "language=python type=source tier=high"; the last row may be "outside" (see below)
    uint64_t wanted_tokens; // of all cells: exactly target_tokens
    uint64_t available_tokens, selected_tokens; // one pass over the cell; all passes together
    uint64_t documents;     // different documents selected
} mill_share_report;

// epochs[i] = how often document i is taken (0: unselected). Independent of the order of docs: ranks come from keyed draws.
// Cells are the product of the three tables; a cell takes documents in draw order until its share of the target is reached
// (the document that crosses it is taken only if that brings the cell nearer to its share; it ends the cell either way). The order
// of pass n is mill_draw(seed, MILL_DRAW_MIXTURE, key, n), then the key, then the index; with epochs_max > 1 a cell that runs out
// starts again, and a pass that fits as a whole is taken as a whole. A cell with too little data stays short: see its report.
// A table names each of its values once; several in one share are joined by '+'. A value that no share names belongs to "other";
// where a table has no "other", its documents are unselected and counted in the report "outside". Reports stand in table order
// (languages, types, tiers). Shares of a table must add up to 10000, else MILL_RECIPE names the table and the sum.
// Not enabled, or without a target: everything is selected once and there are no reports.
mill_status mill_mixture_select(const mill_mixture_doc *docs, uint64_t count, const mill_mixture_options *options,
                                uint32_t *epochs, mill_share_report **reports, size_t *report_count, mill_error *err)
    MILL_MUST_CHECK; // free *reports with mill_free

#endif
