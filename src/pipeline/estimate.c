// estimate.c: estimates of a run from a sample of its inputs.
#include "pipeline/run.h"

mill_status mill_plan(const mill_run_options *options, bool json, mill_text *out, mill_error *err)
{
    return mill_dry_run(options, json, out, err);
}
