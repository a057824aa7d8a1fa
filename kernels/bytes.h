// bytes.h: four bytes of text in a 32-bit word, compared at once, each with its spare bit.
#ifndef MILL_BYTES_H
#define MILL_BYTES_H

#include "mill_cuda.h"

// Bit 7 of each byte of t that lies in [low, high]; bytes of t are below 0x80, and only those with their bit
// in `of` count.
static __device__ __forceinline__ u32 in_range(u32 t, u32 of, u32 low, u32 high)
{
    return (t + (0x80u - low) * 0x01010101u) & ~(t + (0x7fu - high) * 0x01010101u) & of;
}

// Bits 7, 15, 23, 31 to bits 0 .. 3.
static __device__ __forceinline__ u32 four_bits(u32 flags)
{
    return ((flags & 0x80808080u) >> 7) * 0x10204080u >> 28;
}

// The four bytes at bytes[at], any alignment; the text has 16 readable bytes behind its end.
static __device__ __forceinline__ u32 load_four(const u8 *__restrict__ bytes, u32 at)
{
    const u32 *aligned = reinterpret_cast<const u32 *>(bytes + (at & ~3u));
    return __funnelshift_r(aligned[0], aligned[1], 8u * (at & 3u));
}

// The code point whose first byte, beyond ASCII, is bytes[at].
static __device__ __forceinline__ u32 wide_code_point(const u8 *__restrict__ bytes, u32 at, u32 *length)
{
    u32 lead = bytes[at], more = lead >= 0xf0u ? 3u : lead >= 0xe0u ? 2u : 1u;
    u32 c = lead & (0x3fu >> more);
    for (u32 i = 1; i <= more; i++)
        c = c << 6 | (bytes[at + i] & 0x3fu);
    *length = more + 1u;
    return c;
}

// Place of the lowest set bit.
static __device__ __forceinline__ u32 lowest(u32 bits)
{
    return static_cast<u32>(__ffs(static_cast<int>(bits)) - 1);
}

#endif
