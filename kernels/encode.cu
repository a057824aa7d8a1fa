// encode.cu: ids of pieces. Each different word is merged once, by one thread: of its neighbours those whose
// merge has the lowest rank, the leftmost of them, become one symbol, again and again. Then the ids of all
// pieces are put in a row. Words above 64 bytes, and pieces that met another word of their tag, are marked for
// the host.
#include "launchers.h"
#include "scan.h"
#include "shared/pair_table.h"

#define THREADS 64u           // 2 arrays of 64 symbols each must fit the shared memory
#define IS_LONG 0xffffffffu   // in place of a word's count of ids

struct Merges {
    const u32 *__restrict__ byte_ids, *__restrict__ byte_pairs;
    const mill_pair_slot *__restrict__ pairs;
    u32 mask;
    const mill_merge *__restrict__ merges;
};

static __device__ __forceinline__ u32 rank_of(const Merges &m, u32 left, u32 right)
{
    u64 pair = static_cast<u64>(left) << 32 | right;
    u32 at = static_cast<u32>(mill_pair_hash(pair)) & m.mask;
    while (m.pairs[at].rank != MILL_NO_ID && m.pairs[at].pair != pair)
        at = (at + 1u) & m.mask;
    return m.pairs[at].rank;
}

// Pieces as items of a scan: 1 if it is the first of its word.
struct New_words {
    const mill_gpu_found *found;
    const mill_gpu_word *slots;
    const u32 *slot_of;
    u32 capacity;
    u32 *words;
    u32 words_most;

    __device__ __forceinline__ u32 size() const
    {
        return found->pieces <= capacity && found->full == 0 ? found->pieces : 0u;
    }
    __device__ __forceinline__ u32 get(u32 piece) const
    {
        u32 slot = slot_of[piece];
        return slot != MILL_GPU_NO_SLOT && slots[slot].first_down == ~piece ? 1u : 0u;
    }
    __device__ __forceinline__ void put(u32 piece, u32 value, u32 word) const
    {
        if (value != 0 && word < words_most)
            words[word] = piece;
    }
};

// A thread's symbols stand THREADS apart, so that the threads of a warp use different banks.
static __global__ void __launch_bounds__(THREADS, 16) // at most 64 registers
    merge_words(const u8 *__restrict__ text, const u32 *__restrict__ places, const u32 *__restrict__ words,
                const mill_gpu_found *__restrict__ found, const u32 *__restrict__ slot_of,
                mill_gpu_word *__restrict__ slots, Merges m, u32 *__restrict__ symbols)
{
    MILL_SHARED(u32, all_ids, MILL_GPU_WORD_BYTES * THREADS);
    MILL_SHARED(u32, all_ranks, MILL_GPU_WORD_BYTES * THREADS);
    u32 word = blockIdx.x * blockDim.x + threadIdx.x;
    if (found->full != 0 || word >= found->words)
        return;
    u32 piece = words[word], at = places[piece], bytes = places[piece + 1u] - at;
    u32 *count_out = &slots[slot_of[piece]].count;
    if (bytes > MILL_GPU_WORD_BYTES) {
        *count_out = IS_LONG;
        return;
    }
    u32 *ids = all_ids + threadIdx.x, *ranks = all_ranks + threadIdx.x;
    u32 count = 0, before = 0;
#pragma unroll 1
    for (u32 i = 0; i < bytes; i++) {
        u32 byte = text[at + i], id = m.byte_ids[byte];
        if (id == MILL_NO_ID)
            continue; // bytes without a token vanish before anything is merged
        if (count != 0)
            ranks[(count - 1u) * THREADS] = m.byte_pairs[before << 8 | byte];
        before = byte;
        ids[count++ * THREADS] = id;
    }
    while (count > 1u) {
        u32 best = 0, rank = ranks[0];
        for (u32 i = 1; i + 1u < count; i++) {
            u32 other = ranks[i * THREADS];
            best = other < rank ? i : best;
            rank = other < rank ? other : rank;
        }
        if (rank == MILL_NO_ID)
            break;
        ids[best * THREADS] = m.merges[rank].id;
        count--;
        for (u32 i = best + 1u; i < count; i++) {
            ids[i * THREADS] = ids[(i + 1u) * THREADS];
            ranks[(i - 1u) * THREADS] = ranks[i * THREADS];
        }
        if (best != 0)
            ranks[(best - 1u) * THREADS] = rank_of(m, ids[(best - 1u) * THREADS], ids[best * THREADS]);
        if (best + 1u < count)
            ranks[best * THREADS] = rank_of(m, ids[best * THREADS], ids[(best + 1u) * THREADS]);
    }
    for (u32 i = 0; i < count; i++)
        symbols[at + i] = ids[i * THREADS];
    *count_out = count;
}

// Pieces as items of a scan: their ids. put leaves the first one's place in slot_of.
template <class Id> struct Piece_ids {
    static constexpr u32 marked = sizeof(Id) == 2 ? 5u : 3u; // values that stand for a piece that the host does
    const mill_gpu_found *found;
    const mill_gpu_word *slots;
    const u32 *places, *symbols;
    u32 *slot_of;
    u32 capacity;
    Id *ids;
    u32 ids_most;

    __device__ __forceinline__ u32 size() const
    {
        return found->pieces <= capacity && found->full == 0 ? found->pieces : 0u;
    }
    __device__ __forceinline__ u32 get(u32 piece) const
    {
        u32 slot = slot_of[piece], count = slot != MILL_GPU_NO_SLOT ? slots[slot].count : IS_LONG;
        return count != IS_LONG ? count : marked;
    }
    __device__ __forceinline__ void mark(u32 piece, u32 at) const
    {
        u32 place = places[piece], bytes = places[piece + 1u] - place;
        if (ids_most < marked || at > ids_most - marked)
            return;
        ids[at] = static_cast<Id>(~0u);
        if (sizeof(Id) == 2) {
            ids[at + 1u] = static_cast<Id>(place);
            ids[at + 2u] = static_cast<Id>(place >> 16);
            ids[at + 3u] = static_cast<Id>(bytes);
            ids[at + 4u] = static_cast<Id>(bytes >> 16);
        } else {
            ids[at + 1u] = static_cast<Id>(place);
            ids[at + 2u] = static_cast<Id>(bytes);
        }
    }
    __device__ __forceinline__ void put(u32 piece, u32 count, u32 at) const
    {
        u32 slot = slot_of[piece];
        slot_of[piece] = at;
        if (slot == MILL_GPU_NO_SLOT || slots[slot].count == IS_LONG) {
            mark(piece, at);
            return;
        }
        const u32 *from = symbols + places[~slots[slot].first_down];
        for (u32 i = 0; i < count && at + i < ids_most; i++)
            ids[at + i] = static_cast<Id>(from[i]);
    }
};

// First id of each text: that of the first piece at or behind its beginning.
static __global__ void __launch_bounds__(SCAN_THREADS)
    find_id_begins(const u32 *__restrict__ offsets, u32 texts, u32 total, const u32 *__restrict__ begins,
                   const u32 *__restrict__ ranks, const mill_gpu_found *__restrict__ found, u32 capacity,
                   const u32 *__restrict__ id_of, u32 *__restrict__ id_begins)
{
    u32 text = blockIdx.x * blockDim.x + threadIdx.x;
    if (text > texts || found->pieces > capacity || found->full != 0)
        return;
    u32 at = offsets[text], first = found->ids;
    if (at < total) // a text that is not empty, or the next one, begins there: so does a piece
        first = id_of[ranks[at >> 5] + static_cast<u32>(__popc(begins[at >> 5] & ((1u << (at & 31u)) - 1u)))];
    id_begins[text] = first;
}

template <class Id>
static int put_ids(const mill_gpu_texts *in, const mill_gpu_pieces *pieces, const mill_gpu_dictionary *table,
                   const mill_gpu_encoder *to, u32 most, void *stream)
{
    const Piece_ids<Id> items = {table->found,   table->slots,     pieces->places,           to->symbols,
                                 table->slot_of, pieces->capacity, static_cast<Id *>(to->ids), to->ids_most};
    int code = scan(items, most, pieces->sums, &table->found->ids, stream);
    if (code == 0)
        code = MILL_LAUNCH(find_id_begins, dim3(in->count / SCAN_THREADS + 1u), dim3(SCAN_THREADS), 0, stream,
                           in->offsets, in->count, in->total, pieces->begins, pieces->ranks, table->found,
                           pieces->capacity, table->slot_of, to->id_begins);
    return code;
}

extern "C" int mill_gpu_encode(const mill_gpu_texts *in, const mill_gpu_pieces *pieces,
                               const mill_gpu_dictionary *table, const mill_gpu_encoder *to, void *stream)
{
    u32 most = in->total < pieces->capacity ? in->total : pieces->capacity;
    u32 words = most < table->words_most ? most : table->words_most;
    const New_words items = {table->found,     table->slots,  table->slot_of,
                             pieces->capacity, to->new_words, table->words_most};
    int code = scan(items, most, pieces->sums, &table->found->words, stream);
    const Merges m = {to->byte_ids, to->byte_pairs, static_cast<const mill_pair_slot *>(to->pairs),
                      to->pair_mask, static_cast<const mill_merge *>(to->merges)};
    if (code == 0 && words != 0)
        code = MILL_LAUNCH(merge_words, dim3((words + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->bytes, pieces->places, to->new_words, table->found, table->slot_of, table->slots,
                           m, to->symbols);
    if (code != 0)
        return code;
    return to->narrow != 0 ? put_ids<u16>(in, pieces, table, to, most, stream)
                           : put_ids<u32>(in, pieces, table, to, most, stream);
}
