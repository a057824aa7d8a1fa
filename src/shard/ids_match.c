// ids_match.c: greedy matches of numbers. Three steps for each chunk of the text: the places behind its commas; those of them whose
// bytes stood at the last place of the same hash; and a walk that takes each such match where the one before it has ended, as far
// to both sides as it goes. The first two have no branch that depends on the text.
#include "shard/ids_match.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#else
#define AVX2
#endif
#define INLINE static inline __attribute__((always_inline))

#define STEP 64u
#define SIDE 8u // bytes that a match may grow to the front; no place is in front of it

bool mill_ids_avx2_supported(void)
{
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

INLINE uint64_t load(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

// ---- places ----

INLINE size_t places_ref(const uint8_t *text, uint32_t begin, uint32_t end, uint32_t *places)
{
    size_t count = 0;
    for (uint32_t i = begin; i < end; i++) {
        places[count] = i + 1;
        count += text[i] == ',';
    }
    return count;
}

#if defined(__x86_64__)
AVX2 static inline uint64_t commas(const uint8_t *text)
{
    const __m256i comma = _mm256_set1_epi8(',');
    const __m256i low = _mm256_loadu_si256((const __m256i_u *)text), high = _mm256_loadu_si256((const __m256i_u *)(text + 32));
    return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, comma)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, comma)) << 32;
}

// Sixteen of a step at once, whether there are so many or not; more are rare.
AVX2 static inline size_t places_avx2(const uint8_t *text, uint32_t begin, uint32_t end, uint32_t *places)
{
    size_t count = 0;
    for (; end - begin >= STEP; begin += STEP) {
        uint64_t mask = commas(text + begin);
        const uint32_t here = (uint32_t)_mm_popcnt_u64(mask);
        for (uint32_t i = 0; i < 16; i++) {
            places[count + i] = begin + 1 + (uint32_t)_tzcnt_u64(mask);
            mask = _blsr_u64(mask);
        }
        for (uint32_t i = 16; __builtin_expect(i < here, 0); i++) {
            places[count + i] = begin + 1 + (uint32_t)_tzcnt_u64(mask);
            mask = _blsr_u64(mask);
        }
        count += here;
    }
    return count + places_ref(text, begin, end, places + count);
}
#endif

// ---- candidates ----

INLINE size_t find_candidates(mill_ids_finder *f, const uint8_t *text, const uint32_t *places, size_t count)
{
    const size_t second = MILL_IDS_MATCH_MIN - 8;
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const uint32_t at = places[i];
        const uint64_t a = load(text + at), b = load(text + at + second);
        const uint64_t hash = (a * 0x9fb21c651e98df25u) ^ (b * 0xc2b2ae3d27d4eb4fu);
        uint32_t *slot = &f->table[hash >> (64 - MILL_IDS_TABLE_LOG)];
        const uint32_t from = *slot;
        *slot = at;
        f->candidates[found] = (mill_ids_candidate){from, at};
        found += ((load(text + from) ^ a) | (load(text + from + second) ^ b)) == 0;
    }
    return found;
}

// ---- matches ----

// How many bytes from `at` and from `from` on are the same, of at most `most`.
INLINE uint32_t common_ref(const uint8_t *at, const uint8_t *from, uint32_t most)
{
    uint32_t n = 0;
    while (n < most && at[n] == from[n])
        n++;
    return n;
}

#if defined(__x86_64__)
AVX2 static inline uint32_t common_avx2(const uint8_t *at, const uint8_t *from, uint32_t most)
{
    uint32_t n = 0;
    for (; most - n >= 32; n += 32) {
        const __m256i a = _mm256_loadu_si256((const __m256i_u *)(at + n)), b = _mm256_loadu_si256((const __m256i_u *)(from + n));
        const uint32_t differ = ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b));
        if (differ != 0)
            return n + (uint32_t)_tzcnt_u32(differ);
    }
    return n + common_ref(at + n, from + n, most - n);
}
#endif

// How many of the SIDE bytes in front are the same.
INLINE uint32_t common_before(const uint8_t *at, const uint8_t *from)
{
    const uint64_t differ = load(at - SIDE) ^ load(from - SIDE); // little-endian: the byte in front is the highest
    return differ != 0 ? (uint32_t)__builtin_clzll(differ) / 8 : SIDE;
}

typedef struct walker {
    const uint8_t *text;
    uint32_t anchor, end; // what is told up to; of the block
    ZSTD_Sequence *out;
} walker;

INLINE void walk(walker *w, const mill_ids_candidate *candidates, size_t count, bool avx2)
{
    const uint8_t *text = w->text;
    for (size_t i = 0; i < count; i++) {
        const uint32_t at = candidates[i].at;
        uint32_t from = candidates[i].from;
        if (at < w->anchor || at - from > 1u << MILL_IDS_WINDOW_LOG)
            continue;
        const uint32_t back = at - from;
        // A text that repeats itself so does it three times as far back, too.
        if (__builtin_expect(back == 1 || back == 4 || back == 8, 0)) {
            const uint32_t far = 3 * back;
            if (at < far + SIDE || common_ref(text + at, text + at - far, MILL_IDS_MATCH_MIN) < MILL_IDS_MATCH_MIN)
                continue;
            from = at - far;
        }
        uint32_t length = MILL_IDS_MATCH_MIN;
        const uint32_t most = w->end - at - length;
#if defined(__x86_64__)
        length += avx2 ? common_avx2(text + at + length, text + from + length, most)
                       : common_ref(text + at + length, text + from + length, most);
#else
        (void)avx2;
        length += common_ref(text + at + length, text + from + length, most);
#endif
        uint32_t before = common_before(text + at, text + from);
        before = before < at - w->anchor ? before : at - w->anchor;
        *w->out++ = (ZSTD_Sequence){
            .offset = at - from, .litLength = at - before - w->anchor, .matchLength = before + length};
        w->anchor = at + length;
    }
}

// ---- all ----

INLINE size_t find(mill_ids_finder *f, const uint8_t *text, size_t bytes, ZSTD_Sequence *out, bool avx2)
{
    walker w = {.text = text, .out = out};
    for (size_t i = 0; i < sizeof f->table / sizeof f->table[0]; i++)
        f->table[i] = SIDE; // a place like any other: what stands there is compared before it is believed
    for (uint32_t block = 0; block < bytes; block = w.end) {
        w.anchor = block;
        w.end = bytes - block < MILL_IDS_BLOCK_BYTES ? (uint32_t)bytes : block + MILL_IDS_BLOCK_BYTES;
        for (uint32_t chunk = block, stop; chunk < w.end; chunk = stop) {
            stop = w.end - chunk < MILL_IDS_CHUNK_BYTES ? w.end : chunk + MILL_IDS_CHUNK_BYTES;
#if defined(__x86_64__)
            size_t count = avx2 ? places_avx2(text, chunk, stop, f->places) : places_ref(text, chunk, stop, f->places);
#else
            size_t count = places_ref(text, chunk, stop, f->places);
#endif
            size_t first = 0;
            while (first < count && f->places[first] <= SIDE)
                first++;
            while (count > first && w.end - f->places[count - 1] < MILL_IDS_MATCH_MIN)
                count--;
            count = find_candidates(f, text, f->places + first, count - first);
            walk(&w, f->candidates, count, avx2);
        }
        *w.out++ = (ZSTD_Sequence){.litLength = w.end - w.anchor};
    }
    return (size_t)(w.out - out);
}

size_t mill_ids_find_ref(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out)
{
    return find(finder, text, bytes, out, false);
}

AVX2 size_t mill_ids_find_avx2(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out)
{
    return find(finder, text, bytes, out, true);
}

size_t mill_ids_find(mill_ids_finder *finder, const uint8_t *text, size_t bytes, ZSTD_Sequence *out)
{
    return mill_ids_avx2_supported() ? mill_ids_find_avx2(finder, text, bytes, out) : mill_ids_find_ref(finder, text, bytes, out);
}
