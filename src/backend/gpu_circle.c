// gpu_circle.c: NCCL between devices that share a training.
#include "backend/gpu_circle.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"

enum { WAIT_MS = 60000 };

int mill_gpu_circle_version(const mill_gpu_api *api, char *why, size_t capacity)
{
    const char *wish = getenv("SHARDMILL_NCCL");
    if (wish == NULL || strcmp(wish, "off") != 0)
        return api->collect_version(why, capacity);
    snprintf(why, capacity, "SHARDMILL_NCCL=off");
    return 0;
}

bool mill_gpu_circle_open(mill_gpu_circle *circle, const mill_gpu_api *api, uint32_t ranks, uint32_t wait_ms)
{
    MILL_ASSERT(ranks <= MILL_GPU_RANKS_MAX);
    memset(circle, 0, sizeof *circle);
    circle->api = api;
    circle->ranks = ranks;
    circle->patience_ns = (int64_t)(wait_ms != 0 ? wait_ms : WAIT_MS) * 1000000;
    atomic_init(&circle->broken, false);
    pthread_mutex_init(&circle->lock, NULL);
    pthread_cond_init(&circle->changed, NULL);
    circle->version = mill_gpu_circle_version(api, circle->trouble, sizeof circle->trouble);
    if (circle->version == 0)
        return false;
    int code = api->collect_name(circle->name);
    if (code != 0)
        snprintf(circle->trouble, sizeof circle->trouble, "naming a group: %s", api->collect_text(code));
    return code == 0;
}

void mill_gpu_circle_close(mill_gpu_circle *circle)
{
    pthread_cond_destroy(&circle->changed);
    pthread_mutex_destroy(&circle->lock);
}

void mill_gpu_circle_break(mill_gpu_circle *circle, const char *why)
{
    pthread_mutex_lock(&circle->lock);
    if (!atomic_load(&circle->broken))
        snprintf(circle->trouble, sizeof circle->trouble, "%s", why);
    atomic_store(&circle->broken, true);
    pthread_mutex_unlock(&circle->lock);
}

// ---- waiting

// A rank that waits. What it waits for takes microseconds as a rule: it looks often at first.
typedef struct patience {
    int64_t since_ns;
    uint32_t looks;
} patience;

static bool look_again(mill_gpu_circle *circle, uint32_t rank, patience *p, const char *what)
{
    enum { OFTEN = 2000, EVERY = 64 };
    char why[200];
    if (atomic_load(&circle->broken))
        return false;
    if (p->looks++ == 0)
        p->since_ns = mill_clock_ns();
    if (p->looks % EVERY == 0 && mill_clock_ns() - p->since_ns > circle->patience_ns) {
        snprintf(why, sizeof why, "%s: rank %u waited for %lld ms", what, rank,
                 (long long)(circle->patience_ns / 1000000));
        mill_gpu_circle_break(circle, why);
        return false;
    }
    if (p->looks < OFTEN)
        sched_yield();
    else
        nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
    return true;
}

static bool fail(mill_gpu_circle *circle, int code, const char *what)
{
    char why[200];
    snprintf(why, sizeof why, "%s: %s", what, circle->api->collect_text(code));
    mill_gpu_circle_break(circle, why);
    return false;
}

// Waits until what the rank asked for, with this answer, is under way.
static bool settle(mill_gpu_circle *circle, uint32_t rank, int code, const char *what)
{
    patience p = {0};
    while (code == MILL_GPU_PENDING) {
        if (!look_again(circle, rank, &p, what))
            return false;
        code = circle->api->collect_ask(circle->groups[rank]);
    }
    return code == 0 || fail(circle, code, what);
}

// ---- steps

bool mill_gpu_circle_join(mill_gpu_circle *circle, uint32_t rank)
{
    int code = circle->api->collect_join(&circle->groups[rank], circle->name, circle->ranks, rank);
    return settle(circle, rank, code, "joining the other devices");
}

bool mill_gpu_circle_sum(mill_gpu_circle *circle, uint32_t rank, uint64_t *values, size_t count, void *stream)
{
    int code = circle->api->collect_sum(circle->groups[rank], values, count, stream);
    return settle(circle, rank, code, "adding up pairs");
}

bool mill_gpu_circle_gather(mill_gpu_circle *circle, uint32_t rank, const void *own, void *all, size_t bytes,
                            void *stream)
{
    int code = circle->api->collect_gather(circle->groups[rank], own, all, bytes, stream);
    return settle(circle, rank, code, "gathering sums");
}

bool mill_gpu_circle_finish(mill_gpu_circle *circle, uint32_t rank, mill_gpu_device *device, const char *what)
{
    patience p = {0};
    for (;;) {
        int code = circle->api->stream_ask(device->kernels);
        if (code == 0)
            return true;
        if (code != MILL_GPU_PENDING) {
            (void)mill_gpu_device_note(device, code, what);
            return false;
        }
        code = circle->api->collect_ask(circle->groups[rank]);
        if (code != 0 && code != MILL_GPU_PENDING)
            return fail(circle, code, what);
        if (!look_again(circle, rank, &p, what))
            return false;
    }
}

bool mill_gpu_circle_meet(mill_gpu_circle *circle, uint32_t rank)
{
    pthread_mutex_lock(&circle->lock);
    const uint64_t meeting = circle->meetings;
    if (++circle->here == circle->ranks) {
        circle->here = 0;
        circle->meetings++;
        pthread_cond_broadcast(&circle->changed);
    }
    while (circle->meetings == meeting)
        pthread_cond_wait(&circle->changed, &circle->lock);
    pthread_mutex_unlock(&circle->lock);
    const bool whole = !atomic_load(&circle->broken);
    if (!whole)
        mill_gpu_circle_leave(circle, rank);
    return whole;
}

void mill_gpu_circle_leave(mill_gpu_circle *circle, uint32_t rank)
{
    if (circle->groups[rank] != NULL)
        (void)circle->api->collect_leave(circle->groups[rank]);
    circle->groups[rank] = NULL;
}
