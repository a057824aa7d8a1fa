// gpu_circle.h: devices that share a training, and NCCL between them, where there is one.
//
// A collective ends only when every rank has come to it, so a rank that fails would hold up the others for
// ever. Hence no call waits: a rank asks its stream and its communicator again and again, and gives up when
// something failed, here or at another rank (`broken`), or when nothing has moved for too long. A step that
// ranks take together ends with a meeting of their threads; if the circle broke, all leave it there, for NCCL
// may let nobody go before all do. Nothing is lost: who shares a training begins it again in another way.
#ifndef MILL_BACKEND_GPU_CIRCLE_H
#define MILL_BACKEND_GPU_CIRCLE_H

#include <stdatomic.h>

#include "backend/gpu_device.h"

enum { MILL_GPU_RANKS_MAX = 64 };

typedef struct mill_gpu_circle {
    const mill_gpu_api *api;
    uint32_t ranks;
    int version; // of NCCL: 22809 is 2.28.9
    int64_t patience_ns;
    uint8_t name[MILL_GPU_COLLECT_NAME];
    void *groups[MILL_GPU_RANKS_MAX]; // each rank's own; NULL: not joined, or left
    atomic_bool broken;
    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    uint32_t here; // ranks that came to the meeting
    uint64_t meetings;
    char trouble[256]; // the first reason
} mill_gpu_circle;

// Of the NCCL to be used; 0: there is none, why tells the reason. SHARDMILL_NCCL=off in the environment is
// one.
int mill_gpu_circle_version(const mill_gpu_api *api, char *why, size_t capacity);

// False: there is no NCCL to be used, trouble tells why. wait_ms: how long a rank waits for the others; 0: a
// minute. To be closed in any case, when no rank is in a step.
bool mill_gpu_circle_open(mill_gpu_circle *circle, const mill_gpu_api *api, uint32_t ranks, uint32_t wait_ms);
void mill_gpu_circle_close(mill_gpu_circle *circle);

// For the ranks, on their devices' threads. False: the circle is broken, here or elsewhere.
bool mill_gpu_circle_join(mill_gpu_circle *circle, uint32_t rank);
// Sum of all ranks' values, and all ranks' bytes in the order of ranks, on the stream.
bool mill_gpu_circle_sum(mill_gpu_circle *circle, uint32_t rank, uint64_t *values, size_t count,
                         void *stream);
bool mill_gpu_circle_gather(mill_gpu_circle *circle, uint32_t rank, const void *own, void *all, size_t bytes,
                            void *stream);
// Waits for the device's stream of kernels. A failure of the device is noted with it.
bool mill_gpu_circle_finish(mill_gpu_circle *circle, uint32_t rank, mill_gpu_device *device,
                            const char *what);
void mill_gpu_circle_break(mill_gpu_circle *circle, const char *why);
// The end of a step: waits until all ranks are here.
bool mill_gpu_circle_meet(mill_gpu_circle *circle, uint32_t rank);
void mill_gpu_circle_leave(mill_gpu_circle *circle, uint32_t rank); // if it is in

#endif
