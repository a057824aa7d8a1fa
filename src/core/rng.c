// rng.c: the Mersenne twister MT19937 (Matsumoto and Nishimura 1998) with the two seedings and the derived draws of CPython
// and numpy, so that outputs of Python programs can be repeated draw by draw.
#include "core/rng.h"

enum { WORDS = 624, SHIFT = 397 };

static uint32_t mix(uint32_t word)
{
    return word ^ word >> 30;
}

void mill_mt19937_seed_numpy(mill_mt19937 *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        mt->state[i] = 1812433253u * mix(mt->state[i - 1]) + i;
    mt->next = WORDS;
}

// init_by_array: CPython's key is the seed's 32-bit words, lowest first, without leading zero words (but at least one).
void mill_mt19937_seed_python(mill_mt19937 *mt, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t key_words = key[1] != 0 ? 2 : 1;
    mill_mt19937_seed_numpy(mt, 19650218);
    uint32_t *state = mt->state;
    uint32_t i = 1;
    for (uint32_t round = 0, j = 0; round < WORDS; round++) {
        state[i] = (state[i] ^ mix(state[i - 1]) * 1664525u) + key[j] + j;
        j = j + 1 < key_words ? j + 1 : 0;
        if (++i == WORDS) {
            state[0] = state[WORDS - 1];
            i = 1;
        }
    }
    for (uint32_t round = 1; round < WORDS; round++) {
        state[i] = (state[i] ^ mix(state[i - 1]) * 1566083941u) - i;
        if (++i == WORDS) {
            state[0] = state[WORDS - 1];
            i = 1;
        }
    }
    state[0] = 0x80000000u;
}

static void regenerate(mill_mt19937 *mt)
{
    uint32_t *state = mt->state;
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t y = (state[i] & 0x80000000u) | (state[i + 1 < WORDS ? i + 1 : 0] & 0x7fffffffu);
        uint32_t from = i + SHIFT < WORDS ? i + SHIFT : i + SHIFT - WORDS;
        state[i] = state[from] ^ y >> 1 ^ ((y & 1) != 0 ? 0x9908b0dfu : 0);
    }
    mt->next = 0;
}

uint32_t mill_mt19937_u32(mill_mt19937 *mt)
{
    if (mt->next >= WORDS)
        regenerate(mt);
    uint32_t y = mt->state[mt->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

double mill_mt19937_random(mill_mt19937 *mt)
{
    uint64_t high = mill_mt19937_u32(mt) >> 5;
    uint64_t low = mill_mt19937_u32(mt) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

// random.getrandbits(bits), 1 <= bits <= 64: words come lowest first, the last one gives its upper bits.
static uint64_t random_bits(mill_mt19937 *mt, unsigned bits)
{
    if (bits <= 32)
        return mill_mt19937_u32(mt) >> (32 - bits);
    uint64_t low = mill_mt19937_u32(mt);
    return low | (uint64_t)(mill_mt19937_u32(mt) >> (64 - bits)) << 32;
}

uint64_t mill_mt19937_randint(mill_mt19937 *mt, uint64_t low, uint64_t high)
{
    MILL_ASSERT(low <= high);
    uint64_t count = high - low + 1;
    if (count == 0) { // all 2^64 values: CPython draws 65 bits until the top one is 0
        for (;;) {
            uint64_t value = random_bits(mt, 64);
            if (mill_mt19937_u32(mt) >> 31 == 0)
                return value;
        }
    }
    unsigned bits = 64 - (unsigned)__builtin_clzll(count);
    uint64_t value;
    do
        value = random_bits(mt, bits);
    while (value >= count);
    return low + value;
}
