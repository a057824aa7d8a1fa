// fim_cuts.c: where a text may be cut. Each cut kind counts its positions, draws position numbers by multiply-shift and walks
// to their bytes: two passes over the text, no memory, and every position is the start of a code point.
#include "fim/fim_internal.h"

#include <string.h>

#include "core/utf8.h"

static void one_span(mill_fim_plan *out, uint64_t a, uint64_t b)
{
    out->span_count = 1;
    out->begin[0] = a < b ? a : b;
    out->end[0] = a < b ? b : a;
}

// Byte offset of code point number n; bytes if there are fewer. Whole stretches are skipped by counting their lead bytes.
static uint64_t char_offset(const uint8_t *text, uint64_t bytes, uint64_t n)
{
    uint64_t at = 0;
    for (uint64_t stretch = 4096; stretch >= 64; stretch /= 64) {
        while (at + stretch <= bytes) {
            uint64_t leads = mill_utf8_count(text + at, stretch);
            if (leads > n)
                break;
            n -= leads;
            at += stretch;
        }
    }
    for (; at < bytes; at++) {
        if ((text[at] & 0xc0) == 0x80)
            continue;
        if (n == 0)
            return at;
        n--;
    }
    return bytes;
}

bool mill_cut_char(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    uint64_t chars = mill_utf8_count(in->text, in->bytes);
    uint64_t a = mill_fim_word(draws, MILL_FIM_WORD_CUT, chars + 1);
    uint64_t b = mill_fim_word(draws, MILL_FIM_WORD_CUT + 1, chars + 1);
    one_span(out, char_offset(in->text, in->bytes, a), char_offset(in->text, in->bytes, b));
    return true;
}

uint64_t mill_cut_count_newlines(const uint8_t *text, uint64_t bytes)
{
    uint64_t count = 0;
    for (uint64_t i = 0; i < bytes; i++)
        count += text[i] == '\n';
    return count;
}

uint64_t mill_cut_line_start(const uint8_t *text, uint64_t bytes, uint64_t n)
{
    uint64_t at = 0;
    for (; n > 0 && at < bytes; n--) {
        const uint8_t *newline = memchr(text + at, '\n', bytes - at);
        if (newline == NULL)
            return bytes;
        at = (uint64_t)(newline - text) + 1;
    }
    return at;
}

// Positions: 0, after each newline, and the end (which is the place after the last newline when the text ends with one).
bool mill_cut_line(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    uint64_t positions = 1 + mill_cut_count_newlines(in->text, in->bytes);
    if (in->bytes > 0 && in->text[in->bytes - 1] != '\n')
        positions++;
    uint64_t a = mill_fim_word(draws, MILL_FIM_WORD_CUT, positions);
    uint64_t b = mill_fim_word(draws, MILL_FIM_WORD_CUT + 1, positions);
    one_span(out, mill_cut_line_start(in->text, in->bytes, a), mill_cut_line_start(in->text, in->bytes, b));
    return true;
}

// A token of a byte-level vocabulary may end inside a code point; such an end is no place to cut.
static bool is_cut(const mill_cut_text *in, uint64_t at)
{
    return at <= in->bytes && (at == in->bytes || (in->text[at] & 0xc0) != 0x80);
}

bool mill_cut_token(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    if (in->token_ends == NULL || in->token_count == 0)
        return false;
    uint64_t positions = 1; // the start
    for (size_t i = 0; i < in->token_count; i++)
        positions += is_cut(in, in->token_ends[i]);
    uint64_t a = mill_fim_word(draws, MILL_FIM_WORD_CUT, positions);
    uint64_t b = mill_fim_word(draws, MILL_FIM_WORD_CUT + 1, positions);
    uint64_t cuts[2] = {0, 0}, seen = 0;
    for (size_t i = 0; i < in->token_count; i++) {
        if (!is_cut(in, in->token_ends[i]))
            continue;
        seen++;
        if (seen == a)
            cuts[0] = in->token_ends[i];
        if (seen == b)
            cuts[1] = in->token_ends[i];
    }
    one_span(out, cuts[0], cuts[1]);
    return true;
}

// The line that begins at `at`: its end without line break, and the start of the next line.
static uint64_t line_end(const mill_cut_text *in, uint64_t at, uint64_t *next)
{
    const uint8_t *newline = memchr(in->text + at, '\n', in->bytes - at);
    uint64_t end = newline != NULL ? (uint64_t)(newline - in->text) : in->bytes;
    *next = newline != NULL ? end + 1 : in->bytes;
    if (newline != NULL && end > at && in->text[end - 1] == '\r')
        end--;
    return end;
}

static bool is_blank(const uint8_t *text, uint64_t bytes)
{
    for (uint64_t i = 0; i < bytes; i++) {
        if (text[i] != ' ' && (text[i] < '\t' || text[i] > '\r'))
            return false;
    }
    return true;
}

// Number of non-blank lines; the one numbered `wanted` goes to *span, without its line break.
static uint64_t find_nonblank(const mill_cut_text *in, uint64_t wanted, mill_cut_span *span)
{
    uint64_t count = 0;
    for (uint64_t at = 0, next; at < in->bytes; at = next) {
        uint64_t end = line_end(in, at, &next);
        if (is_blank(in->text + at, end - at))
            continue;
        if (count == wanted)
            *span = (mill_cut_span){at, end};
        count++;
    }
    return count;
}

// The place is before any code point of the line, so that the middle is never empty.
bool mill_cut_line_completion(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    mill_cut_span line = {0, 0};
    uint64_t lines = find_nonblank(in, UINT64_MAX, &line);
    if (lines == 0)
        return false;
    find_nonblank(in, mill_fim_word(draws, MILL_FIM_WORD_CUT, lines), &line);
    const uint8_t *text = in->text + line.begin;
    uint64_t bytes = line.end - line.begin;
    uint64_t place = mill_fim_word(draws, MILL_FIM_WORD_CUT + 1, mill_utf8_count(text, bytes));
    one_span(out, line.begin + char_offset(text, bytes, place), line.end);
    return true;
}

// 2k sorted code point positions are k spans in order; neighbours may touch and a span may be empty.
bool mill_cut_multi(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    uint64_t places[2 * MILL_FIM_SPANS_MAX];
    uint32_t spans = 2 + (uint32_t)mill_fim_word(draws, MILL_FIM_WORD_CUT, MILL_FIM_SPANS_MAX - 1);
    uint64_t chars = mill_utf8_count(in->text, in->bytes);
    for (uint32_t i = 0; i < 2 * spans; i++) {
        uint64_t place = mill_fim_word(draws, MILL_FIM_WORD_CUT + 1 + i, chars + 1);
        uint32_t j = i;
        for (; j > 0 && places[j - 1] > place; j--)
            places[j] = places[j - 1];
        places[j] = place;
    }
    out->span_count = spans;
    for (uint32_t i = 0; i < spans; i++) {
        out->begin[i] = char_offset(in->text, in->bytes, places[2 * i]);
        out->end[i] = char_offset(in->text, in->bytes, places[2 * i + 1]);
    }
    return true;
}

// The guide's split with counter draws in the place of randint.
bool mill_cut_guide(const mill_cut_text *in, const mill_fim_draws *draws, mill_fim_plan *out)
{
    uint64_t lines = 1 + mill_cut_count_newlines(in->text, in->bytes);
    if (lines < 3)
        return false;
    uint64_t first = 1 + mill_fim_word(draws, MILL_FIM_WORD_CUT, lines - 2);
    uint64_t second = first + 1 + mill_fim_word(draws, MILL_FIM_WORD_CUT + 1, lines - 1 - first);
    mill_fim_plan_lines(in->text, in->bytes, first, second, out);
    return true;
}
