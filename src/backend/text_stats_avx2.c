// text_stats_avx2.c: text statistics, 32 bytes a step. ASCII members of "alphanumeric or space" are found by
// two shuffles (one bit for each high nibble, looked up by the low nibble), and so are the lead bytes behind
// which every code point is a letter (most of Cyrillic, Han and Hangul); only the other longer sequences are
// decoded one by one.
#include <string.h>

#include "backend/ops.h"
#include "core/unicode.h"
#include "core/utf8.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define STEP 32u
#define STEPS_MAX 255u // as many steps as a byte counter can take

typedef struct counters {
    uint64_t continuation, newlines, members;
} counters;

// Bit h of entry l: byte h << 4 | l is an ASCII letter, digit or space.
AVX2 static inline __m256i member_by_low(void)
{
    return _mm256_setr_epi8((char)0xac, (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf8,
                            (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf9, (char)0xf1, 0x51, 0x53, 0x53,
                            0x52, 0x52, (char)0xac, (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf8,
                            (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf8, (char)0xf9, (char)0xf1, 0x51,
                            0x53, 0x53, 0x52, 0x52);
}

AVX2 static inline __m256i bit_by_high(void)
{
    return _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64,
                            (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
}

// Lead bytes whose sequences are all letters, in every Unicode version from 14.0 on: C4-CA (U+0100-02BF), D0
// and D1 (U+0400-047F), E5-E9 (U+5000-9FFF), EB and EC (U+B000-CFFF). The parity test goes over every code
// point.
AVX2 static inline uint32_t letter_leads(__m256i v, __m256i high)
{
    const __m256i by_low = _mm256_setr_epi8(2, 2, 0, 0, 1, 5, 5, 5, 5, 5, 1, 4, 4, 0, 0, 0, 2, 2, 0, 0, 1, 5,
                                            5, 5, 5, 5, 1, 4, 4, 0, 0, 0);
    const __m256i by_high = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0,
                                             0, 0, 0, 0, 0, 0, 1, 2, 4, 0);
    __m256i low = _mm256_and_si256(v, _mm256_set1_epi8(15));
    __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(by_low, low), _mm256_shuffle_epi8(by_high, high));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

AVX2 static inline uint64_t sum_bytes(__m256i v)
{
    __m256i s = _mm256_sad_epu8(v, _mm256_setzero_si256());
    __m128i t = _mm_add_epi64(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1));
    return (uint64_t)_mm_cvtsi128_si64(t) + (uint64_t)_mm_extract_epi64(t, 1);
}

// Members among the sequences whose lead bytes stand at text[i], i a bit of `leads`; they may end behind this
// step.
static uint64_t count_sequences(const uint8_t *text, uint32_t leads, uint32_t rank)
{
    uint64_t members = 0;
    for (; leads != 0; leads &= leads - 1) {
        size_t length;
        uint32_t c = mill_utf8_decode(text + __builtin_ctz(leads), &length);
        members += mill_property_is_text(mill_unicode_property(c), rank);
    }
    return members;
}

// Counts `steps` (1 to STEPS_MAX) full steps. `text` is the text that sequences are decoded from, `block` the
// same bytes with room to read whole steps.
AVX2 static void count_steps(const uint8_t *block, const uint8_t *text, uint32_t steps, uint32_t rank,
                             counters *sum)
{
    const __m256i low_table = member_by_low(), high_table = bit_by_high();
    const __m256i zero = _mm256_setzero_si256(), nibble = _mm256_set1_epi8(15),
                  newline = _mm256_set1_epi8('\n');
    __m256i not_members = zero, newlines = zero;
    for (uint32_t i = 0; i < steps; i++) {
        __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)(block + (size_t)i * STEP));
        __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble);
        // A byte >= 0x80 reads 0 from the first table: never a member.
        __m256i member =
            _mm256_and_si256(_mm256_shuffle_epi8(low_table, v), _mm256_shuffle_epi8(high_table, high));
        not_members = _mm256_sub_epi8(not_members, _mm256_cmpeq_epi8(member, zero));
        newlines = _mm256_sub_epi8(newlines, _mm256_cmpeq_epi8(v, newline));
        uint32_t beyond_ascii = (uint32_t)_mm256_movemask_epi8(v);
        if (__builtin_expect(beyond_ascii != 0, 0)) {
            uint32_t inner =
                (uint32_t)_mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8(-64), v)); // 80..BF
            uint32_t letters = letter_leads(v, high);
            sum->continuation += (uint64_t)__builtin_popcount(inner);
            sum->members += (uint64_t)__builtin_popcount(letters);
            sum->members += count_sequences(text + (size_t)i * STEP, beyond_ascii & ~inner & ~letters, rank);
        }
    }
    sum->members += (uint64_t)steps * STEP - sum_bytes(not_members);
    sum->newlines += sum_bytes(newlines);
}

AVX2 static mill_text_stat text_stat(const uint8_t *text, uint64_t bytes, uint32_t rank)
{
    counters sum = {0};
    uint64_t i = 0;
    while (bytes - i >= STEP) {
        uint64_t steps = (bytes - i) / STEP;
        if (steps > STEPS_MAX)
            steps = STEPS_MAX;
        count_steps(text + i, text + i, (uint32_t)steps, rank, &sum);
        i += steps * STEP;
    }
    if (i < bytes) {
        uint8_t block[STEP] = {0}; // NUL is in no class
        memcpy(block, text + i, bytes - i);
        count_steps(block, text + i, 1, rank, &sum);
    }
    return (mill_text_stat){bytes - sum.continuation, sum.newlines + 1, sum.members};
}

mill_status mill_text_stats_avx2(const mill_text_view *in, uint32_t unicode, mill_text_stat *out)
{
    if (!mill_unicode_known(unicode))
        return MILL_USAGE;
    for (uint32_t i = 0; i < in->count; i++)
        out[i] = text_stat(in->bytes + in->offsets[i], in->offsets[i + 1] - in->offsets[i],
                           mill_alnum_rank(unicode));
    return MILL_OK;
}

#else

mill_status mill_text_stats_avx2(const mill_text_view *in, uint32_t unicode, mill_text_stat *out)
{
    return mill_text_stats_ref(in, unicode, out);
}

#endif
