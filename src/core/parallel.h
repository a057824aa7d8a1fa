// parallel.h: numbered units of work on several threads.
#ifndef MILL_CORE_PARALLEL_H
#define MILL_CORE_PARALLEL_H

#include "core/status.h"

// Workers take units 0, 1, .. in order. After a failure no further unit begins; the failure with the lowest number is returned: as
// every unit below a failed one was begun, it is the same for any number of threads. The caller's thread works, too: where no
// other can be made, it does everything.
typedef struct mill_map {
    uint32_t threads;               // 0: one
    uint64_t units;                 // number of units, or UINT64_MAX when `next` decides
    const volatile int *stop;       // nonzero: no new unit is begun; the result is MILL_STOPPED. May be NULL
    void *context;
    // Opens and closes what one worker needs; may be NULL.
    mill_status (*open)(void *context, uint32_t worker, void **state, mill_error *err);
    void (*close)(void *context, void *state);
    // Optional, called under a lock in unit order, before work: fills `state` with the raw unit; *end: there was none.
    mill_status (*next)(void *context, void *state, uint64_t unit, bool *end, mill_error *err);
    mill_status (*work)(void *context, void *state, uint64_t unit, mill_error *err);
} mill_map;

mill_status mill_map_run(const mill_map *map, mill_error *err) MILL_MUST_CHECK;

// One task. worker is below the number of threads asked for: two tasks that run at the same time never share it, so it may
// index scratch memory. What a task gives must depend on its number only.
typedef mill_status (*mill_task)(void *context, uint32_t worker, uint64_t task, mill_error *err);

// A map of tasks 0 .. task_count - 1, whose workers need no more than their number.
mill_status mill_parallel_run(uint32_t threads, uint64_t task_count, mill_task run, void *context, mill_error *err)
    MILL_MUST_CHECK;

#endif
