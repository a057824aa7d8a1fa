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
static inline uint64_t mill_word_mix(uint64_t low, uint64_t high)
{
    const mill_u128 product = (mill_u128)(low ^ 0x9e3779b97f4a7c15u) * (high ^ 0xd6e8feb86659fd93u);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// Key of a word of up to MILL_WORD_SHORT bytes; so many are readable, whatever follows it.
static inline mill_word_key mill_word_key_short(const uint8_t *text, uint32_t bytes)
{
    // The mask is read from where `bytes` ones are left: compilers make branches of selections, and lengths cannot be foretold.
    static const uint64_t ones_then_zeros[4] = {UINT64_MAX, UINT64_MAX};
    const uint8_t *mask = (const uint8_t *)ones_then_zeros + MILL_WORD_SHORT - bytes;
    mill_word_key key = {.bytes = bytes};
    uint64_t low, high;
    memcpy(&key.low, text, 8);
    memcpy(&key.high, text + 8, 8);
    memcpy(&low, mask, 8);
    memcpy(&high, mask + 8, 8);
    key.low &= low;
    key.high &= high;
    key.hash = mill_word_mix(key.low, key.high);
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
    if (start + MILL_WORD_SHORT <= limit)
        return mill_word_key_short(text + start, key.bytes);
    uint8_t padded[MILL_WORD_SHORT] = {0};
    memcpy(padded, text + start, key.bytes);
    return mill_word_key_short(padded, key.bytes);
}

#endif
