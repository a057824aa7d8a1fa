// pretok_ref.c: the pre-tokenizer's patterns, alternative by alternative, on decoded code points. Slow and plain: the oracle
// of pretok.c.
#include "tokenizer/pretok.h"

#include "core/unicode.h"
#include "core/utf8.h"

#define NONE 0xffffffffu // beyond the end; no class, no character

typedef struct cursor {
    const uint8_t *text;
    size_t bytes; // end of this text or slice
} cursor;

static uint32_t peek(const cursor *in, size_t at, size_t *length)
{
    *length = 0;
    return at < in->bytes ? mill_utf8_decode(in->text + at, length) : NONE;
}

static bool is(uint32_t c, uint32_t class)
{
    return c != NONE && mill_unicode_class(c) == class;
}

static bool is_line_end(uint32_t c)
{
    return c == '\r' || c == '\n';
}

// The pattern classes as predicates, so that runs can be taken by one function.
static bool letter(uint32_t c) { return is(c, MILL_CLASS_LETTER); }
static bool number(uint32_t c) { return is(c, MILL_CLASS_NUMBER); }
static bool other(uint32_t c) { return is(c, MILL_CLASS_OTHER); }
static bool space(uint32_t c) { return is(c, MILL_CLASS_SPACE); }

static size_t take(const cursor *in, size_t at, size_t most, bool (*wanted)(uint32_t))
{
    size_t length;
    while (most-- != 0 && wanted(peek(in, at, &length)))
        at += length;
    return at;
}

// 's 't 're 've 'm 'll 'd at `at`, or 0.
static size_t contraction(const cursor *in, size_t at, bool fold)
{
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    if (in->text[at] != '\'')
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t end = at + 1;
        const char *ending = endings[i];
        for (; *ending != '\0'; ending++) {
            size_t length;
            uint32_t c = peek(in, end, &length);
            if (fold && c >= 'A' && c <= 'Z')
                c += 'a' - 'A';
            if (fold && c == 0x17f)
                c = 's';
            if (c != (uint32_t)*ending)
                break;
            end += length;
        }
        if (*ending == '\0')
            return end;
    }
    return 0;
}

// \s+(?!\S)|\s+
static size_t white(const cursor *in, size_t at)
{
    size_t end = take(in, at, SIZE_MAX, space), length, last = at;
    if (end == in->bytes)
        return end;
    for (size_t i = at; i < end; i += length) {
        last = i;
        peek(in, i, &length);
    }
    return last > at ? last : end;
}

static size_t gpt2(const cursor *in, size_t at)
{
    static bool (*const classes[])(uint32_t) = {letter, number, other};
    size_t end = contraction(in, at, false);
    if (end != 0)
        return end;
    size_t start = in->text[at] == ' ' ? at + 1 : at;
    for (size_t i = 0; i < 3; i++) { // ` ?` gives way only when nothing of the class follows it
        end = take(in, start, SIZE_MAX, classes[i]);
        if (end > start)
            return end;
    }
    return white(in, at);
}

static size_t cl100k(const cursor *in, size_t at, size_t digits)
{
    size_t end = contraction(in, at, true), length;
    if (end != 0)
        return end;
    uint32_t c = peek(in, at, &length);
    size_t start = !is_line_end(c) && !letter(c) && !number(c) ? at + length : at;
    end = take(in, start, SIZE_MAX, letter);
    if (end > start)
        return end;
    end = take(in, at, digits, number);
    if (end > at)
        return end;
    start = c == ' ' ? at + 1 : at;
    end = take(in, start, SIZE_MAX, other);
    if (end > start)
        return take(in, end, SIZE_MAX, is_line_end);
    size_t line_end = 0;
    for (size_t i = at; space(c = peek(in, i, &length)); i += length) {
        if (is_line_end(c))
            line_end = i + length;
    }
    return line_end != 0 ? line_end : white(in, at);
}

// Cuts one slice, whose first byte is at `start`.
static size_t cut(mill_pretok kind, const cursor *in, size_t start, uint32_t *ends)
{
    size_t count = 0;
    while (start < in->bytes) {
        if (kind == MILL_PRETOK_CL100K)
            start = cl100k(in, start, 3);
        else if (kind == MILL_PRETOK_QWEN2)
            start = cl100k(in, start, 1);
        else
            start = gpt2(in, start);
        ends[count++] = (uint32_t)start;
    }
    return count;
}

size_t mill_pretok_split_ref(mill_pretok kind, const uint8_t *text, size_t bytes, uint32_t *ends)
{
    if (kind != MILL_PRETOK_DIGITS_GPT2) {
        cursor all = {text, bytes};
        return cut(kind, &all, 0, ends);
    }
    size_t count = 0, start = 0, length;
    for (size_t at = 0; at < bytes; at += length) {
        uint32_t c = mill_utf8_decode(text + at, &length);
        if (!mill_unicode_is_rust_numeric(c))
            continue;
        cursor slice = {text, at};
        count += cut(kind, &slice, start, ends + count);
        start = at + length;
        ends[count++] = (uint32_t)start;
    }
    cursor rest = {text, bytes};
    return count + cut(kind, &rest, start, ends + count);
}
