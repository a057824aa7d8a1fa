// pretok.cu: texts cut as GPT-2's pattern cuts them. Whether a piece begins at a character is a local question:
// the classes of the character before, of its own and of the one behind, and contractions near it. So one
// launch makes bitmaps of the classes, and the next answers the question for 32 bytes a thread; only
// characters beyond ASCII and apostrophes are looked at one by one. With W for white space, O for what is no
// letter, number or white space, a piece begins at a character iff
// - it is the first of its text;
// - or it is W, and the one before is not, or the one behind exists and is not;
// - or it is not W, the one before is W but not U+0020;
// - or a contraction begins there ("'" not behind O or U+0020, with s t m d re ve ll behind), or ended before;
// - or, not inside a contraction, neither is W and their classes differ.
#include "bytes.h"
#include "launchers.h"
#include "scan.h"
#include "shared/text_class.h"

#define THREADS 256u
#define REPEAT 0x01010101u

// ---- classes ----

struct Classes { // bits of 32 bytes
    u32 letters, numbers, spaces;
};

static __device__ __forceinline__ void set_class(Classes *to, u32 character_class, u32 bits)
{
    to->letters |= character_class == MILL_CLASS_LETTER ? bits : 0u;
    to->numbers |= character_class == MILL_CLASS_NUMBER ? bits : 0u;
    to->spaces |= character_class == MILL_CLASS_SPACE ? bits : 0u;
}

// The character that begins at bytes[at]: its class, on those of its bytes that lie in [begin, begin + 32).
static __device__ MILL_NOINLINE Classes wide_class(const u8 *__restrict__ bytes, u32 at, u32 begin,
                                                   const u8 *__restrict__ index, const u8 *__restrict__ blocks,
                                                   u32 shift)
{
    u32 length, c = wide_code_point(bytes, at, &length);
    u32 of = mill_property_lookup(index, blocks, shift, c) & MILL_PROPERTY_CLASS;
    u32 run = (1u << length) - 1u;
    Classes found = {0, 0, 0};
    set_class(&found, of, at < begin ? run >> (begin - at) : run << (at - begin));
    return found;
}

static __global__ void __launch_bounds__(THREADS)
    find_classes(const u8 *__restrict__ bytes, u32 total, const u8 *__restrict__ index,
                 const u8 *__restrict__ blocks, u32 shift, u32 *__restrict__ letters,
                 u32 *__restrict__ numbers, u32 *__restrict__ spaces)
{
    u32 word = blockIdx.x * blockDim.x + threadIdx.x, begin = word * 32u;
    if (begin >= total)
        return;
    const uint4 *lines = reinterpret_cast<const uint4 *>(bytes + begin);
    uint4 low = lines[0], high = begin + 16u < total ? lines[1] : make_uint4(0, 0, 0, 0);
    u32 words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
    Classes all = {0, 0, 0};
    u32 leads = 0;
#pragma unroll
    for (u32 k = 0; k < 8u; k++) {
        u32 x = words[k], t = x & 0x7fu * REPEAT, ascii = ~x & 0x80u * REPEAT;
        all.letters |= four_bits(in_range(t | 0x20u * REPEAT, ascii, 'a', 'z')) << (4u * k);
        all.numbers |= four_bits(in_range(t, ascii, '0', '9')) << (4u * k);
        all.spaces |= four_bits(in_range(t, ascii, ' ', ' ') | in_range(t, ascii, '\t', '\r')) << (4u * k);
        leads |= four_bits(x & x << 1) << (4u * k); // 11......: a character beyond ASCII begins
    }
    u32 at = begin;
    while ((bytes[at] & 0xc0u) == 0x80u) // one that began before; its first byte is at most three places back
        at--;
    while (at < begin || leads != 0) {
        if (at >= begin) {
            at = begin + lowest(leads);
            leads &= leads - 1u;
        }
        Classes found = wide_class(bytes, at, begin, index, blocks, shift);
        all.letters |= found.letters;
        all.numbers |= found.numbers;
        all.spaces |= found.spaces;
        at = begin;
    }
    letters[word] = all.letters;
    numbers[word] = all.numbers;
    spaces[word] = all.spaces;
}

// ---- beginnings ----

struct Text { // of all texts, and the bitmaps
    const u8 *__restrict__ bytes;
    u32 total;
    const u32 *__restrict__ letters, *__restrict__ numbers, *__restrict__ spaces, *__restrict__ breaks;
};

static __device__ __forceinline__ bool bit_at(const u32 *__restrict__ bits, u32 at)
{
    return (bits[at >> 5] >> (at & 31u) & 1u) != 0;
}

static __device__ __forceinline__ bool is_end(const Text &text, u32 at) // of the text that the byte before is in
{
    return at >= text.total || bit_at(text.breaks, at);
}

// First byte behind the contraction that begins with the apostrophe at `at`; at + 1 if none does.
static __device__ MILL_NOINLINE u32 contraction_end(const Text &text, u32 at)
{
    if (!bit_at(text.breaks, at)) {
        u32 word = (at - 1u) >> 5, classes = text.letters[word] | text.numbers[word] | text.spaces[word];
        if (text.bytes[at - 1u] == ' ' || (classes >> ((at - 1u) & 31u) & 1u) == 0)
            return at + 1u;
    }
    if (is_end(text, at + 1u))
        return at + 1u;
    u32 a = text.bytes[at + 1u];
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2u;
    if (is_end(text, at + 2u))
        return at + 1u;
    u32 b = text.bytes[at + 2u];
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? at + 3u : at + 1u;
}

// What the contraction of the apostrophe at `at` does to the beginnings among the 32 bytes from `begin` on.
static __device__ __forceinline__ u32 contract(const Text &text, u32 at, u32 begin, u32 bits)
{
    u32 end = contraction_end(text, at);
    if (end == at + 1u)
        return bits;
    if (at >= begin)
        bits |= 1u << (at - begin);
    for (u32 i = at + 1u; i < end; i++)
        bits &= i >= begin && i < begin + 32u ? ~(1u << (i - begin)) : ~0u;
    return end >= begin && end < begin + 32u ? bits | 1u << (end - begin) : bits;
}

// White space beyond ASCII: the byte behind its first one is its own.
static __device__ MILL_NOINLINE bool wide_space_begins(const Text &text, u32 at, bool behind_space)
{
    u32 length;
    (void)wide_code_point(text.bytes, at, &length);
    return !behind_space || !(is_end(text, at + length) || bit_at(text.spaces, at + length));
}

static __global__ void __launch_bounds__(THREADS) find_begins(Text text, u32 *__restrict__ begins)
{
    u32 word = blockIdx.x * blockDim.x + threadIdx.x, begin = word * 32u;
    if (begin >= text.total)
        return;
    u32 blanks = 0, quotes = 0, tails = 0, leads = 0;
#pragma unroll
    for (u32 half = 0; half < 2u; half++) {
        uint4 line = begin + 16u * half < text.total ? reinterpret_cast<const uint4 *>(text.bytes + begin)[half]
                                                     : make_uint4(0, 0, 0, 0);
        u32 words[4] = {line.x, line.y, line.z, line.w};
#pragma unroll
        for (u32 k = 0; k < 4u; k++) {
            u32 x = words[k], t = x & 0x7fu * REPEAT, ascii = ~x & 0x80u * REPEAT, by = 16u * half + 4u * k;
            blanks |= four_bits(in_range(t, ascii, ' ', ' ')) << by;
            quotes |= four_bits(in_range(t, ascii, '\'', '\'')) << by;
            tails |= four_bits(x & ~(x << 1)) << by; // 10......
            leads |= four_bits(x & x << 1) << by;
        }
    }
    u32 L = text.letters[word], N = text.numbers[word], W = text.spaces[word], O = ~(L | N | W);
    u32 breaks = text.breaks[word];
    u32 was_L = L << 1, was_N = N << 1, was_W = W << 1, was_O = O << 1, was_blank = blanks << 1;
    if (word != 0) { // bit 0: the character before
        u32 l = text.letters[word - 1u], n = text.numbers[word - 1u], w = text.spaces[word - 1u];
        was_L |= l >> 31;
        was_N |= n >> 31;
        was_W |= w >> 31;
        was_O |= ~(l | n | w) >> 31;
        was_blank |= text.bytes[begin - 1u] == ' ' ? 1u : 0u;
    }
    u32 closed = W >> 1 | breaks >> 1; // no character behind that is no white space
    if (begin + 32u < text.total)
        closed |= (text.spaces[word + 1u] | text.breaks[word + 1u]) << 31;
    else
        closed |= 1u << (text.total - 1u - begin);
    u32 same = (L & was_L) | (N & was_N) | (O & was_O);
    u32 bits = (W & (~was_W | ~closed)) | (~W & was_W & ~was_blank) | (~W & ~was_W & ~same);
    for (u32 wide = leads & W; wide != 0; wide &= wide - 1u) {
        u32 place = lowest(wide), bit = 1u << place;
        bits = wide_space_begins(text, begin + place, (was_W & bit) != 0) ? bits | bit : bits & ~bit;
    }
    bits &= ~tails;
    for (u32 back = 3u; back != 0 && word != 0; back--) // contractions that began before
        if (text.bytes[begin - back] == '\'')
            bits = contract(text, begin - back, begin, bits);
    for (; quotes != 0; quotes &= quotes - 1u)
        bits = contract(text, begin + lowest(quotes), begin, bits);
    bits |= breaks;
    if (begin + 32u > text.total)
        bits &= ~(~0u << (text.total - begin));
    begins[word] = bits;
}

// ---- places ----

// A bitmap's words as items of a scan: how many pieces begin in its 32 bytes.
struct Places {
    const u32 *begins;
    u32 words, total;
    u32 *ranks, *places;
    u32 capacity;

    __device__ __forceinline__ u32 size() const
    {
        return words;
    }
    __device__ __forceinline__ u32 get(u32 word) const
    {
        return static_cast<u32>(__popc(begins[word]));
    }
    __device__ __forceinline__ void put(u32 word, u32, u32 rank) const
    {
        ranks[word] = rank;
        for (u32 left = begins[word]; left != 0; left &= left - 1u, rank++)
            if (rank < capacity)
                places[rank] = word * 32u + lowest(left);
        if (word == words - 1u && rank <= capacity)
            places[rank] = total;
    }
};

extern "C" int mill_gpu_pretok(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes,
                               uint32_t shift, const mill_gpu_pieces *to, void *stream)
{
    if (in->total == 0)
        return cudaMemsetAsync(to->count, 0, sizeof *to->count, static_cast<cudaStream_t>(stream));
    u32 words = (in->total + 31u) / 32u;
    dim3 grid((words + THREADS - 1u) / THREADS);
    int code = mill_gpu_mark_breaks(in, to->breaks, stream);
    if (code == 0)
        code = MILL_LAUNCH(find_classes, grid, dim3(THREADS), 0, stream, in->bytes, in->total, unicode,
                           unicode + index_bytes, shift, to->letters, to->numbers, to->spaces);
    const Text text = {in->bytes, in->total, to->letters, to->numbers, to->spaces, to->breaks};
    if (code == 0)
        code = MILL_LAUNCH(find_begins, grid, dim3(THREADS), 0, stream, text, to->begins);
    const Places items = {to->begins, words, in->total, to->ranks, to->places, to->capacity};
    if (code == 0)
        code = scan(items, words, to->sums, to->count, stream);
    return code;
}
