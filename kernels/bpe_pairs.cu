// bpe_pairs.cu: the pair table: its first pairs, its growth, and the pairs that come first. A segment of the
// table remembers its best pair; only segments that changed are read again, and one block then draws the
// first pairs out of the segments' best.
#include "bpe_table.h"
#include "launchers.h"

#define THREADS 256u
#define WARPS (THREADS / 32u)
#define BLOCKS_MAX 1056u

static u32 blocks_for(u32 items, u32 per_block)
{
    u32 blocks = items / per_block + (items % per_block != 0);
    return blocks == 0 ? 1 : blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
}

// ---- adding

static __global__ void __launch_bounds__(THREADS)
    seed_pairs(mill_gpu_bpe bpe, const u32 *__restrict__ byte_ids, const uint64_t *__restrict__ first)
{
    u32 pair = blockIdx.x * THREADS + threadIdx.x;
    u64 count = first[pair];
    if (count >= bpe.count_min)
        add_pair(bpe, mill_bpe_key(byte_ids[pair >> 8], byte_ids[pair & 255u]), count,
                 &bpe.state[MILL_GPU_BPE_USED]);
}

int mill_gpu_bpe_seed(const mill_gpu_bpe *bpe, const uint32_t *byte_ids, const uint64_t *first, void *stream)
{
    return MILL_LAUNCH(seed_pairs, 65536u / THREADS, THREADS, 0, stream, *bpe, byte_ids, first);
}

static __global__ void __launch_bounds__(THREADS) move_pairs(mill_gpu_bpe from, mill_gpu_bpe to)
{
    for (u32 slot = blockIdx.x * THREADS + threadIdx.x; slot < from.slots; slot += gridDim.x * THREADS)
        if (from.keys[slot] != MILL_BPE_FREE && from.counts[slot] >= from.count_min)
            add_pair(to, from.keys[slot], from.counts[slot], &to.state[MILL_GPU_BPE_USED]);
}

int mill_gpu_bpe_move(const mill_gpu_bpe *from, const mill_gpu_bpe *to, void *stream)
{
    return MILL_LAUNCH(move_pairs, blocks_for(from->slots, THREADS), THREADS, 0, stream, *from, *to);
}

// ---- choosing

struct choice {
    u64 count, key; // count 0: none
    u32 segment;
};

static __device__ __forceinline__ choice better(choice a, choice b)
{
    return mill_bpe_before(b.count, b.key, a.count, a.key) ? b : a;
}

static __device__ __forceinline__ choice best_of_warp(choice mine)
{
    for (int offset = 16; offset != 0; offset >>= 1) {
        choice other;
        other.count = __shfl_xor_sync(0xffffffffu, mine.count, offset);
        other.key = __shfl_xor_sync(0xffffffffu, mine.key, offset);
        other.segment = __shfl_xor_sync(0xffffffffu, mine.segment, offset);
        mine = better(mine, other);
    }
    return mine;
}

static __device__ __forceinline__ choice best_of_block(choice mine, choice *of_warps)
{
    mine = best_of_warp(mine);
    __syncthreads(); // all have read what stood there
    if ((threadIdx.x & 31u) == 0)
        of_warps[threadIdx.x / 32u] = mine;
    __syncthreads();
    mine = of_warps[0];
    for (u32 i = 1; i < WARPS; i++)
        mine = better(mine, of_warps[i]);
    return mine;
}

// A pair of the table as a choice: none if it is below the smallest count.
static __device__ __forceinline__ choice choice_at(const mill_gpu_bpe &bpe, u32 slot)
{
    choice c = {bpe.counts[slot], bpe.keys[slot], slot / MILL_GPU_BPE_SEGMENT};
    if (c.count < bpe.count_min || c.key == MILL_BPE_FREE)
        c.count = 0;
    return c;
}

// A warp a segment.
static __global__ void __launch_bounds__(THREADS) refresh_bests(mill_gpu_bpe bpe)
{
    u32 segments = bpe.slots / MILL_GPU_BPE_SEGMENT, lane = threadIdx.x & 31u;
    for (u32 s = blockIdx.x * WARPS + threadIdx.x / 32u; s < segments; s += gridDim.x * WARPS) {
        // One lane reads and writes the mark: shuffles order nothing in memory.
        if (__shfl_sync(0xffffffffu, lane == 0 ? bpe.stale[s] : 0u, 0) == 0)
            continue;
        choice best = {0, MILL_BPE_FREE, s};
        for (u32 i = lane; i < MILL_GPU_BPE_SEGMENT; i += 32u)
            best = better(best, choice_at(bpe, s * MILL_GPU_BPE_SEGMENT + i));
        best = best_of_warp(best);
        __syncwarp(); // all lanes have read stale[s]: shuffles alone do not order memory
        if (lane == 0) {
            bpe.best_counts[s] = best.count;
            bpe.best_keys[s] = best.key;
            bpe.stale[s] = 0;
        }
    }
}

// The best of the segments that this thread watches.
static __device__ choice best_watched(const mill_gpu_bpe &bpe)
{
    choice best = {0, MILL_BPE_FREE, 0};
    for (u32 s = threadIdx.x; s < bpe.slots / MILL_GPU_BPE_SEGMENT; s += THREADS) {
        choice c = {bpe.best_counts[s], bpe.best_keys[s], s};
        best = better(best, c);
    }
    return best;
}

// One block: takes the best pair out of the segments' best, puts its segment's next one there, and again.
// Such segments are stale then. Ends the round's counters, too.
static __global__ void __launch_bounds__(THREADS) draw_first(mill_gpu_bpe bpe)
{
    MILL_SHARED(choice, of_warps, WARPS);
    mill_gpu_bpe_outcome *out = bpe.outcome;
    choice mine = best_watched(bpe);
    u32 drawn = 0;
    for (; drawn < bpe.batch; drawn++) {
        choice first = best_of_block(mine, of_warps), next = {0, MILL_BPE_FREE, first.segment};
        if (first.count == 0)
            break;
        for (u32 i = threadIdx.x; i < MILL_GPU_BPE_SEGMENT; i += THREADS) {
            choice c = choice_at(bpe, first.segment * MILL_GPU_BPE_SEGMENT + i);
            if (mill_bpe_before(first.count, first.key, c.count, c.key))
                next = better(next, c);
        }
        next = best_of_block(next, of_warps);
        if (threadIdx.x == first.segment % THREADS) { // who watches this segment
            out->counts[drawn] = first.count;
            out->keys[drawn] = first.key;
            bpe.best_counts[first.segment] = next.count;
            bpe.best_keys[first.segment] = next.key;
            bpe.stale[first.segment] = 1;
            mine = best_watched(bpe);
        }
    }
    u32 full = bpe.state[MILL_GPU_BPE_FULL];
    __syncthreads();
    if (full == 0)
        bpe.crossings[threadIdx.x] = 0;
    if (threadIdx.x == 0) {
        u32 *state = bpe.state;
        state[MILL_GPU_BPE_USED] += state[MILL_GPU_BPE_FRESH];
        state[MILL_GPU_BPE_FRESH] = 0;
        out->count = drawn;
        out->found = state[MILL_GPU_BPE_FOUND];
        out->used = state[MILL_GPU_BPE_USED];
        out->full = full;
        if (full == 0) {
            state[MILL_GPU_BPE_FOUND] = 0;
            state[MILL_GPU_BPE_ALL] = 0;
        }
        state[MILL_GPU_BPE_FULL] = 0;
    }
}
static_assert(MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH == THREADS, "a thread clears a crossing");

int mill_gpu_bpe_select(const mill_gpu_bpe *bpe, void *stream)
{
    int code = MILL_LAUNCH(refresh_bests, blocks_for(bpe->slots / MILL_GPU_BPE_SEGMENT, WARPS), THREADS, 0,
                           stream, *bpe);
    if (code != 0)
        return code;
    return MILL_LAUNCH(draw_first, 1, THREADS, 0, stream, *bpe);
}
