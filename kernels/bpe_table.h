// bpe_table.h: the pair table on a device: open addressing, keys that are never taken out. Different keys may
// be added, and counts of keys changed, by all threads at once.
#ifndef MILL_BPE_TABLE_H
#define MILL_BPE_TABLE_H

#include "mill_cuda.h"
#include "mill_gpu.h"

// uint64_t as the atomics know it.
static __device__ __forceinline__ u64 *wide(uint64_t *p)
{
    return reinterpret_cast<u64 *>(p);
}

static __device__ __forceinline__ void mark_stale(const mill_gpu_bpe &bpe, u32 slot)
{
    MILL_STORE_RELAXED(&bpe.stale[slot / MILL_GPU_BPE_SEGMENT], 1u);
}

// Adds a pair that is not there; there must be room.
static __device__ __forceinline__ void add_pair(const mill_gpu_bpe &bpe, u64 key, u64 count, u32 *used)
{
    u32 mask = bpe.slots - 1u, at = mill_bpe_slot(key, mask);
    while (MILL_LOAD_RELAXED(wide(&bpe.keys[at])) != MILL_BPE_FREE ||
           atomicCAS(wide(&bpe.keys[at]), static_cast<u64>(MILL_BPE_FREE), key) != MILL_BPE_FREE)
        at = (at + 1u) & mask;
    MILL_STORE_RELAXED(wide(&bpe.counts[at]), count);
    mark_stale(bpe, at);
    atomicAdd(used, 1u);
}

// The slot of a pair, or `slots` if it was never added.
static __device__ __forceinline__ u32 find_pair(const mill_gpu_bpe &bpe, u64 key)
{
    u32 mask = bpe.slots - 1u, at = mill_bpe_slot(key, mask);
    for (;; at = (at + 1u) & mask) {
        u64 seen = MILL_LOAD_RELAXED(wide(&bpe.keys[at]));
        if (seen == key)
            return at;
        if (seen == MILL_BPE_FREE)
            return bpe.slots;
    }
}

static __device__ __forceinline__ void lose_pair(const mill_gpu_bpe &bpe, u64 key, u64 lost)
{
    u32 at = find_pair(bpe, key);
    if (at == bpe.slots)
        return; // below the smallest count from the start, or too long
    atomicAdd(wide(&bpe.counts[at]), 0ull - lost);
    mark_stale(bpe, at);
}

#endif
