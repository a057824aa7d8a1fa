// utf8.h: decoding, validating and counting UTF-8. Strict in the sense of CPython: no overlong forms, no surrogates,
// nothing above U+10FFFF.
#ifndef MILL_CORE_UTF8_H
#define MILL_CORE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Length in bytes (1-4) of the valid sequence at `text`, 0 if it is not valid or cut at `bytes`.
size_t mill_utf8_sequence(const uint8_t *text, size_t bytes);

// Decodes one code point of text that is known to be valid; *length receives its bytes.
static inline uint32_t mill_utf8_decode(const uint8_t *text, size_t *length)
{
    uint32_t c = text[0];
    if (c < 0x80) {
        *length = 1;
        return c;
    }
    if (c < 0xe0) {
        *length = 2;
        return (c & 0x1f) << 6 | (text[1] & 0x3fu);
    }
    if (c < 0xf0) {
        *length = 3;
        return (c & 0x0f) << 12 | (text[1] & 0x3fu) << 6 | (text[2] & 0x3fu);
    }
    *length = 4;
    return (c & 0x07) << 18 | (text[1] & 0x3fu) << 12 | (text[2] & 0x3fu) << 6 | (text[3] & 0x3fu);
}

// Writes code point `c` (a scalar value) and returns its length in bytes.
size_t mill_utf8_encode(uint32_t c, uint8_t out[4]);

// True if all of text is valid; otherwise *bad receives the offset of the first bad byte.
bool mill_utf8_valid(const uint8_t *text, size_t bytes, size_t *bad);

// Code points in valid text = bytes that are not continuation bytes.
uint64_t mill_utf8_count(const uint8_t *text, size_t bytes);

// Copies text to out (room for 3 * bytes) with each maximal invalid subpart replaced by U+FFFD, exactly as Python's
// bytes.decode("utf-8", "replace"); returns the bytes written, *replaced counts the replacements.
size_t mill_utf8_replace(const uint8_t *text, size_t bytes, uint8_t *out, uint64_t *replaced);

#endif
