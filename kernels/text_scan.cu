// text_scan.cu: what the filters look for in texts: lines that begin as comments, and patterns. A warp takes
// a piece of 64 KiB of a text; a lane takes 16 bytes at a time and looks closer only at a byte that may
// matter.
#include "bytes.h"
#include "launchers.h"
#include "shared/comment_start.h"
#include "shared/text_class.h"

#define PIECE 65536u // bytes of a text that one warp reads
#define THREADS 256u

struct unicode_tables {
    const u8 *index, *blocks;
    u32 shift;
};

static __device__ __forceinline__ u32 property_of(const unicode_tables &tables, u32 c)
{
    return mill_property_lookup(tables.index, tables.blocks, tables.shift, c);
}

// The piece of a text that this warp has; false: none.
static __device__ __forceinline__ bool my_piece(const u32 *__restrict__ offsets, u32 count, u32 *text,
                                                u32 *begin, u32 *end)
{
    *text = (blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    if (*text >= count)
        return false;
    u32 first = offsets[*text], last = offsets[*text + 1];
    u64 piece = static_cast<u64>(blockIdx.y) * PIECE;
    if (piece >= last - first)
        return false;
    *begin = first + static_cast<u32>(piece);
    *end = last - *begin > PIECE ? *begin + PIECE : last;
    return true;
}

// The lane's 16 bytes from `at` on, which is a multiple of 16; 0 in the bytes outside [begin, end).
static __device__ __forceinline__ void load_line(const u8 *__restrict__ bytes, u32 at, u32 begin, u32 end,
                                                 u32 (&words)[4])
{
    uint4 line = *reinterpret_cast<const uint4 *>(bytes + at);
    words[0] = line.x;
    words[1] = line.y;
    words[2] = line.z;
    words[3] = line.w;
    if (at >= begin && at + 16u <= end)
        return;
#pragma unroll
    for (u32 k = 0; k < 16u; k++)
        if (at + k < begin || at + k >= end)
            words[k >> 2] &= ~(0xffu << (8u * (k & 3u)));
}

// ---- comment lines

// Place of the first character from `at` on that is not a blank, or is U+000A; end if there is none.
static __device__ u32 skip_blanks(const u8 *__restrict__ bytes, u32 at, u32 end, const unicode_tables &tables)
{
    while (at < end) {
        u32 c = bytes[at], length = 1;
        if (c == '\n')
            break;
        if (c < 0x80u) {
            if (!(c == 0x20u || (c >= 0x09u && c <= 0x0du) || (c >= 0x1cu && c <= 0x1fu)))
                break;
        } else {
            c = wide_code_point(bytes, at, &length);
            if ((property_of(tables, c) & MILL_PROPERTY_SPACE) == 0)
                break;
        }
        at += length;
    }
    return at;
}

static __global__ void __launch_bounds__(THREADS)
    comment_lines(const u8 *__restrict__ bytes, const u32 *__restrict__ offsets, u32 count,
                  const u32 *__restrict__ traits, unicode_tables tables, u32 *__restrict__ out)
{
    u32 text, begin, end, lane = threadIdx.x & 31u, found = 0;
    if (!my_piece(offsets, count, &text, &begin, &end))
        return; // a whole warp at once
    u32 first = offsets[text], last = offsets[text + 1], styles = traits[text] & MILL_GPU_TRAIT_COMMENTS;
    if (styles == 0)
        return;
    if (lane == 0 && begin == first) { // the first line
        u32 place = skip_blanks(bytes, first, last, tables);
        found += place < last ? mill_comment_starts(bytes, last, place, styles) : 0u;
    }
    for (u32 at = (begin & ~15u) + lane * 16u; at < end; at += 512u) {
        u32 words[4];
        load_line(bytes, at, begin, end, words);
#pragma unroll
        for (u32 k = 0; k < 4u; k++) {
            u32 ends = in_range(words[k] & 0x7f7f7f7fu, ~words[k] & 0x80808080u, '\n', '\n');
            for (; ends != 0; ends &= ends - 1u) { // the line behind each
                u32 start = at + 4u * k + (static_cast<u32>(__ffs(static_cast<int>(ends)) - 1) >> 3) + 1u;
                u32 place = skip_blanks(bytes, start, last, tables);
                found += place < last ? mill_comment_starts(bytes, last, place, styles) : 0u;
            }
        }
    }
    found = __reduce_add_sync(0xffffffffu, found);
    if (lane == 0)
        atomicAdd(&out[text], found);
}

// ---- patterns

static __device__ __forceinline__ u32 lower(u32 c)
{
    return c - 'A' < 26u ? c | 0x20u : c;
}

// Is the character that ends before bytes[at] part of an identifier, or a '.'? (filter/filter_markers.c)
static __device__ bool joined_to_the_left(const u8 *__restrict__ bytes, u32 first, u32 at,
                                          const unicode_tables &tables)
{
    if (at == first)
        return false;
    u32 c = bytes[at - 1];
    if (c < 0x80u)
        return c == '.' || c == '_' || c == '$' || c - '0' < 10u || lower(c) - 'a' < 26u;
    u32 lead = at - 1u, length;
    while (lead > first && at - lead < 4u && (bytes[lead] & 0xc0u) == 0x80u)
        lead--;
    u32 property = property_of(tables, wide_code_point(bytes, lead, &length));
    u32 kind = property & MILL_PROPERTY_CLASS;
    return kind == MILL_CLASS_LETTER || kind == MILL_CLASS_NUMBER || (property & MILL_PROPERTY_MARK) != 0;
}

// Does the pattern stand at bytes[at], in the text [first, last)?
static __device__ bool pattern_at(const mill_gpu_patterns &patterns, const mill_gpu_pattern &pattern,
                                  const u8 *__restrict__ bytes, u32 first, u32 last, u32 at, bool words,
                                  const unicode_tables &tables)
{
    if (last - at < pattern.bytes)
        return false;
    const u8 *wanted = patterns.bytes + pattern.offset;
    bool fold = (pattern.flags & MILL_GPU_PATTERN_FOLD) != 0;
    for (u32 i = 0; i < pattern.bytes; i++) {
        u32 c = bytes[at + i];
        if ((fold ? lower(c) : c) != wanted[i])
            return false;
    }
    if (fold) {
        u32 place = at - first, length = last - first;
        return patterns.window == 0 || place + pattern.bytes <= patterns.window ||
               place + patterns.window >= length;
    }
    return (pattern.flags & MILL_GPU_PATTERN_WORD) == 0 ||
           (words && !joined_to_the_left(bytes, first, at, tables));
}

// Bits of what begins at bytes[at]: one of patterns [from, to), or a character that folds to ASCII.
static __device__ __forceinline__ u32 look_closer(const mill_gpu_patterns &patterns, u32 from, u32 to,
                                                  const u8 *__restrict__ bytes, u32 first, u32 last, u32 at,
                                                  bool words, u32 found, const unicode_tables &tables)
{
    if (last - at >= 3u && bytes[at] == 0xe2u && bytes[at + 1u] == 0x84u && bytes[at + 2u] == 0xaau) // U+212A
        found |= MILL_GPU_FOUND_WIDE_FOLD;
    if (last - at >= 2u && bytes[at] == 0xc4u && bytes[at + 1u] == 0xb0u) // U+0130
        found |= MILL_GPU_FOUND_WIDE_FOLD;
    for (u32 i = from; i < to; i++) {
        mill_gpu_pattern pattern = patterns.list[i];
        u32 bit = (pattern.flags & MILL_GPU_PATTERN_FOLD) != 0 ? MILL_GPU_FOUND_FOLDED : MILL_GPU_FOUND_EXACT;
        if ((found & bit) == 0 && pattern_at(patterns, pattern, bytes, first, last, at, words, tables))
            found |= bit;
    }
    return found;
}

static __global__ void __launch_bounds__(THREADS)
    find_patterns(const u8 *__restrict__ bytes, const u32 *__restrict__ offsets, u32 count,
                  const u32 *__restrict__ traits, mill_gpu_patterns patterns, unicode_tables tables,
                  u32 *__restrict__ out)
{
    MILL_SHARED(u32, heads, 257u);
    for (u32 i = threadIdx.x; i < 257u; i += THREADS)
        heads[i] = patterns.heads[i];
    __syncthreads();
    u32 text, begin, end, lane = threadIdx.x & 31u, found = 0;
    if (!my_piece(offsets, count, &text, &begin, &end))
        return;
    u32 first = offsets[text], last = offsets[text + 1];
    bool words = (traits[text] & MILL_GPU_TRAIT_WORDS) != 0;
    for (u32 at = (begin & ~15u) + lane * 16u; at < end; at += 512u) {
        u32 line[4];
        load_line(bytes, at, begin, end, line);
#pragma unroll 1
        for (u32 k = 0; k < 16u; k++) {
            u32 c = line[0] & 0xffu, key = lower(c);
            if (c == 0xe2u || c == 0xc4u || heads[key] != heads[key + 1u])
                found = look_closer(patterns, heads[key], heads[key + 1u], bytes, first, last, at + k, words,
                                    found, tables);
            line[0] = __funnelshift_r(line[0], line[1], 8); // the next byte
            line[1] = __funnelshift_r(line[1], line[2], 8);
            line[2] = __funnelshift_r(line[2], line[3], 8);
            line[3] >>= 8;
        }
    }
    found = __reduce_or_sync(0xffffffffu, found);
    if (lane == 0 && found != 0)
        atomicOr(&out[text], found);
}

extern "C" int mill_gpu_text_scan(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes,
                                  uint32_t shift, const mill_gpu_patterns *patterns, const uint32_t *traits,
                                  uint32_t *comments, uint32_t *found, void *stream)
{
    if (in->count == 0)
        return 0;
    cudaStream_t queue = static_cast<cudaStream_t>(stream);
    unicode_tables tables = {unicode, unicode + index_bytes, shift};
    dim3 grid((in->count + THREADS / 32u - 1u) / (THREADS / 32u), in->longest / PIECE + 1u);
    int code = cudaMemsetAsync(comments, 0, in->count * sizeof *comments, queue);
    if (code == 0)
        code = cudaMemsetAsync(found, 0, in->count * sizeof *found, queue);
    if (code == 0)
        code = MILL_LAUNCH(comment_lines, grid, dim3(THREADS), 0, stream, in->bytes, in->offsets, in->count,
                           traits, tables, comments);
    if (code == 0)
        code = MILL_LAUNCH(find_patterns, grid, dim3(THREADS), 0, stream, in->bytes, in->offsets, in->count,
                           traits, *patterns, tables, found);
    return code;
}
