// scan.h: what stands before each item, in three launches: sums of blocks of items, sums of the blocks before,
// and once more over the items, each now with its sum. The order is that of the items whatever the schedule.
//
// The items are an object that travels to the device by value:
//     u32 size() const                          their number; it may be read from device memory
//     u32 get(u32 i) const                      item i
//     void put(u32 i, u32 value, u32 before)    what to do with item i and the sum of the items before it
#ifndef MILL_SCAN_H
#define MILL_SCAN_H

#include "mill_cuda.h"

#define SCAN_THREADS 256u
#define SCAN_PER_THREAD 4u
#define SCAN_PER_BLOCK (SCAN_THREADS * SCAN_PER_THREAD)
#define SCAN_BLOCKS(items) (((items) + SCAN_PER_BLOCK - 1u) / SCAN_PER_BLOCK)

// Sum over the lanes before this one.
static __device__ __forceinline__ u32 warp_scan(u32 value, u32 lane)
{
    u32 sum = value;
#pragma unroll
    for (u32 step = 1; step < 32u; step <<= 1) {
        u32 other = __shfl_up_sync(0xffffffffu, sum, step);
        sum += lane >= step ? other : 0u;
    }
    return sum - value;
}

// Sum over the threads of the block before this one; *whole: over all. The block has SCAN_THREADS threads.
static inline __device__ u32 block_scan(u32 value, u32 *whole)
{
    MILL_SHARED(u32, of_warps, SCAN_THREADS / 32u + 1u);
    u32 lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;
    u32 before = warp_scan(value, lane);
    if (lane == 31u)
        of_warps[warp] = before + value;
    __syncthreads();
    if (warp == 0) {
        u32 sum = lane < SCAN_THREADS / 32u ? of_warps[lane] : 0u;
        u32 scanned = warp_scan(sum, lane);
        __syncwarp();
        if (lane < SCAN_THREADS / 32u)
            of_warps[lane] = scanned;
        if (lane == SCAN_THREADS / 32u - 1u)
            of_warps[SCAN_THREADS / 32u] = scanned + sum;
    }
    __syncthreads();
    *whole = of_warps[SCAN_THREADS / 32u];
    before += of_warps[warp];
    __syncthreads(); // the next call writes again
    return before;
}

template <class Items>
static __global__ void __launch_bounds__(SCAN_THREADS) scan_blocks(Items items, u32 *__restrict__ sums)
{
    u32 size = items.size(), first = blockIdx.x * SCAN_PER_BLOCK;
    if (first >= size)
        return; // the whole block
    first += threadIdx.x * SCAN_PER_THREAD;
    u32 sum = 0, whole;
#pragma unroll
    for (u32 k = 0; k < SCAN_PER_THREAD; k++) // their loads are under way together
        sum += first + k < size ? items.get(first + k) : 0u;
    (void)block_scan(sum, &whole);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = whole;
}

// One block: sums become sums of the blocks before; *total the sum of all items.
template <class Items>
static __global__ void __launch_bounds__(SCAN_THREADS)
    scan_sums(Items items, u32 *__restrict__ sums, u32 *__restrict__ total)
{
    u32 before = 0, blocks = SCAN_BLOCKS(items.size());
    for (u32 first = 0; first < blocks; first += SCAN_THREADS) {
        u32 i = first + threadIdx.x, value = i < blocks ? sums[i] : 0u, whole;
        u32 here = block_scan(value, &whole);
        if (i < blocks)
            sums[i] = before + here;
        before += whole;
    }
    if (threadIdx.x == 0)
        *total = before;
}

template <class Items>
static __global__ void __launch_bounds__(SCAN_THREADS) scan_put(Items items, const u32 *__restrict__ sums)
{
    u32 size = items.size(), first = blockIdx.x * SCAN_PER_BLOCK;
    if (first >= size)
        return;
    first += threadIdx.x * SCAN_PER_THREAD;
    u32 values[SCAN_PER_THREAD], sum = 0, whole;
#pragma unroll
    for (u32 k = 0; k < SCAN_PER_THREAD; k++) {
        values[k] = first + k < size ? items.get(first + k) : 0u;
        sum += values[k];
    }
    u32 before = sums[blockIdx.x] + block_scan(sum, &whole);
#pragma unroll
    for (u32 k = 0; k < SCAN_PER_THREAD; k++) {
        if (first + k < size)
            items.put(first + k, values[k], before);
        before += values[k];
    }
}

// Queues all three. size_most: no less than items.size() will be; sums: SCAN_BLOCKS(size_most) values.
template <class Items>
static int scan(const Items &items, u32 size_most, u32 *sums, u32 *total, void *stream)
{
    u32 blocks = SCAN_BLOCKS(size_most);
    int code = 0;
    if (blocks != 0)
        code = MILL_LAUNCH(scan_blocks<Items>, dim3(blocks), dim3(SCAN_THREADS), 0, stream, items, sums);
    if (code == 0)
        code = MILL_LAUNCH(scan_sums<Items>, dim3(1), dim3(SCAN_THREADS), 0, stream, items, sums, total);
    if (code == 0 && blocks != 0)
        code = MILL_LAUNCH(scan_put<Items>, dim3(blocks), dim3(SCAN_THREADS), 0, stream, items, sums);
    return code;
}

#endif
