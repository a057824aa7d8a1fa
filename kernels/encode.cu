// encode.cu: ids of pieces. Each different word is merged once: of its neighbours those whose merge has the
// lowest rank, the leftmost of them, become one symbol, again and again. A thread does that for a word of up
// to 64 bytes, a warp for one of up to 4,096. Then the ids of all pieces are put in a row. Longer words, and
// pieces that met another word of their tag, are marked for the host.
#include "bytes.h"
#include "launchers.h"
#include "scan.h"
#include "shared/pair_table.h"

#define THREADS 64u           // 2 arrays of 64 symbols each must fit the shared memory
#define LONG_BLOCKS_MAX 1056u // of one warp; their shared memory lets some seven live on a multiprocessor
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
#pragma unroll 1
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
                mill_gpu_found *found, const u32 *__restrict__ slot_of, mill_gpu_word *__restrict__ slots,
                Merges m, u32 *__restrict__ symbols, u32 *__restrict__ long_words)
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
        if (bytes <= MILL_GPU_LONG_BYTES)
            long_words[atomicAdd(&found->longs, 1u)] = piece;
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
#pragma unroll 1
        for (u32 i = 1; i + 1u < count; i++) {
            u32 other = ranks[i * THREADS];
            best = other < rank ? i : best;
            rank = other < rank ? other : rank;
        }
        if (rank == MILL_NO_ID)
            break;
        ids[best * THREADS] = m.merges[rank].id;
        count--;
#pragma unroll 1
        for (u32 i = best + 1u; i < count; i++) {
            ids[i * THREADS] = ids[(i + 1u) * THREADS];
            ranks[(i - 1u) * THREADS] = ranks[i * THREADS];
        }
        if (best != 0)
            ranks[(best - 1u) * THREADS] = rank_of(m, ids[(best - 1u) * THREADS], ids[best * THREADS]);
        if (best + 1u < count)
            ranks[best * THREADS] = rank_of(m, ids[best * THREADS], ids[(best + 1u) * THREADS]);
    }
#pragma unroll 1
    for (u32 i = 0; i < count; i++)
        symbols[at + i] = ids[i * THREADS];
    *count_out = count;
}

// ---- long words ----
// Nothing moves: a symbol stands at the place of its first byte, and a bitmap says where symbols begin.

// The first symbol behind a place, `end` if there is none.
static __device__ __forceinline__ u32 next_symbol(const u32 *begins, u32 at, u32 end)
{
    u32 word = (at + 1u) >> 5, words = (end + 31u) >> 5;
    if (word >= words)
        return end;
    u32 bits = begins[word] & (~0u << ((at + 1u) & 31u));
    while (bits == 0 && ++word < words)
        bits = begins[word];
    return bits != 0 ? word * 32u + lowest(bits) : end;
}

// The last symbol before a place that is one, the place itself if it is the first.
static __device__ __forceinline__ u32 symbol_before(const u32 *begins, u32 at)
{
    u32 word = at >> 5, bits = begins[word] & ((1u << (at & 31u)) - 1u);
    while (bits == 0 && word != 0)
        bits = begins[--word];
    return bits != 0 ? word * 32u + 31u - static_cast<u32>(__clz(static_cast<int>(bits))) : at;
}

struct Long_word { // in shared memory
    u32 *ids;
    uint4 *ranks; // four places each: of a symbol's pair with the next, MILL_NO_ID elsewhere
    u32 *begins;  // bitmap
    u32 bytes;

    __device__ __forceinline__ u32 *rank(u32 at) const
    {
        return reinterpret_cast<u32 *>(ranks) + at;
    }
};

// All bytes that have a token, and the ranks of their pairs.
static __device__ __forceinline__ void begin_long(const Long_word &word, const Merges &m,
                                                  const u8 *__restrict__ text, u32 lane)
{
    for (u32 first = 0; first < word.bytes; first += 32u) {
        u32 at = first + lane, id = at < word.bytes ? m.byte_ids[text[at]] : MILL_NO_ID;
        u32 bits = __ballot_sync(0xffffffffu, id != MILL_NO_ID);
        word.ids[at] = id;
        *word.rank(at) = MILL_NO_ID;
        if (lane == 0)
            word.begins[first >> 5] = bits;
    }
    __syncwarp();
    for (u32 at = lane; at < word.bytes; at += 32u) {
        u32 next = next_symbol(word.begins, at, word.bytes);
        if (next < word.bytes && word.ids[at] != MILL_NO_ID)
            *word.rank(at) = rank_of(m, word.ids[at], word.ids[next]);
    }
    __syncwarp();
}

// The lowest rank of the word, and the leftmost place that has it; the same for all lanes.
static __device__ __forceinline__ u32 lowest_rank(const Long_word &word, u32 lane, u32 *at)
{
    u32 best = MILL_NO_ID, where = MILL_NO_ID;
    for (u32 i = lane; i < (word.bytes + 3u) / 4u; i += 32u) {
        uint4 four = word.ranks[i];
        u32 left = four.x < four.y ? four.x : four.y, right = four.z < four.w ? four.z : four.w;
        u32 rank = left < right ? left : right;
        where = rank < best ? i : where;
        best = rank < best ? rank : best;
    }
    u32 rank = __reduce_min_sync(0xffffffffu, best);
    where = __reduce_min_sync(0xffffffffu, best == rank ? where : MILL_NO_ID);
    if (rank == MILL_NO_ID)
        return rank;
    uint4 four = word.ranks[where];
    *at = 4u * where + (four.x == rank ? 0u : four.y == rank ? 1u : four.z == rank ? 2u : 3u);
    return rank;
}

static __device__ __forceinline__ void merge_long(const Long_word &word, const Merges &m, u32 lane)
{
    u32 at = 0;
    for (u32 rank; (rank = lowest_rank(word, lane, &at)) != MILL_NO_ID;) {
        u32 second = next_symbol(word.begins, at, word.bytes), id = m.merges[rank].id;
        u32 third = next_symbol(word.begins, second, word.bytes), before = symbol_before(word.begins, at);
        __syncwarp(); // all have read
        if (lane == 0) {
            word.ids[at] = id;
            word.begins[second >> 5] &= ~(1u << (second & 31u));
            *word.rank(second) = MILL_NO_ID;
            *word.rank(at) = third < word.bytes ? rank_of(m, id, word.ids[third]) : MILL_NO_ID;
        } else if (lane == 1u && before != at) {
            *word.rank(before) = rank_of(m, word.ids[before], id);
        }
        __syncwarp();
    }
}

// A block is a warp, and takes words until there are no more.
static __global__ void __launch_bounds__(32)
    merge_long_words(const u8 *__restrict__ text, const u32 *__restrict__ places,
                     const u32 *__restrict__ long_words, const mill_gpu_found *__restrict__ found,
                     const u32 *__restrict__ slot_of, mill_gpu_word *__restrict__ slots, Merges m,
                     u32 *__restrict__ symbols)
{
    MILL_SHARED(u32, ids, MILL_GPU_LONG_BYTES);
    MILL_SHARED(uint4, ranks, MILL_GPU_LONG_BYTES / 4u);
    MILL_SHARED(u32, begins, MILL_GPU_LONG_BYTES / 32u);
    u32 lane = threadIdx.x;
    for (u32 n = blockIdx.x; n < found->longs; n += gridDim.x) {
        u32 piece = long_words[n], place = places[piece], count = 0;
        const Long_word word = {ids, ranks, begins, places[piece + 1u] - place};
        begin_long(word, m, text + place, lane);
        merge_long(word, m, lane);
        for (u32 first = 0; first < word.bytes; first += 32u) {
            u32 bits = begins[first >> 5];
            if ((bits >> lane & 1u) != 0)
                symbols[place + count + static_cast<u32>(__popc(bits & ((1u << lane) - 1u)))] =
                    ids[first + lane];
            count += static_cast<u32>(__popc(bits));
        }
        if (lane == 0)
            slots[slot_of[piece]].count = count;
        __syncwarp(); // the next word comes to the same place
    }
}

// ---- ids of all pieces ----

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
#pragma unroll 1
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
                           in->bytes, pieces->places, to->new_words, table->found, table->slot_of,
                           table->slots, m, to->symbols, to->long_words);
    u32 longs = MILL_GPU_LONGS_MAX(in->total);
    if (code == 0 && longs != 0)
        code = MILL_LAUNCH(merge_long_words, dim3(longs < LONG_BLOCKS_MAX ? longs : LONG_BLOCKS_MAX),
                           dim3(32), 0, stream, in->bytes, pieces->places, to->long_words, table->found,
                           table->slot_of, table->slots, m, to->symbols);
    if (code != 0)
        return code;
    return to->narrow != 0 ? put_ids<u16>(in, pieces, table, to, most, stream)
                           : put_ids<u32>(in, pieces, table, to, most, stream);
}
