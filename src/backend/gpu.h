// gpu.h: graphics processors as a backend. The kernels stand in a library that is opened at run time
// (kernels/mill_gpu.h); nobody else sees it. Results equal the other backends' bit for bit; a device that
// fails is retired and its batches are done by the processor, so that a failure costs time and no byte.
#ifndef MILL_BACKEND_GPU_H
#define MILL_BACKEND_GPU_H

#include "backend/backend.h"
#include "core/log.h"

typedef struct mill_gpus mill_gpus; // the devices of one run

// which: "cuda" or "simt" (the emulator of the tests), all its devices or a list of numbers: "cuda:0,2".
// batch_bytes: text that a device takes at once, 1 MiB to 64 MiB (others are clamped); device memory and
// pinned memory of three such batches a device are taken here and never later. log is told of failures and
// must outlive the devices. Errors: MILL_USAGE for a list that is none, MILL_RESOURCE where no device is
// usable, with the reason.
mill_status mill_gpus_open(const char *which, uint64_t batch_bytes, const mill_log *log, mill_gpus **out,
                           mill_error *err) MILL_MUST_CHECK;
void mill_gpus_close(mill_gpus *gpus); // NULL is fine; after all handles are closed
// The backend of these devices; valid until they are closed. Its handles may be used by different threads at
// the same time.
const mill_backend_ops *mill_gpus_backend(const mill_gpus *gpus);

// How devices that shared a training told each other sums.
typedef enum mill_gpu_exchange {
    MILL_GPU_EXCHANGE_NONE,
    MILL_GPU_EXCHANGE_HOST,
    MILL_GPU_EXCHANGE_NCCL
} mill_gpu_exchange;

typedef struct mill_gpu_use { // of one device, so far
    const char *kind;         // "cuda", "simt"
    int number;
    const char *name;
    uint64_t batches, bytes; // done
    bool failed;             // retired, the reason is in the log
    mill_gpu_exchange exchange;
} mill_gpu_use;
size_t mill_gpus_count(const mill_gpus *gpus);
mill_gpu_use mill_gpus_use(mill_gpus *gpus, size_t i);

// What `shardmill devices` tells: one line a device of this kind, or why there is none.
mill_status mill_gpus_describe(const char *kind, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// How devices of this kind that share a training would tell each other sums: "NCCL 2.28.9", or "through the
// host" with the reason. Empty without a GPU library.
mill_status mill_gpus_describe_exchange(const char *kind, mill_buf *out, mill_error *err) MILL_MUST_CHECK;

#endif
