// bpe_pairs.h: the trainer's waiting pairs: a hash table with counts and places, and a heap by count.
#ifndef MILL_TOKENIZER_BPE_PAIRS_H
#define MILL_TOKENIZER_BPE_PAIRS_H

#include "core/pool.h"

typedef struct mill_pair_entry {
    uint64_t key;        // 0: never used
    uint64_t count;      // 0: gone
    uint32_t *positions; // of the table; ascending, may be out of date
    uint32_t places;     // positions
} mill_pair_entry;

typedef struct mill_pair_list {
    uint32_t *positions;
    uint32_t places;
} mill_pair_list;

typedef struct mill_pair_table {
    mill_pair_entry *entries;
    size_t capacity; // power of two, or 0
    size_t used;     // gone ones included
    mill_pool lists; // short ones: most pairs are rare
    mill_pair_list *gone; // of pairs that are gone, until they are swept
    size_t gone_count, gone_capacity;
} mill_pair_table;

static inline uint64_t mill_pair_key(uint32_t left, uint32_t right)
{
    return ((uint64_t)left << 32 | right) + 1; // in the order of ties: left id, then right id; never 0
}

static inline uint32_t mill_pair_left(uint64_t key)
{
    return (uint32_t)((key - 1) >> 32);
}

static inline uint32_t mill_pair_right(uint64_t key)
{
    return (uint32_t)(key - 1);
}

// Makes room for so many pairs at once: a table that doubles is cleared anew each time.
mill_status mill_pair_table_reserve(mill_pair_table *table, size_t pairs, mill_error *err) MILL_MUST_CHECK;

// Adds a pair that was never there, with memory for `places` positions. entry is valid until the next add.
mill_status mill_pair_table_add(mill_pair_table *table, uint64_t key, uint64_t count, uint32_t places,
                                mill_pair_entry **entry, mill_error *err) MILL_MUST_CHECK;
// The pair's entry, NULL if it is gone or was never there.
mill_pair_entry *mill_pair_table_find(const mill_pair_table *table, uint64_t key);
// Brings the place of a pair that will be asked for into the cache.
void mill_pair_table_fetch(const mill_pair_table *table, uint64_t key);
// Takes from the pair's count; below count_min the pair is gone, and its list until the next sweep.
mill_status mill_pair_table_lose(mill_pair_table *table, uint64_t key, uint64_t lost, uint64_t count_min, mill_error *err)
    MILL_MUST_CHECK;
void mill_pair_table_sweep(mill_pair_table *table);
// Gives back a list that was taken from its entry.
void mill_pair_table_drop(mill_pair_table *table, uint32_t *positions, uint32_t places);
void mill_pair_table_free(mill_pair_table *table);

typedef struct mill_heap_entry {
    uint64_t count, key;
} mill_heap_entry;

// Most pairs are rare and never come to be merged: only those of a certain count on are kept in order.
typedef struct mill_pair_heap {
    mill_heap_entry *entries; // a heap, largest count, then smallest key, at entries[0]; behind it the others, in no order
    size_t count, total, capacity; // of the heap; of all
    uint64_t least; // count of those in the heap; the others have less. 0: nothing was asked for yet, all are others
} mill_pair_heap;

mill_status mill_pair_heap_push(mill_pair_heap *heap, mill_heap_entry entry, mill_error *err) MILL_MUST_CHECK;
void mill_pair_heap_pop(mill_pair_heap *heap); // takes the head away

#define MILL_PAIRS_ALIGN 128 // two cache lines, as processors fetch them: what one thread writes is not what another reads

// Pairs of some keys: threads may work on several of these at the same time.
typedef struct mill_pairs {
    _Alignas(MILL_PAIRS_ALIGN) mill_pair_table table;
    mill_pair_heap heap;
} mill_pairs;

// Which of `parts` a pair is in.
static inline uint32_t mill_pair_part(uint64_t key, uint32_t parts)
{
    return (uint32_t)((key * 0xd6e8feb86659fd93u >> 32) * parts >> 32);
}
// Adds a pair that was never there to table and heap, with memory for `places` positions.
mill_status mill_pairs_add(mill_pairs *pairs, uint64_t key, uint64_t count, uint32_t places, uint32_t **positions, mill_error *err)
    MILL_MUST_CHECK;
// The pair with the largest count, then the smallest key; NULL if none is left. It is the heap's head.
mill_pair_entry *mill_pairs_best(mill_pairs *pairs);
bool mill_heap_before(mill_heap_entry a, mill_heap_entry b); // whether a comes before b
void mill_pairs_free(mill_pairs *pairs);

#endif
