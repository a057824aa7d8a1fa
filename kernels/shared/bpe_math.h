// bpe_math.h: how words lie in memory while merges are learnt in rounds, and which pair comes first: one
// definition for host and device (C17 and C++17).
//
// A position is a byte of a word, or the separator before and behind each word. A token of n bytes has its id
// at its first position and, with MILL_SYMBOL_LAST, at its last; what is between is MILL_SYMBOL_MIDDLE. So
// both neighbours of a token are one read away and nothing ever moves.
#ifndef MILL_SHARED_BPE_MATH_H
#define MILL_SHARED_BPE_MATH_H

#include <stdint.h>

#ifndef MILL_HD
#ifdef __CUDACC__
#define MILL_HD static inline __host__ __device__
#else
#define MILL_HD static inline
#endif
#endif

#define MILL_SYMBOL_LAST 0x80000000u // ids are below; all that is not the first position of a token is above
#define MILL_SYMBOL_MIDDLE 0xfffffffeu
#define MILL_SYMBOL_SEPARATOR 0xffffffffu

// Which word a position belongs to: 64 positions' separators that stand before a word, and those before them.
typedef struct mill_bpe_rank {
    uint64_t bits;
    uint32_t before, reserved;
} mill_bpe_rank;

#define MILL_BPE_FREE UINT64_MAX // a slot of the pair table that was never used

// Id of the token that begins or ends at a symbol that is neither middle nor separator.
MILL_HD uint32_t mill_symbol_id(uint32_t symbol)
{
    return symbol & ~MILL_SYMBOL_LAST;
}

// Number of the word that a position between separators belongs to.
MILL_HD uint32_t mill_bpe_word(const mill_bpe_rank *ranks, uint32_t position)
{
    mill_bpe_rank rank = ranks[position / 64];
    uint64_t upto = rank.bits & (UINT64_MAX >> (63 - position % 64));
#ifdef __CUDA_ARCH__
    return rank.before + (uint32_t)__popcll(upto) - 1;
#else
    return rank.before + (uint32_t)__builtin_popcountll(upto) - 1;
#endif
}

// A pair as a number; in the order of ties: smaller left id first, then smaller right id.
MILL_HD uint64_t mill_bpe_key(uint32_t left, uint32_t right)
{
    return (uint64_t)left << 32 | right;
}

// True if the first of two pairs is merged first: larger count, then smaller key.
MILL_HD int mill_bpe_before(uint64_t count, uint64_t key, uint64_t other_count, uint64_t other_key)
{
    return count > other_count || (count == other_count && key < other_key);
}

// Where a pair's search begins in a table of a power of two slots.
MILL_HD uint32_t mill_bpe_slot(uint64_t key, uint32_t mask)
{
    key ^= key >> 33;
    key *= UINT64_C(0xff51afd7ed558ccd);
    return (uint32_t)(key >> 32) & mask;
}

#endif
