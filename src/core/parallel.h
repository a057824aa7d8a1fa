// parallel.h: independent numbered tasks on several threads.
#ifndef MILL_CORE_PARALLEL_H
#define MILL_CORE_PARALLEL_H

#include "core/status.h"

// One task. worker is below the number of threads asked for: two tasks that run at the same time never share it, so it may
// index scratch memory. What a task gives must depend on its number only.
typedef mill_status (*mill_task)(void *context, uint32_t worker, uint64_t task, mill_error *err);

// Runs tasks 0 .. task_count - 1 and waits for all that were begun. After a failure no further task begins; the failure with
// the lowest task number is returned, whatever the number of threads. The caller's thread works too: with threads <= 1, or
// where no thread can be made, it does everything.
mill_status mill_parallel_run(uint32_t threads, uint64_t task_count, mill_task run, void *context, mill_error *err)
    MILL_MUST_CHECK;

#endif
