// rng.h: every random number of the product. mill_draw is a pure function, so no draw depends on who drew before; the
// Mersenne twisters exist only to repeat what CPython's random and numpy's RandomState would have drawn.
#ifndef MILL_CORE_RNG_H
#define MILL_CORE_RNG_H

#include "core/hash.h"

// What a draw decides; part of the hash, so that purposes are independent. Values are frozen (output bytes depend on them).
typedef enum mill_purpose {
    MILL_DRAW_TEST = 1,    // keep a test file?
    MILL_DRAW_STARS = 2,   // keep by star tier?
    MILL_DRAW_FIM = 3,     // words 0..: transform?, PSM or SPM?, cuts
    MILL_DRAW_MIXTURE = 4, // rank of a document in its share
    MILL_DRAW_ORDER = 5,   // place in the shuffled output
    MILL_DRAW_INSPECT = 6, // samples shown by inspect
    MILL_DRAW_REPO = 7,    // a row of a repository: words 0: transform a file of it?, 1: which one
    MILL_DRAW_TRAIN = 8,   // is a document trained on?
} mill_purpose;

// 64 uniform bits: XXH3-64 of (purpose, nth, key) seeded with seed. nth numbers the words of one decision; piece numbers go
// into its upper 32 bits.
static inline uint64_t mill_draw(uint64_t seed, mill_purpose purpose, mill_key key, uint64_t nth)
{
    uint64_t words[4] = {(uint64_t)purpose, nth, key.low, key.high};
    return XXH3_64bits_withSeed(words, sizeof words, seed);
}

__extension__ typedef unsigned __int128 mill_u128; // the result of one multiply instruction

// Uniform integer in [0, bound) from 64 bits by multiply-shift; bound > 0.
static inline uint64_t mill_draw_below(uint64_t bits, uint64_t bound)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)bits * bound) >> 64);
}

// The top 53 bits as CPython's random() would give them; only for comparing with a rate.
static inline double mill_draw_unit(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

typedef struct mill_mt19937 {
    uint32_t state[624];
    uint32_t next;
} mill_mt19937;

void mill_mt19937_seed_python(mill_mt19937 *mt, uint64_t seed); // random.Random(seed): init_by_array
void mill_mt19937_seed_numpy(mill_mt19937 *mt, uint32_t seed);  // numpy RandomState(seed): init_genrand
uint32_t mill_mt19937_u32(mill_mt19937 *mt);
double mill_mt19937_random(mill_mt19937 *mt);                   // random.random()
uint64_t mill_mt19937_randint(mill_mt19937 *mt, uint64_t low, uint64_t high); // random.randint, both ends included

#endif
