// simt_aborts.cu: every fault that the emulator promises to stop at, made once in a process of its own, under
// seeds 0 to 8; and what its settings promise (failing calls, lazy streams, small memory). For the emulator
// only.
#include "mill_cuda.h"
#include "selftest.h"

#if defined(__SANITIZE_ADDRESS__)
#define ANY(plain, address) address
#else
#define ANY(plain, address) plain
#endif

static u32 *new_cells(u32 count)
{
    u32 *cells;
    must(cudaMalloc(&cells, count * sizeof(u32)));
    must(cudaMemset(cells, 0, count * sizeof(u32)));
    return cells;
}

// Runs a kernel of (cells, count) on one block, and waits for it.
static void run(void (*kernel)(u32 *, u32), u32 threads, u32 count = 64, size_t shared_bytes = 0)
{
    u32 *cells = new_cells(count);
    must(MILL_LAUNCH(kernel, dim3(2), dim3(threads), shared_bytes, nullptr, cells, count));
    must(cudaDeviceSynchronize());
    must(cudaFree(cells));
}

// ---- barriers ----

static __global__ void divergent_barrier(u32 *cells, u32)
{
    if (threadIdx.x % 2 == 0)
        __syncthreads();
    else
        __syncthreads();
    cells[threadIdx.x] = 1;
}

static __global__ void early_return(u32 *cells, u32)
{
    if (threadIdx.x == 5)
        return;
    __syncthreads();
    cells[threadIdx.x] = 1;
}

static __global__ void warp_and_barrier(u32 *cells, u32)
{
    if (threadIdx.x == 0)
        __syncthreads();
    else
        __syncwarp();
    cells[threadIdx.x] = 1;
}

// ---- warp operations ----

static __global__ void absent_lanes(u32 *cells, u32)
{
    cells[threadIdx.x] = __reduce_add_sync(0xffffffffu, threadIdx.x);
}

static __global__ void not_in_own_mask(u32 *cells, u32)
{
    cells[threadIdx.x] = __ballot_sync(0x0000ffffu, 1);
}

static __global__ void returned_lanes(u32 *cells, u32)
{
    if (threadIdx.x > 20)
        return;
    cells[threadIdx.x] = __ballot_sync(0xffffffffu, 1);
}

static __global__ void different_operations(u32 *cells, u32)
{
    cells[threadIdx.x] =
        threadIdx.x < 16 ? __reduce_add_sync(0xffffffffu, 1u) : __reduce_max_sync(0xffffffffu, 1u);
}

static __global__ void different_masks(u32 *cells, u32)
{
    cells[threadIdx.x] = __ballot_sync(threadIdx.x < 16 ? 0xffffffffu : 0xffff0001u, 1);
}

static __global__ void circle_of_masks(u32 *cells, u32) // lane 0 waits for 1, that for 2, that for 0
{
    if (threadIdx.x < 3)
        cells[threadIdx.x] = __ballot_sync(1u << threadIdx.x | 1u << (threadIdx.x + 1) % 3, 1);
}

static __global__ void odd_width(u32 *cells, u32)
{
    cells[threadIdx.x] = __shfl_sync(0xffffffffu, threadIdx.x, 0, 24);
}

static __global__ void long_distance(u32 *cells, u32)
{
    cells[threadIdx.x] = __shfl_down_sync(0xffffffffu, threadIdx.x, 32);
}

static __global__ void strange_selector(u32 *cells, u32)
{
    cells[threadIdx.x] = __byte_perm(threadIdx.x, 0, 0x8210);
}

static void test_order(void)
{
    expect_failure("divergent barrier", [] { run(divergent_barrier, 32); }, "divergent __syncthreads", {});
    expect_failure("return before a barrier", [] { run(early_return, 32); }, "return", {});
    expect_failure("deadlock", [] { run(warp_and_barrier, 32); }, "deadlock", {});
    expect_failure("absent lanes", [] { run(absent_lanes, 20); }, "do not exist", {});
    expect_failure("not in the own mask", [] { run(not_in_own_mask, 32); }, "not in its own mask", {});
    expect_failure("returned lanes", [] { run(returned_lanes, 32); }, "return", {});
    expect_failure("different operations", [] { run(different_operations, 32); }, "warp operations differ",
                   {});
    expect_failure("different masks", [] { run(different_masks, 32); }, "warp operations differ", {});
    expect_failure("masks in a circle", [] { run(circle_of_masks, 32); }, "deadlock", {});
    expect_failure("a width of 24", [] { run(odd_width, 32); }, "power of two", {});
    expect_failure("a distance of 32", [] { run(long_distance, 32); }, "distance", {});
    expect_failure("__byte_perm", [] { run(strange_selector, 32); }, "top bit", {});
}

// ---- memory ----

// The index is hidden from the compiler, which would see the fault itself.
static __global__ void past_shared(u32 *cells, u32 count)
{
    MILL_SHARED(u32, tile, 20);
    u32 *array = tile;
    array[count - 44 + threadIdx.x / 31] = 1;
    __syncthreads();
    cells[threadIdx.x] = tile[threadIdx.x % 20];
}

static __global__ void before_shared(u32 *cells, u32 count)
{
    MILL_SHARED(u32, tile, 20);
    u32 *array = tile + count;
    array[-65] = 1;
    __syncthreads();
    cells[threadIdx.x] = tile[threadIdx.x % 20];
}

static __global__ void past_dynamic(u32 *cells, u32)
{
    MILL_DYN_SHARED(u32, tile);
    tile[threadIdx.x] = 1;
    __syncthreads();
    cells[threadIdx.x] = tile[0];
}

static __global__ void large_shared(u32 *cells, u32)
{
    MILL_SHARED(u32, tile, 6000);
    MILL_DYN_SHARED(u32, more);
    tile[threadIdx.x] = more[threadIdx.x] = 1;
    __syncthreads();
    cells[threadIdx.x] = tile[0];
}

static __global__ void past_buffer(u32 *cells, u32 count)
{
    cells[count] = 1;
}

static __global__ void before_buffer(u32 *cells, u32 count)
{
    (cells + count)[-65] = 1;
}

static __global__ void far_past_buffer(u32 *cells, u32 count)
{
    cells[count + 4000] = 1;
}

static __global__ void far_read(u32 *cells, u32 count)
{
    cells[0] = cells[count + 4000];
}

[[maybe_unused]] static __global__ void read_past_buffer(u32 *cells, u32 count)
{
    cells[0] = cells[count];
}

static u32 depth_of(u32 *cells, u32 count) // deeper than any stack
{
    volatile u32 room[64];
    room[count % 64] = cells[0];
    return count == 0 ? room[0] : depth_of(cells, count - 1) + room[count % 64];
}

[[maybe_unused]] static __global__ void deep_stack(u32 *cells, u32 count)
{
    cells[1] = depth_of(cells, count << 10);
}

static void test_memory(void)
{
    expect_failure("past a shared array", [] { run(past_shared, 32); },
                   ANY("past the end of a shared array", "use-after-poison"), {});
    expect_failure("before a shared array", [] { run(before_shared, 32); },
                   ANY("before a shared array", "use-after-poison"), {});
    expect_failure("past dynamic shared memory", [] { run(past_dynamic, 32, 64, 124); },
                   ANY("past the end of a shared array", "use-after-poison"), {});
    expect_failure("much shared memory", [] { run(large_shared, 32, 64, 40000); }, "bytes of shared memory",
                   {});
    expect_failure("past a buffer", [] { run(past_buffer, 1, 65); },
                   ANY("past the end of a device buffer", "use-after-poison"), {});
    expect_failure("before a buffer", [] { run(before_buffer, 1); },
                   ANY("before a device buffer", "use-after-poison"), {});
    expect_failure("far past a buffer", [] { run(far_past_buffer, 1); }, "", {}); // the guard
    expect_failure("far read", [] { run(far_read, 1); }, "", {});
#ifndef __SANITIZE_THREAD__ // where stacks have no guards
    expect_failure("deep stack", [] { run(deep_stack, 1); }, "", {});
#endif
#if defined(__SANITIZE_ADDRESS__)
    expect_failure("read past a buffer", [] { run(read_past_buffer, 1, 65); }, "use-after-poison", {});
#endif
}

// ---- the host ----

static void host_read(void)
{
    volatile u32 *cells = new_cells(64);
    must(cudaDeviceSynchronize());
    expect(cells[0] == 0, "read");
}

static void host_write(void)
{
    volatile u32 *cells = new_cells(64);
    must(cudaDeviceSynchronize());
    cells[0] = 1;
}

static void copy_too_much(void)
{
    u32 *cells = new_cells(16), host[17] = {};
    must(cudaMemcpy(cells, host, sizeof host, cudaMemcpyHostToDevice));
}

static void copy_wrong_way(void)
{
    u32 *cells = new_cells(16), host[16] = {};
    must(cudaMemcpy(cells, host, sizeof host, cudaMemcpyDeviceToHost));
}

static void fill_host(void)
{
    u32 host[16] = {};
    must(cudaMemset(host, 0, sizeof host));
}

static void free_twice(void)
{
    u32 *cells = new_cells(16);
    must(cudaFree(cells));
    must(cudaFree(cells));
}

static void use_after_free(void)
{
    u32 *cells = new_cells(16);
    must(cudaFree(cells));
    must(MILL_LAUNCH(past_buffer, dim3(1), dim3(1), 0, nullptr, cells, 0u));
    must(cudaDeviceSynchronize());
}

static void dropped_stream(void)
{
    cudaStream_t stream;
    must(cudaStreamCreate(&stream));
    must(cudaStreamDestroy(stream));
    must(cudaStreamSynchronize(stream));
}

static void two_devices(void)
{
    cudaStream_t stream;
    cudaEvent_t event;
    must(cudaStreamCreate(&stream));
    must(cudaSetDevice(1));
    must(cudaEventCreate(&event));
    must(cudaEventRecord(event));
    must(cudaStreamWaitEvent(stream, event));
}

static void test_host(void)
{
    expect_failure("the host reads a device's memory", host_read, "", {});
    expect_failure("the host writes a device's memory", host_write, "", {});
    expect_failure("a copy beyond the end", copy_too_much, "of a device buffer of 64 bytes", {});
    expect_failure("a copy the wrong way", copy_wrong_way, "the kind of copy says host", {});
    expect_failure("cudaMemset of the host's memory", fill_host, "is no memory of device 0", {});
    expect_failure("cudaFree, twice", free_twice, "did not come from cudaMalloc", {});
    expect_failure("use after cudaFree", use_after_free, "", {});
    expect_failure("use after cudaStreamDestroy", dropped_stream, "after cudaStreamDestroy", {});
    expect_failure("an event of another device", two_devices, "between devices", {"SIMT_DEVICES=2"});
}

// ---- settings ----

static __global__ void count_up(u32 *cells, u32)
{
    atomicAdd(&cells[0], 1u);
}

// A few calls of every kind; returns how many failed. All that was made is given back, whatever fails.
static u32 some_calls(u32 *made)
{
    void *cells = nullptr, *host = nullptr;
    cudaStream_t stream = nullptr;
    cudaEvent_t event = nullptr;
    u32 failed = 0;
    int count = 0;
    auto call = [&](int code) {
        ++*made;
        failed += code != 0;
        return code == 0;
    };
    call(cudaGetDeviceCount(&count));
    call(cudaSetDevice(0));
    call(cudaMalloc(&cells, 64));
    call(cudaHostAlloc(&host, 64, 0));
    call(cudaStreamCreate(&stream));
    call(cudaEventCreate(&event));
    if (cells != nullptr && host != nullptr && stream != nullptr && event != nullptr) {
        call(cudaMemcpyAsync(cells, host, 64, cudaMemcpyHostToDevice, stream));
        call(cudaMemsetAsync(cells, 0, 64, stream));
        call(MILL_LAUNCH(count_up, dim3(1), dim3(1), 0, stream, static_cast<u32 *>(cells), 0u));
        call(cudaEventRecord(event, stream));
        call(cudaStreamWaitEvent(stream, event, 0));
        call(cudaEventSynchronize(event));
        call(cudaMemcpy(host, cells, 64, cudaMemcpyDeviceToHost));
        call(cudaStreamSynchronize(stream));
        call(cudaDeviceSynchronize());
    }
    if (event != nullptr)
        call(cudaEventDestroy(event));
    if (stream != nullptr)
        call(cudaStreamDestroy(stream));
    call(cudaFreeHost(host));
    call(cudaFree(cells));
    return failed;
}

static void one_call_fails(void)
{
    u32 nth = static_cast<u32>(atoi(getenv("SIMT_FAIL_NTH"))), made = 0, failed = some_calls(&made);
    expect(failed == (nth != 0 && nth <= made), "call %u of %u fails: %u did", nth, made, failed);
    expect((cudaGetLastError() != cudaSuccess) == (failed != 0), "and is remembered");
}

static void all_calls_fail(void)
{
    u32 made = 0, failed = some_calls(&made);
    expect(failed == made - 2, "from call 3 of %u on all fail: %u did", made, failed);
}

static void small_memory(void)
{
    void *first, *second, *third;
    size_t free_bytes = 0, total = 0;
    must(cudaMalloc(&first, 700 << 10));
    expect(cudaMalloc(&second, 400 << 10) == cudaErrorMemoryAllocation && second == nullptr,
           "1 MiB does not hold 1100 KiB");
    must(cudaMemGetInfo(&free_bytes, &total));
    expect(total == 1 << 20 && free_bytes == 324 << 10, "and says what is left");
    must(cudaFree(first));
    must(cudaMalloc(&third, 1 << 20));
    must(cudaFree(third));
}

// Nothing happens before the host waits, or everything does at once.
static void streams_run(void)
{
    bool at_once = getenv("SIMT_LAZY")[0] == '0';
    u32 *cells = new_cells(4), *host;
    must(cudaHostAlloc(&host, 16, 0));
    memset(host, 0x11, 16);
    must(cudaMemcpyAsync(cells, host, 16, cudaMemcpyHostToDevice));
    host[0] = 5; // too early, unless the copy is made
    must(MILL_LAUNCH(count_up, dim3(1), dim3(1), 0, nullptr, cells, 4u));
    must(cudaMemcpyAsync(host, cells, 16, cudaMemcpyDeviceToHost));
    expect(host[0] == (at_once ? 0x11111112u : 5u), "before the host waits: %x", host[0]);
    must(cudaDeviceSynchronize());
    expect(host[0] == (at_once ? 0x11111112u : 6u), "after it has waited: %x", host[0]);
    must(cudaFreeHost(host));
    must(cudaFree(cells));
}

// Streams that nothing joins run in different orders.
static void streams_mix(void)
{
    cudaStream_t streams[2];
    u32 seen = 0, *cells = new_cells(1), host = 0;
    for (cudaStream_t &stream : streams)
        must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    must(cudaDeviceSynchronize());
    for (u32 round = 0; round < 64; round++) {
        must(cudaMemsetAsync(cells, 1, 4, streams[0]));
        must(cudaMemsetAsync(cells, 2, 4, streams[1]));
        must(cudaDeviceSynchronize());
        must(cudaMemcpy(&host, cells, 4, cudaMemcpyDeviceToHost));
        seen |= host & 3;
    }
    for (cudaStream_t stream : streams)
        must(cudaStreamDestroy(stream));
    must(cudaFree(cells));
    expect(seen == 3, "both orders of two streams");
}

static void no_device(void)
{
    int count = -1;
    expect(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0, "SIMT_DEVICES=0");
}

static void expect_success(const char *name, void (*body)(void),
                           std::initializer_list<const char *> environment)
{
    Ending ending = child_ending(body, environment);
    expect(ending.status == 0, "%s: %s", name, ending.message.c_str());
}

static void test_settings(void)
{
    static char variable[32];
    for (u32 nth = 0; nth <= 20; nth++) {
        snprintf(variable, sizeof variable, "SIMT_FAIL_NTH=%u", nth);
        expect_success(variable, one_call_fails, {variable});
    }
    expect_success("SIMT_FAIL_LASTS", all_calls_fail, {"SIMT_FAIL_NTH=3", "SIMT_FAIL_LASTS=1"});
    expect_success("SIMT_MEMORY_MIB", small_memory, {"SIMT_MEMORY_MIB=1"});
    expect_success("SIMT_LAZY=1", streams_run, {"SIMT_LAZY=1"});
    expect_success("SIMT_LAZY=0", streams_run, {"SIMT_LAZY=0"});
    if (getenv("SIMT_SEED")[0] != '0')
        expect_success("stream order", streams_mix, {"SIMT_LAZY=1"});
    expect_success("SIMT_DEVICES=0", no_device, {"SIMT_DEVICES=0"});
}

static void run_tests(void)
{
    test_order();
    test_memory();
    test_host();
    test_settings();
}

int main(void)
{
    return selftest_main(run_tests, '3');
}
