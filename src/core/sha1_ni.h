// sha1_ni.h: one block of SHA-1 by the SHA extensions of x86 (FIPS 180-4, section 6.1.2), for those who take blocks in their own
// ways: the token hash of MinHash, and files that get a SHA-256 at the same time.
#ifndef MILL_CORE_SHA1_NI_H
#define MILL_CORE_SHA1_NI_H

#ifdef __x86_64__
#include <immintrin.h>
#include <stdint.h>

#define MILL_TARGET_SHA __attribute__((target("sha,sse4.1,ssse3")))

typedef struct mill_sha1_registers {
    __m128i abcd, e;
} mill_sha1_registers;

MILL_TARGET_SHA static inline mill_sha1_registers mill_sha1_load(const uint32_t state[5])
{
    return (mill_sha1_registers){_mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0x1b),
                                 _mm_set_epi32((int)state[4], 0, 0, 0)};
}

MILL_TARGET_SHA static inline void mill_sha1_store(mill_sha1_registers r, uint32_t state[5])
{
    _mm_storeu_si128((__m128i *)(void *)state, _mm_shuffle_epi32(r.abcd, 0x1b));
    state[4] = (uint32_t)_mm_extract_epi32(r.e, 3);
}

// Five steps of four rounds. The instruction wants the round function as a constant, hence a macro over the four phases.
// w[g % 4] holds the words of step g; those of step g + 4 replace them as soon as they are used.
#define MILL_SHA1_PHASE(function) \
    _Pragma("GCC unroll 5") for (int i = 0; i < 5; i++) \
    { \
        int g = 5 * (function) + i; \
        __m128i before = abcd; \
        e = g == 0 ? _mm_add_epi32(e, w[0]) : _mm_sha1nexte_epu32(e, w[g % 4]); \
        abcd = _mm_sha1rnds4_epu32(abcd, e, (function)); \
        e = before; \
        if (g < 16) { \
            __m128i mixed = _mm_xor_si128(_mm_sha1msg1_epu32(w[g % 4], w[(g + 1) % 4]), w[(g + 2) % 4]); \
            w[g % 4] = _mm_sha1msg2_epu32(mixed, w[(g + 3) % 4]); \
        } \
    }

MILL_TARGET_SHA static inline __attribute__((always_inline)) mill_sha1_registers mill_sha1_block(mill_sha1_registers r,
                                                                                                const uint8_t *block)
{
    const __m128i big_endian = _mm_set_epi64x(0x0001020304050607, 0x08090a0b0c0d0e0f);
    __m128i abcd = r.abcd, e = r.e, w[4];
    for (int i = 0; i < 4; i++)
        w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(block + 16 * i)), big_endian);
    MILL_SHA1_PHASE(0)
    MILL_SHA1_PHASE(1)
    MILL_SHA1_PHASE(2)
    MILL_SHA1_PHASE(3)
    return (mill_sha1_registers){_mm_add_epi32(abcd, r.abcd), _mm_sha1nexte_epu32(e, r.e)};
}
#endif

#endif
