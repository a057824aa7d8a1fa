// read_ahead.h: blocks of the inputs, read by a thread of its own while workers parse those before: a worker that needs one does
// not wait for another that reads. Blocks come in the order of the inputs, and are the same with or without the thread.
#ifndef MILL_PIPELINE_READ_AHEAD_H
#define MILL_PIPELINE_READ_AHEAD_H

#include "pipeline/run.h"

typedef struct mill_read_ahead mill_read_ahead;

// Begins to read run->source, which nobody else may use until close. NULL where there is one worker, or no memory or thread for it:
// then workers read for themselves.
mill_read_ahead *mill_read_ahead_open(mill_run_state *run);
// Ends the reading, after the block that is being read. NULL is fine.
void mill_read_ahead_close(mill_read_ahead *ahead);
// The next block, as mill_source_next gives it, in exchange for the memory of the caller's; one caller at a time.
mill_status mill_read_ahead_next(mill_read_ahead *ahead, mill_block *block, bool *end, mill_error *err) MILL_MUST_CHECK;
// Without the thread.
mill_status mill_read_block(mill_run_state *run, mill_block *block, bool *end, mill_error *err) MILL_MUST_CHECK;

#endif
