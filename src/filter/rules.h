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
    // Where a device looks for comments and markers, for the batch at hand (filter_scan.c); NULL elsewhere.
    mill_pattern *patterns;
    struct mill_filter_scans *scans;
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

// Comment styles that count for a record, and whether markers that are words count in it.
uint32_t mill_filter_comment_styles(const mill_filter *filter, const mill_batch *batch, uint32_t i);
bool mill_filter_words_count(const mill_filter *filter, const mill_batch *batch, uint32_t i);

// ---- filter_scan.c: the same looks by a device, for all records of a batch at once, where the backend offers them

mill_status mill_filter_scan_open(mill_filter *filter, mill_error *err) MILL_MUST_CHECK;
void mill_filter_scan_close(mill_filter *filter);
mill_status mill_filter_scan_batch(mill_filter *filter, const mill_batch *batch, mill_error *err) MILL_MUST_CHECK;
// Notes in the subject what the device saw, if it did.
void mill_filter_scan_apply(const mill_filter *filter, mill_subject *subject);

mill_subject mill_subject_of(const mill_batch *batch, uint32_t i, mill_text_stat stat);

#endif
