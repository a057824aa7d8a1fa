// run_manifest.h: the sealed manifest of a finished run.
#ifndef MILL_PIPELINE_RUN_MANIFEST_H
#define MILL_PIPELINE_RUN_MANIFEST_H

#include "pipeline/run.h"

typedef struct mill_run_totals {
    mill_account account;
    uint64_t documents, transformed, normalized, encoded_tokens, dropped_rows, dropped_tokens; // of encoding
    uint64_t unselected_tokens, repeated_epoch_tokens;                              // of the mixture
} mill_run_totals;

// Appends manifest.json: recipe, inputs, totals, every product file, and what each container holds.
mill_status mill_run_manifest(mill_run_state *run, const mill_run_totals *totals, const mill_product *products, size_t count,
                              mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// Adds the members "files", "containers" and the digests of the run to a manifest.
mill_status mill_run_manifest_files(mill_run_state *run, const mill_product *products, size_t count, cJSON *manifest,
                                    mill_error *err) MILL_MUST_CHECK;

#endif
