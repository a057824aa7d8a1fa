// pretok.c: cuts text into words as the packages' patterns do, without a regex engine. ASCII goes through a table of classes
// and tight run loops; other code points are decoded and looked up. One code point of look-ahead decides everything but the
// length of a white-space run, which needs the run's end. GPT-2's pattern has a faster form where there is AVX2.
#include "tokenizer/pretok.h"

#include "core/unicode.h"
#include "core/utf8.h"

// Classes as the scanners use them. DIGIT occurs only where each digit is a piece of its own and ends the text before it.
enum { O = MILL_CLASS_OTHER, L = MILL_CLASS_LETTER, N = MILL_CLASS_NUMBER, S = MILL_CLASS_SPACE, DIGIT = 4 };

static const uint8_t ascii_class[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, // controls
    S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N, N, N, N, N, N, N, O, O, O, O, O, O, // space .. ?
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, // @ .. _
    O, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, // ` .. DEL
};

static unsigned wide_class(const uint8_t *text, bool digits, size_t *length)
{
    uint32_t c = mill_utf8_decode(text, length);
    if (digits && mill_unicode_is_rust_numeric(c))
        return DIGIT;
    return mill_unicode_class(c);
}

static inline unsigned class_at(const uint8_t *text, bool digits, size_t *length)
{
    if (*text < 0x80) {
        unsigned class = ascii_class[*text];
        *length = 1;
        return digits && class == N ? DIGIT : class;
    }
    return wide_class(text, digits, length);
}

// End of the run of `class` from `at` on.
static inline size_t run_end(const uint8_t *text, size_t bytes, size_t at, unsigned class, bool digits)
{
    size_t length;
    for (;;) {
        while (at < bytes && text[at] < 0x80 && ascii_class[text[at]] == class)
            at++;
        if (at >= bytes || text[at] < 0x80 || wide_class(text + at, digits, &length) != class)
            return at;
        at += length;
    }
}

// Letters after an apostrophe that make a contraction piece with it: 0, 1 or 2. fold: ASCII case does not matter.
static inline size_t contraction(const uint8_t *text, size_t bytes, size_t at, bool fold)
{
    if (at + 1 >= bytes)
        return 0;
    uint8_t bit = fold ? 0x20 : 0;
    uint8_t a = text[at + 1] | bit;
    // With the case bit forced, bytes that are no letters cannot turn into one of these letters: only 0x40-0x5f do.
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 1;
    if (at + 2 >= bytes)
        return 0;
    uint8_t b = text[at + 2] | bit;
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 2 : 0;
}

// GPT-2's pattern. With `digits`, numeric characters are isolated before: each is a piece and an end of text.
static inline size_t gpt2_end(const uint8_t *text, size_t bytes, size_t at, bool digits)
{
    if (text[at] == '\'') {
        size_t letters = contraction(text, bytes, at, false);
        if (letters != 0)
            return at + 1 + letters;
    }
    size_t length;
    unsigned class = class_at(text + at, digits, &length);
    size_t end = at + length;
    if (class == DIGIT)
        return end;
    if (class != S)
        return run_end(text, bytes, end, class, digits);
    unsigned next = end < bytes ? class_at(text + end, digits, &length) : DIGIT;
    if (text[at] == ' ' && next != S && next != DIGIT)
        return run_end(text, bytes, end + length, next, digits);
    size_t last = at; // where the run's last character starts
    while (next == S) {
        last = end;
        end += length;
        next = end < bytes ? class_at(text + end, digits, &length) : DIGIT;
    }
    return next == DIGIT || last == at ? end : last;
}

// White space of the cl100k family: up to its last line end if it has one, else as GPT-2's.
static size_t cl100k_space(const uint8_t *text, size_t bytes, size_t at)
{
    size_t end = at, last = at, line_end = 0, length = 0;
    while (end < bytes && class_at(text + end, false, &length) == S) {
        last = end;
        end += length;
        if (text[last] == '\r' || text[last] == '\n')
            line_end = end;
    }
    if (line_end != 0)
        return line_end;
    return end == bytes || last == at ? end : last;
}

// Other characters and the line ends behind them.
static inline size_t cl100k_other(const uint8_t *text, size_t bytes, size_t at)
{
    at = run_end(text, bytes, at, O, false);
    while (at < bytes && (text[at] == '\r' || text[at] == '\n'))
        at++;
    return at;
}

// cl100k and Llama-3 (most = 3 digits a piece), Qwen2 (most = 1).
static inline size_t cl100k_end(const uint8_t *text, size_t bytes, size_t at, unsigned most)
{
    size_t length, next_length = 0;
    if (text[at] == '\'') {
        size_t letters = contraction(text, bytes, at, true);
        if (letters != 0)
            return at + 1 + letters;
        if (at + 2 < bytes && text[at + 1] == 0xc5 && text[at + 2] == 0xbf) // U+017F is an s without case
            return at + 3;
    }
    unsigned class = class_at(text + at, false, &length);
    size_t end = at + length;
    if (class == L)
        return run_end(text, bytes, end, L, false);
    if (class == N) {
        for (unsigned count = 1; count < most && end < bytes; count++) {
            if (class_at(text + end, false, &length) != N)
                break;
            end += length;
        }
        return end;
    }
    unsigned next = end < bytes ? class_at(text + end, false, &next_length) : S;
    if (next == L && text[at] != '\r' && text[at] != '\n')
        return run_end(text, bytes, end + next_length, L, false);
    if (class == O || (text[at] == ' ' && next == O))
        return cl100k_other(text, bytes, end);
    return cl100k_space(text, bytes, at);
}

// One loop a kind, so that the compiler specialises the scanner in it.
#define CUT_LOOP(next_end)                                                                         \
    while (count < most && start < bytes) {                                                        \
        start = (next_end);                                                                        \
        ends[count++] = (uint32_t)start;                                                           \
    }

size_t mill_pretok_some_bytewise(mill_pretok kind, const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most)
{
    size_t count = 0, start = *at;
    switch (kind) {
    case MILL_PRETOK_GPT2: CUT_LOOP(gpt2_end(text, bytes, start, false)) break;
    case MILL_PRETOK_DIGITS_GPT2: CUT_LOOP(gpt2_end(text, bytes, start, true)) break;
    case MILL_PRETOK_CL100K: CUT_LOOP(cl100k_end(text, bytes, start, 3)) break;
    case MILL_PRETOK_QWEN2: CUT_LOOP(cl100k_end(text, bytes, start, 1)) break;
    }
    *at = start;
    return count;
}

size_t mill_pretok_some(mill_pretok kind, const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most)
{
    if (kind == MILL_PRETOK_GPT2 && mill_pretok_avx2_supported())
        return mill_pretok_gpt2_avx2(text, bytes, at, ends, most);
    return mill_pretok_some_bytewise(kind, text, bytes, at, ends, most);
}

size_t mill_pretok_split(mill_pretok kind, const uint8_t *text, size_t bytes, uint32_t *ends)
{
    size_t at = 0;
    return mill_pretok_some(kind, text, bytes, &at, ends, bytes);
}
