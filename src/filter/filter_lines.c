// filter_lines.c: comment lines, plain and by AVX2. The vector form finds the first character of each line
// that is no ASCII blank by one addition: added to the bits of the blanks, the bits of the line starts run
// through and come out behind them.
#include "filter/lines.h"

#include <string.h>

#include "core/unicode.h"
#include "core/utf8.h"

// Place of the first character from `at` on that is not a blank, or is U+000A; bytes if there is none.
static uint64_t skip_blanks(const uint8_t *text, uint64_t bytes, uint64_t at)
{
    while (at < bytes && text[at] != '\n') {
        size_t length;
        if (!mill_unicode_is_space(mill_utf8_decode(text + at, &length)))
            break;
        at += length;
    }
    return at;
}

uint64_t mill_comment_lines(const uint8_t *text, uint64_t bytes, uint32_t styles)
{
    uint64_t count = 0;
    for (uint64_t at = 0; at < bytes;) {
        at = skip_blanks(text, bytes, at);
        if (at == bytes)
            break;
        count += mill_comment_starts(text, bytes, at, styles);
        const uint8_t *end = memchr(text + at, '\n', bytes - at);
        at = end != NULL ? (uint64_t)(end - text) + 1 : bytes;
    }
    return count;
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2")))
#define STEP 64u

// A set of ASCII bytes: bit h of entry l stands for byte h << 4 | l.
typedef struct byte_set {
    uint8_t by_low[16];
} byte_set;

static byte_set make_set(const char *bytes)
{
    byte_set set = {{0}};
    for (; *bytes != '\0'; bytes++)
        set.by_low[*bytes & 15] |= (uint8_t)(1u << (*bytes >> 4));
    return set;
}

static byte_set first_bytes(uint32_t styles)
{
    char bytes[16];
    size_t count = 0;
    static const struct {
        uint32_t styles;
        char byte;
    } prefixes[] = {{MILL_COMMENT_HASH, '#'},      {MILL_COMMENT_SLASHES | MILL_COMMENT_STAR, '/'},
                    {MILL_COMMENT_STAR, '*'},      {MILL_COMMENT_DASHES, '-'},
                    {MILL_COMMENT_SEMICOLON, ';'}, {MILL_COMMENT_PERCENT, '%'},
                    {MILL_COMMENT_ANGLE, '<'},     {MILL_COMMENT_QUOTE, '"'},
                    {MILL_COMMENT_BANG, '!'}};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (styles & prefixes[i].styles)
            bytes[count++] = prefixes[i].byte;
    bytes[count] = '\0';
    return make_set(bytes);
}

AVX2 static inline __m256i set_table(const byte_set *set)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)set->by_low));
}

// Bits of the bytes that are in the set; never those >= 0x80, as the shuffle gives 0 for them.
AVX2 static inline uint32_t members(__m256i v, __m256i table)
{
    const __m256i bits = _mm256_setr_epi8(1, 2, 4, 8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4,
                                          8, 16, 32, 64, (char)128, 0, 0, 0, 0, 0, 0, 0, 0);
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15));
    __m256i in = _mm256_and_si256(_mm256_shuffle_epi8(table, v), _mm256_shuffle_epi8(bits, high));
    return ~(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(in, _mm256_setzero_si256()));
}

typedef struct line_scan {
    const uint8_t *text;
    uint64_t bytes;
    uint32_t styles;
    uint64_t pending; // 1: the next step begins before the first character of a line
    uint64_t count;
} line_scan;

// One step of 64 places from text[base] on; `block` holds its bytes, NUL behind the text.
AVX2 static inline void scan_step(line_scan *s, const uint8_t *block, uint64_t base, __m256i blank_table,
                                  __m256i first_table)
{
    __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)block);
    __m256i b = _mm256_loadu_si256((const __m256i *)(const void *)(block + 32));
    const __m256i newline = _mm256_set1_epi8('\n');
    uint64_t ends = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, newline)) |
                    (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(b, newline)) << 32;
    uint64_t starts = ends << 1 | s->pending;
    s->pending = ends >> 63;
    if (starts == 0)
        return;
    uint64_t blanks = members(a, blank_table) | (uint64_t)members(b, blank_table) << 32;
    uint64_t wanted = members(a, first_table) | (uint64_t)members(b, first_table) << 32;
    wanted |= (uint32_t)_mm256_movemask_epi8(a) | (uint64_t)(uint32_t)_mm256_movemask_epi8(b)
                                                      << 32; // beyond ASCII
    uint64_t behind = starts + blanks;
    s->pending |= behind < starts; // blanks up to the end of the step
    for (uint64_t found = behind & ~blanks & wanted; found != 0; found &= found - 1) {
        uint64_t at = base + (uint64_t)__builtin_ctzll(found);
        if (s->text[at] >= 0x80)
            at = skip_blanks(s->text, s->bytes, at);
        s->count += at < s->bytes && mill_comment_starts(s->text, s->bytes, at, s->styles) != 0;
    }
}

AVX2 uint64_t mill_comment_lines_avx2(const uint8_t *text, uint64_t bytes, uint32_t styles)
{
    line_scan s = {.text = text, .bytes = bytes, .styles = styles, .pending = 1};
    byte_set blank = make_set("\t\v\f\r\x1c\x1d\x1e\x1f "), first = first_bytes(styles);
    const __m256i blank_table = set_table(&blank), first_table = set_table(&first);
    uint64_t at = 0;
    for (; bytes - at >= STEP; at += STEP)
        scan_step(&s, text + at, at, blank_table, first_table);
    if (at < bytes) {
        uint8_t block[STEP] = {0};
        memcpy(block, text + at, bytes - at);
        scan_step(&s, block, at, blank_table, first_table);
    }
    return s.count;
}

#else

uint64_t mill_comment_lines_avx2(const uint8_t *text, uint64_t bytes, uint32_t styles)
{
    return mill_comment_lines(text, bytes, styles);
}

#endif
