// gpu_device.h: one device, its thread and its slots; the room between the backend's operations and the
// library of kernels.
//
// A slot is what one batch needs: pinned memory to copy from and to, and device memory. Workers fill a slot
// and wait; the device's thread alone speaks to the runtime, queueing the copies and kernels of up to three
// slots on three streams joined by events, so that one batch goes in while another computes and a third comes
// out.
#ifndef MILL_BACKEND_GPU_DEVICE_H
#define MILL_BACKEND_GPU_DEVICE_H

#include <pthread.h>

#include "backend/gpu.h"
#include "mill_gpu.h"

enum { MILL_GPU_SLOTS = 3 };

typedef struct mill_gpu_device mill_gpu_device;
typedef struct mill_gpu_slot mill_gpu_slot;

// Queues the kernels of a batch on `stream`. Returns 0 or a code of the runtime; *what names the step that
// gave it.
typedef int (*mill_gpu_launch)(const mill_gpu_api *api, mill_gpu_slot *slot, void *stream, const char **what);

// Work of another kind than a batch, done on the device's thread while no batch is on the device. False: the
// device failed, as mill_gpu_device_note was told.
typedef bool (*mill_gpu_job)(mill_gpu_device *device, void *context);

struct mill_gpu_slot {
    mill_gpu_device *device;
    enum {
        MILL_SLOT_FREE,
        MILL_SLOT_TAKEN,
        MILL_SLOT_QUEUED,
        MILL_SLOT_RUNNING,
        MILL_SLOT_DONE,
        MILL_SLOT_FAILED
    } state;
    uint8_t *pinned_in, *pinned_out; // room of in_capacity and out_capacity bytes
    uint8_t *in, *out, *scratch;     // the same on the device, and room for intermediate results
    size_t in_bytes, out_bytes;      // of this batch, set by the worker
    void *arrived, *computed, *done; // events
    mill_gpu_launch launch;          // NULL: only copy results out
    // what launch needs to know of the batch
    mill_gpu_texts texts; // pointers into `in`
    uint32_t unicode_rank;
    mill_gpu_minhash minhash;
    mill_gpu_patterns patterns;
    const uint32_t *traits;
    mill_gpu_pieces pieces;
    mill_gpu_dictionary table;
    mill_gpu_encoder encoder;
    const mill_bpe_tables *tables; // of the tokenizer; the device's thread brings them there
};

typedef struct mill_gpu_shape { // room of a slot
    size_t text_bytes;          // of texts
    uint32_t count;             // texts
    size_t in_capacity, out_capacity, scratch_capacity;
} mill_gpu_shape;

struct mill_gpus {
    mill_backend_ops ops; // first: a handle is opened through it
    const mill_gpu_api *api;
    const mill_log *log;
    mill_gpu_shape shape;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    mill_gpu_device *devices;
    size_t count;
};

struct mill_gpu_device {
    mill_gpus *gpus;
    int number;
    mill_gpu_info info;
    pthread_t thread;
    bool started, ready, failed, closing;
    mill_gpu_slot slots[MILL_GPU_SLOTS];
    mill_gpu_slot *queue[MILL_GPU_SLOTS], *running[MILL_GPU_SLOTS]; // oldest first
    uint32_t queued, in_flight;
    void *copies_in, *kernels, *copies_out; // streams
    uint8_t *unicode;                       // device: core/unicode_tables.h, index then blocks
    uint8_t *tables, *pinned_tables; // on the device and on the host: of the tokenizer whose key this is
    uint64_t tables_key;
    mill_gpu_job job; // waiting or running, NULL if there is none
    void *job_context;
    bool job_posted, job_good;
    uint64_t batches, bytes;
    mill_gpu_exchange exchange;
    char reason[256]; // why it failed
};

// The table of the library of this kind; NULL with the reason in why.
const mill_gpu_api *mill_gpu_find(const char *kind, char *why, size_t capacity);

// Starts the device's thread, which takes its memory; and ends it. start waits for the outcome: false, reason
// set.
bool mill_gpu_device_start(mill_gpu_device *device);
void mill_gpu_device_stop(mill_gpu_device *device);

// Gives a device that was started a job, behind the jobs of others, and waits for its end: true, it was done and
// the device works. Jobs run on a failed device, too. Every post is followed by one wait, of the same thread.
void mill_gpu_device_post(mill_gpu_device *device, mill_gpu_job job, void *context);
bool mill_gpu_device_wait(mill_gpu_device *device);
// Notes the first failure; true if the code is one.
bool mill_gpu_device_note(mill_gpu_device *device, int code, const char *what);

// A slot for a batch of this worker, waiting for one if need be; NULL when no device is left.
mill_gpu_slot *mill_gpu_slot_take(mill_gpus *gpus);
// Runs the filled slot and waits for it: true, its results are in pinned_out; false, the device failed.
bool mill_gpu_slot_run(mill_gpu_slot *slot);
// Copies more of a batch's results out, from the first byte on: for results whose size their beginning tells.
bool mill_gpu_slot_fetch(mill_gpu_slot *slot, size_t bytes);
void mill_gpu_slot_give(mill_gpu_slot *slot);

#endif
