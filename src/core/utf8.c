// utf8.c: UTF-8 by the table of the Unicode standard (3-7: well-formed byte sequences).
#include "core/utf8.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Valid range of the second byte for lead byte c; the later ones are always 80..BF.
static void second_range(uint8_t c, uint8_t *low, uint8_t *high)
{
    *low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    *high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
}

// Length a lead byte promises; 0 if it can lead nothing.
static size_t lead_length(uint8_t c)
{
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    return c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

// Bytes of the longest prefix at text that could begin a valid sequence; complete if it equals lead_length.
static size_t maximal_prefix(const uint8_t *text, size_t bytes)
{
    size_t length = lead_length(text[0]);
    if (length < 2)
        return length;
    uint8_t low, high;
    second_range(text[0], &low, &high);
    size_t i = 1;
    while (i < length && i < bytes && text[i] >= low && text[i] <= high) {
        low = 0x80;
        high = 0xbf;
        i++;
    }
    return i;
}

size_t mill_utf8_sequence(const uint8_t *text, size_t bytes)
{
    if (bytes == 0)
        return 0;
    size_t length = lead_length(text[0]);
    return length != 0 && maximal_prefix(text, bytes) == length ? length : 0;
}

size_t mill_utf8_encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xc0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xe0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (c & 0x3f));
    return 4;
}

static bool eight_ascii(const uint8_t *text)
{
    uint64_t word;
    memcpy(&word, text, 8);
    return (word & 0x8080808080808080u) == 0;
}

bool mill_utf8_valid(const uint8_t *text, size_t bytes, size_t *bad)
{
    size_t i = 0;
    while (i < bytes) {
        if (i + 8 <= bytes && eight_ascii(text + i)) {
            i += 8;
            continue;
        }
        size_t length = mill_utf8_sequence(text + i, bytes - i);
        if (length == 0) {
            if (bad != NULL)
                *bad = i;
            return false;
        }
        i += length;
    }
    return true;
}

static uint64_t count_plain(const uint8_t *text, size_t bytes)
{
    uint64_t count = 0;
    for (size_t i = 0; i < bytes; i++)
        count += (text[i] & 0xc0) != 0x80;
    return count;
}

#if defined(__x86_64__)
// Bytes that continue a character are the lowest of the signed ones. Counts of each lane are added up before they are full.
__attribute__((target("avx2"))) static uint64_t count_avx2(const uint8_t *text, size_t bytes)
{
    const __m256i last = _mm256_set1_epi8((char)0xbf), zero = _mm256_setzero_si256();
    __m256i total = zero;
    size_t at = 0;
    while (bytes - at >= 32) {
        const size_t steps = bytes - at < 255 * 32 ? (bytes - at) / 32 : 255;
        __m256i lanes = zero;
        for (size_t i = 0; i < steps; i++, at += 32)
            lanes = _mm256_sub_epi8(lanes, _mm256_cmpgt_epi8(_mm256_loadu_si256((const __m256i_u *)(text + at)), last));
        total = _mm256_add_epi64(total, _mm256_sad_epu8(lanes, zero));
    }
    uint64_t sums[4];
    _mm256_storeu_si256((__m256i_u *)sums, total);
    return sums[0] + sums[1] + sums[2] + sums[3] + count_plain(text + at, bytes - at);
}
#endif

uint64_t mill_utf8_count(const uint8_t *text, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        return count_avx2(text, bytes);
#endif
    return count_plain(text, bytes);
}

size_t mill_utf8_replace(const uint8_t *text, size_t bytes, uint8_t *out, uint64_t *replaced)
{
    size_t written = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < bytes;) {
        size_t prefix = maximal_prefix(text + i, bytes - i);
        if (prefix != 0 && prefix == lead_length(text[i])) {
            memcpy(out + written, text + i, prefix);
            written += prefix;
            i += prefix;
        } else {
            memcpy(out + written, "\xef\xbf\xbd", 3);
            written += 3;
            count++;
            i += prefix != 0 ? prefix : 1;
        }
    }
    if (replaced != NULL)
        *replaced += count;
    return written;
}
