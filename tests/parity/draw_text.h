// draw_text.h: random and hostile valid UTF-8 for parity tests.
#ifndef MILL_TESTS_DRAW_TEXT_H
#define MILL_TESTS_DRAW_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/utf8.h"

static uint64_t seed = 1;

static uint64_t next(void) // SplitMix64
{
    uint64_t z = seed += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// A code point of the given mixture: 0 printable ASCII, 1 all ASCII, 2 two bytes, 3 three bytes, 4 four
// bytes, 5 anything, 6 mostly ASCII, 7 the borders of the encoded lengths and of the spaces.
static uint32_t draw_code_point(int mixture)
{
    static const uint32_t borders[] = {
        0,      0x08,    0x09,    0x0d,    0x0e,    0x1b,     0x1c,   0x1f,   0x20,   0x21,
        0x7f,   0x80,    0x84,    0x85,    0x86,    0xa0,     0x7ff,  0x800,  0x1680, 0x2000,
        0x200a, 0x200b,  0x2028,  0x2029,  0x202f,  0x205f,   0x3000, 0xd7ff, 0xe000, 0xfeff,
        0xffff, 0x10000, 0x323af, 0x323b0, 0xe01ef, 0x10ffff, '\n',   '/',    '0',    '9',
        ':',    '@',     'A',     'Z',     '[',     '`',      'a',    'z',    '{'};
    uint32_t c;
    if (mixture == 6)
        mixture = next() % 20 == 0 ? 5 : 0;
    do {
        switch (mixture) {
        case 0: c = next() % 30 == 0 ? '\n' : 0x20 + (uint32_t)(next() % 95); break;
        case 1: c = (uint32_t)(next() % 0x80); break;
        case 2: c = 0x80 + (uint32_t)(next() % 0x780); break;
        case 3: c = 0x800 + (uint32_t)(next() % 0xf800); break;
        case 4: c = 0x10000 + (uint32_t)(next() % 0x100000); break;
        case 7: c = borders[next() % (sizeof borders / sizeof *borders)]; break;
        default: c = (uint32_t)(next() % 0x110000); break;
        }
    } while (c >= 0xd800 && c < 0xe000);
    return c;
}

// Exactly `bytes` bytes of valid UTF-8.
static void fill(uint8_t *out, size_t bytes, int mixture)
{
    for (size_t i = 0; i < bytes;) {
        uint8_t code[4];
        size_t length = mill_utf8_encode(draw_code_point(mixture), code);
        if (length > bytes - i) {
            code[0] = 'x';
            length = 1;
        }
        memcpy(out + i, code, length);
        i += length;
    }
}

#endif
