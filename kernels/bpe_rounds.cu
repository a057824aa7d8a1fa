// bpe_rounds.cu: a round of merges on all words (src/backend/train.h tells why it is exact): one launch reads
// every symbol and sums the neighbours of the round's pairs, one changes the counts of pairs by these sums,
// one writes the symbols of the occurrences found.
#include "bpe_table.h"
#include "launchers.h"

#define THREADS 256u
#define BLOCKS_MAX 1056u
#define PER_THREAD 8u // positions
#define TILE (THREADS * PER_THREAD)
#define FILTER 1024u // bits

static u32 blocks_for(u32 items, u32 per_block)
{
    u32 blocks = items / per_block + (items % per_block != 0);
    return blocks == 0 ? 1 : blocks < BLOCKS_MAX ? blocks : BLOCKS_MAX;
}

// ---- the beginning

static __device__ __forceinline__ bool separates(const mill_gpu_bpe &bpe, u32 at)
{
    return at + 1u >= bpe.positions || (bpe.ranks[at / 64u].bits >> (at % 64u) & 1u) != 0;
}

static __global__ void __launch_bounds__(THREADS)
    place_bytes(mill_gpu_bpe bpe, const u8 *__restrict__ text, const u32 *__restrict__ byte_ids,
                uint64_t *first)
{
    u32 padded = (bpe.positions + PER_THREAD - 1u) / PER_THREAD * PER_THREAD;
    for (u32 at = blockIdx.x * THREADS + threadIdx.x; at < padded; at += gridDim.x * THREADS) {
        bool separator = separates(bpe, at);
        bpe.symbols[at] = separator ? MILL_SYMBOL_SEPARATOR : byte_ids[text[at]];
        if (!separator && !separates(bpe, at + 1u))
            atomicAdd(wide(&first[static_cast<u32>(text[at]) << 8 | text[at + 1u]]),
                      static_cast<u64>(bpe.weights[mill_bpe_word(bpe.ranks, at)]));
    }
    if (blockIdx.x == 0 && byte_ids[threadIdx.x] < bpe.ids_max)
        bpe.lengths[byte_ids[threadIdx.x]] = 1;
}

int mill_gpu_bpe_place(const mill_gpu_bpe *bpe, const uint8_t *text, const uint32_t *byte_ids,
                       uint64_t *first, void *stream)
{
    return MILL_LAUNCH(place_bytes, blocks_for(bpe->positions, THREADS), THREADS, 0, stream, *bpe, text,
                       byte_ids, first);
}

// ---- finding

// Number of the batch's pair that begins at a token, batch.count if none does.
static __device__ __forceinline__ u32 pair_at(const mill_gpu_bpe &bpe, const mill_gpu_bpe_batch &batch,
                                              u32 at, u32 left)
{
    u32 i = 0;
    for (; i < batch.count; i++)
        if (batch.of[i].left == left && bpe.symbols[at + batch.of[i].left_bytes] == batch.of[i].right)
            break;
    return i;
}

// Adds an occurrence of pair i to the sums.
static __device__ void sum_up(const mill_gpu_bpe &bpe, const mill_gpu_bpe_batch &batch, u32 at, u32 i)
{
    u64 weight = bpe.weights[mill_bpe_word(bpe.ranks, at)];
    u32 before = bpe.symbols[at - 1u];
    u32 behind = bpe.symbols[at + batch.of[i].left_bytes + batch.of[i].right_bytes];
    if (behind != MILL_SYMBOL_SEPARATOR)
        atomicAdd(wide(&bpe.neighbours[static_cast<size_t>(bpe.batch + i) * bpe.ids_max + behind]), weight);
    if (before == MILL_SYMBOL_SEPARATOR)
        return;
    before = mill_symbol_id(before);
    atomicAdd(wide(&bpe.neighbours[static_cast<size_t>(i) * bpe.ids_max + before]), weight);
    for (u32 k = 0; k < batch.count; k++) // is it the right half of an occurrence?
        if (batch.of[k].right == before &&
            mill_symbol_id(bpe.symbols[at - batch.of[k].right_bytes - 1u]) == batch.of[k].left)
            atomicAdd(wide(&bpe.crossings[k * MILL_GPU_BPE_BATCH + i]), weight);
}

// A pair of a token with itself: whoever stands at the start of a run takes its pairs from the left.
static __device__ void find_run(const mill_gpu_bpe &bpe, const mill_gpu_bpe_batch &batch, u32 at)
{
    u32 token = batch.of[0].left, bytes = batch.of[0].left_bytes;
    if (mill_symbol_id(bpe.symbols[at - 1u]) == token)
        return;
    for (; bpe.symbols[at] == token && bpe.symbols[at + bytes] == token; at += 2u * bytes) {
        sum_up(bpe, batch, at, 0);
        bpe.found[atomicAdd(&bpe.state[MILL_GPU_BPE_FOUND], 1u)] = at;
    }
}

// Tiles of positions, eight a thread. Most tokens are told apart by a small filter of the left tokens.
static __global__ void __launch_bounds__(THREADS) find_pairs(mill_gpu_bpe bpe, mill_gpu_bpe_batch batch)
{
    MILL_SHARED(u32, filter, FILTER / 32u);
    MILL_SHARED(u32, list, TILE / 2u + 1u); // occurrences are two positions or longer
    MILL_SHARED(u32, counts, 2);            // in the list; where it goes
    if (threadIdx.x < FILTER / 32u) {
        u32 bits = 0;
        for (u32 i = 0; i < batch.count; i++)
            bits |= batch.of[i].left % FILTER / 32u == threadIdx.x ? 1u << batch.of[i].left % 32u : 0u;
        filter[threadIdx.x] = bits;
    }
    if (threadIdx.x == 0)
        counts[0] = 0;
    __syncthreads();
    bool alone = batch.of[0].left == batch.of[0].right;
    u32 tiles = bpe.positions / TILE + (bpe.positions % TILE != 0);
    for (u32 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        u32 begin = tile * TILE + threadIdx.x * PER_THREAD, any = 0;
        u32 symbols[PER_THREAD];
        if (begin < bpe.positions) {
            const uint4 *lines = reinterpret_cast<const uint4 *>(bpe.symbols + begin);
            uint4 low = lines[0], high = lines[1];
            symbols[0] = low.x, symbols[1] = low.y, symbols[2] = low.z, symbols[3] = low.w;
            symbols[4] = high.x, symbols[5] = high.y, symbols[6] = high.z, symbols[7] = high.w;
#pragma unroll
            for (u32 k = 0; k < PER_THREAD; k++) {
                u32 left = symbols[k];
                if (left >= MILL_SYMBOL_LAST || (filter[left % FILTER / 32u] >> left % 32u & 1u) == 0)
                    continue;
                u32 i = pair_at(bpe, batch, begin + k, left);
                if (i == batch.count)
                    continue;
                if (alone) {
                    find_run(bpe, batch, begin + k);
                    continue;
                }
                sum_up(bpe, batch, begin + k, i);
                list[atomicAdd(&counts[0], 1u)] = begin + k;
                any = 1;
            }
        }
        if (__syncthreads_or(static_cast<int>(any)) == 0)
            continue;
        if (threadIdx.x == 0)
            counts[1] = atomicAdd(&bpe.state[MILL_GPU_BPE_FOUND], counts[0]);
        __syncthreads();
        for (u32 i = threadIdx.x; i < counts[0]; i += THREADS)
            bpe.found[counts[1] + i] = list[i];
        __syncthreads();
        if (threadIdx.x == 0)
            counts[0] = 0;
        __syncthreads();
    }
}

int mill_gpu_bpe_find(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream)
{
    return MILL_LAUNCH(find_pairs, blocks_for(bpe->positions, TILE), THREADS, 0, stream, *bpe, *batch);
}

// ---- merging

// True if the table might not have room for what the round can add. The same for all threads and devices.
static __device__ __forceinline__ bool too_full(const mill_gpu_bpe &bpe, const mill_gpu_bpe_batch &batch)
{
    u32 all = bpe.state[MILL_GPU_BPE_ALL], found = bpe.state[MILL_GPU_BPE_FOUND];
    u64 by_places = 2ull * (all > found ? all : found), by_ids = 2ull * batch.count * batch.ids;
    u64 fresh = (by_places < by_ids ? by_places : by_ids) + batch.count * batch.count;
    return bpe.state[MILL_GPU_BPE_USED] + fresh > bpe.slots / 4u * 3u;
}

static __device__ __forceinline__ bool short_enough(const mill_gpu_bpe &bpe, u32 bytes, u32 other_bytes)
{
    return bpe.length_max == 0 || bytes + other_bytes < bpe.length_max;
}

// The pairs about pair i on one side, where `other` stood `sum` times: an adjacency of two occurrences
// belongs to the right one.
static __device__ __forceinline__ void recount(const mill_gpu_bpe &bpe, const mill_gpu_bpe_batch &batch,
                                               bool to_right, u32 i, u32 other, u64 sum)
{
    const mill_gpu_bpe_pair &pair = batch.of[i];
    u64 crossing = 0;
    for (u32 k = 0; k < batch.count; k++) {
        if ((to_right ? batch.of[k].left : batch.of[k].right) == other)
            crossing += bpe.crossings[to_right ? i * MILL_GPU_BPE_BATCH + k : k * MILL_GPU_BPE_BATCH + i];
    }
    u64 stays = sum - crossing, lost = to_right ? stays : sum;
    // The pair itself, which a run of equal tokens meets here, is cleared as a whole.
    bool itself = pair.left == pair.right && other == pair.left;
    if (lost != 0 && !itself)
        lose_pair(bpe, to_right ? mill_bpe_key(pair.right, other) : mill_bpe_key(other, pair.left), lost);
    if (stays >= bpe.count_min && short_enough(bpe, bpe.lengths[other], pair.left_bytes + pair.right_bytes))
        add_pair(bpe, to_right ? mill_bpe_key(pair.id, other) : mill_bpe_key(other, pair.id), stays,
                 &bpe.state[MILL_GPU_BPE_FRESH]);
}

// blockIdx.y: a row of neighbours; the last one: crossings and the pairs themselves.
static __global__ void __launch_bounds__(THREADS) recount_pairs(mill_gpu_bpe bpe, mill_gpu_bpe_batch batch)
{
    u32 index = blockIdx.x * THREADS + threadIdx.x, i = blockIdx.y % batch.count;
    if (too_full(bpe, batch)) {
        if (index == 0 && blockIdx.y == 0)
            bpe.state[MILL_GPU_BPE_FULL] = 1;
        return;
    }
    if (blockIdx.y < 2u * batch.count) {
        bool to_right = blockIdx.y >= batch.count;
        if (index >= batch.ids)
            return;
        uint64_t *place =
            &bpe.neighbours[static_cast<size_t>(to_right ? bpe.batch + i : i) * bpe.ids_max + index];
        u64 sum = *place;
        if (sum == 0)
            return;
        recount(bpe, batch, to_right, i, index, sum);
        *place = 0;
        return;
    }
    u32 k = index / MILL_GPU_BPE_BATCH;
    i = index % MILL_GPU_BPE_BATCH;
    if (k >= batch.count || i >= batch.count)
        return;
    const mill_gpu_bpe_pair &left = batch.of[k], &right = batch.of[i];
    u64 sum = bpe.crossings[index];
    if (sum >= bpe.count_min &&
        short_enough(bpe, left.left_bytes + left.right_bytes, right.left_bytes + right.right_bytes))
        add_pair(bpe, mill_bpe_key(left.id, right.id), sum, &bpe.state[MILL_GPU_BPE_FRESH]);
    if (k != i)
        return;
    u32 at = find_pair(bpe, mill_bpe_key(left.left, left.right));
    if (at != bpe.slots) {
        MILL_STORE_RELAXED(wide(&bpe.counts[at]), 0ull);
        mark_stale(bpe, at);
    }
}

static __global__ void __launch_bounds__(THREADS) rewrite_symbols(mill_gpu_bpe bpe, mill_gpu_bpe_batch batch)
{
    if (bpe.state[MILL_GPU_BPE_FULL] != 0)
        return;
    u32 first = blockIdx.x * THREADS + threadIdx.x, found = bpe.state[MILL_GPU_BPE_FOUND];
    if (first < batch.count)
        bpe.lengths[batch.of[first].id] = batch.of[first].left_bytes + batch.of[first].right_bytes;
    for (u32 n = first; n < found; n += gridDim.x * THREADS) {
        u32 at = bpe.found[n], i = pair_at(bpe, batch, at, bpe.symbols[at]);
        u32 middle = at + batch.of[i].left_bytes, end = middle + batch.of[i].right_bytes;
        bpe.symbols[middle - 1u] = MILL_SYMBOL_MIDDLE;
        bpe.symbols[middle] = MILL_SYMBOL_MIDDLE;
        bpe.symbols[at] = batch.of[i].id;
        bpe.symbols[end - 1u] = MILL_SYMBOL_LAST | batch.of[i].id;
    }
}

int mill_gpu_bpe_merge(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, void *stream)
{
    u32 ids = batch->ids < 256u ? 256u : batch->ids;
    dim3 grid(ids / THREADS + (ids % THREADS != 0), 2u * batch->count + 1u);
    int code = MILL_LAUNCH(recount_pairs, grid, THREADS, 0, stream, *bpe, *batch);
    if (code != 0)
        return code;
    return MILL_LAUNCH(rewrite_symbols, blocks_for(bpe->positions, TILE), THREADS, 0, stream, *bpe, *batch);
}

// ---- several devices

// blockIdx.y: a row of neighbours; the last one: crossings.
static __global__ void __launch_bounds__(THREADS)
    tell_sums(mill_gpu_bpe bpe, mill_gpu_bpe_batch batch, mill_gpu_bpe_sum *blocks)
{
    u32 index = blockIdx.x * THREADS + threadIdx.x, row = blockIdx.y;
    u64 sum = 0;
    if (row < 2u * batch.count) {
        row = row < batch.count ? row : bpe.batch + row - batch.count;
        if (index < batch.ids)
            sum = bpe.neighbours[static_cast<size_t>(row) * bpe.ids_max + index];
    } else {
        row = 2u * bpe.batch;
        if (index < MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH)
            sum = bpe.crossings[index];
    }
    if (sum == 0)
        return;
    u32 n = atomicAdd(&bpe.state[MILL_GPU_BPE_SUMS], 1u);
    blocks[n + n / bpe.block_sums + 1u] = {static_cast<u64>(row) << 32 | index, sum};
}

static __global__ void __launch_bounds__(THREADS) tell_heads(mill_gpu_bpe bpe, mill_gpu_bpe_sum *blocks)
{
    u32 sums = bpe.state[MILL_GPU_BPE_SUMS];
    for (u32 n = threadIdx.x; n < MILL_GPU_BPE_BLOCKS(sums, bpe.block_sums); n += THREADS)
        blocks[static_cast<size_t>(n) * (bpe.block_sums + 1u)] = {sums, bpe.state[MILL_GPU_BPE_FOUND]};
}

int mill_gpu_bpe_tell(const mill_gpu_bpe *bpe, const mill_gpu_bpe_batch *batch, mill_gpu_bpe_sum *blocks,
                      void *stream)
{
    u32 columns = batch->ids < THREADS ? THREADS : batch->ids; // a crossing each, at least
    dim3 grid(columns / THREADS + 1u, 2u * batch->count + 1u);
    int code = cudaMemsetAsync(&bpe->state[MILL_GPU_BPE_SUMS], 0, sizeof *bpe->state,
                               static_cast<cudaStream_t>(stream));
    if (code == 0)
        code = MILL_LAUNCH(tell_sums, grid, THREADS, 0, stream, *bpe, *batch, blocks);
    if (code == 0)
        code = MILL_LAUNCH(tell_heads, 1, THREADS, 0, stream, *bpe, blocks);
    return code;
}

// blockIdx.y: a device. Where the devices' exchange was broken off, its blocks may hold anything.
static __global__ void __launch_bounds__(THREADS)
    hear_sums(mill_gpu_bpe bpe, const mill_gpu_bpe_sum *__restrict__ blocks, u32 own, u32 number)
{
    const mill_gpu_bpe_sum *block = blocks + static_cast<size_t>(blockIdx.y) * (bpe.block_sums + 1u);
    u64 sums = block[0].place, before = static_cast<u64>(number) * bpe.block_sums;
    u64 here = sums <= before ? 0u : sums - before < bpe.block_sums ? sums - before : bpe.block_sums;
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        if (number == 0)
            atomicAdd(&bpe.state[MILL_GPU_BPE_ALL], static_cast<u32>(block[0].sum));
        if (sums > before + here)
            MILL_STORE_RELAXED(&bpe.state[MILL_GPU_BPE_MORE], 1u);
    }
    if (blockIdx.y == own)
        return;
    for (u32 n = blockIdx.x * THREADS + threadIdx.x; n < here; n += gridDim.x * THREADS) {
        u64 place = block[n + 1u].place, row = place >> 32, index = place & 0xffffffffu;
        if (row < 2u * bpe.batch && index < bpe.ids_max)
            atomicAdd(wide(&bpe.neighbours[row * bpe.ids_max + index]), static_cast<u64>(block[n + 1u].sum));
        else if (row == 2u * bpe.batch && index < MILL_GPU_BPE_BATCH * MILL_GPU_BPE_BATCH)
            atomicAdd(wide(&bpe.crossings[index]), static_cast<u64>(block[n + 1u].sum));
    }
}

int mill_gpu_bpe_hear(const mill_gpu_bpe *bpe, const mill_gpu_bpe_sum *blocks, uint32_t devices, uint32_t own,
                      uint32_t number, void *stream)
{
    int code = cudaMemsetAsync(&bpe->state[MILL_GPU_BPE_MORE], 0, sizeof *bpe->state,
                               static_cast<cudaStream_t>(stream));
    if (code == 0)
        code = MILL_LAUNCH(hear_sums, dim3(blocks_for(bpe->block_sums, 4u * THREADS), devices), THREADS, 0, stream,
                           *bpe, blocks, own, number);
    return code;
}
