// planted.cu: a small program of the product's kind (tiles in shared memory, bins by atomics, two slots of
// pinned memory on two streams) that can be built wrong in one place. test_planted.py proves that every such
// fault is caught, and by which build: what the emulator cannot see here, it would not see in the product.
//
// usage: planted FAULT   (0 = none; exit code 1: the result is wrong; other failures: the emulator or a
// sanitizer saw it)
#include "mill_cuda.h"
#include "selftest.h"

enum Fault {
    none,
    no_barrier_after_clear,
    no_barrier_after_load,
    no_barrier_before_reload,
    no_syncwarp,
    plain_shared_add,
    plain_global_add,
    shared_write_past,
    shared_read_past,
    global_write_past,
    global_read_past,
    no_clear,
    no_memset,
    lanes_missing,
    divergent_barrier,
    no_final_wait,
    early_refill,
    no_event,
    fault_count
};

enum { THREADS = 64, BINS = 16, BLOCKS = 3 };

// Counts bytes by their low four bits. A thread counts the byte that another has loaded.
template <int FAULT> static __global__ void count_bytes(const u8 *text, u32 bytes, u32 *counts)
{
    MILL_SHARED(u8, tile, THREADS);
    MILL_SHARED(u32, bins, BINS + 1); // the last: bytes
    u32 t = threadIdx.x, mine = 0;
    if (t <= BINS && FAULT != no_clear)
        bins[t] = 0;
    if (FAULT != no_barrier_after_clear)
        __syncthreads();
    for (u32 i = blockIdx.x * THREADS + t; i < bytes; i += gridDim.x * THREADS)
        mine++;
    atomicAdd(&bins[BINS], mine);
    for (u32 base = blockIdx.x * THREADS; base < bytes; base += gridDim.x * THREADS) {
        u32 end = FAULT == global_read_past ? bytes + 1 : bytes;
        tile[t + (FAULT == shared_write_past && t == THREADS - 1 ? 1 : 0)] =
            base + t < end ? text[base + t] : 0;
        if (FAULT != no_barrier_after_load)
            __syncthreads();
        u32 other = THREADS - 1 - t,
            bin = tile[other + (FAULT == shared_read_past && other == THREADS - 1 ? 1 : 0)] % BINS;
        if (base + other < bytes) {
            if (FAULT == plain_shared_add)
                bins[bin]++;
            else
                atomicAdd(&bins[bin], 1u);
        }
        if (FAULT != no_barrier_before_reload)
            __syncthreads();
    }
    if (FAULT == no_barrier_before_reload)
        __syncthreads();
    if (FAULT == divergent_barrier && t < 32)
        __syncthreads();
    else if (FAULT == divergent_barrier)
        __syncthreads();
    if (t > BINS + (FAULT == global_write_past && blockIdx.x == 0 ? 1u : 0u))
        return;
    if (FAULT == plain_global_add)
        counts[t] += bins[t];
    else
        atomicAdd(&counts[t], t <= BINS ? bins[t] : 1u);
}

// Running sums of the bins, by one warp: lane i adds what lane i - step has left in shared memory.
template <int FAULT> static __global__ void running_sums(const u32 *counts, u32 *sums)
{
    MILL_SHARED(u32, row, 2 * BINS);
    u32 lane = threadIdx.x;
    u32 total = FAULT != lanes_missing || lane < BINS
                    ? __reduce_add_sync(0xffffffffu, lane < BINS ? counts[lane] : 0)
                    : 0;
    row[lane] = lane < BINS ? counts[lane] : 0;
    __syncwarp();
    for (u32 step = 1; step < BINS; step *= 2) {
        u32 before = lane >= step ? row[lane - step] : 0;
        if (FAULT != no_syncwarp)
            __syncwarp();
        row[lane] += before;
        __syncwarp();
    }
    if (lane < BINS)
        sums[lane] = row[lane];
    if (lane == 0)
        sums[BINS] = total + counts[BINS];
}

static const u32 chunks = 6, chunk_bytes = 500;

static u8 byte_of(u32 i)
{
    return static_cast<u8>((i * 2654435761u) >> 13);
}

struct Slot {
    u8 *host, *device;
    cudaEvent_t copied, counted;
};

// One chunk through its slot: refill, copy, count.
template <int FAULT>
static void pass_chunk(u32 chunk, const Slot &slot, cudaStream_t copies, cudaStream_t work, u32 *counts)
{
    if (FAULT != early_refill)
        must(cudaEventSynchronize(slot.counted)); // of the slot's last chunk
    for (u32 i = 0; i < chunk_bytes; i++)
        slot.host[i] = byte_of(chunk * chunk_bytes + i);
    must(cudaMemcpyAsync(slot.device, slot.host, chunk_bytes, cudaMemcpyHostToDevice, copies));
    must(cudaEventRecord(slot.copied, copies));
    if (FAULT != no_event)
        must(cudaStreamWaitEvent(work, slot.copied));
    must(MILL_LAUNCH(count_bytes<FAULT>, dim3(BLOCKS), dim3(THREADS), 0, work, slot.device, chunk_bytes,
                     counts));
    must(cudaEventRecord(slot.counted, work));
}

template <int FAULT> static void make(Slot *slots, cudaStream_t *streams, u32 **counts, u32 **sums)
{
    for (u32 i = 0; i < 2; i++) {
        must(cudaStreamCreateWithFlags(&streams[i], cudaStreamNonBlocking));
        must(cudaHostAlloc(&slots[i].host, chunk_bytes, cudaHostAllocDefault));
        must(cudaMalloc(&slots[i].device, chunk_bytes));
        must(cudaEventCreateWithFlags(&slots[i].copied, cudaEventDisableTiming));
        must(cudaEventCreateWithFlags(&slots[i].counted, cudaEventDisableTiming));
    }
    must(cudaMalloc(counts, (BINS + 1) * sizeof(u32)));
    must(cudaMalloc(sums, (BINS + 1) * sizeof(u32)));
    if (FAULT != no_memset)
        must(cudaMemsetAsync(*counts, 0, (BINS + 1) * sizeof(u32), streams[1]));
}

// 0 if the running sums are right.
template <int FAULT> static int run(void)
{
    Slot slots[2];
    cudaStream_t streams[2];
    u32 *counts, *sums, *result, wanted[BINS + 1] = {};
    make<FAULT>(slots, streams, &counts, &sums);
    must(cudaHostAlloc(&result, (BINS + 1) * sizeof(u32), cudaHostAllocDefault));
    for (u32 chunk = 0; chunk < chunks; chunk++)
        pass_chunk<FAULT>(chunk, slots[chunk % 2], streams[0], streams[1], counts);
    must(MILL_LAUNCH(running_sums<FAULT>, dim3(1), dim3(2 * BINS), 0, streams[1], counts, sums));
    must(cudaMemcpyAsync(result, sums, (BINS + 1) * sizeof(u32), cudaMemcpyDeviceToHost, streams[1]));
    if (FAULT != no_final_wait)
        must(cudaStreamSynchronize(streams[1]));
    for (u32 i = 0; i < chunks * chunk_bytes; i++)
        for (u32 bin = byte_of(i) % BINS; bin <= BINS; bin++)
            wanted[bin] += bin < BINS ? 1 : 2; // the last holds the sum of the bins and the bytes
    int wrong = memcmp(result, wanted, sizeof wanted) != 0;
    for (u32 i = 0; i < 2; i++) {
        must(cudaStreamDestroy(streams[i]));
        must(cudaFreeHost(slots[i].host));
        must(cudaFree(slots[i].device));
        must(cudaEventDestroy(slots[i].copied));
        must(cudaEventDestroy(slots[i].counted));
    }
    must(cudaFree(counts));
    must(cudaFree(sums));
    must(cudaFreeHost(result));
    return wrong;
}

template <int FAULT> static int run_numbered(int fault)
{
    if constexpr (FAULT == fault_count) {
        printf("no fault %d\n", fault);
        return 2;
    } else {
        return fault == FAULT ? run<FAULT>() : run_numbered<FAULT + 1>(fault);
    }
}

int main(int argc, char **argv)
{
    return run_numbered<none>(argc > 1 ? atoi(argv[1]) : none);
}
