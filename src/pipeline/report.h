// report.h: what the report page shows, gathered from a finished run; and the page's building blocks.
#ifndef MILL_PIPELINE_REPORT_H
#define MILL_PIPELINE_REPORT_H

#include "pipeline/finished.h"

enum { MILL_REPORT_BINS = 40, MILL_REPORT_EXAMPLES = 10, MILL_REPORT_DROPPED = 4, MILL_REPORT_LICENCES = 512 };

typedef struct mill_report_bins { // bin i counts values of [2^i, 2^(i+1)), or what its user says
    uint64_t bins[MILL_REPORT_BINS], count, sum, least, most;
} mill_report_bins;

typedef struct mill_report_group {             // of document pieces: a language, a licence
    char *name;                                // owned; valid UTF-8
    uint64_t pieces, documents, tokens, bytes; // bytes of text that the tokens stand for
} mill_report_group;

typedef struct mill_report_groups {
    mill_report_group *rows;
    size_t count, capacity, last;        // last: the row found last
    uint64_t other_tokens, other_pieces; // of groups beyond those that are kept
} mill_report_groups;

typedef struct mill_report_place { // a record of an input
    char *file;                    // owned
    uint64_t record;
    bool exact;
    double similarity;
} mill_report_place;

typedef struct mill_report_cluster {
    mill_report_place kept, dropped[MILL_REPORT_DROPPED];
    uint64_t dropped_count, exact_count;
} mill_report_cluster;

typedef struct mill_report_bad {  // one quarantined record
    char *file, *reason, *detail; // owned
    uint64_t record;
} mill_report_bad;

typedef struct mill_report {
    const mill_finished *finished;
    cJSON *metrics;
    bool has_docs, has_clusters, has_shards;
    mill_report_groups languages, licences;
    mill_report_bins piece_tokens, piece_bytes;
    mill_report_bins fill;          // samples by fullness: bin 0..9 for each tenth of seq_len, 10: full
    uint64_t none, psm, spm, spans; // documents by what FIM made of their first piece
    mill_report_bins cluster_sizes;
    mill_report_bins similarity;                        // of near duplicates: bin i for [i, i + 1) of twentieths
    mill_report_cluster clusters[MILL_REPORT_EXAMPLES]; // the largest, first of equals
    size_t cluster_count;
    mill_report_groups bad_reasons;
    mill_report_bad bad[MILL_REPORT_EXAMPLES];
    size_t bad_count;
    mill_text samples; // as inspect shows them, with its colours
} mill_report;

mill_status mill_report_gather(const mill_finished *finished, const char *directory, mill_report *out,
                               mill_error *err) MILL_MUST_CHECK;
void mill_report_free(mill_report *report);

// ---- the page: everything is appended to one text; the first failure is kept, and what comes after it does nothing

typedef struct mill_page {
    mill_buf *out;
    mill_error *err;
    mill_status status;
} mill_page;

void mill_page_text(mill_page *page, const char *html); // as it is
void mill_page_print(mill_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Data, as text of an element or a quoted attribute: markup, controls and bytes that turn the direction of writing are shown,
// not obeyed.
void mill_page_data(mill_page *page, const void *text, size_t bytes, bool lines);
void mill_page_string(mill_page *page, const char *text);
// A number with commas; metric, if not NULL, is its path in metrics.json, e.g. "funnel.read".
void mill_page_number(mill_page *page, uint64_t value, const char *metric);

typedef struct mill_bar {
    const char *label;
    uint64_t value;
    const char *class; // of the stylesheet
} mill_bar;
// Vertical bars with counts; title for readers of screens.
void mill_page_columns(mill_page *page, const char *title, const mill_bar *bars, size_t count);
// One stacked bar with its legend.
void mill_page_stack(mill_page *page, const char *title, const mill_bar *bars, size_t count);
// The flow of records from the left to the right, each loss leaving it downwards.
void mill_page_flow(mill_page *page, uint64_t read, const mill_bar *losses, size_t count, uint64_t kept);

void mill_page_head(mill_page *page, const char *title); // doctype, stylesheet
void mill_page_foot(mill_page *page);                    // script

mill_status mill_report_page(const mill_report *report, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
