// account.h: the bookkeeping of records. Every record read ends in exactly one place; the sums are kept by input and by unit and
// must add up before a run may end.
#ifndef MILL_PIPELINE_ACCOUNT_H
#define MILL_PIPELINE_ACCOUNT_H

#include <cjson/cJSON.h>

#include "record/verdict.h"
#include "source/source.h"

typedef struct mill_account { // of one input
    uint64_t read, quarantined;
    uint64_t by_reason[MILL_REASON_COUNT]; // by_reason[MILL_KEPT] = kept to the end
    uint64_t replaced_surrogates, replaced_bytes, stripped_heads, stripped_bom, missing_stars;
    uint64_t further, notebooks, pages, newlines, text_bom, nul, encodings; // as in mill_parse_counts
} mill_account;

// What was read of an input, nothing of it judged yet.
mill_account mill_account_of_counts(const mill_parse_counts *counts);
void mill_account_add(mill_account *to, const mill_account *from);
// read = quarantined + the sum over all reasons.
bool mill_account_adds_up(const mill_account *account);
uint64_t mill_account_rejected(const mill_account *account);
// {"read", "quarantined", "reasons": {...}, "changed": {...}}; zero counts are left out of the inner objects.
cJSON *mill_account_to_json(const mill_account *account);
// What was changed in records on the way in, as the members of a JSON object; zero counts are left out.
mill_status mill_account_append_changes(const mill_account *account, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// "funnel":{...} as in metrics.json.
mill_status mill_account_append_funnel(const mill_account *account, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
bool mill_account_from_json(const cJSON *json, mill_account *account);

#endif
