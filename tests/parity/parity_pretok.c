// parity_pretok.c: the fast pre-tokenizer cuts as the plain one, whatever the text, and in portions as in one go.
#include "tokenizer/pretok.h"

#include "core/rng.h"
#include "core/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 4096

static uint64_t draws;

static uint32_t below(uint32_t bound)
{
    return (uint32_t)mill_draw_below(mill_draw(11, MILL_DRAW_TEST, (mill_key){0, 0}, draws++), bound);
}

// Characters at the borders of the rules: contractions, white space of all widths, digits of several scripts, marks.
static const uint32_t interesting[] = {
    '\'',  '\'',   's',  't',   'r',   'e',     'v',     'm',     'l',    'd',  'S',  'L',  'E',    ' ',    ' ',
    ' ',   '\n',   '\n', '\r',  '\t',  0x0b,    '0',     '7',     '.',    '=',  0x85, 0xa0, 0x2003, 0x3000, 0x1680,
    0x17f, 0x212a, 0xe9, 0x301, 0x663, 0x11de3, 0x16ff5, 0x1f600, 0x4e2d, 0xb2, 0x1c, 0x7f, 0,      0xfeff,
};

static uint32_t any_character(uint32_t style)
{
    if (style == 0)
        return below(0x80);
    if (style == 1)
        return interesting[below(14)];
    if (style == 2)
        return interesting[below(sizeof interesting / sizeof interesting[0])];
    uint32_t c = below(0x110000 - 0x800);
    return c < 0xd800 ? c : c + 0x800;
}

static size_t any_text(uint8_t *text)
{
    size_t bytes = 0, characters = below(below(8) == 0 ? 900 : 60);
    uint32_t style = below(5);
    for (size_t i = 0; i < characters; i++)
        bytes += mill_utf8_encode(any_character(style == 4 ? below(4) : style), text + bytes);
    return bytes;
}

typedef size_t some(mill_pretok kind, const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most);

// Portions of up to `most` pieces are wanted[0, count).
static bool portions(some *cut, mill_pretok kind, const uint8_t *text, size_t bytes, const uint32_t *wanted, size_t count,
                     uint32_t most)
{
    static uint32_t ends[TEXT_MAX];
    size_t at = 0, done = 0, got;
    while ((got = cut(kind, text, bytes, &at, ends, 1 + below(most))) != 0) {
        if (done + got > count || memcmp(ends, wanted + done, got * sizeof *ends) != 0)
            return false;
        done += got;
    }
    return done == count && at == bytes && (bytes == 0) == (count == 0);
}

static bool same(mill_pretok kind, const uint8_t *text, size_t bytes, uint32_t *ends, uint32_t *wanted)
{
    size_t count = mill_pretok_split_ref(kind, text, bytes, wanted);
    if (mill_pretok_split(kind, text, bytes, ends) != count || memcmp(ends, wanted, count * sizeof *ends) != 0)
        return false;
    return portions(mill_pretok_some, kind, text, bytes, wanted, count, 5) &&
           portions(mill_pretok_some, kind, text, bytes, wanted, count, 200) &&
           portions(mill_pretok_some_bytewise, kind, text, bytes, wanted, count, 40);
}

int main(void)
{
    static uint32_t ends[TEXT_MAX], wanted[TEXT_MAX];
    uint64_t pieces = 0;
    for (uint32_t round = 0; round < 60000; round++) {
        mill_pretok kind = (mill_pretok)(round % 6 < 4 ? round % 6 : 0); // GPT-2's has the most forms
        uint8_t draft[TEXT_MAX];
        size_t bytes = any_text(draft);
        uint8_t *text = malloc(bytes + 1); // exact size: a sanitizer sees any read beyond
        if (text == NULL)
            return 1;
        memcpy(text, draft, bytes);
        text = realloc(text, bytes == 0 ? 1 : bytes);
        if (text == NULL || !same(kind, text, bytes, ends, wanted)) {
            fprintf(stderr, "round %u, kind %d, %zu bytes: the cuts differ\n", round, (int)kind, bytes);
            return 1;
        }
        pieces += bytes == 0 ? 0 : 1;
        free(text);
    }
    for (uint32_t c = 0; c < 0x110000; c++) { // each character between neighbours of each class
        static const char *const around[] = {"", "a", "1", " ", "\n", "=", "'"};
        if (c >= 0xd800 && c < 0xe000)
            continue;
        for (uint32_t i = 0; i < 7; i++) {
            uint8_t text[64] = {0};
            size_t bytes = strlen(around[i]);
            memcpy(text, around[i], bytes);
            bytes += mill_utf8_encode(c, text + bytes);
            bytes += mill_utf8_encode(c, text + bytes);
            const char *behind = around[(i + c) % 7];
            memcpy(text + bytes, behind, strlen(behind));
            bytes += strlen(behind);
            if (!same((mill_pretok)((c + i) % 4), text, bytes, ends, wanted)) {
                fprintf(stderr, "U+%04X behind \"%s\": the cuts differ\n", (unsigned)c, around[i]);
                return 1;
            }
        }
    }
    printf("60000 texts (%llu not empty) and all characters in 7 places: equal\n", (unsigned long long)pieces);
    return 0;
}
