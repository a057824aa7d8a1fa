// filter_markers_avx2.c: the vector search for markers. Each marker is known by three neighbouring bytes, its
// window, and has one of eight buckets. For 32 places at once, shuffles look up by low and by high nibble
// which buckets allow the byte, for each of the window's bytes; a place whose AND is not zero is verified.
// The tables can only allow too much, never too little.
#include <string.h>

#include "filter/markers_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define STEP 32u

typedef struct scan {
    const mill_markers *markers;
    const uint8_t *text;
    uint64_t bytes;
    bool word_language;
    uint8_t active; // buckets still of interest
    mill_marker_hits hits;
} scan;

AVX2 static inline __m256i load(const uint8_t *p)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

AVX2 static inline __m256i table(const uint8_t nibbles[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)nibbles));
}

AVX2 static inline __m256i allowed(__m256i v, __m256i low_table, __m256i high_table)
{
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
    return _mm256_and_si256(_mm256_shuffle_epi8(low_table, _mm256_and_si256(v, nibble)),
                            _mm256_shuffle_epi8(high_table, high));
}

// Looks at the markers of `buckets` whose window begins at text[place].
static void verify(scan *s, uint64_t place, uint32_t buckets)
{
    for (buckets &= s->active; buckets != 0; buckets &= buckets - 1) {
        uint32_t b = (uint32_t)__builtin_ctz(buckets);
        for (uint32_t i = 0; i < s->markers->bucket_count[b]; i++) {
            const mill_marker *m = &s->markers->marker[s->markers->bucket[b][i]];
            // A window too near to the start gives a place beyond the end.
            if (!mill_marker_at(m, s->text, s->bytes, place - m->anchor, s->word_language))
                continue;
            if (m->kind == MILL_MARKER_TEST) {
                s->hits.test = true;
                s->active &= s->markers->autogen_buckets;
                break;
            }
            if (mill_marker_in_window(s->markers, m, s->bytes, place - m->anchor)) {
                s->hits = (mill_marker_hits){true, false};
                s->active = 0;
                return;
            }
        }
    }
}

// Verifies the candidates among the 32 places from `base` on.
AVX2 static void verify_step(scan *s, uint64_t base, __m256i buckets, uint32_t places)
{
    uint8_t bits[STEP];
    _mm256_storeu_si256((__m256i *)(void *)bits, buckets);
    for (; places != 0 && s->active != 0; places &= places - 1) {
        uint32_t i = (uint32_t)__builtin_ctz(places);
        verify(s, base + i, bits[i]);
    }
}

// Steps over the places [from, from + 32 * steps); `block` are the bytes from text[from] on, with two more
// behind the last step.
AVX2 static void scan_steps(scan *s, const uint8_t *block, uint64_t from, uint64_t steps)
{
    const mill_markers *m = s->markers;
    const __m256i l0 = table(m->low[0]), l1 = table(m->low[1]), l2 = table(m->low[2]);
    const __m256i h0 = table(m->high[0]), h1 = table(m->high[1]), h2 = table(m->high[2]),
                  zero = _mm256_setzero_si256();
    __m256i active = _mm256_set1_epi8((char)s->active);
    for (uint64_t i = 0; i < steps; i++) {
        const uint8_t *p = block + i * STEP;
        __m256i buckets = _mm256_and_si256(allowed(load(p), l0, h0), allowed(load(p + 1), l1, h1));
        buckets = _mm256_and_si256(_mm256_and_si256(buckets, active), allowed(load(p + 2), l2, h2));
        uint32_t places = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(buckets, zero));
        if (__builtin_expect(places != 0, 0)) {
            verify_step(s, from + i * STEP, buckets, places);
            if (s->active == 0)
                return;
            active = _mm256_set1_epi8((char)s->active);
        }
    }
}

mill_marker_hits mill_markers_scan_avx2(const mill_markers *markers, const uint8_t *text, uint64_t bytes,
                                        bool word_language)
{
    scan s = {.markers = markers, .text = text, .bytes = bytes, .word_language = word_language};
    for (uint32_t b = 0; b < 8; b++)
        if (markers->bucket_count[b] != 0)
            s.active |= (uint8_t)(1u << b);
    const uint64_t more = MILL_MARKERS_WINDOW - 1;
    uint64_t steps = bytes > more ? (bytes - more) / STEP : 0, done = steps * STEP;
    if (s.active != 0)
        scan_steps(&s, text, 0, steps);
    if (s.active != 0 && done < bytes) { // at most 33 places are left
        uint8_t block[3 * STEP] = {0};
        memcpy(block, text + done, bytes - done);
        scan_steps(&s, block, done, 2);
    }
    return s.hits;
}

#endif
