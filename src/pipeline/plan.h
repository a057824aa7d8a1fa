// plan.h: the stage table, the order in which a run goes through its passes and barriers.
#ifndef MILL_PIPELINE_PLAN_H
#define MILL_PIPELINE_PLAN_H

#include "pipeline/run.h"

// Runs every stage that belongs to run->stages, from top to bottom.
mill_status mill_plan_run(mill_run_state *run, mill_error *err) MILL_MUST_CHECK;
// Share of the whole run that is done when `within` (0..1) of the stage at work is.
double mill_plan_fraction(const mill_run_state *run, double within);
// One line a stage for dry runs.
mill_status mill_plan_describe(mill_stage_set stages, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
