// text_stats.cu: code points, newlines and alphanumeric-or-blank code points of each text. A warp takes a
// piece of 64 KiB of a text; a lane takes 16 bytes at a time, 4 bytes a 32-bit word (bytes in a word are
// compared at once, each with its spare bit).
#include "bytes.h"
#include "launchers.h"
#include "shared/text_class.h"

#define PIECE 65536u // bytes of a text that one warp reads
#define THREADS 256u

// Bits of the bytes of the word at `at` that lie in [begin, end).
static __device__ __forceinline__ u32 inside(u32 at, u32 begin, u32 end)
{
    u32 bits = 0x80808080u;
    if (at < begin)
        bits = begin - at < 4u ? bits << (8u * (begin - at)) : 0u;
    if (at + 4u > end)
        bits = end > at ? bits & (0x80808080u >> (8u * (at + 4u - end))) : 0u;
    return bits;
}

static __device__ __forceinline__ u32 flags(u32 bits) // how many of the bits 7, 15, 23, 31
{
    return static_cast<u32>(__popc(bits));
}

// 1 if the code point whose first byte is bytes[at] counts as text.
static __device__ __forceinline__ u32 wide_is_text(const u8 *__restrict__ bytes, u32 at,
                                                   const u8 *__restrict__ index,
                                                   const u8 *__restrict__ blocks, u32 shift, u32 rank)
{
    u32 length, c = wide_code_point(bytes, at, &length);
    return mill_property_is_text(mill_property_lookup(index, blocks, shift, c), rank);
}

static __global__ void __launch_bounds__(THREADS)
    text_stats(const u8 *__restrict__ bytes, const u32 *__restrict__ offsets, u32 count,
               const u8 *__restrict__ index, const u8 *__restrict__ blocks, u32 shift, u32 rank,
               mill_gpu_text_stat *__restrict__ out)
{
    u32 text = (blockIdx.x * blockDim.x + threadIdx.x) >> 5, lane = threadIdx.x & 31u;
    if (text >= count)
        return; // a whole warp at once
    u32 begin = offsets[text], end = offsets[text + 1];
    u64 piece = static_cast<u64>(blockIdx.y) * PIECE;
    if (piece >= end - begin)
        return;
    begin += static_cast<u32>(piece);
    end = end - begin > PIECE ? begin + PIECE : end;
    u32 chars = 0, newlines = 0, texts = 0;
    for (u32 at = (begin & ~15u) + lane * 16u; at < end; at += 512u) {
        uint4 line = *reinterpret_cast<const uint4 *>(bytes + at);
        u32 words[4] = {line.x, line.y, line.z, line.w};
        bool whole = at >= begin && at + 16u <= end;
        u32 leads = 0; // bytes that begin a code point beyond ASCII
#pragma unroll
        for (u32 k = 0; k < 4u; k++) {
            u32 x = words[k], valid = whole ? 0x80808080u : inside(at + 4u * k, begin, end);
            u32 t = x & 0x7f7f7f7fu, ascii = ~x & valid, further = x & ~(x << 1) & valid; // 10xxxxxx
            chars += flags(valid & ~further);
            newlines += flags(in_range(t, ascii, '\n', '\n'));
            texts += flags(in_range(t, ascii, '0', '9') | in_range(t | 0x20202020u, ascii, 'a', 'z') |
                           in_range(t, ascii, 0x09, 0x0d) | in_range(t, ascii, 0x1c, 0x20));
            leads |= four_bits(x & (x << 1) & valid) << (4u * k);
        }
        for (; leads != 0; leads &= leads - 1u)
            texts += wide_is_text(bytes, at + lowest(leads), index, blocks, shift, rank);
    }
    chars = __reduce_add_sync(0xffffffffu, chars);
    newlines = __reduce_add_sync(0xffffffffu, newlines);
    texts = __reduce_add_sync(0xffffffffu, texts);
    if (lane == 0) {
        atomicAdd(&out[text].chars, chars);
        atomicAdd(&out[text].newlines, newlines);
        atomicAdd(&out[text].text, texts);
    }
}

extern "C" int mill_gpu_text_stats(const mill_gpu_texts *in, const uint8_t *unicode, uint32_t index_bytes,
                                   uint32_t shift, uint32_t rank, mill_gpu_text_stat *out, void *stream)
{
    if (in->count == 0)
        return 0;
    int code = cudaMemsetAsync(out, 0, in->count * sizeof *out, static_cast<cudaStream_t>(stream));
    if (code != 0)
        return code;
    dim3 grid((in->count + THREADS / 32u - 1u) / (THREADS / 32u), in->longest / PIECE + 1u);
    return MILL_LAUNCH(text_stats, grid, dim3(THREADS), 0, stream, in->bytes, in->offsets, in->count, unicode,
                       unicode + index_bytes, shift, rank, out);
}
