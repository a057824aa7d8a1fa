// clock.h: the one clock. Times decide when to show progress or to commit, never what a result is.
#ifndef MILL_CORE_CLOCK_H
#define MILL_CORE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t mill_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#endif
