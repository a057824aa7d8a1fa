// pretok_avx2.c: GPT-2's cuts, 64 bytes a step. Where a piece begins is a local question (classes of the characters before, at
// and behind a place, and contractions near it), so each step makes masks of the classes, one bit a byte, and answers it for all
// its bytes at once; only characters beyond ASCII and apostrophes are looked at one by one.
#include "tokenizer/pretok.h"

#include "core/unicode.h"
#include "core/utf8.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))
#define STEP 64u

bool mill_pretok_avx2_supported(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

// Bits of the bytes of one step. A character beyond ASCII has its class on all its bytes.
typedef struct masks {
    uint64_t letter, number, space; // classes; none of them: other
    uint64_t blank;                 // U+0020
    uint64_t apostrophe;
    uint64_t tail;                  // bytes inside a character, not its first
    uint64_t wide_space;            // first bytes of white space beyond ASCII
    uint64_t wide;                  // bytes beyond ASCII
} masks;

// What a step must know of the one before it. The first step of a call begins at a piece: nothing before it counts.
typedef struct carry {
    unsigned class;     // of the last character
    unsigned left;      // its bytes that lie in the next step
    bool blank;         // it is U+0020
    uint64_t begin;     // places of the next step where a piece begins, because a contraction ended
    uint64_t inside;    // places of the next step inside a contraction
} carry;

AVX2 static inline uint64_t bits(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high) << 32;
}

// Bytes from `first` to first + count - 1; count < 128.
AVX2 static inline __m256i in_range(__m256i v, uint8_t first, uint8_t count)
{
    __m256i shifted = _mm256_sub_epi8(v, _mm256_set1_epi8((char)first));
    return _mm256_cmpeq_epi8(_mm256_min_epu8(shifted, _mm256_set1_epi8((char)(count - 1))), shifted);
}

AVX2 static inline masks ascii_masks(const uint8_t *text)
{
    __m256i a = _mm256_loadu_si256((const __m256i_u *)text), b = _mm256_loadu_si256((const __m256i_u *)(text + 32));
    __m256i fold = _mm256_set1_epi8(0x20), quote = _mm256_set1_epi8('\'');
    masks m = {0};
    m.wide = bits(a, b);
    m.letter = bits(in_range(_mm256_or_si256(a, fold), 'a', 26), in_range(_mm256_or_si256(b, fold), 'a', 26));
    m.number = bits(in_range(a, '0', 10), in_range(b, '0', 10));
    m.blank = bits(_mm256_cmpeq_epi8(a, fold), _mm256_cmpeq_epi8(b, fold));
    m.space = m.blank | bits(in_range(a, '\t', 5), in_range(b, '\t', 5));
    m.apostrophe = bits(_mm256_cmpeq_epi8(a, quote), _mm256_cmpeq_epi8(b, quote));
    return m;
}

static inline uint64_t run_of_bits(unsigned first, unsigned count) // count >= 1; beyond bit 63: cut off
{
    return (UINT64_MAX >> (count >= 64 ? 0 : 64 - count)) << first;
}

static inline void set_class(masks *m, unsigned class, uint64_t where)
{
    m->letter |= class == MILL_CLASS_LETTER ? where : 0;
    m->number |= class == MILL_CLASS_NUMBER ? where : 0;
    m->space |= class == MILL_CLASS_SPACE ? where : 0;
}

// Classes of the characters beyond ASCII; text is the step's first byte. Their last one may go on into the next step.
static void wide_masks(const uint8_t *text, carry *before, masks *m)
{
    uint64_t todo = m->wide;
    if (before->left != 0) {
        uint64_t rest = run_of_bits(0, before->left);
        set_class(m, before->class, rest);
        m->tail |= rest;
        todo &= ~rest;
        before->left = 0;
    }
    while (todo != 0) {
        unsigned at = (unsigned)__builtin_ctzll(todo);
        size_t length;
        unsigned class = mill_unicode_class(mill_utf8_decode(text + at, &length));
        uint64_t all = run_of_bits(at, (unsigned)length);
        set_class(m, class, all);
        m->tail |= all & ~(UINT64_C(1) << at);
        m->wide_space |= class == MILL_CLASS_SPACE ? UINT64_C(1) << at : 0;
        if (at + length > STEP) {
            before->left = (unsigned)(at + length - STEP);
        }
        todo &= ~all;
    }
}

// Letters after the apostrophe at text[0] that make a contraction with it: 0, 1 or 2.
static inline unsigned contraction(const uint8_t *text, size_t bytes)
{
    if (bytes < 2)
        return 0;
    uint8_t a = text[1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 1;
    if (bytes < 3)
        return 0;
    return ((a == 'r' || a == 'v') && text[2] == 'e') || (a == 'l' && text[2] == 'l') ? 2 : 0;
}

static inline bool is_space_at(const uint8_t *text)
{
    size_t length;
    if (*text < 0x80)
        return *text == ' ' || (uint8_t)(*text - '\t') < 5;
    return mill_unicode_class(mill_utf8_decode(text, &length)) == MILL_CLASS_SPACE;
}

// Places where a piece begins among the step's bytes. text is the step's first byte, `bytes` what is left of the text from there.
AVX2 static inline uint64_t begins(const uint8_t *text, size_t bytes, bool first, masks *m, carry *c)
{
    carry before = *c;
    *c = (carry){0};
    if ((m->wide | before.left) != 0) {
        carry rest = before;
        wide_masks(text, &rest, m);
        c->left = rest.left;
    }
    uint64_t other = ~(m->letter | m->number | m->space);
    uint64_t was_letter = m->letter << 1 | (before.class == MILL_CLASS_LETTER), was_space = m->space << 1;
    uint64_t was_number = m->number << 1 | (before.class == MILL_CLASS_NUMBER);
    uint64_t was_other = other << 1 | (before.class == MILL_CLASS_OTHER && !first);
    uint64_t was_blank = m->blank << 1 | before.blank;
    was_space |= before.class == MILL_CLASS_SPACE;
    uint64_t next_other = ~(m->space >> 1); // the character behind exists and is no white space
    if (bytes <= STEP)
        next_other &= ~(UINT64_C(1) << (bytes - 1));
    else if (c->left == 0 && is_space_at(text + STEP))
        next_other &= ~(UINT64_C(1) << (STEP - 1));
    uint64_t begin = (m->space & (~was_space | next_other)) | (~m->space & was_space & ~was_blank);
    uint64_t same = (m->letter & was_letter) | (m->number & was_number) | (other & was_other);
    begin |= ~m->space & ~was_space & ~same;
    for (uint64_t todo = m->wide_space; todo != 0; todo &= todo - 1) { // the byte behind is their own: look further
        unsigned at = (unsigned)__builtin_ctzll(todo);
        size_t length;
        (void)mill_utf8_decode(text + at, &length);
        bool joins = (was_space >> at & 1) != 0 && (at + length >= bytes || is_space_at(text + at + length));
        begin = (begin & ~(UINT64_C(1) << at)) | (joins ? 0 : UINT64_C(1) << at);
    }
    begin = (begin & ~m->tail & ~before.inside) | before.begin;
    uint64_t quotes = m->apostrophe & ~was_other & ~was_blank;
    for (; quotes != 0; quotes &= quotes - 1) {
        unsigned at = (unsigned)__builtin_ctzll(quotes), letters = contraction(text + at, bytes - at);
        if (letters == 0)
            continue;
        unsigned end = at + 1 + letters;
        begin |= UINT64_C(1) << at;
        begin &= ~(at + 1 < STEP ? run_of_bits(at + 1, letters) : 0);
        if (end < STEP)
            begin |= UINT64_C(1) << end;
        else
            c->begin = UINT64_C(1) << (end - STEP);
        if (end > STEP)
            c->inside = run_of_bits(0, end - STEP);
    }
    uint64_t last = UINT64_C(1) << (STEP - 1);
    c->blank = (m->blank & last) != 0;
    c->class = (m->letter & last) != 0   ? MILL_CLASS_LETTER
               : (m->number & last) != 0 ? MILL_CLASS_NUMBER
               : (m->space & last) != 0  ? MILL_CLASS_SPACE
                                         : MILL_CLASS_OTHER;
    return begin;
}

AVX2 size_t mill_pretok_gpt2_avx2(const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most)
{
    size_t count = 0, start = *at;
    carry c = {.class = MILL_CLASS_OTHER};
    for (size_t place = start; place < bytes && count < most; place += STEP) {
        size_t left = bytes - place;
        uint8_t padded[STEP] = {0};
        const uint8_t *step = text + place;
        if (left < STEP) {
            memcpy(padded, step, left);
            step = padded;
        }
        masks m = ascii_masks(step);
        uint64_t begin = begins(text + place, left, place == start, &m, &c);
        if (left < STEP)
            begin &= run_of_bits(0, (unsigned)left);
        if (place == start)
            begin &= ~UINT64_C(1);
        for (; begin != 0 && count < most; begin &= begin - 1)
            ends[count++] = (uint32_t)(place + (unsigned)__builtin_ctzll(begin));
        if (left <= STEP && begin == 0 && count < most)
            ends[count++] = (uint32_t)bytes;
    }
    if (count != 0)
        *at = ends[count - 1];
    return count;
}

#else

bool mill_pretok_avx2_supported(void)
{
    return false;
}

size_t mill_pretok_gpt2_avx2(const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most)
{
    (void)text, (void)bytes, (void)at, (void)ends, (void)most;
    return 0;
}

#endif
