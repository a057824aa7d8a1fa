// minhash.cu: MinHash signatures of texts from the hashes of their words. A block of 128 threads takes 64 Ki
// words of a text; a thread owns one permutation, and hashes pass through shared memory in tiles, where one
// load of 16 bytes serves four of them.
#include "launchers.h"
#include "mill_cuda.h"
#include "shared/minhash_math.h"

#define THREADS 128u
#define TILE 512u    // hashes in shared memory
#define PIECE 65536u // words of a text that one block reads

// Words that begin before byte `at`, which is at most total.
static __device__ __forceinline__ u32 words_before(const u32 *__restrict__ blanks,
                                                   const u32 *__restrict__ breaks,
                                                   const u32 *__restrict__ ranks,
                                                   const u32 *__restrict__ counts, u32 at, u32 total)
{
    if (at >= total)
        return counts[0];
    u32 word = at >> 5, before = word != 0 ? blanks[word - 1] >> 31 : 1u;
    u32 bits = ~blanks[word] & (blanks[word] << 1 | before | breaks[word]);
    return ranks[word] + static_cast<u32>(__popc(bits & ((1u << (at & 31u)) - 1u)));
}

// Copies up to TILE hashes to shared memory, padded to a multiple of four by the first: a minimum does not
// mind. Returns the padded number.
template <bool LEGACY>
static __device__ __forceinline__ u32 load_tile(uint4 *tile, const u32 *__restrict__ hashes, u32 left)
{
    u32 count = left < TILE ? left : TILE, padded = (count + 3u) & ~3u, *to = reinterpret_cast<u32 *>(tile);
    for (u32 i = threadIdx.x; i < padded; i += THREADS) {
        u32 hash = hashes[i < count ? i : 0u];
        to[i] = LEGACY ? hash : mill_fmix32(hash);
    }
    return padded / 4u;
}

static __device__ __forceinline__ u32 smaller(u32 a, u32 b)
{
    return a < b ? a : b;
}

// One more than legacy's value for x = a * hash + b, as if x mod 2^61 + (x >> 61) needed no last subtraction;
// the caller has added the one to b. Only where x mod 2^61 is within 8 of 2^61 is it needed, or does the one
// change x >> 61: then the result is below 8, and says nothing.
static __device__ __forceinline__ u32 legacy_next(u32 hash, u64 a, u64 b_next)
{
    u64 x = hash * a + b_next;
    return static_cast<u32>(x) + static_cast<u32>(x >> 61);
}

static __device__ MILL_NOINLINE u32 legacy_exact4(uint4 hash, u64 a, u64 b)
{
    return smaller(smaller(mill_minhash_legacy(hash.x, a, b), mill_minhash_legacy(hash.y, a, b)),
                   smaller(mill_minhash_legacy(hash.z, a, b), mill_minhash_legacy(hash.w, a, b)));
}

static __device__ __forceinline__ u32 least_legacy(const uint4 *tile, u32 fours, u64 a, u64 b, u32 least)
{
#pragma unroll 2
    for (u32 i = 0; i < fours; i++) {
        uint4 hash = tile[i];
        u32 next = smaller(smaller(legacy_next(hash.x, a, b + 1u), legacy_next(hash.y, a, b + 1u)),
                           smaller(legacy_next(hash.z, a, b + 1u), legacy_next(hash.w, a, b + 1u)));
        least = smaller(least, next < 8u ? legacy_exact4(hash, a, b) : next - 1u);
    }
    return least;
}

static __device__ __forceinline__ u32 least_affine(const uint4 *tile, u32 fours, u32 a, u32 b, u32 least)
{
#pragma unroll 4
    for (u32 i = 0; i < fours; i++) {
        uint4 hash = tile[i];
        least = smaller(
            least, smaller(smaller(hash.x * a + b, hash.y * a + b), smaller(hash.z * a + b, hash.w * a + b)));
    }
    return least;
}

// Grid: texts, groups of THREADS permutations, pieces of the longest text.
template <bool LEGACY>
static __global__ void __launch_bounds__(THREADS)
    minhash(const u32 *__restrict__ offsets, u32 total, const u32 *__restrict__ blanks,
            const u32 *__restrict__ breaks, const u32 *__restrict__ ranks, const u32 *__restrict__ counts,
            const u32 *__restrict__ hashes, u32 permutations, const u64 *__restrict__ a64,
            const u64 *__restrict__ b64, const u32 *__restrict__ a32, const u32 *__restrict__ b32,
            u32 *__restrict__ out)
{
    MILL_SHARED(uint4, tile, TILE / 4u);
    u32 text = blockIdx.x, mine = blockIdx.y * THREADS + threadIdx.x;
    u32 permutation = mine < permutations ? mine : 0u; // the last group's spare threads help to load
    u64 a = LEGACY ? a64[permutation] : a32[permutation], b = LEGACY ? b64[permutation] : b32[permutation];
    u32 first = words_before(blanks, breaks, ranks, counts, offsets[text], total);
    u32 last = words_before(blanks, breaks, ranks, counts, offsets[text + 1], total);
    u64 begin = static_cast<u64>(first) + static_cast<u64>(blockIdx.z) * PIECE;
    u32 end = begin + PIECE < last ? static_cast<u32>(begin) + PIECE : last, least = MILL_MINHASH_EMPTY;
    if (begin >= end)
        return; // the whole block
    for (u32 at = static_cast<u32>(begin); at < end; at += TILE) {
        u32 fours = load_tile<LEGACY>(tile, hashes + at, end - at);
        __syncthreads();
        least = LEGACY ? least_legacy(tile, fours, a, b, least)
                       : least_affine(tile, fours, static_cast<u32>(a), static_cast<u32>(b), least);
        __syncthreads();
    }
    if (mine < permutations)
        atomicMin(&out[static_cast<size_t>(text) * permutations + mine], least);
}

extern "C" int mill_gpu_sign(const mill_gpu_texts *in, const mill_gpu_words *words,
                             const mill_gpu_minhash *params, uint32_t *out, void *stream)
{
    if (in->count == 0)
        return 0;
    u32 permutations = params->permutations;
    int code = cudaMemsetAsync(out, 0xff, static_cast<size_t>(in->count) * permutations * sizeof *out,
                               static_cast<cudaStream_t>(stream)); // MILL_MINHASH_EMPTY
    if (code != 0 || in->total == 0)
        return code;
    dim3 grid(in->count, (permutations + THREADS - 1u) / THREADS, in->longest / 2u / PIECE + 1u);
    const u64 *a = reinterpret_cast<const u64 *>(params->a), *b = reinterpret_cast<const u64 *>(params->b);
    if (params->legacy != 0)
        return MILL_LAUNCH(minhash<true>, grid, dim3(THREADS), 0, stream, in->offsets, in->total,
                           words->blanks, words->breaks, words->ranks, words->counts, words->hashes,
                           permutations, a, b, params->a32, params->b32, out);
    return MILL_LAUNCH(minhash<false>, grid, dim3(THREADS), 0, stream, in->offsets, in->total, words->blanks,
                       words->breaks, words->ranks, words->counts, words->hashes, permutations, a, b,
                       params->a32, params->b32, out);
}
