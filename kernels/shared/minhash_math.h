// minhash_math.h: the scalar arithmetic of MinHash, one definition for host and device (C17 and C++17).
//
// datasketch has two families of permutations. affine32 (2.x): v = a * fmix32(h) + b modulo 2^32. legacy
// (1.x): v = ((a * h + b) modulo 2^64) modulo 2^61 - 1, low 32 bits; the wrap modulo 2^64 before the prime
// is numpy's, and kept.
#ifndef MILL_SHARED_MINHASH_MATH_H
#define MILL_SHARED_MINHASH_MATH_H

#include <stdint.h>

#ifndef MILL_HD
#ifdef __CUDACC__
#define MILL_HD static inline __host__ __device__
#else
#define MILL_HD static inline
#endif
#endif

#define MILL_MINHASH_EMPTY UINT32_MAX             // value of every permutation before the first token
#define MILL_MERSENNE61 ((UINT64_C(1) << 61) - 1) // legacy's prime

// Finalizer of MurmurHash3 (32 bit): a bijection.
MILL_HD uint32_t mill_fmix32(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85ebca6bu;
    h ^= h >> 13;
    h *= 0xc2b2ae35u;
    return h ^ (h >> 16);
}

// mixed = mill_fmix32(first four digest bytes, little-endian).
MILL_HD uint32_t mill_minhash_affine32(uint32_t mixed, uint32_t a, uint32_t b)
{
    return a * mixed + b;
}

// hash = first four digest bytes, little-endian.
MILL_HD uint32_t mill_minhash_legacy(uint32_t hash, uint64_t a, uint64_t b)
{
    uint64_t x = a * hash + b;
    // x = hi * 2^61 + lo is congruent to hi + lo, which is at most 2^61 + 6: one subtraction is enough.
    x = (x & MILL_MERSENNE61) + (x >> 61);
    return (uint32_t)(x >= MILL_MERSENNE61 ? x - MILL_MERSENNE61 : x);
}

#endif
