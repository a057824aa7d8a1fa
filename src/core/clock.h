// clock.h: the one clock. Times decide when to show progress or to commit, never what a result is.
#ifndef MILL_CORE_CLOCK_H
#define MILL_CORE_CLOCK_H

#include <stdint.h>
#include <string.h>
#include <time.h>

static inline int64_t mill_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

// Processor time of the calling thread.
static inline int64_t mill_clock_thread_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

// Processor time of all threads.
static inline int64_t mill_clock_process_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

// The time of day in UTC, "20130524T000000Z": signed requests carry it. No result knows it.
static inline void mill_clock_utc(char out[17])
{
    struct timespec now;
    struct tm parts;
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &parts) == NULL || strftime(out, 17, "%Y%m%dT%H%M%SZ", &parts) != 16)
        memcpy(out, "19700101T000000Z", 17); // a clock beyond the year 9999
}

#endif
