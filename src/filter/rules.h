// rules.h: the filter's rule table and what the rules see of a record.
#ifndef MILL_FILTER_RULES_H
#define MILL_FILTER_RULES_H

#include "filter/filter.h"
#include "filter/markers.h"

struct mill_filter {
    mill_filter_options options;
    const mill_language_table *languages;
    mill_backend *backend;
    mill_markers markers;
    bool vector;           // AVX2 for what the filter itself searches
    int word_languages[3]; // ids of javascript, typescript, ruby; -1 where unknown
    mill_text_stat *stats; // one a record of the batch at hand
    size_t stats_capacity;
    mill_buf scratch;
};

// Whether the user's choice of languages, if any, has this one.
bool mill_language_wanted(const mill_filter *filter, mill_language_id id);

// One record under judgement. The costly measurements are made by the first rule that asks.
typedef struct mill_subject {
    const mill_batch *batch;
    uint32_t i;
    const uint8_t *text;
    uint64_t bytes;
    mill_text_stat stat;
    bool searched; // hits is known
    mill_marker_hits hits;
    bool counted; // comment_lines is known
    uint64_t comment_lines;
} mill_subject;

typedef struct mill_rule {
    mill_reason reason;
    bool of_files; // judges a file and its repository: says nothing of conversations
    mill_status (*judge)(mill_filter *filter, mill_subject *subject, bool *passed, mill_error *err);
    // Fills measured and limit.
    mill_status (*describe)(mill_filter *filter, mill_subject *subject, mill_rule_result *row,
                            mill_error *err);
} mill_rule;

#define MILL_RULE_COUNT 11
extern const mill_rule mill_rules[MILL_RULE_COUNT]; // in the order of MILL_REASON_MAP

mill_subject mill_subject_of(const mill_batch *batch, uint32_t i, mill_text_stat stat);

#endif
