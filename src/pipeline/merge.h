// merge.h: metrics and manifest of merged directories.
#ifndef MILL_PIPELINE_MERGE_H
#define MILL_PIPELINE_MERGE_H

#include "pipeline/merged.h"
#include "pipeline/run.h"

// metrics.json: of one directory its own, of several their sums and the ratios of these.
mill_status mill_merge_metrics(const mill_merged *merged, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// The manifest: that of the first directory with the inputs and totals of all, what they were, and the files of this one.
mill_status mill_merge_manifest(mill_run_state *run, const mill_merged *merged, const cJSON *plan, const mill_product *products,
                                size_t count, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
