// gpu_find.c: which devices there are: the library of kernels, the list of the user, what `devices` tells.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/gpu_backend.h"
#include "backend/gpu_circle.h"
#include "core/library.h"

const mill_gpu_api *mill_gpu_find(const char *kind, char *why, size_t capacity)
{
    typedef const mill_gpu_api *entry(void);
    char file[64];
    snprintf(file, sizeof file, "libmill_%s.so", kind);
    void *symbol = mill_library_symbol(file, MILL_GPU_SYMBOL, why, capacity);
    if (symbol == NULL)
        return NULL;
    entry *table;
    memcpy(&table, &symbol, sizeof table); // ISO C has no cast from data to code
    const mill_gpu_api *api = table();
    if (api->abi == MILL_GPU_ABI)
        return api;
    snprintf(why, capacity, "%s is of another build", file);
    return NULL;
}

// Devices of the runtime; 0 with the reason in why.
static int count_devices(const mill_gpu_api *api, char *why, size_t capacity)
{
    int count = 0, code = api->device_count(&count);
    if (code == 0 && count > 0)
        return count;
    snprintf(why, capacity, "%s", code != 0 ? api->error_text(code) : "no device");
    return 0;
}

// Numbers of the list behind "cuda:", or all. *numbers is allocated.
static mill_status parse_list(const char *which, const char *list, int present, int **numbers, size_t *count,
                              mill_error *err)
{
    *count = 0;
    *numbers = mill_alloc_zero((size_t)present, sizeof **numbers);
    if (*numbers == NULL)
        return mill_fail_nomem(err, "opening the devices");
    if (list == NULL) {
        for (int i = 0; i < present; i++)
            (*numbers)[(*count)++] = i;
        return MILL_OK;
    }
    for (const char *at = list;; at++) {
        char *end;
        long number = strtol(at, &end, 10);
        if (end == at || *at < '0' || *at > '9' || (*end != ',' && *end != '\0'))
            return mill_fail(err, MILL_USAGE,
                             "--device %s: expected numbers of devices behind the colon, as in 0,1", which);
        if (number >= present)
            return mill_fail(err, MILL_RESOURCE,
                             "--device %s: there is no device %ld, only 0 to %d; see shardmill devices",
                             which, number, present - 1);
        for (size_t i = 0; i < *count; i++)
            if ((*numbers)[i] == (int)number)
                return mill_fail(err, MILL_USAGE, "--device %s: device %ld is named twice", which, number);
        (*numbers)[(*count)++] = (int)number;
        at = end;
        if (*end == '\0')
            return MILL_OK;
    }
}

static mill_gpu_shape shape_of(uint64_t batch_bytes)
{
    size_t least = (size_t)1 << 20, most = (size_t)64 << 20;
    size_t text = batch_bytes < least ? least : batch_bytes > most ? most : (size_t)batch_bytes;
    mill_gpu_shape shape = {.text_bytes = text, .count = (uint32_t)(text / 64)};
    // Behind the texts: 16 zero bytes, offsets, traits, and 32 KiB of parameters, each aligned to 256.
    shape.in_capacity = text + 8 * ((size_t)shape.count + 1) + 4096 + 32768;
    shape.out_capacity = text;
    // MinHash: two bitmaps and ranks (an eighth of the text each), places and hashes of words (twice the text
    // each), the scan.
    shape.scratch_capacity = 5 * text + 16 * (size_t)shape.count + 65536;
    size_t for_words = mill_gpu_words_scratch(&shape);
    if (shape.scratch_capacity < for_words)
        shape.scratch_capacity = for_words;
    return shape;
}

static mill_status start_devices(mill_gpus *gpus, const char *which, mill_error *err)
{
    size_t good = 0;
    for (size_t i = 0; i < gpus->count; i++) {
        if (mill_gpu_device_start(&gpus->devices[i]))
            good++;
        else
            mill_log_line(gpus->log, MILL_LOG_WARNING, "%s device %d is not used: %s", gpus->api->kind,
                          gpus->devices[i].number, gpus->devices[i].reason);
    }
    if (good == 0)
        return mill_fail(err, MILL_RESOURCE, "--device %s: no device could be opened: %s", which,
                         gpus->devices[0].reason);
    return MILL_OK;
}

mill_status mill_gpus_open(const char *which, uint64_t batch_bytes, const mill_log *log, mill_gpus **out,
                           mill_error *err)
{
    char kind[16], why[256];
    const char *colon = strchr(which, ':');
    int *numbers = NULL;
    *out = NULL;
    snprintf(kind, sizeof kind, "%.*s", colon != NULL ? (int)(colon - which) : (int)strlen(which), which);
    const mill_gpu_api *api = mill_gpu_find(kind, why, sizeof why);
    if (api == NULL)
        return mill_fail(err, MILL_RESOURCE, "--device %s: no GPU library: %s; use --device cpu or auto",
                         which, why);
    int present = count_devices(api, why, sizeof why);
    if (present == 0)
        return mill_fail(err, MILL_RESOURCE, "--device %s: no usable GPU: %s; use --device cpu or auto",
                         which, why);
    mill_gpus *gpus = mill_alloc_zero(1, sizeof *gpus);
    if (gpus == NULL)
        return mill_fail_nomem(err, "opening the devices");
    pthread_mutex_init(&gpus->lock, NULL);
    pthread_cond_init(&gpus->changed, NULL);
    gpus->api = api;
    gpus->log = log;
    gpus->shape = shape_of(batch_bytes);
    mill_status status =
        parse_list(which, colon != NULL ? colon + 1 : NULL, present, &numbers, &gpus->count, err);
    if (status == MILL_OK && (gpus->devices = mill_alloc_zero(gpus->count, sizeof *gpus->devices)) == NULL)
        status = mill_fail_nomem(err, "opening the devices");
    if (status == MILL_OK) {
        for (size_t i = 0; i < gpus->count; i++) {
            gpus->devices[i].gpus = gpus;
            gpus->devices[i].number = numbers[i];
        }
        status = start_devices(gpus, which, err);
    }
    mill_free(numbers);
    if (status != MILL_OK) {
        mill_gpus_close(gpus);
        return status;
    }
    extern const mill_backend_ops mill_backend_gpu;
    gpus->ops = mill_backend_gpu;
    gpus->ops.name = api->kind;
    *out = gpus;
    return MILL_OK;
}

void mill_gpus_close(mill_gpus *gpus)
{
    if (gpus == NULL)
        return;
    for (size_t i = 0; gpus->devices != NULL && i < gpus->count; i++)
        mill_gpu_device_stop(&gpus->devices[i]);
    pthread_cond_destroy(&gpus->changed);
    pthread_mutex_destroy(&gpus->lock);
    mill_free(gpus->devices);
    mill_free(gpus);
}

const mill_backend_ops *mill_gpus_backend(const mill_gpus *gpus)
{
    return &gpus->ops;
}

size_t mill_gpus_count(const mill_gpus *gpus)
{
    return gpus->count;
}

mill_gpu_use mill_gpus_use(mill_gpus *gpus, size_t i)
{
    const mill_gpu_device *device = &gpus->devices[i];
    pthread_mutex_lock(&gpus->lock);
    mill_gpu_use use = {gpus->api->kind, device->number, device->info.name, device->batches,
                        device->bytes,   device->failed, device->exchange};
    pthread_mutex_unlock(&gpus->lock);
    return use;
}

mill_status mill_gpus_describe(const char *kind, mill_buf *out, mill_error *err)
{
    char why[256];
    const mill_gpu_api *api = mill_gpu_find(kind, why, sizeof why);
    if (api == NULL)
        return mill_buf_printf(out, err, "none: no GPU library (%s)\n", why);
    int present = count_devices(api, why, sizeof why);
    if (present == 0)
        return mill_buf_printf(out, err, "none: %s\n", why);
    for (int i = 0; i < present; i++) {
        mill_gpu_info info;
        int code = api->device_info(i, &info);
        MILL_TRY(
            code != 0
                ? mill_buf_printf(out, err, "%s:%d not usable: %s\n", api->kind, i, api->error_text(code))
                : mill_buf_printf(out, err, "%s:%d %s, sm_%d%d, %d processors, %.1f GiB, %.1f GiB free\n",
                                  api->kind, i, info.name, info.major, info.minor, info.processors,
                                  (double)info.memory_bytes / (1024.0 * 1024 * 1024),
                                  (double)info.free_bytes / (1024.0 * 1024 * 1024)));
    }
    return MILL_OK;
}

mill_status mill_gpus_describe_exchange(const char *kind, mill_buf *out, mill_error *err)
{
    char why[256];
    const mill_gpu_api *api = mill_gpu_find(kind, why, sizeof why);
    if (api == NULL)
        return MILL_OK;
    int version = mill_gpu_circle_version(api, why, sizeof why);
    if (version == 0)
        return mill_buf_printf(out, err, "through the host (%s)", why);
    return mill_buf_printf(out, err, "NCCL %d.%d.%d", version / 10000, version / 100 % 100, version % 100);
}
