// gpu_device.c: the thread of a device: it takes the memory, queues batches, waits for them, and says when
// the device fails.
#include <stdio.h>
#include <string.h>

#include "backend/gpu_device.h"
#include "core/unicode_tables.h"

bool mill_gpu_device_note(mill_gpu_device *device, int code, const char *what)
{
    if (code == 0)
        return false;
    if (device->reason[0] == '\0')
        snprintf(device->reason, sizeof device->reason, "%s: %s (code %d)", what,
                 device->gpus->api->error_text(code), code);
    return true;
}
#define STEP(call, what) \
    do { \
        if (mill_gpu_device_note(device, (call), (what))) \
            return false; \
    } while (0)

static bool take_slot_memory(mill_gpu_device *device, mill_gpu_slot *slot)
{
    const mill_gpu_api *api = device->gpus->api;
    const mill_gpu_shape *shape = &device->gpus->shape;
    void *memory = NULL, *in = NULL, *out = NULL;
    slot->device = device;
    STEP(api->pinned_take(&in, shape->in_capacity), "taking pinned memory");
    slot->pinned_in = in;
    STEP(api->pinned_take(&out, shape->out_capacity), "taking pinned memory");
    slot->pinned_out = out;
    STEP(api->memory_take(&memory, shape->in_capacity), "taking device memory");
    slot->in = memory;
    STEP(api->memory_take(&memory, shape->out_capacity), "taking device memory");
    slot->out = memory;
    STEP(api->memory_take(&memory, shape->scratch_capacity), "taking device memory");
    slot->scratch = memory;
    STEP(api->event_open(&slot->arrived), "making an event");
    STEP(api->event_open(&slot->computed), "making an event");
    STEP(api->event_open(&slot->done), "making an event");
    return true;
}

static bool load_tables(mill_gpu_device *device)
{
    const mill_gpu_api *api = device->gpus->api;
    void *memory = NULL;
    STEP(api->memory_take(&memory, MILL_UNICODE_INDEX_COUNT + MILL_UNICODE_BLOCK_BYTES),
         "taking device memory");
    device->unicode = memory;
    STEP(api->copy_in(device->unicode, mill_unicode_index, MILL_UNICODE_INDEX_COUNT, device->copies_in),
         "copying the tables");
    STEP(api->copy_in(device->unicode + MILL_UNICODE_INDEX_COUNT, mill_unicode_blocks,
                      MILL_UNICODE_BLOCK_BYTES, device->copies_in),
         "copying the tables");
    STEP(api->stream_finish(device->copies_in), "copying the tables");
    return true;
}

static bool open_device(mill_gpu_device *device)
{
    const mill_gpu_api *api = device->gpus->api;
    STEP(api->device_use(device->number), "choosing the device");
    STEP(api->device_info(device->number, &device->info), "asking the device");
    STEP(api->stream_open(&device->copies_in), "making a stream");
    STEP(api->stream_open(&device->kernels), "making a stream");
    STEP(api->stream_open(&device->copies_out), "making a stream");
    for (size_t i = 0; i < MILL_GPU_SLOTS; i++)
        if (!take_slot_memory(device, &device->slots[i]))
            return false;
    return load_tables(device);
}

// Gives everything back; what a failed device answers does not matter any more.
static void close_device(mill_gpu_device *device)
{
    const mill_gpu_api *api = device->gpus->api;
    (void)api->device_finish(); // nothing may still write to pinned memory
    for (size_t i = 0; i < MILL_GPU_SLOTS; i++) {
        mill_gpu_slot *slot = &device->slots[i];
        void *const events[] = {slot->arrived, slot->computed, slot->done};
        void *const memory[] = {slot->in, slot->out, slot->scratch};
        void *const pinned[] = {slot->pinned_in, slot->pinned_out};
        for (size_t k = 0; k < 3; k++)
            if (events[k] != NULL)
                (void)api->event_close(events[k]);
        for (size_t k = 0; k < 3; k++)
            if (memory[k] != NULL)
                (void)api->memory_give(memory[k]);
        for (size_t k = 0; k < 2; k++)
            if (pinned[k] != NULL)
                (void)api->pinned_give(pinned[k]);
    }
    if (device->unicode != NULL)
        (void)api->memory_give(device->unicode);
    if (device->tables != NULL)
        (void)api->memory_give(device->tables);
    if (device->pinned_tables != NULL)
        (void)api->pinned_give(device->pinned_tables);
    void *const streams[] = {device->copies_in, device->kernels, device->copies_out};
    for (size_t k = 0; k < 3; k++)
        if (streams[k] != NULL)
            (void)api->stream_close(streams[k]);
}

static bool queue_batch(mill_gpu_device *device, mill_gpu_slot *slot)
{
    const mill_gpu_api *api = device->gpus->api;
    const char *what = "starting a kernel";
    if (slot->launch != NULL) {
        STEP(api->copy_in(slot->in, slot->pinned_in, slot->in_bytes, device->copies_in),
             "copying a batch in");
        STEP(api->event_record(slot->arrived, device->copies_in), "recording an event");
        STEP(api->stream_wait(device->kernels, slot->arrived), "waiting for an event");
        int code = slot->launch(api, slot, device->kernels, &what);
        STEP(code, what);
        STEP(api->event_record(slot->computed, device->kernels), "recording an event");
        STEP(api->stream_wait(device->copies_out, slot->computed), "waiting for an event");
    }
    STEP(api->copy_out(slot->pinned_out, slot->out, slot->out_bytes, device->copies_out),
         "copying results out");
    STEP(api->event_record(slot->done, device->copies_out), "recording an event");
    return true;
}

static mill_gpu_slot *shift(mill_gpu_slot **list, uint32_t *count)
{
    mill_gpu_slot *first = list[0];
    memmove(list, list + 1, --*count * sizeof *list);
    return first;
}

// With the lock held; the device takes no further batch, and those that it has are done again elsewhere.
static void retire(mill_gpu_device *device)
{
    mill_gpus *gpus = device->gpus;
    pthread_mutex_unlock(&gpus->lock);
    (void)gpus->api->device_finish(); // the workers may then touch their slots again
    mill_log_line(gpus->log, MILL_LOG_WARNING,
                  "%s device %d failed: %s; its batches are done by the others or the processor",
                  gpus->api->kind, device->number, device->reason);
    pthread_mutex_lock(&gpus->lock);
    device->failed = true;
    while (device->queued != 0)
        shift(device->queue, &device->queued)->state = MILL_SLOT_FAILED;
    while (device->in_flight != 0)
        shift(device->running, &device->in_flight)->state = MILL_SLOT_FAILED;
    pthread_cond_broadcast(&gpus->changed);
}

// With the lock held; one step of work: queue a batch, or wait for the oldest.
static void step(mill_gpu_device *device)
{
    mill_gpus *gpus = device->gpus;
    bool good;
    if (device->queued != 0) { // before waiting, so that copies and kernels overlap
        mill_gpu_slot *slot = shift(device->queue, &device->queued);
        slot->state = MILL_SLOT_RUNNING;
        device->running[device->in_flight++] = slot;
        pthread_mutex_unlock(&gpus->lock);
        good = queue_batch(device, slot);
        pthread_mutex_lock(&gpus->lock);
    } else {
        mill_gpu_slot *slot = device->running[0];
        pthread_mutex_unlock(&gpus->lock);
        good = !mill_gpu_device_note(device, gpus->api->event_finish(slot->done), "computing a batch");
        pthread_mutex_lock(&gpus->lock);
        if (good) {
            (void)shift(device->running, &device->in_flight);
            slot->state = MILL_SLOT_DONE;
            device->batches += slot->launch != NULL;
            device->bytes += slot->launch != NULL ? slot->texts.total : 0;
            pthread_cond_broadcast(&gpus->changed);
        }
    }
    if (!good)
        retire(device);
}

// With the lock held and no batch on the device.
static void run_job(mill_gpu_device *device)
{
    mill_gpus *gpus = device->gpus;
    pthread_mutex_unlock(&gpus->lock);
    bool good = device->job(device, device->job_context);
    pthread_mutex_lock(&gpus->lock);
    device->job_good = good && !device->failed;
    if (!good && !device->failed)
        retire(device);
    device->job = NULL;
    pthread_cond_broadcast(&gpus->changed);
}

static void *device_thread(void *context)
{
    mill_gpu_device *device = context;
    mill_gpus *gpus = device->gpus;
    bool good = open_device(device);
    pthread_mutex_lock(&gpus->lock);
    device->ready = true;
    device->failed = !good;
    pthread_cond_broadcast(&gpus->changed);
    while (!device->failed && !device->closing) {
        if (device->queued != 0 || device->in_flight != 0)
            step(device);
        else if (device->job != NULL)
            run_job(device);
        else
            pthread_cond_wait(&gpus->changed, &gpus->lock);
    }
    // Memory of a failed device stays until nobody can be reading from a slot; jobs give theirs back.
    while (!device->closing) {
        if (device->job != NULL)
            run_job(device);
        else
            pthread_cond_wait(&gpus->changed, &gpus->lock);
    }
    pthread_mutex_unlock(&gpus->lock);
    close_device(device);
    return NULL;
}

bool mill_gpu_device_start(mill_gpu_device *device)
{
    mill_gpus *gpus = device->gpus;
    if (pthread_create(&device->thread, NULL, device_thread, device) != 0) {
        snprintf(device->reason, sizeof device->reason, "no thread for it");
        device->failed = true;
        return false;
    }
    device->started = true;
    pthread_mutex_lock(&gpus->lock);
    while (!device->ready)
        pthread_cond_wait(&gpus->changed, &gpus->lock);
    bool good = !device->failed;
    pthread_mutex_unlock(&gpus->lock);
    return good;
}

void mill_gpu_device_stop(mill_gpu_device *device)
{
    if (!device->started)
        return;
    pthread_mutex_lock(&device->gpus->lock);
    device->closing = true;
    pthread_cond_broadcast(&device->gpus->changed);
    pthread_mutex_unlock(&device->gpus->lock);
    pthread_join(device->thread, NULL);
}

// ---- jobs

void mill_gpu_device_post(mill_gpu_device *device, mill_gpu_job job, void *context)
{
    mill_gpus *gpus = device->gpus;
    pthread_mutex_lock(&gpus->lock);
    while (device->job_posted)
        pthread_cond_wait(&gpus->changed, &gpus->lock);
    device->job_posted = true;
    device->job_good = false;
    device->job = job;
    device->job_context = context;
    pthread_cond_broadcast(&gpus->changed);
    pthread_mutex_unlock(&gpus->lock);
}

bool mill_gpu_device_wait(mill_gpu_device *device)
{
    mill_gpus *gpus = device->gpus;
    pthread_mutex_lock(&gpus->lock);
    while (device->job != NULL)
        pthread_cond_wait(&gpus->changed, &gpus->lock);
    bool good = device->job_good;
    device->job_posted = false;
    pthread_cond_broadcast(&gpus->changed);
    pthread_mutex_unlock(&gpus->lock);
    return good;
}

// ---- slots, as workers use them

// With the lock held: a free slot of the device that has the most of them; *alive: some device works.
static mill_gpu_slot *find_free(mill_gpus *gpus, bool *alive)
{
    mill_gpu_slot *best = NULL;
    uint32_t most = 0;
    *alive = false;
    for (size_t i = 0; i < gpus->count; i++) {
        mill_gpu_device *device = &gpus->devices[i];
        mill_gpu_slot *slot = NULL;
        uint32_t spare = 0;
        if (!device->ready || device->failed)
            continue;
        *alive = true;
        for (size_t k = 0; k < MILL_GPU_SLOTS; k++) {
            if (device->slots[k].state == MILL_SLOT_FREE) {
                slot = &device->slots[k];
                spare++;
            }
        }
        if (spare > most) {
            best = slot;
            most = spare;
        }
    }
    return best;
}

mill_gpu_slot *mill_gpu_slot_take(mill_gpus *gpus)
{
    bool alive;
    pthread_mutex_lock(&gpus->lock);
    mill_gpu_slot *slot = find_free(gpus, &alive);
    while (slot == NULL && alive) {
        pthread_cond_wait(&gpus->changed, &gpus->lock);
        slot = find_free(gpus, &alive);
    }
    if (slot != NULL)
        slot->state = MILL_SLOT_TAKEN;
    pthread_mutex_unlock(&gpus->lock);
    return slot;
}

bool mill_gpu_slot_run(mill_gpu_slot *slot)
{
    mill_gpu_device *device = slot->device;
    mill_gpus *gpus = device->gpus;
    pthread_mutex_lock(&gpus->lock);
    if (device->failed) {
        slot->state = MILL_SLOT_FAILED;
    } else {
        slot->state = MILL_SLOT_QUEUED;
        device->queue[device->queued++] = slot;
        pthread_cond_broadcast(&gpus->changed);
    }
    while (slot->state != MILL_SLOT_DONE && slot->state != MILL_SLOT_FAILED)
        pthread_cond_wait(&gpus->changed, &gpus->lock);
    bool good = slot->state == MILL_SLOT_DONE;
    pthread_mutex_unlock(&gpus->lock);
    return good;
}

bool mill_gpu_slot_fetch(mill_gpu_slot *slot, size_t bytes)
{
    MILL_ASSERT(bytes <= slot->device->gpus->shape.out_capacity);
    if (bytes <= slot->out_bytes)
        return true;
    slot->launch = NULL;
    slot->out_bytes = bytes;
    return mill_gpu_slot_run(slot);
}

void mill_gpu_slot_give(mill_gpu_slot *slot)
{
    mill_gpus *gpus = slot->device->gpus;
    pthread_mutex_lock(&gpus->lock);
    slot->state = MILL_SLOT_FREE;
    pthread_cond_broadcast(&gpus->changed);
    pthread_mutex_unlock(&gpus->lock);
}
