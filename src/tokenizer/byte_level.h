// byte_level.h: the byte-level alphabet of GPT-2: each byte has a printable character, and vocabulary strings are written in
// these characters.
#ifndef MILL_TOKENIZER_BYTE_LEVEL_H
#define MILL_TOKENIZER_BYTE_LEVEL_H

#include "core/alloc.h"

// Code point of a byte: itself for 21-7E, A1-AC, AE-FF; the other 68 follow one another from U+0100 on.
uint32_t mill_byte_level_char(uint8_t byte);
// Byte of a code point, or -1.
int mill_byte_level_byte(uint32_t c);

// Appends the characters of bytes, as UTF-8.
mill_status mill_byte_level_write(const uint8_t *data, size_t bytes, mill_buf *out, mill_error *err) MILL_MUST_CHECK;
// Decodes valid UTF-8 text to out (room for `bytes`). Returns false if a character is not of the alphabet.
bool mill_byte_level_read(const uint8_t *text, size_t bytes, uint8_t *out, size_t *out_bytes);

#endif
