// run_log.h: what a run said, kept for .shardmill/run.log and handed on to the caller.
#ifndef MILL_PIPELINE_RUN_LOG_H
#define MILL_PIPELINE_RUN_LOG_H

#include "core/log.h"
#include "pipeline/workdir.h"

typedef struct mill_run_log mill_run_log;

// write and context: where each line goes besides; write may be NULL.
mill_status mill_run_log_open(void (*write)(void *context, mill_log_level level, const char *line), void *context,
                              mill_run_log **out, mill_error *err) MILL_MUST_CHECK;
void mill_run_log_close(mill_run_log *log); // NULL is fine
// A sink for mill_log; any thread.
void mill_run_log_write(void *log, mill_log_level level, const char *line);
// Writes what was said, and how the run ended, to .shardmill/run.log. A failure to do so is not worth failing a run.
void mill_run_log_save(mill_run_log *log, mill_workdir *dir, mill_status status, const mill_error *error);

#endif
