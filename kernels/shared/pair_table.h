// pair_table.h: the merges of a tokenizer as encoding reads them, one layout for host and device (C17 and
// C++17). A pair's rank is found in a table of slots, probed one after the other from its hash on.
#ifndef MILL_SHARED_PAIR_TABLE_H
#define MILL_SHARED_PAIR_TABLE_H

#include <stdint.h>

#ifndef MILL_HD
#ifdef __CUDACC__
#define MILL_HD static inline __host__ __device__
#else
#define MILL_HD static inline
#endif
#endif

#define MILL_NO_ID UINT32_MAX // no token, no merge

typedef struct mill_merge {
    uint32_t left, right, id;
} mill_merge;

typedef struct mill_pair_slot {
    uint64_t pair; // left << 32 | right
    uint32_t rank; // MILL_NO_ID: free
} mill_pair_slot;

MILL_HD uint64_t mill_pair_hash(uint64_t pair)
{
    pair *= 0x9e3779b97f4a7c15u;
    return pair ^ pair >> 32;
}

#endif
