// input_units.h: what the passes that read inputs have in common. Their stages are "ingest" and, for rows of token ids,
// "read-rows"; each has an end record with the facts of the inputs.
#ifndef MILL_PIPELINE_INPUT_UNITS_H
#define MILL_PIPELINE_INPUT_UNITS_H

#include "pipeline/run.h"

// Pulls the block of a unit; to be called under the map's lock.
mill_status mill_input_next(mill_run_state *run, mill_block *block, uint64_t unit, bool *end, mill_error *err) MILL_MUST_CHECK;
// Inputs that a block touches, first to last; first is UINT32_MAX when there are none.
void mill_input_range(const mill_block *block, uint32_t *first, uint32_t *last);
// Adds "accounts" of inputs first..last to a unit's payload; false without memory.
bool mill_input_add_accounts(cJSON *payload, const mill_account *accounts_by_input, uint32_t first, uint32_t last);
// Adds the unit's table of documents and its quarantined records.
mill_status mill_input_add_tables(mill_run_state *run, mill_unit *unit, const mill_doc *docs, uint32_t doc_count,
                                  const mill_quarantine *quarantine, mill_buf *scratch, mill_error *err) MILL_MUST_CHECK;
// Runs the pass for the units that are missing, commits the end record, and loads run->docs and the facts of the inputs.
mill_status mill_input_read(mill_run_state *run, const char *what, const mill_map *map, mill_error *err) MILL_MUST_CHECK;

#endif
