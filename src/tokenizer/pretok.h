// pretok.h: what the pre-tokenizer offers inside this room: cutting in portions, and the plain form it must equal.
#ifndef MILL_TOKENIZER_PRETOK_H
#define MILL_TOKENIZER_PRETOK_H

#include "tokenizer/tokenizer.h"

// Cuts from byte *at of the text on, at most `most` pieces; *at moves to the end of the last piece. A cut depends only on
// the place where a piece begins, so portions give the same pieces as one call. Returns the number of pieces; 0 at the end.
size_t mill_pretok_some(mill_pretok kind, const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most);

// The same, a character at a time, on any processor.
size_t mill_pretok_some_bytewise(mill_pretok kind, const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most);
// The same for MILL_PRETOK_GPT2, 64 bytes at a time. It may be called only where the processor has AVX2, BMI and BMI2.
bool mill_pretok_avx2_supported(void); // false off x86-64
size_t mill_pretok_gpt2_avx2(const uint8_t *text, size_t bytes, size_t *at, uint32_t *ends, size_t most);

// The patterns read code point by code point, without tables or portions; equal to mill_pretok_split.
size_t mill_pretok_split_ref(mill_pretok kind, const uint8_t *text, size_t bytes, uint32_t *ends);

#endif
