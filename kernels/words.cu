// words.cu: the tokens of str.split() and their SHA-1. A bitmap says which bytes belong to blanks; a word
// begins at a byte that is none, behind one or at the start of a text. Places are compacted by a scan in
// three launches, so that words stand in order whatever the schedule.
#include "launchers.h"
#include "mill_cuda.h"

#define THREADS 256u
#define PER_THREAD 4u                    // bitmap words of a thread in the scan
#define PER_BLOCK (THREADS * PER_THREAD) // bitmap words of a block

// ---- bitmaps
// --------------------------------------------------------------------------------------------------------------------

static __device__ __forceinline__ u32 in_range(u32 t, u32 of, u32 low, u32 high) // as in text_stats.cu
{
    return (t + (0x80u - low) * 0x01010101u) & ~(t + (0x7fu - high) * 0x01010101u) & of;
}

// Bytes of the blank beyond ASCII that begins at bytes[at], 0 if none does.
static __device__ MILL_NOINLINE u32 wide_blank(const u8 *__restrict__ bytes, u32 at)
{
    u32 a = bytes[at], b = bytes[at + 1];
    if (a == 0xc2u)
        return b == 0x85u || b == 0xa0u ? 2u : 0u;
    u32 c = bytes[at + 2];
    if (a == 0xe1u)
        return b == 0x9au && c == 0x80u ? 3u : 0u;
    if (a == 0xe2u)
        return (b == 0x80u && ((c >= 0x80u && c <= 0x8au) || c == 0xa8u || c == 0xa9u || c == 0xafu)) ||
                       (b == 0x81u && c == 0x9fu)
                   ? 3u
                   : 0u;
    return a == 0xe3u && b == 0x80u && c == 0x80u ? 3u : 0u;
}

// A thread makes 32 bits. Bytes from `total` on count as blanks.
static __global__ void __launch_bounds__(THREADS)
    find_blanks(const u8 *__restrict__ bytes, u32 total, u32 *__restrict__ blanks)
{
    u32 word = blockIdx.x * blockDim.x + threadIdx.x, begin = word * 32u;
    if (begin >= total)
        return;
    const uint4 *lines = reinterpret_cast<const uint4 *>(bytes + begin);
    uint4 low = lines[0], high = begin + 16u < total ? lines[1] : make_uint4(0, 0, 0, 0);
    u32 words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    u32 bits = 0, wide = 0;
#pragma unroll
    for (u32 k = 0; k < 8u; k++) {
        u32 x = words[k], t = x & 0x7f7f7f7fu, ascii = ~x & 0x80808080u;
        u32 found = in_range(t, ascii, 0x09, 0x0d) | in_range(t, ascii, 0x1c, 0x20);
        bits |= ((found >> 7) * 0x10204080u >> 28) << (4u * k); // bits 0, 8, 16, 24 to 28 .. 31
        wide |= x;
    }
    if ((wide & 0x80808080u) != 0) { // every byte of a wide blank has its high bit
        u32 end = begin + 32u < total ? begin + 32u : total;
        for (u32 at = begin > 2u ? begin - 2u : 0u; at < end; at++) {
            u32 length = bytes[at] >= 0xc2u && bytes[at] <= 0xe3u ? wide_blank(bytes, at) : 0u;
            for (u32 i = at; i < at + length; i++)
                bits |= i >= begin && i < begin + 32u ? 1u << (i - begin) : 0u;
        }
    }
    if (begin + 32u > total)
        bits |= ~0u << (total - begin);
    blanks[word] = bits;
}

static __global__ void __launch_bounds__(THREADS)
    mark_breaks(const u32 *__restrict__ offsets, u32 count, u32 total, u32 *__restrict__ breaks)
{
    u32 text = blockIdx.x * blockDim.x + threadIdx.x;
    if (text < count && offsets[text] < total)
        atomicOr(&breaks[offsets[text] >> 5], 1u << (offsets[text] & 31u));
}

// ---- compaction
// -----------------------------------------------------------------------------------------------------------------

// Bits of the bytes at which a word begins.
static __device__ __forceinline__ u32 begins(const u32 *__restrict__ blanks, const u32 *__restrict__ breaks,
                                             u32 word)
{
    u32 before = word != 0 ? blanks[word - 1] >> 31 : 1u;
    return ~blanks[word] & (blanks[word] << 1 | before | breaks[word]);
}

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

// Sum over the threads of the block before this one; *whole: over all.
static __device__ u32 block_scan(u32 value, u32 *whole)
{
    MILL_SHARED(u32, of_warps, THREADS / 32u + 1u);
    u32 lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;
    u32 before = warp_scan(value, lane);
    if (lane == 31u)
        of_warps[warp] = before + value;
    __syncthreads();
    if (warp == 0) {
        u32 sum = lane < THREADS / 32u ? of_warps[lane] : 0u;
        u32 scanned = warp_scan(sum, lane);
        __syncwarp();
        if (lane < THREADS / 32u)
            of_warps[lane] = scanned;
        if (lane == THREADS / 32u - 1u)
            of_warps[THREADS / 32u] = scanned + sum;
    }
    __syncthreads();
    *whole = of_warps[THREADS / 32u];
    before += of_warps[warp];
    __syncthreads(); // the next call writes again
    return before;
}

static __global__ void __launch_bounds__(THREADS)
    sum_blocks(const u32 *__restrict__ blanks, const u32 *__restrict__ breaks, u32 words,
               u32 *__restrict__ sums)
{
    u32 first = blockIdx.x * PER_BLOCK + threadIdx.x * PER_THREAD, found = 0, whole;
    for (u32 word = first; word < first + PER_THREAD && word < words; word++)
        found += static_cast<u32>(__popc(begins(blanks, breaks, word)));
    (void)block_scan(found, &whole);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = whole;
}

// One block: sums become sums of the blocks before; counts[0] the sum of all.
static __global__ void __launch_bounds__(THREADS)
    scan_sums(u32 *__restrict__ sums, u32 blocks, u32 *__restrict__ counts)
{
    u32 before = 0;
    for (u32 first = 0; first < blocks; first += THREADS) {
        u32 i = first + threadIdx.x, value = i < blocks ? sums[i] : 0u, whole;
        u32 here = block_scan(value, &whole);
        if (i < blocks)
            sums[i] = before + here;
        before += whole;
    }
    if (threadIdx.x == 0)
        counts[0] = before;
}

static __global__ void __launch_bounds__(THREADS)
    place_words(const u32 *__restrict__ blanks, const u32 *__restrict__ breaks, u32 words,
                const u32 *__restrict__ sums, u32 *__restrict__ ranks, u32 *__restrict__ places)
{
    u32 first = blockIdx.x * PER_BLOCK + threadIdx.x * PER_THREAD, bits[PER_THREAD], found = 0, whole;
#pragma unroll
    for (u32 k = 0; k < PER_THREAD; k++) {
        bits[k] = first + k < words ? begins(blanks, breaks, first + k) : 0u;
        found += static_cast<u32>(__popc(bits[k]));
    }
    u32 rank = sums[blockIdx.x] + block_scan(found, &whole);
#pragma unroll
    for (u32 k = 0; k < PER_THREAD; k++) {
        if (first + k >= words)
            break;
        ranks[first + k] = rank;
        for (u32 left = bits[k]; left != 0; left &= left - 1u)
            places[rank++] = (first + k) * 32u + static_cast<u32>(__ffs(static_cast<int>(left)) - 1);
    }
}

// ---- SHA-1
// ----------------------------------------------------------------------------------------------------------------------

static __device__ __forceinline__ u32 rotate(u32 x, u32 by)
{
    return __funnelshift_l(x, x, by);
}

// One block of 64 bytes; message words are replaced by the schedule (FIPS 180-4, section 6.1.2).
static __device__ __forceinline__ void sha1_block(u32 state[5], u32 w[16])
{
    u32 a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
#pragma unroll
    for (u32 t = 0; t < 80u; t++) {
        if (t >= 16u)
            w[t & 15u] = rotate(w[(t + 13u) & 15u] ^ w[(t + 8u) & 15u] ^ w[(t + 2u) & 15u] ^ w[t & 15u], 1);
        u32 mixed = t < 20u   ? ((b & c) | (~b & d)) + 0x5a827999u
                    : t < 40u ? (b ^ c ^ d) + 0x6ed9eba1u
                    : t < 60u ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdcu
                              : (b ^ c ^ d) + 0xca62c1d6u;
        u32 next = rotate(a, 5) + mixed + e + w[t & 15u];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

// The 32-bit word at bytes[at], any alignment; the text has 16 readable bytes behind its end.
static __device__ __forceinline__ u32 load_big_endian(const u8 *__restrict__ bytes, u32 at)
{
    const u32 *aligned = reinterpret_cast<const u32 *>(bytes + (at & ~3u));
    u32 value = __funnelshift_r(aligned[0], aligned[1], 8u * (at & 3u));
    return __byte_perm(value, 0, 0x0123);
}

// First place from `at` on that belongs to a blank or begins a text, at most total.
static __device__ __forceinline__ u32 word_end(const u32 *__restrict__ blanks, const u32 *__restrict__ breaks,
                                               u32 at, u32 total)
{
    u32 word = at >> 5, bits = (blanks[word] | breaks[word]) & (~0u << (at & 31u));
    while (bits == 0) {
        word++;
        if (word * 32u >= total)
            return total;
        bits = blanks[word] | breaks[word];
    }
    return word * 32u + static_cast<u32>(__ffs(static_cast<int>(bits)) - 1);
}

// A thread takes a word: any length, 64 bytes at a time.
static __global__ void __launch_bounds__(THREADS)
    hash_words(const u8 *__restrict__ bytes, u32 total, const u32 *__restrict__ blanks,
               const u32 *__restrict__ breaks, const u32 *__restrict__ places, const u32 *__restrict__ counts,
               u32 *__restrict__ hashes)
{
    u32 number = blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= counts[0])
        return;
    u32 begin = places[number];
    u32 length = word_end(blanks, breaks, begin + 1u, total) - begin;
    u32 state[5] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u};
    u32 blocks = (length + 72u) / 64u; // room for the end mark and the length
#pragma unroll 1
    for (u32 block = 0; block < blocks; block++) {
        u32 w[16];
#pragma unroll
        for (u32 k = 0; k < 16u; k++) {
            u32 at = block * 64u + k * 4u;
            u32 value = 0;
            if (at < length)
                value = load_big_endian(bytes, begin + at);
            if (at + 4u > length) { // the end mark, and nothing behind it
                u32 kept = at < length ? length - at : 0u;
                value = kept != 0 ? value & ~(0xffffffffu >> (8u * kept)) : 0u;
                if (at <= length)
                    value |= 0x80000000u >> (8u * kept);
            }
            w[k] = value;
        }
        if (block == blocks - 1u) {
            w[14] = length >> 29;
            w[15] = length << 3;
        }
        sha1_block(state, w);
    }
    hashes[number] = __byte_perm(state[0], 0, 0x0123);
}

// ---- launches
// -------------------------------------------------------------------------------------------------------------------

static int launch_blanks(const mill_gpu_texts *in, const mill_gpu_words *to, u32 words, void *stream)
{
    int code =
        cudaMemsetAsync(to->breaks, 0, (words + 1u) * sizeof *to->breaks, static_cast<cudaStream_t>(stream));
    if (code == 0)
        code = MILL_LAUNCH(find_blanks, dim3((words + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->bytes, in->total, to->blanks);
    if (code == 0)
        code = MILL_LAUNCH(mark_breaks, dim3((in->count + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->offsets, in->count, in->total, to->breaks);
    return code;
}

static int launch_compaction(const mill_gpu_words *to, u32 words, void *stream)
{
    u32 blocks = (words + PER_BLOCK - 1u) / PER_BLOCK;
    int code = MILL_LAUNCH(sum_blocks, dim3(blocks), dim3(THREADS), 0, stream, to->blanks, to->breaks, words,
                           to->sums);
    if (code == 0)
        code = MILL_LAUNCH(scan_sums, dim3(1), dim3(THREADS), 0, stream, to->sums, blocks, to->counts);
    if (code == 0)
        code = MILL_LAUNCH(place_words, dim3(blocks), dim3(THREADS), 0, stream, to->blanks, to->breaks, words,
                           to->sums, to->ranks, to->places);
    return code;
}

extern "C" int mill_gpu_find_words(const mill_gpu_texts *in, const mill_gpu_words *to, void *stream)
{
    if (in->total == 0)
        return cudaMemsetAsync(to->counts, 0, sizeof *to->counts, static_cast<cudaStream_t>(stream));
    u32 words = (in->total + 31u) / 32u, most = MILL_GPU_WORDS_MAX(in->total, in->count);
    int code = launch_blanks(in, to, words, stream);
    if (code == 0)
        code = launch_compaction(to, words, stream);
    if (code == 0)
        code = MILL_LAUNCH(hash_words, dim3((most + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->bytes, in->total, to->blanks, to->breaks, to->places, to->counts, to->hashes);
    return code;
}
