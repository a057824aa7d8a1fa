// runtime.cu: the table that the host opens, and the CUDA runtime in plain C types.
#include <string.h>

#include "launchers.h"
#include "mill_cuda.h"

static const char *error_text(int code)
{
    return cudaGetErrorString(static_cast<cudaError_t>(code));
}

static int device_count(int *count)
{
    *count = 0;
    int code = cudaGetDeviceCount(count);
    if (code != 0)
        (void)cudaGetLastError(); // it is told here, not by a later call
    return code;
}

static int device_info(int device, mill_gpu_info *info)
{
    cudaDeviceProp properties;
    size_t free_bytes = 0, total = 0;
    memset(info, 0, sizeof *info);
    int code = cudaGetDeviceProperties(&properties, device);
    if (code == 0)
        code = cudaSetDevice(device);
    if (code == 0)
        code = cudaMemGetInfo(&free_bytes, &total);
    if (code != 0)
        return code;
    memcpy(info->name, properties.name, sizeof info->name - 1);
    info->memory_bytes = total;
    info->free_bytes = free_bytes;
    info->major = properties.major;
    info->minor = properties.minor;
    info->processors = properties.multiProcessorCount;
    return 0;
}

static int device_use(int device)
{
    return cudaSetDevice(device);
}

static int device_finish(void)
{
    return cudaDeviceSynchronize();
}

static int memory_take(void **memory, size_t bytes)
{
    return cudaMalloc(memory, bytes);
}

static int memory_give(void *memory)
{
    return cudaFree(memory);
}

static int pinned_take(void **host, size_t bytes)
{
    return cudaHostAlloc(host, bytes, cudaHostAllocDefault);
}

static int pinned_give(void *host)
{
    return cudaFreeHost(host);
}

static int stream_open(void **stream)
{
    return cudaStreamCreateWithFlags(reinterpret_cast<cudaStream_t *>(stream), cudaStreamNonBlocking);
}

static int stream_close(void *stream)
{
    return cudaStreamDestroy(static_cast<cudaStream_t>(stream));
}

static int stream_finish(void *stream)
{
    return cudaStreamSynchronize(static_cast<cudaStream_t>(stream));
}

static int stream_ask(void *stream)
{
    int code = cudaStreamQuery(static_cast<cudaStream_t>(stream));
    return code == cudaErrorNotReady ? MILL_GPU_PENDING : code;
}

static int event_open(void **event)
{
    return cudaEventCreateWithFlags(reinterpret_cast<cudaEvent_t *>(event), cudaEventDisableTiming);
}

static int event_close(void *event)
{
    return cudaEventDestroy(static_cast<cudaEvent_t>(event));
}

static int event_record(void *event, void *stream)
{
    return cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream));
}

static int event_finish(void *event)
{
    return cudaEventSynchronize(static_cast<cudaEvent_t>(event));
}

static int stream_wait(void *stream, void *event)
{
    return cudaStreamWaitEvent(static_cast<cudaStream_t>(stream), static_cast<cudaEvent_t>(event), 0);
}

static int copy_in(void *to, const void *host, size_t bytes, void *stream)
{
    return bytes == 0
               ? 0
               : cudaMemcpyAsync(to, host, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(stream));
}

static int copy_out(void *host, const void *from, size_t bytes, void *stream)
{
    return bytes == 0 ? 0
                      : cudaMemcpyAsync(host, from, bytes, cudaMemcpyDeviceToHost,
                                        static_cast<cudaStream_t>(stream));
}

static int fill(void *memory, int byte, size_t bytes, void *stream)
{
    return bytes == 0 ? 0 : cudaMemsetAsync(memory, byte, bytes, static_cast<cudaStream_t>(stream));
}

#ifdef __CUDACC__
#define KIND "cuda"
#define SHARE_MIN (1u << 24) // 64 MiB of symbols are read in some 30 us, less than what devices tell each other takes
#else
#define KIND "simt"
#define SHARE_MIN (1u << 10) // so that tests share what they have
#endif

// clang-format off
static const mill_gpu_api table = {
    MILL_GPU_ABI, KIND, SHARE_MIN, error_text,
    device_count, device_info, device_use, device_finish,
    memory_take, memory_give, pinned_take, pinned_give,
    stream_open, stream_close, stream_finish, stream_ask,
    event_open, event_close, event_record, event_finish, stream_wait,
    copy_in, copy_out, fill,
    // between devices
    mill_gpu_collect_version, mill_gpu_collect_text, mill_gpu_collect_name, mill_gpu_collect_join,
    mill_gpu_collect_ask, mill_gpu_collect_sum, mill_gpu_collect_gather, mill_gpu_collect_leave,
    // texts
    mill_gpu_text_stats, mill_gpu_text_scan, mill_gpu_find_words, mill_gpu_sign,
    // the tokenizer
    mill_gpu_pretok, mill_gpu_count_words, mill_gpu_list_words, mill_gpu_encode,
    // learning merges
    mill_gpu_bpe_place, mill_gpu_bpe_seed, mill_gpu_bpe_find, mill_gpu_bpe_merge, mill_gpu_bpe_select,
    mill_gpu_bpe_move, mill_gpu_bpe_tell, mill_gpu_bpe_hear,
};
// clang-format on

extern "C" __attribute__((visibility("default"))) const mill_gpu_api *mill_gpu_table(void)
{
    return &table;
}
