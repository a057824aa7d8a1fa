// word_key.h: words as hash keys. Words of up to 16 bytes live in two registers; longer ones are known by a hash and compared
// in memory.
#ifndef MILL_TOKENIZER_WORD_KEY_H
#define MILL_TOKENIZER_WORD_KEY_H

#include "core/hash.h"

#include <string.h>

#define MILL_WORD_SHORT 16 // bytes that fit a key

typedef struct mill_word_key {
    uint64_t low, high; // short: the bytes, zero-padded; long: XXH3-64 and zero
    uint64_t hash;      // well mixed; places the word in a table
    uint32_t bytes;
} mill_word_key;

__extension__ typedef unsigned __int128 mill_u128;

// Multiplies to 128 bits and folds; the constants are odd, and no valid text can equal them in place of a word's bytes.
static inline uint64_t mill_word_mix(uint64_t low, uint64_t high, uint64_t bytes)
{
    mill_u128 product = (mill_u128)(low ^ 0x9e3779b97f4a7c15u ^ bytes << 56) * (high ^ 0xd6e8feb86659fd93u);
    uint64_t folded = (uint64_t)product ^ (uint64_t)(product >> 64);
    return (folded ^ folded >> 29) * 0xff51afd7ed558ccdu;
}

// Key of a word of up to MILL_WORD_SHORT bytes; so many are readable, whatever follows it.
static inline mill_word_key mill_word_key_short(const uint8_t *text, uint32_t bytes)
{
    mill_word_key key = {.bytes = bytes};
    memcpy(&key.low, text, 8);
    memcpy(&key.high, text + 8, 8);
    // Selections, not branches: lengths of words cannot be foretold.
    uint32_t low_bits = 8 * bytes, high_bits = 8 * (MILL_WORD_SHORT - bytes);
    key.low &= bytes < 8 ? ((uint64_t)1 << (low_bits & 63)) - 1 : UINT64_MAX;
    key.high &= bytes > 8 ? UINT64_MAX >> (high_bits & 63) : 0;
    key.hash = mill_word_mix(key.low, key.high, bytes);
    return key;
}

// Key of text[start, end); `limit` is the end of the readable memory behind text (>= end): a short word is loaded by one
// 16-byte read where that stays inside.
static inline mill_word_key mill_word_key_of(const uint8_t *text, size_t start, size_t end, size_t limit)
{
    mill_word_key key = {.bytes = (uint32_t)(end - start)};
    if (key.bytes > MILL_WORD_SHORT) {
        key.low = XXH3_64bits(text + start, key.bytes);
        key.hash = key.low;
        return key;
    }
    if (limit - start >= MILL_WORD_SHORT)
        return mill_word_key_short(text + start, key.bytes);
    uint8_t padded[MILL_WORD_SHORT] = {0};
    memcpy(padded, text + start, key.bytes);
    return mill_word_key_short(padded, key.bytes);
}

#endif
