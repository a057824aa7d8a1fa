// pass_read_rows.c: rows of token ids, as JSON lines -> token units.
#include "pipeline/run.h"

mill_status mill_pass_read_rows(mill_run_state *run, mill_error *err)
{
    return mill_fail(err, MILL_USAGE, "%s: rows of token ids cannot be read in this build", run->inputs[0].name);
}
