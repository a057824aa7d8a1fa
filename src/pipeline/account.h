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
} mill_account;

void mill_account_add(mill_account *to, const mill_account *from);
// read = quarantined + the sum over all reasons.
bool mill_account_adds_up(const mill_account *account);
uint64_t mill_account_rejected(const mill_account *account);
// {"read", "quarantined", "reasons": {...}, "changed": {...}}; zero counts are left out of the inner objects.
cJSON *mill_account_to_json(const mill_account *account);
bool mill_account_from_json(const cJSON *json, mill_account *account);

#endif
