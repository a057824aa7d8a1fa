// word_table.cu: which pieces are the same word. A table of slots, probed one after the other, keeps for each
// word its tag (a hash of its bytes), its first piece and its count. The first launch claims slots by their
// tags alone; the second compares every piece with its word's first one, so that two words of one tag are
// found out: those that are not the first are listed and taken from the count. Which slot a word gets depends
// on the schedule; what leaves the table is in the order of first pieces.
#include "bytes.h"
#include "launchers.h"
#include "scan.h"

#define THREADS 256u

// Pieces have four bytes on average: their loops are not unrolled.

// Bytes [at + k, at + k + 4) of a word of `bytes` bytes; zero beyond its end.
static __device__ __forceinline__ u32 word_at(const u8 *__restrict__ text, u32 at, u32 k, u32 bytes)
{
    u32 four = load_four(text, at + k);
    return bytes - k >= 4u ? four : four & ((1u << (8u * (bytes - k))) - 1u);
}

static __device__ __forceinline__ u64 tag_of(const u8 *__restrict__ text, u32 at, u32 bytes, u64 mask)
{
    u64 hash = bytes * 0x9e3779b97f4a7c15ull;
#pragma unroll 1
    for (u32 k = 0; k < bytes; k += 8u) {
        u64 eight = word_at(text, at, k, bytes);
        if (bytes - k > 4u)
            eight |= static_cast<u64>(word_at(text, at, k + 4u, bytes)) << 32;
        hash = (hash ^ eight) * 0xd6e8feb86659fd93ull;
        hash ^= hash >> 32;
    }
    hash *= 0xff51afd7ed558ccdull;
    hash = (hash ^ hash >> 29) & mask;
    return hash != 0 ? hash : 1u;
}

struct Table {
    mill_gpu_word *slots;
    u32 mask, words_most;
    u64 tag_mask;
    mill_gpu_found *found;
};

// The slot of a tag, claimed if need be; MILL_GPU_NO_SLOT when the table is full.
static __device__ u32 find_slot(const Table &table, u64 tag)
{
    u32 slot = static_cast<u32>(tag ^ tag >> 32) * 0x9e3779b1u;
    slot = (slot ^ slot >> 15) & table.mask;
#pragma unroll 1
    for (u32 step = 0; step <= table.mask; step++, slot = (slot + 1u) & table.mask) {
        u64 *place = reinterpret_cast<u64 *>(&table.slots[slot].tag);
        u64 there = MILL_LOAD_RELAXED(place);
        if (there == tag)
            return slot;
        if (there == 0) {
            if (MILL_LOAD_RELAXED(&table.found->full) != 0)
                return MILL_GPU_NO_SLOT;
            there = atomicCAS(place, 0ull, tag);
            if (there == 0 && atomicAdd(&table.found->claimed, 1u) >= table.words_most)
                atomicExch(&table.found->full, 1u);
            if (there == 0 || there == tag)
                return slot;
        }
    }
    return MILL_GPU_NO_SLOT;
}

static __global__ void __launch_bounds__(THREADS)
    insert_pieces(const u8 *__restrict__ text, const u32 *__restrict__ places, u32 capacity, Table table,
                  u32 *__restrict__ slot_of)
{
    u32 piece = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31u;
    u32 pieces = table.found->pieces <= capacity ? table.found->pieces : 0u;
    if (piece - lane >= pieces)
        return; // a whole warp at once
    u32 slot = MILL_GPU_NO_SLOT;
    if (piece < pieces) {
        u32 at = places[piece];
        slot = find_slot(table, tag_of(text, at, places[piece + 1u] - at, table.tag_mask));
        slot_of[piece] = slot;
    }
    u32 same = __match_any_sync(0xffffffffu, slot); // frequent words meet here, not at their slot
    if (slot != MILL_GPU_NO_SLOT && lane == lowest(same)) {
        atomicAdd(&table.slots[slot].count, static_cast<u32>(__popc(same)));
        atomicMax(&table.slots[slot].first_down, ~piece);
    }
}

static __global__ void __launch_bounds__(THREADS)
    compare_pieces(const u8 *__restrict__ text, const u32 *__restrict__ places, u32 capacity, Table table,
                   u32 *__restrict__ slot_of, mill_gpu_row *__restrict__ collided, u32 collided_most)
{
    u32 piece = blockIdx.x * blockDim.x + threadIdx.x;
    if (table.found->pieces > capacity || piece >= table.found->pieces || table.found->full != 0)
        return;
    u32 slot = slot_of[piece], first = ~table.slots[slot].first_down;
    if (first == piece)
        return;
    u32 at = places[piece], bytes = places[piece + 1u] - at;
    u32 other = places[first];
    bool same = places[first + 1u] - other == bytes;
#pragma unroll 1
    for (u32 k = 0; same && k < bytes; k += 4u)
        same = word_at(text, at, k, bytes) == word_at(text, other, k, bytes);
    if (same)
        return;
    slot_of[piece] = MILL_GPU_NO_SLOT;
    atomicSub(&table.slots[slot].count, 1u);
    u32 row = atomicAdd(&table.found->collisions, 1u);
    if (row < collided_most)
        collided[row] = {at, bytes, 1u};
}

// Pieces as items of a scan: 1 if it is the first of its word.
struct First_pieces {
    const mill_gpu_found *found;
    const mill_gpu_word *slots;
    const u32 *places, *slot_of;
    u32 capacity;
    mill_gpu_row *rows;
    u32 rows_most;

    __device__ __forceinline__ u32 size() const
    {
        return found->pieces <= capacity && found->full == 0 ? found->pieces : 0u;
    }
    __device__ __forceinline__ u32 get(u32 piece) const
    {
        u32 slot = slot_of[piece];
        return slot != MILL_GPU_NO_SLOT && slots[slot].first_down == ~piece ? 1u : 0u;
    }
    __device__ __forceinline__ void put(u32 piece, u32 value, u32 row) const
    {
        if (value != 0 && row < rows_most)
            rows[row] = {places[piece], places[piece + 1u] - places[piece], slots[slot_of[piece]].count};
    }
};

static u32 most_pieces(const mill_gpu_texts *in, const mill_gpu_pieces *pieces)
{
    return in->total < pieces->capacity ? in->total : pieces->capacity;
}

extern "C" int mill_gpu_count_words(const mill_gpu_texts *in, const mill_gpu_pieces *pieces,
                                    const mill_gpu_dictionary *to, void *stream)
{
    u32 most = most_pieces(in, pieces);
    cudaStream_t on = static_cast<cudaStream_t>(stream);
    int code = cudaMemsetAsync(to->slots, 0, (static_cast<size_t>(to->mask) + 1u) * sizeof *to->slots, on);
    if (code == 0) // all but the number of pieces
        code = cudaMemsetAsync(&to->found->words, 0, sizeof *to->found - offsetof(mill_gpu_found, words), on);
    if (code != 0 || most == 0)
        return code;
    const Table table = {to->slots, to->mask, to->words_most, to->tag_mask, to->found};
    dim3 grid((most + THREADS - 1u) / THREADS);
    code = MILL_LAUNCH(insert_pieces, grid, dim3(THREADS), 0, stream, in->bytes, pieces->places,
                       pieces->capacity, table, to->slot_of);
    if (code == 0)
        code = MILL_LAUNCH(compare_pieces, grid, dim3(THREADS), 0, stream, in->bytes, pieces->places,
                           pieces->capacity, table, to->slot_of, to->collided, to->collided_most);
    return code;
}

extern "C" int mill_gpu_list_words(const mill_gpu_texts *in, const mill_gpu_pieces *pieces,
                                   const mill_gpu_dictionary *table, mill_gpu_row *rows, void *stream)
{
    const First_pieces items = {table->found,     table->slots, pieces->places,   table->slot_of,
                                pieces->capacity, rows,         table->words_most};
    return scan(items, most_pieces(in, pieces), pieces->sums, &table->found->words, stream);
}
