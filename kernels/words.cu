// words.cu: the tokens of str.split() and their SHA-1. A bitmap says which bytes belong to blanks; a word
// begins at a byte that is none, behind one or at the start of a text. Places are compacted by a scan in
// three launches, so that words stand in order whatever the schedule.
#include "bytes.h"
#include "launchers.h"
#include "scan.h"

#define THREADS 256u

// ---- bitmaps

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
        bits |= four_bits(found) << (4u * k);
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

// Bits of the bytes at which a word begins.
static __device__ __forceinline__ u32 begins(const u32 *__restrict__ blanks, const u32 *__restrict__ breaks,
                                             u32 word)
{
    u32 before = word != 0 ? blanks[word - 1] >> 31 : 1u;
    return ~blanks[word] & (blanks[word] << 1 | before | breaks[word]);
}

// A bitmap's words as items: how many words of text begin in its 32 bytes.
struct Beginnings {
    const u32 *blanks, *breaks;
    u32 words;
    u32 *ranks, *places;

    __device__ __forceinline__ u32 size() const
    {
        return words;
    }
    __device__ __forceinline__ u32 get(u32 word) const
    {
        return static_cast<u32>(__popc(begins(blanks, breaks, word)));
    }
    __device__ __forceinline__ void put(u32 word, u32, u32 rank) const
    {
        ranks[word] = rank;
        for (u32 left = begins(blanks, breaks, word); left != 0; left &= left - 1u)
            places[rank++] = word * 32u + lowest(left);
    }
};

// ---- SHA-1 (FIPS 180-4): the first word of the digest is all that anybody asks for

static __device__ __forceinline__ u32 rotate(u32 x, u32 by)
{
    return __funnelshift_l(x, x, by);
}

// The 80 rounds of a block (section 6.1.2). Message words give way to the schedule.
static __device__ __forceinline__ void sha1_rounds(u32 &a, u32 &b, u32 &c, u32 &d, u32 &e, u32 w[16])
{
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
}

// The message's words, big-endian, of the block that begins at bytes[begin], with `left` bytes of the message
// from there on (below zero: the end mark came before) and the end mark behind them. Only the first `words`
// can be other than zero.
static __device__ __forceinline__ void load_block(const u8 *__restrict__ bytes, u32 begin, i32 left,
                                                  u32 words, u32 w[16])
{
    const u32 *aligned = reinterpret_cast<const u32 *>(bytes + (begin & ~3u));
    u32 order = 0x0123u + (begin & 3u) * 0x1111u; // of four bytes out of two words
    u32 kept = ~(0xffffffffu >> (8u * (left & 3))),
        mark = 0x80000000u >> (8u * (left & 3)); // where the message ends
    i32 end = left + static_cast<i32>(begin & 3u);
    u32 x[17];
#pragma unroll
    for (u32 k = 0; k <= words; k++) // four at a time: no more than 16 bytes behind the end
        x[k] = static_cast<i32>(16u * (k / 4u)) < end ? aligned[k] : 0u;
#pragma unroll
    for (u32 k = 0; k < words; k++) {
        u32 value = __byte_perm(x[k], x[k + 1u], order);
        if (left < static_cast<i32>(4u * k + 4u))
            value = (value & kept) | mark;
        w[k] = left < static_cast<i32>(4u * k) ? 0u : value;
    }
#pragma unroll
    for (u32 k = words; k < 16u; k++)
        w[k] = 0;
}

#define SHA1_BEGIN 0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u

// A word of one block, as nearly all are: what is known of its rounds is folded.
static __device__ __forceinline__ u32 sha1_short(const u8 *__restrict__ bytes, u32 begin, u32 length)
{
    u32 state[5] = {SHA1_BEGIN}, w[16];
    load_block(bytes, begin, static_cast<i32>(length), 14u, w);
    w[15] = length << 3;
    sha1_rounds(state[0], state[1], state[2], state[3], state[4], w);
    return state[0] + 0x67452301u;
}

static __device__ MILL_NOINLINE u32 sha1_long(const u8 *__restrict__ bytes, u32 begin, u32 length)
{
    u32 state[5] = {SHA1_BEGIN};
    u32 blocks = (length + 72u) / 64u; // room for the end mark and the length
#pragma unroll 1
    for (u32 block = 0; block < blocks; block++) {
        u32 w[16], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
        load_block(bytes, begin + block * 64u, static_cast<i32>(length - block * 64u), 16u, w);
        if (block == blocks - 1u) {
            w[14] = length >> 29;
            w[15] = length << 3;
        }
        sha1_rounds(a, b, c, d, e, w);
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
    }
    return state[0];
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
    return word * 32u + lowest(bits);
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
    u32 hash = length <= 55u ? sha1_short(bytes, begin, length) : sha1_long(bytes, begin, length);
    hashes[number] = __byte_perm(hash, 0, 0x0123);
}

// ---- launches

extern "C" int mill_gpu_mark_breaks(const mill_gpu_texts *in, uint32_t *breaks, void *stream)
{
    int code = cudaMemsetAsync(breaks, 0, (in->total + 31u) / 32u * sizeof *breaks,
                               static_cast<cudaStream_t>(stream));
    if (code == 0)
        code = MILL_LAUNCH(mark_breaks, dim3((in->count + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->offsets, in->count, in->total, breaks);
    return code;
}

extern "C" int mill_gpu_find_words(const mill_gpu_texts *in, const mill_gpu_words *to, void *stream)
{
    if (in->total == 0)
        return cudaMemsetAsync(to->counts, 0, sizeof *to->counts, static_cast<cudaStream_t>(stream));
    u32 words = (in->total + 31u) / 32u, most = MILL_GPU_WORDS_MAX(in->total, in->count);
    int code = mill_gpu_mark_breaks(in, to->breaks, stream);
    if (code == 0)
        code = MILL_LAUNCH(find_blanks, dim3((words + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->bytes, in->total, to->blanks);
    if (code == 0) {
        const Beginnings items = {to->blanks, to->breaks, words, to->ranks, to->places};
        code = scan(items, words, to->sums, to->counts, stream);
    }
    if (code == 0)
        code = MILL_LAUNCH(hash_words, dim3((most + THREADS - 1u) / THREADS), dim3(THREADS), 0, stream,
                           in->bytes, in->total, to->blanks, to->breaks, to->places, to->counts, to->hashes);
    return code;
}
