// runner.h: mapped stages on all cores. Workers take units in order from one counter or one puller; the first error in unit order
// wins and stops the rest.
#ifndef MILL_PIPELINE_RUNNER_H
#define MILL_PIPELINE_RUNNER_H

#include "core/status.h"

typedef struct mill_map {
    uint32_t threads;
    uint64_t units;                 // number of units, or UINT64_MAX when `next` decides
    const volatile int *stop;       // nonzero: no new unit is begun; the result is MILL_STOPPED
    void *context;
    // Opens and closes what one worker needs; may be NULL.
    mill_status (*open)(void *context, uint32_t worker, void **state, mill_error *err);
    void (*close)(void *context, void *state);
    // Optional, called under a lock in unit order, before work: fills `state` with the raw unit; *end stops the stage.
    mill_status (*next)(void *context, void *state, uint64_t unit, bool *end, mill_error *err);
    mill_status (*work)(void *context, void *state, uint64_t unit, mill_error *err);
} mill_map;

mill_status mill_map_run(const mill_map *map, mill_error *err) MILL_MUST_CHECK;

#endif
